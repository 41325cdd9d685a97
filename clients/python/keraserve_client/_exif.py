"""The orientation in an EXIF block, by the rule of the exported models.

One value, of the first directory, as browsers have it. Pillow's `exif_transpose` also follows several values,
XMP and the text of a PNG, which neither browsers nor models look at.
"""

import struct

_PREFIX = b"Exif\0\0"
_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_ORIENTATION = 0x0112
_SHORT, _LONG = 3, 4
_ENTRY = 12  # bytes of a field
UPRIGHT = 1


def orientation(block: bytes) -> int:
    """Give the orientation of a block, with its prefix or without: 1 to 8; 1 where it says nothing."""
    block = block.removeprefix(_PREFIX)
    order = _ORDERS.get(block[:4])
    if order is None or len(block) < 8:
        return UPRIGHT
    (place,) = struct.unpack_from(order + "I", block, 4)
    (count,) = struct.unpack(order + "H", block[place : place + 2].ljust(2, b"\0"))
    fields = block[place + 2 : place + 2 + count * _ENTRY]
    found = UPRIGHT
    for start in range(0, len(fields) - _ENTRY + 1, _ENTRY):
        field = fields[start : start + _ENTRY]
        name, kind, values = struct.unpack_from(order + "HHI", field)
        if (name, values) == (_ORIENTATION, 1) and kind in (_SHORT, _LONG):
            (value,) = struct.unpack_from(order + ("H" if kind == _SHORT else "I"), field, 8)
            found = value if 1 <= value <= 8 else found
    return found
