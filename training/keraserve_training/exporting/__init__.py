"""Export finished runs as versions of models, and choose which versions are served."""
