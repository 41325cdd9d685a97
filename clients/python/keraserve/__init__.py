"""The program `keraserve`: each installed package of Keraserve adds its commands to it."""
