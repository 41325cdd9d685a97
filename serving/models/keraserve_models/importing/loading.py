"""A Keras model in memory, whichever Keras wrote it."""

import importlib.util
import sys
import warnings
from pathlib import Path
from typing import Any

from keraserve_models.errors import ImportRejected, first_line
from keraserve_models.importing import kerashub, trust
from keraserve_models.importing.source import Form, Source

# What Keras 2 wrote of layers, and Keras 3 has no argument for: it does this and nothing else.
_ONLY_VALUES = {"groups": 1, "time_major": False}
_CHANGED_LAYERS = (
    *(f"Conv{rank}DTranspose" for rank in (1, 2, 3)),
    *("DepthwiseConv1D", "DepthwiseConv2D", "ConvLSTM2D", "GRU", "LSTM", "SimpleRNN"),
)


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
    if source.form is Form.PRESET:
        return kerashub.load(source)
    custom = _run(code) if trusted and code is not None else {}
    import keras

    of_keras_2 = source.keras_version.startswith(("1.", "2.")) or not source.keras_version

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return keras.saving.load_model(
                source.path,
                custom_objects={**(_layers_of_keras_2() if of_keras_2 else {}), **custom},
                compile=False,
                safe_mode=not trusted,
            )
    except Exception as error:  # Keras raises whatever the layers of the file raise
        if of_keras_2:
            return _by_keras_2(source, custom, error)
        raise ImportRejected(
            f"{source.original} can't be loaded by Keras {keras.__version__}:"
            f" {first_line(error)}{_hint(error)}"
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


def _layers_of_keras_2() -> dict[str, Any]:
    """Layers of Keras 3 that take what Keras 2 wrote of them."""
    from keras import layers

    def tolerant(kind: Any) -> Any:
        def __init__(self: Any, *arguments: Any, **config: Any) -> None:  # noqa: N807 (of the class below)
            for name, only in _ONLY_VALUES.items():
                if config.get(name) == only:
                    del config[name]
            kind.__init__(self, *arguments, **config)

        # Under its own name, so that a layer around it, which makes a copy of it, finds that of Keras.
        return type(kind.__name__, (kind,), {"__init__": __init__, "__module__": kind.__module__})

    return {name: tolerant(getattr(layers, name)) for name in _CHANGED_LAYERS}


def _by_keras_2(source: Source, custom: dict[str, Any], error: Exception) -> Any:
    try:
        import tf_keras  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ImportRejected(
            f"{source.original} is of Keras {source.keras_version or 2}, and Keras 3 can't read it"
            f' ({first_line(error)}): pip install "keraserve[tf-keras]", and import it again'
        ) from error
    try:
        return tf_keras.models.load_model(source.path, custom_objects=custom, compile=False)
    except Exception as second:
        raise ImportRejected(
            f"{source.original} can't be loaded, neither by Keras 3 ({first_line(error)}) nor by tf-keras"
            f" ({first_line(second)})"
        ) from second


def _hint(error: Exception) -> str:
    """Where a class is unknown: where it is."""
    if "keras_hub" in str(error):
        return f" It holds {kerashub.MISSING}."
    unknown = any(words in str(error) for words in ("Could not locate", "Unknown layer"))
    return " For a class of your own say --trust --code FILE.py." if unknown else ""
