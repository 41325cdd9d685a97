"""Feature extraction as in the source documents: arrays in memory, resized one by one, and one `predict`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image


def extract(
    model: Any, preprocess_input: Any, files: Sequence[Path], size: int, target: Path
) -> npt.NDArray[np.float32]:
    """Features [N, h, w, c] of all images, also written to `target` as `.npz`.

    Args:
        model: the bare network: scaled images to features.
        preprocess_input: Keras' function that scales images for it.
        files: images in colour.
        size: pixels a side.
        target: a file.
    """
    images = [np.asarray(Image.open(file).convert("RGB")) for file in files]
    # What scipy.misc.imresize did: Pillow's bilinear filter, rounded to whole values.
    bilinear = Image.Resampling.BILINEAR
    resized = [np.asarray(Image.fromarray(image).resize((size, size), bilinear)) for image in images]
    large = np.array(resized).astype("float32")
    features = model.predict(preprocess_input(large), verbose=0)
    np.savez(target, features=features)
    return features
