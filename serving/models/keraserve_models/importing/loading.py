"""A Keras model in memory, whichever Keras wrote it."""

import importlib.util
import sys
import warnings
from pathlib import Path
from typing import Any

from keraserve_models.errors import ImportRejected
from keraserve_models.importing import trust
from keraserve_models.importing.source import Form, Source


def load(source: Source, *, trusted: bool = False, code: Path | None = None) -> Any:
    """Load a Keras model.

    Args:
        source: of any form but a SavedModel.
        trusted: the programs inside may run.
        code: a Python file that defines its custom classes and functions; runs only where `trusted`.

    Returns:
        The model of Keras 3, or of `tf_keras` where Keras 3 can't read the file.

    Raises:
        ImportRejected: it holds programs and is not trusted, or can't be loaded; says what to do.
    """
    if not trusted:
        trust.check(source)
    custom = _run(code) if trusted and code is not None else {}
    import keras

    if source.form is Form.PRESET:
        return _preset(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return keras.saving.load_model(
                source.path, custom_objects=custom, compile=False, safe_mode=not trusted
            )
    except Exception as error:  # Keras raises whatever the layers of the file raise
        if source.form in (Form.HDF5, Form.TEACHABLE_MACHINE) and not source.keras_version.startswith("3"):
            return _by_keras_2(source, error)
        raise ImportRejected(
            f"{source.original} can't be loaded by Keras {keras.__version__}: {_first(error)}"
        ) from error


def _run(code: Path) -> dict[str, Any]:
    """Run a Python file; gives the classes and functions that it defines."""
    spec = importlib.util.spec_from_file_location(code.stem, code)
    if spec is None or spec.loader is None or not code.is_file():
        raise ImportRejected(f"{code} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[code.stem] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ImportRejected(f"{code} failed: {type(error).__name__}: {error}") from error
    return {name: each for name, each in vars(module).items() if getattr(each, "__module__", "") == code.stem}


def _by_keras_2(source: Source, error: Exception) -> Any:
    try:
        import tf_keras  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ImportRejected(
            f"{source.original} is of Keras {source.keras_version or 2}, and Keras 3 can't read it"
            f' ({_first(error)}): pip install "keraserve-models[tf-keras]", and import it again'
        ) from error
    try:
        return tf_keras.models.load_model(source.path, compile=False)
    except Exception as second:
        raise ImportRejected(
            f"{source.original} can't be loaded, neither by Keras 3 ({_first(error)}) nor by tf-keras"
            f" ({_first(second)})"
        ) from second


def _preset(source: Source) -> Any:
    try:
        import keras_hub  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ImportRejected(
            f'{source.original} is of KerasHub: pip install "keraserve-models[hub]", and import it again'
        ) from error
    return keras_hub.models.Task.from_preset(str(source.path))


def _first(error: Exception) -> str:
    """The first line of a message, which may hold a whole configuration."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]
