"""What can go wrong, as one tree; every message is one sentence that says what to do.

ModelsError
└── RepositoryError     the model repository is not what it should be
"""


class ModelsError(Exception):
    """Root of everything that this package raises on purpose."""


class RepositoryError(ModelsError):
    """The model repository is not what it should be."""
