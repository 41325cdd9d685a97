"""What in a model's configuration is a program that would run while it is loaded."""

from collections.abc import Iterator
from typing import Any

from keraserve_models.errors import NotTrusted
from keraserve_models.importing.source import Form, Source

_OWN = ("keras", "keras_hub", "tf_keras", "builtins")


def check(source: Source) -> None:
    """Reject what is a program, unless the user has said that it is trusted.

    Raises:
        NotTrusted: names what it is, and where.
    """
    found = programs(source)
    if found:
        raise NotTrusted(
            f"{source.original} holds programs that run when it is loaded: {', '.join(found)}. If you know"
            " who made it and trust them, say --trust (and --code FILE.py where the classes are defined)."
        )


def programs(source: Source) -> list[str]:
    """The programs in a model's configuration, as words for people."""
    config = dict(source.config or {})
    if source.form is not Form.PRESET:
        config.pop("compile_config", None)  # loading leaves out loss and metrics, which serving needs not
    return sorted(set(_programs(config)))


def _programs(part: Any) -> Iterator[str]:
    """Find the programs in a configuration, as words for people."""
    if isinstance(part, list):
        for each in part:
            yield from _programs(each)
    elif isinstance(part, dict):
        name = part.get("class_name")
        if isinstance(name, str):
            config = part.get("config")
            own = config.get("name", "") if isinstance(config, dict) else ""
            if name in ("Lambda", "__lambda__"):
                yield f"the Lambda layer {own!r}" if name == "Lambda" else "a lambda"
            elif not _is_keras_own(part):
                yield f"the custom class {part.get('registered_name') or name}"
        for each in part.values():
            yield from _programs(each)


def _is_keras_own(part: dict[str, Any]) -> bool:
    """Whether a class is Keras' own.

    A class of `__main__` has a name but no module. HDF5 files have neither: loading tells.
    """
    module = part.get("module")
    if module is None:
        return part.get("registered_name") is None
    return isinstance(module, str) and module.partition(".")[0] in _OWN
