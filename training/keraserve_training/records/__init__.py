"""What a run leaves on the disk, and what can be said of it. Needs no TensorFlow."""
