"""What can run a version's network."""

from importlib.util import find_spec
from typing import Literal, get_args

Runtime = Literal["tensorflow", "openvino", "auto"]
RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)
INSTALL_OPENVINO = 'OpenVINO is not installed: pip install "keraserve[openvino]"'


def has_openvino() -> bool:
    """Whether OpenVINO is installed."""
    return find_spec("openvino") is not None
