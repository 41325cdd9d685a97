"""What the server takes of OpenVINO; both runtimes' answers are in tests/contract/test_runtimes.py."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from keraserve_embedded.models import model_card


def test_openvinos_telemetry_is_not_imported() -> None:
    pytest.importorskip("openvino")
    program = (
        "import sys; import keraserve_embedded.models.quiet_openvino;"
        "print([name for name in sys.modules if name.startswith('openvino_telemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("images", "before", "after", "allowed", "said"),
    [
        (1000, 0.9, 0.899, True, "89.90% of 1,000 images are right, in float32 90.00%"),
        (1000, 0.9, 0.898, False, "0.1% at most"),
        (99, 0.9, 0.9, False, "at least 100"),
        (1000, 0.9, None, False, "no figures: import it with --try"),
        ("many", 0.9, 0.9, False, "no figures"),
    ],
)
def test_what_bfloat16_may_cost(
    tmp_path: Path, images: Any, before: float, after: Any, allowed: bool, said: str
) -> None:
    file = tmp_path / model_card.FILE
    file.parent.mkdir()
    accuracies = {"float32": {"accuracy": before}, "bfloat16": {"accuracy": after}}
    file.write_text(json.dumps({"precision": {"images": images, **accuracies}}))
    found = model_card.cost_of_bfloat16(tmp_path)
    assert found[0] == allowed
    assert said in found[1]
