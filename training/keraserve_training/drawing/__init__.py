"""The images of a run, of a study and of a source document."""
