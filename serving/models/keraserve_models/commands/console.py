"""What the commands print: findings on standard output, one sentence for an error on standard error."""

from collections.abc import Generator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.text import Text

from keraserve_models.errors import ModelsError

out = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
err = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)


@contextmanager
def reported_errors() -> Generator[None]:
    """Print an error as one sentence, and exit with 1."""
    try:
        yield
    except ModelsError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")


def _fail(sentence: str) -> None:
    err.print(Text.assemble(("keraserve: ", "bold red"), sentence))
    raise typer.Exit(1) from None
