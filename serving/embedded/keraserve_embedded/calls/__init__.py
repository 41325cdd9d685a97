"""The calls of TensorFlow Serving's API on one loaded version: messages in, messages out."""
