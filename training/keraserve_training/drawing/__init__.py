"""The plots of a run, of a study and of a source document.

Each function takes the `path` of its PNG file, and the `title` above the plot or the `name` of the network.
"""
