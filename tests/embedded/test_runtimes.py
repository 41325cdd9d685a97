"""What the server takes of OpenVINO; both runtimes' answers are in tests/contract/test_runtimes.py."""

import subprocess
import sys

import pytest


def test_openvinos_telemetry_is_not_imported() -> None:
    pytest.importorskip("openvino")
    program = (
        "import sys; import keraserve_embedded.models.quiet_openvino;"
        "print([name for name in sys.modules if name.startswith('openvino_telemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
