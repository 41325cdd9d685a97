"""The names of the signatures that the exporter writes and servers and clients use."""

DEFAULT_SIGNATURE = "serving_default"
"""Used where a request names none, as TensorFlow Serving does."""
IMAGE_BYTES = "image_bytes"
"""Takes encoded images, as the input of the same name."""
CLASSIFY = "classify"
"""Takes examples, for Classify."""
EXPLAIN, LABEL, MAP, PROBABILITY = "explain", "label", "map", "probability"
"""Takes encoded images, as `IMAGE_BYTES`, and the `LABEL` of a class for each, empty for the most probable
one; returns a map of the places that speak for that class, its label and its probability."""
MODEL_CARD, CARD_OUTPUT = "model_card", "json"
"""Takes nothing, and returns the version's model card as text in this output."""
