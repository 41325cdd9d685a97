"""The key that a gateway may ask for: `Authorization: Bearer …`, over HTTP and over gRPC alike."""

import os
import re

from keraserve_client._errors import InvalidInput

VARIABLE = "KERASERVE_API_KEY"
_SENDABLE = re.compile(r"[\x21-\x7e]+")


def authorization(api_key: str | None) -> str | None:
    """Give the header's value: of this key, or of the environment's for None; None for no key.

    Raises:
        InvalidInput: a key with spaces or characters that a header can't carry. The message doesn't hold it.
    """
    key = os.environ.get(VARIABLE, "").strip() if api_key is None else api_key
    if not key:
        return None
    if not _SENDABLE.fullmatch(key):
        where = VARIABLE if api_key is None else "api_key"
        raise InvalidInput(f"{where} has spaces or characters that no key has")
    return f"Bearer {key}"
