"""Read the operator's configuration files as UTF-8 text; errors are sentences that name the file."""

import codecs
from pathlib import Path

_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class TextFileError(ValueError):
    """A file that can't be read as text; the message names it and says why."""


def read(path: Path) -> str:
    """Read a file.

    Raises:
        TextFileError: it can't be read, is no UTF-8, or begins with a byte-order mark, which TensorFlow
            Serving rejects as well.
    """
    try:
        content = path.read_bytes()
        if content.startswith(_MARKS):
            raise TextFileError(f"{path} begins with a byte-order mark: save it as UTF-8 without one")
        return content.decode()
    except OSError as error:
        raise TextFileError(f"can't read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TextFileError(f"can't read {path}: it is no UTF-8 text: {error}") from error
