"""The plots of a run, of a study and of a source document, as PNG files."""
