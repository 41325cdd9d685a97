"""Options that several commands of typer have in common, defined once."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any


def with_options(
    options: Mapping[str, Any], value: Callable[[dict[str, Any]], Any] = dict
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command more options; it gets them as its argument `options`.

    Args:
        options: an annotation for each, by the name of its parameter. One that is not given is None, and a
            switch False.
        value: makes the argument out of what was given.
    """
    added = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=annotation,
            default=False if annotation.__origin__ is bool else None,
        )
        for name, annotation in options.items()
    ]

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def wrapped(**arguments: Any) -> None:
            given = {name: arguments.pop(name) for name in options}
            command(options=value(given), **arguments)

        own = [each for each in inspect.signature(command).parameters.values() if each.name != "options"]
        parameters = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own] + added
        wrapped.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportAttributeAccessIssue]
        del wrapped.__wrapped__  # pyright: ignore[reportAttributeAccessIssue]
        wrapped.__annotations__ = {each.name: each.annotation for each in parameters}
        return wrapped

    return decorated
