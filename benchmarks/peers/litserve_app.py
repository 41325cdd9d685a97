"""LitServe with batching, as in its documentation; the image is the body."""

import os
from typing import Annotated, Any

import litserve
import tensorflow as tf
from fastapi import Body


class Photographs(litserve.LitAPI):
    """The model."""

    def setup(self, device: str) -> None:
        """Load it, once in each worker."""
        del device
        self.signature = tf.saved_model.load(os.environ["SAVED_MODEL"]).signatures["image_bytes"]

    def decode_request(self, request: Annotated[bytes, Body()]) -> bytes:
        """Take the body."""
        return request

    def batch(self, inputs: list[bytes]) -> tf.Tensor:
        """Make a batch."""
        return tf.constant(inputs)

    def predict(self, x: tf.Tensor) -> list[dict[str, Any]]:
        """Run the model."""
        found = self.signature(image_bytes=x)
        scores = found["probabilities"].numpy().max(axis=1).tolist()
        return [
            {"label": label.decode(), "probability": score}
            for label, score in zip(found["label"].numpy(), scores, strict=True)
        ]

    def unbatch(self, output: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Split the batch."""
        return output

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        """Return the result as it is."""
        return output


if __name__ == "__main__":
    api = Photographs(max_batch_size=32, batch_timeout=0.005)
    server = litserve.LitServer(api, accelerator="cpu")
    server.run(host="127.0.0.1", port=int(os.environ["PORT"]), generate_client_file=False)
