"""FastAPI as in most tutorials: pixels as JSON, `model.predict` in the route."""

import os
from typing import Any

import keras
import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel

model = keras.models.load_model(os.environ["KERAS_MODEL"])
classes = [line.strip() for line in open(os.environ["LABELS"])]  # noqa: PTH123, SIM115 (as they write it)
height, width = model.input_shape[1:3]
app = FastAPI()


class Body(BaseModel):
    """A request's body."""

    image: list[Any]


@app.post("/predict")
def predict(body: Body) -> dict[str, Any]:
    """Classify an image."""
    pixels = np.array(body.image, dtype="float32")
    image = keras.ops.image.resize(pixels, (height, width), antialias=True)
    scores = model.predict(np.expand_dims(image, axis=0))[0]
    best = int(np.argmax(scores))
    return {"label": classes[best], "probability": float(scores[best])}
