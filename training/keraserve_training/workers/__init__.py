"""Pieces of work side by side: in processes here, or on the machines of a Ray cluster."""
