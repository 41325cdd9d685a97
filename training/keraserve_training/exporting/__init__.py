"""From finished runs to versions that are served."""
