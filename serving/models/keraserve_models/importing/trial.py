"""What a model answers to images under each scaling, so that a person sees which one is right."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from keraserve_models.importing import classifier, images
from keraserve_models.importing.findings import Answer, ImageFindings, Trial, scales
from keraserve_models.importing.request import Scale


def run(model: Any, found: ImageFindings, labels: Sequence[str], files: Sequence[Path]) -> list[Trial]:
    """Classify images under each scaling that the model could want.

    Args:
        model: of Keras, or a signature.
        found: all that is known of it but the scaling.
        labels: a name for each class.
        files: images.

    Raises:
        ImportRejected: one of them can't be decoded.
    """
    if not files:
        return []
    original = classifier.Original.of(model)
    pixels = images.pixels(images.read(files, found), found)
    answers: list[dict[Scale, Answer]] = [{} for _ in files]
    for scale in scales(found.channels):
        network = classifier.network(original, replace(found, scale=scale))
        for place, probabilities in enumerate(np.asarray(network.probabilities(pixels))):
            best = int(probabilities.argmax())
            answers[place][scale] = Answer(labels[best], float(probabilities[best]))
    return [Trial(file, each) for file, each in zip(files, answers, strict=True)]
