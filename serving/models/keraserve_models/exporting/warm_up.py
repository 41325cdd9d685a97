"""Warm-up requests, which a server runs when it loads a version, so that the first client does not wait.

TensorFlow Serving's format: a TFRecord file of `PredictionLog`, at most 1,000 (SavedModel warmup).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from keraserve_models import drawn_images
from keraserve_models.exporting.signatures import EXAMPLE_KEY
from keraserve_protocol import messages
from keraserve_protocol.signatures import CLASSIFY, DEFAULT_SIGNATURE, IMAGE_BYTES
from keraserve_protocol.tensors import to_proto

_BATCHES = (1, 8)  # one image, and several at once


def write(file: Path, name: str, size: tuple[int, int], channels: int) -> None:
    """Write requests for all three signatures, with PNG and JPEG images of the network's own size."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(file)) as writer:
        for log in _logs(name, size, channels):
            writer.write(log.SerializeToString())


def _logs(name: str, size: tuple[int, int], channels: int) -> Iterator[messages.PredictionLog]:
    for count in _BATCHES:
        images = drawn_images.images(count, classes=count, size=size, channels=channels, seed=count)[0]
        encode = tf.io.encode_png if count == 1 else tf.io.encode_jpeg
        encoded = [encode(image).numpy() for image in images]
        for signature, key, values in (
            (DEFAULT_SIGNATURE, "images", to_proto(images)),
            (IMAGE_BYTES, IMAGE_BYTES, to_proto(encoded)),
        ):
            request = messages.PredictRequest(model_spec=messages.model_spec(name, signature=signature))
            request.inputs[key].CopyFrom(values)
            yield messages.PredictionLog(predict_log=messages.PredictLog(request=request))
        examples = messages.ExampleList(examples=[example(content) for content in encoded])
        request = messages.ClassificationRequest(
            model_spec=messages.model_spec(name, signature=CLASSIFY),
            input=messages.Input(example_list=examples),
        )
        yield messages.PredictionLog(classify_log=messages.ClassifyLog(request=request))


def example(encoded: bytes) -> bytes:
    """Write a tf.Example of one encoded image, as the signature `classify` takes it."""
    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[encoded]))
    return tf.train.Example(features=tf.train.Features(feature={EXAMPLE_KEY: feature})).SerializeToString()


def write_tensors(file: Path, name: str, signature: str, inputs: Mapping[str, Any]) -> None:
    """Write one Predict request with these arrays."""
    request = messages.PredictRequest(model_spec=messages.model_spec(name, signature=signature))
    for key, value in inputs.items():
        request.inputs[key].CopyFrom(to_proto(value))
    file.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(file)) as writer:
        log = messages.PredictionLog(predict_log=messages.PredictLog(request=request))
        writer.write(log.SerializeToString())
