"""What can run a version's network."""

from importlib.util import find_spec
from typing import Literal, get_args

Runtime = Literal["tensorflow", "openvino", "auto"]
Precision = Literal["float32", "bfloat16"]
RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
INSTALL_OPENVINO = 'OpenVINO is not installed: pip install "keraserve[openvino]"'


def has_openvino() -> bool:
    """Whether OpenVINO is installed."""
    return find_spec("openvino") is not None
