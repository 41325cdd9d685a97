"""Ray Serve with `@serve.batch`, as in its documentation."""

import os
import signal
from typing import Any

import ray
import tensorflow as tf
from ray import serve
from starlette.requests import Request


@serve.deployment(max_ongoing_requests=256)
class Photographs:
    """The model."""

    def __init__(self) -> None:
        self.signature = tf.saved_model.load(os.environ["SAVED_MODEL"]).signatures["image_bytes"]

    @serve.batch(max_batch_size=32, batch_wait_timeout_s=0.005)
    async def classify(self, images: list[bytes]) -> list[dict[str, Any]]:
        """Classify a batch."""
        found = self.signature(image_bytes=tf.constant(images))
        scores = found["probabilities"].numpy().max(axis=1).tolist()
        return [
            {"label": label.decode(), "probability": score}
            for label, score in zip(found["label"].numpy(), scores, strict=True)
        ]

    async def __call__(self, request: Request) -> dict[str, Any]:
        """Classify an image."""
        return await self.classify(await request.body())


if __name__ == "__main__":
    ray.init(include_dashboard=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["PORT"])})
    serve.run(Photographs.bind(), route_prefix="/predict")
    signal.pause()
