"""API keys: made, checked, limited in rate; and callers who send wrong ones."""
