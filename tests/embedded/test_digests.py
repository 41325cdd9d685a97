"""A version whose files are not those that were exported is not served; the old one continues to serve."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from embedded.requests import until
from tensorflow.core.protobuf import saved_model_pb2

from keraserve_embedded.engine import Engine
from keraserve_embedded.errors import Code, LoadError
from keraserve_embedded.models import digests
from keraserve_embedded.models.model_list import ModelEntry
from keraserve_protocol import messages as m


def listed(folder: Path) -> Path:
    """Write the list that our exporter writes."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / digests.FILE)
    lines = [f"{hashlib.sha256(one.read_bytes()).hexdigest()}  {one.relative_to(folder)}\n" for one in files]
    (folder / "assets.extra").mkdir(exist_ok=True)
    (folder / digests.FILE).write_text("".join(lines))
    return folder


@pytest.fixture
def version(tmp_path: Path, models: Path) -> Path:
    return listed(Path(shutil.copytree(models / "colours/1", tmp_path / "colours/1")))


def test_a_complete_version_and_one_without_a_list_pass(version: Path, models: Path) -> None:
    digests.check(version)
    digests.check(models / "colours/1")


@pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.data-00000-of-00001"])
def test_a_file_that_changed_is_named(version: Path, name: str) -> None:
    content = bytearray((version / name).read_bytes())
    content[len(content) // 2] ^= 1
    (version / name).write_bytes(content)
    with pytest.raises(LoadError, match=f"^{name} is not the file that was exported: its SHA-256") as raised:
        digests.check(version)
    assert raised.value.code == Code.DATA_LOSS


def test_a_file_that_is_missing_is_named(version: Path) -> None:
    (version / "variables/variables.index").unlink()
    with pytest.raises(LoadError, match=r"^variables/variables\.index is missing, .* not copied whole"):
        digests.check(version)


@pytest.mark.parametrize("line", ["nonsense", f"{'0' * 64}  ../../secret", f"{'0' * 64}  /etc/passwd", ""])
def test_a_malformed_list_is_rejected(version: Path, line: str) -> None:
    listed = version / digests.FILE
    listed.write_text(f"{line}\n{listed.read_text()}")
    with pytest.raises(LoadError, match="line 1 is no digest"):
        digests.check(version)
    listed.write_bytes(b"\xff")
    with pytest.raises(LoadError, match="can't be read"):
        digests.check(version)


def damage(graph: Path) -> None:
    """Change the labels, which are constants in the graph: it still parses and loads."""
    saved = saved_model_pb2.SavedModel.FromString(graph.read_bytes())
    definition = saved.meta_graphs[0].graph_def
    nodes = [*definition.node, *(node for one in definition.library.function for node in one.node_def)]
    labels = [
        node.attr["value"].tensor.string_val
        for node in nodes
        if node.op == "Const" and b"red" in node.attr["value"].tensor.string_val
    ]
    assert labels
    for texts in labels:
        texts[:] = [*reversed(texts)]
    graph.write_bytes(saved.SerializeToString())


def test_a_damaged_graph_that_still_loads_leaves_the_old_version_serving(
    version: Path, engines: Callable[..., Engine]
) -> None:
    engine = engines(ModelEntry("colours", (version.parent,)))
    beside = version.parent / "copying"
    shutil.copytree(version, beside)
    damage(beside / "saved_model.pb")
    beside.rename(version.parent / "2")
    wanted = m.GetModelStatusRequest(model_spec=m.model_spec("colours"))

    def found() -> Any:
        return engine.status(wanted).model_version_status

    until(lambda: len(found()) == 2 and found()[0].state == m.ModelVersionStatus.END)
    new, old = found()
    assert (new.version, new.status.error_code) == (2, Code.DATA_LOSS)
    assert new.status.error_message.startswith("saved_model.pb is not the file that was exported")
    assert (old.version, old.state) == (1, m.ModelVersionStatus.AVAILABLE)
    listed(version.parent / "2")  # whoever lists it says that it is meant: it is tried again
    until(lambda: found()[0].state == m.ModelVersionStatus.AVAILABLE)
