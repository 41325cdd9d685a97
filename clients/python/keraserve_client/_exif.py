"""The orientation in an EXIF block, as the exported models read it.

They take a single value of the first directory, as browsers do. Pillow's `exif_transpose` also reads several
values, XMP and the text of a PNG, which neither browsers nor models do.
"""

import struct

_PREFIX = b"Exif\0\0"
_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_ORIENTATION = 0x0112
_SHORT, _LONG = 3, 4
_ENTRY = 12  # bytes of a field
UPRIGHT = 1


def orientation(block: bytes) -> int:
    """Return the orientation, 1 to 8, of a block with or without its prefix; 1 if it has none."""
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
