"""The signature by which a version that `keraserve-train export` wrote gives its model card."""

SIGNATURE, OUTPUT = "model_card", "json"
ASK_SECONDS = 5.0  # for an answer
