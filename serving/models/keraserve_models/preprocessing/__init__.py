"""Decode images, resize and scale them, with TensorFlow operations inside the graph."""
