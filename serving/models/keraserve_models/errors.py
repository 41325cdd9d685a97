"""What can go wrong, as one tree; every message is one sentence that says what to do.

ModelsError
├── RepositoryError     the model repository is not what it should be
└── ImportRejected      a model can't be imported
    ├── NotTrusted      it holds programs, which run when it is loaded
    ├── Undecided       something that only the user knows has to be said
    └── NotEqual        the written version does not give what the model gives
"""


class ModelsError(Exception):
    """Root of everything that this package raises on purpose."""


class RepositoryError(ModelsError):
    """The model repository is not what it should be."""


class ImportRejected(ModelsError):  # noqa: N818 (noun and what happened to it)
    """A model can't be imported; nothing was published."""


class NotTrusted(ImportRejected):
    """A model holds programs that run when it is loaded, and nobody said that they may."""


class Undecided(ImportRejected):
    """Something about a model can be known by its user alone."""


class NotEqual(ImportRejected):
    """The written version does not give what the model gives."""


def first_line(error: Exception) -> str:
    """The first line of another library's message, which may hold a whole configuration, or its class."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]
