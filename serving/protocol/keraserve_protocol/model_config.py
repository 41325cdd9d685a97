"""`models.config`: TensorFlow Serving's `ModelServerConfig` in protobuf's text format."""

from pathlib import Path

from google.protobuf import text_format

from keraserve_protocol import text_file
from keraserve_protocol.messages import ModelServerConfig


class ModelConfigError(ValueError):
    """A `models.config` that can't be read or parsed; the message names the file and the line."""


def parse(text: str) -> ModelServerConfig:
    """Parse the text form.

    Raises:
        ModelConfigError: no ModelServerConfig, a model without a name, or two of one name.
    """
    try:
        config = text_format.Parse(text, ModelServerConfig())
    except text_format.ParseError as error:
        raise ModelConfigError(f"not a ModelServerConfig: {error}") from error
    check(config)
    return config


def check(config: ModelServerConfig) -> None:
    """Check that every model has a name, and no two the same.

    Raises:
        ModelConfigError: they don't.
    """
    names = [model.name for model in config.model_config_list.config]
    if not all(names):
        raise ModelConfigError("a model has no name")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ModelConfigError(f"configured more than once: {', '.join(twice)}")


def read(path: Path) -> ModelServerConfig:
    """Read and parse the file at `path`.

    Raises:
        ModelConfigError: as `parse`, or the file can't be read.
    """
    try:
        return parse(text_file.read(path))
    except text_file.TextFileError as error:
        raise ModelConfigError(str(error)) from error
    except ModelConfigError as error:
        raise ModelConfigError(f"{path}: {error}") from error


def render(config: ModelServerConfig) -> str:
    """Write the text form, as TensorFlow Serving reads it."""
    return text_format.MessageToString(config)
