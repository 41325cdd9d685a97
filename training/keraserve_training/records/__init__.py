"""The files of a run on the disk, and sentences that follow from them. Needs no TensorFlow."""
