"""The API key as `Authorization: Bearer …`, the same over HTTP and gRPC."""

import os
import re

from keraserve_client._errors import InvalidInput

VARIABLE = "KERASERVE_API_KEY"
_SENDABLE = re.compile(r"[\x21-\x7e]+")


def authorization(api_key: str | None) -> str | None:
    """Return the header's value for this key, or for the environment's if it is None; None for no key.

    Raises:
        InvalidInput: a key with spaces or characters that a header can't carry. The message doesn't show it.
    """
    key = os.environ.get(VARIABLE, "").strip() if api_key is None else api_key
    if not key:
        return None
    if not _SENDABLE.fullmatch(key):
        where = VARIABLE if api_key is None else "api_key"
        raise InvalidInput(f"{where} has spaces or characters that no key has")
    return f"Bearer {key}"
