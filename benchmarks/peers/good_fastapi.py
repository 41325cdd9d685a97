"""FastAPI as an experienced user writes it: the image as the body, the signature in the thread pool."""

import os
from typing import Any

import tensorflow as tf
from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool

signature = tf.saved_model.load(os.environ["SAVED_MODEL"]).signatures["image_bytes"]
app = FastAPI()


def classify(image: bytes) -> dict[str, Any]:
    """Run the model on one image."""
    found = signature(image_bytes=tf.constant([image]))
    return {
        "label": found["label"].numpy()[0].decode(),
        "probability": float(found["probabilities"].numpy().max()),
    }


@app.post("/predict")
async def predict(request: Request) -> dict[str, Any]:
    """Classify an image."""
    return await run_in_threadpool(classify, await request.body())
