"""BentoML with adaptive batching, as in its documentation: a request is a list, here of one image."""

import base64
import os
from typing import Any

import bentoml
import tensorflow as tf


@bentoml.service(
    http={"host": "127.0.0.1", "port": int(os.environ["PORT"])}, traffic={"max_concurrency": 256}
)
class Photographs:
    """The model."""

    def __init__(self) -> None:
        self.signature = tf.saved_model.load(os.environ["SAVED_MODEL"]).signatures["image_bytes"]

    @bentoml.api(batchable=True, max_batch_size=32, max_latency_ms=1000)
    def predict(self, images: list[str]) -> list[dict[str, Any]]:
        """Classify a batch."""
        found = self.signature(image_bytes=tf.constant([base64.b64decode(one) for one in images]))
        scores = found["probabilities"].numpy().max(axis=1).tolist()
        return [
            {"label": label.decode(), "probability": score}
            for label, score in zip(found["label"].numpy(), scores, strict=True)
        ]
