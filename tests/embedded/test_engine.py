"""Versions that come and go, without a network."""

import shutil
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from embedded.requests import predict_request, until, wait_request
from saved_models import save

from keraserve_embedded.engine import Engine, EngineOptions
from keraserve_embedded.errors import Code, EmbeddedError, NotServedError, StartError, UnknownLabelError
from keraserve_embedded.models.model import Model
from keraserve_embedded.models.model_list import ModelEntry
from keraserve_embedded.models.repository import VersionPolicy
from keraserve_protocol.messages import (
    ClassifyLog,
    GetModelStatusRequest,
    PredictionLog,
    PredictLog,
    PredictRequest,
    model_spec,
)
from keraserve_protocol.tensors import from_proto

Engines = Callable[..., Engine]
NEW = ["RED", "GREEN", "BLUE"]


def red_request(version: int | None = None, label: str | None = None) -> PredictRequest:
    return predict_request(
        "colours", {"images": np.array([[[[230, 20, 20]]]], np.uint8)}, version=version, label=label
    )


def says(engine: Engine, **spec: object) -> bytes:
    return from_proto(engine.predict(red_request(**spec)).outputs["label"]).item()  # type: ignore[arg-type]


def states(engine: Engine, model: str = "colours") -> dict[int, str]:
    try:
        response = engine.status(GetModelStatusRequest(model_spec=model_spec(model)))
    except NotServedError:
        return {}
    return {s.version: s.State.Name(s.state) for s in response.model_version_status}


def entry(repository: Path, policy: VersionPolicy | None = None, **labels: int) -> ModelEntry:
    return ModelEntry("colours", (repository / "colours",), policy or VersionPolicy(), labels)


def test_a_new_version_takes_over_and_the_old_one_ends(repository: Path, engines: Engines) -> None:
    engine = engines(entry(repository))
    assert says(engine) == b"red"
    save(repository / "colours", 2, NEW)
    until(lambda: states(engine) == {2: "AVAILABLE", 1: "END"})
    assert says(engine) == b"RED"
    with pytest.raises(NotServedError, match=r"^Servable not found for request: Specific\(colours, 1\)$"):
        engine.predict(red_request(version=1))
    shutil.rmtree(repository / "colours" / "2")
    until(lambda: states(engine) == {2: "END", 1: "AVAILABLE"})
    assert says(engine) == b"red"


def test_no_request_fails_while_versions_change(repository: Path, engines: Engines) -> None:
    engine = engines(entry(repository))
    failures, responses, done = list[EmbeddedError](), list[bytes](), threading.Event()

    def ask() -> None:
        while not done.is_set():
            try:
                responses.append(says(engine))
            except EmbeddedError as error:
                failures.append(error)

    askers = [threading.Thread(target=ask) for _ in range(3)]
    for asker in askers:
        asker.start()
    for version in (2, 3):
        save(repository / "colours", version, [f"{name}{version}" for name in NEW])
        until(lambda v=version: states(engine).get(v) == "AVAILABLE")  # type: ignore[misc]
    until(lambda: responses[-1] == b"RED3")
    done.set()
    for asker in askers:
        asker.join()
    assert failures == []
    assert set(responses) == {b"red", b"RED2", b"RED3"}


def test_an_old_version_ends_after_its_requests(repository: Path, many: Path, engines: Engines) -> None:
    base = repository / "waiting"
    shutil.copytree(many / "waiting", base)
    engine = engines(ModelEntry("waiting", (base,)))
    responded = list[int]()
    slow = threading.Thread(
        target=lambda: responded.append(engine.predict(wait_request(2)).model_spec.version.value)
    )
    slow.start()
    time.sleep(0.2)
    shutil.copytree(base / "1", base / "2")
    until(lambda: states(engine, "waiting") == {2: "AVAILABLE", 1: "UNLOADING"}, 1.5)
    slow.join()
    assert responded == [1]
    until(lambda: states(engine, "waiting") == {2: "AVAILABLE", 1: "END"})


def test_a_broken_version_changes_nothing_and_is_tried_again_when_mended(
    repository: Path, engines: Engines, caplog: pytest.LogCaptureFixture
) -> None:
    engine = engines(entry(repository))
    broken = repository / "colours" / "2"
    broken.mkdir()
    (broken / "saved_model.pb").write_bytes(b"no graph")
    until(lambda: states(engine).get(2) == "END")
    status = engine.status(GetModelStatusRequest(model_spec=model_spec("colours", version=2)))
    (two,) = status.model_version_status
    assert two.status.error_code != Code.OK
    assert two.status.error_message
    assert "\n" not in two.status.error_message
    time.sleep(0.3)
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 1
    assert says(engine) == b"red"
    assert engine.ready()
    save(repository / "mended", 2, NEW)
    shutil.copytree(repository / "mended" / "2", broken, dirs_exist_ok=True)
    until(lambda: states(engine) == {2: "AVAILABLE", 1: "END"})


def test_half_a_version_is_not_touched(repository: Path, engines: Engines) -> None:
    engine = engines(entry(repository))
    shutil.copytree(
        repository / "colours" / "1", repository / "colours" / "2", ignore=lambda *_: ["saved_model.pb"]
    )
    (repository / "colours" / "notes").mkdir()
    time.sleep(0.3)
    assert states(engine) == {1: "AVAILABLE"}
    shutil.copy(repository / "colours" / "1" / "saved_model.pb", repository / "colours" / "2")
    until(lambda: states(engine) == {2: "AVAILABLE", 1: "END"})


def test_all_versions_and_labels(repository: Path, engines: Engines) -> None:
    engine = engines(entry(repository, VersionPolicy(latest=None), stable=1))
    assert says(engine, label="stable") == b"red"
    with pytest.raises(UnknownLabelError, match=r"^Unrecognized servable version label: canary$"):
        says(engine, label="canary")
    engine.configure([entry(repository, VersionPolicy(latest=None), stable=1, canary=2)])
    save(repository / "colours", 2, NEW)
    until(lambda: states(engine) == {2: "AVAILABLE", 1: "AVAILABLE"})
    until(lambda: engine._manager._labels["colours"].version("canary") == 2)
    assert (says(engine), says(engine, label="canary"), says(engine, label="stable")) == (
        b"RED",
        b"RED",
        b"red",
    )


def test_a_label_leaves_a_version_before_that_is_unloaded(
    repository: Path, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engines(entry(repository, stable=1))
    meant = list[int | None]()
    retire = Model._retire

    def spy(model: Model, number: int) -> None:
        meant.append(engine._manager._labels["colours"].version("stable"))
        retire(model, number)

    monkeypatch.setattr(Model, "_retire", spy)
    engine.configure([entry(repository, stable=2)])
    save(repository / "colours", 2, NEW)
    until(lambda: states(engine) == {2: "AVAILABLE", 1: "END"})
    assert meant == [2]


def test_a_label_may_be_early_where_that_is_allowed(repository: Path, engines: Engines) -> None:
    engine = engines(entry(repository, canary=9), early_labels=True)
    with pytest.raises(NotServedError, match=r"Specific\(colours, 9\)"):
        says(engine, label="canary")


def test_models_are_added_and_removed(repository: Path, many: Path, engines: Engines) -> None:
    engine = engines(entry(repository))
    numbers = ModelEntry("numbers", (many / "numbers",))
    engine.configure([numbers, entry(repository)])
    until(lambda: states(engine, "numbers") == {1: "AVAILABLE"})
    engine.configure([numbers])
    until(lambda: states(engine) == {1: "END"})
    assert engine.ready()
    with pytest.raises(NotServedError, match=r"Latest\(colours\)"):
        says(engine)
    engine.configure([entry(repository), ModelEntry("nowhere", (repository / "nowhere",))])
    until(lambda: states(engine) == {1: "AVAILABLE"})
    assert states(engine, "nowhere") == {}
    assert not engine.ready()
    assert says(engine) == b"red"


def test_a_base_path_that_is_missing_for_a_moment_unloads_nothing(repository: Path, engines: Engines) -> None:
    engine = engines(entry(repository))
    for _ in range(5):
        (repository / "colours").rename(repository / "away")
        time.sleep(0.1)
        assert says(engine) == b"red"
        (repository / "away").rename(repository / "colours")
    (repository / "colours" / "1").rename(repository / "1")
    until(lambda: states(engine) == {1: "END"})


def test_the_start_waits_for_a_model_that_is_not_there_yet(repository: Path) -> None:
    engine = Engine(EngineOptions(poll_seconds=0.05))
    later = ModelEntry("late", (repository / "late",))
    started = threading.Thread(target=engine.start, args=([entry(repository), later],), daemon=True)
    started.start()
    until(lambda: states(engine) == {1: "AVAILABLE"})
    assert started.is_alive()
    assert not engine.ready()
    shutil.copytree(repository / "colours", repository / "late")
    started.join(20)
    assert engine.ready()
    engine.stop()


def test_the_start_fails_where_a_model_cannot_be_loaded(repository: Path) -> None:
    (repository / "colours" / "1" / "saved_model.pb").write_bytes(b"no graph")
    with pytest.raises(StartError, match="colours 1 can't be loaded: "):
        Engine().start([entry(repository)])
    with pytest.raises(StartError, match="no version to serve of gone"):
        Engine(EngineOptions(poll_seconds=0)).start([ModelEntry("gone", (repository / "gone",))])


def test_an_interrupted_start_ends(repository: Path) -> None:
    engine = Engine(EngineOptions(poll_seconds=0.05))
    threading.Timer(0.2, engine.interrupt).start()
    assert not engine.start([ModelEntry("gone", (repository / "gone",))])


def write_warmup(folder: Path, *logs: PredictionLog) -> None:
    (folder / "assets.extra").mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(folder / "assets.extra" / "tf_serving_warmup_requests")) as writer:
        for entry in logs:
            writer.write(entry.SerializeToString())


def test_warm_up_requests_are_replayed(
    repository: Path, engines: Engines, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "keraserve_embedded")
    good = PredictionLog(predict_log=PredictLog(request=red_request()))
    write_warmup(repository / "colours" / "1", good, good)
    engine = engines(entry(repository))
    events = [record.getMessage() for record in caplog.records]
    warmed = events.index("colours 1 warmed up with 2 requests")
    assert events[warmed + 1].startswith("colours 1 available")
    save(repository / "next", 2, NEW)
    write_warmup(repository / "next" / "2", good, PredictionLog(classify_log=ClassifyLog()))
    (repository / "next" / "2").rename(repository / "colours" / "2")
    until(lambda: states(engine).get(2) == "END")
    (two, _) = engine.status(GetModelStatusRequest(model_spec=model_spec("colours"))).model_version_status
    assert two.status.error_code == Code.INVALID_ARGUMENT
    assert "warm-up request 1 failed: No classification inputs found" in two.status.error_message
    assert says(engine) == b"red"


def test_a_damaged_warm_up_file_keeps_the_version_from_serving(repository: Path) -> None:
    folder = repository / "colours" / "1" / "assets.extra"
    (folder / "tf_serving_warmup_requests").write_bytes(b"no records at all")
    with pytest.raises(StartError, match="TFRecord format"):
        Engine().start([entry(repository)])


def resident() -> float:
    """The memory of this process, MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


class Heavy(tf.Module):
    """10 MB of weights in a variable, and 10 MB in a constant of the graph."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = tf.Variable(tf.ones([1000, 2500]))
        self.frozen = np.random.default_rng(1).random((1000, 2500), np.float32)

    @tf.function(input_signature=[tf.TensorSpec([None, 1000], tf.float32)])
    def multiply(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": tf.matmul(x, self.weights) + tf.matmul(x, tf.constant(self.frozen))}


def test_memory_of_unloaded_versions_is_given_back(tmp_path: Path, engines: Engines) -> None:
    base = tmp_path / "heavy"
    module = Heavy()
    tf.saved_model.save(module, str(base / "1"), signatures={"serving_default": module.multiply})
    del module
    engine = engines(ModelEntry("heavy", (base,)))
    made = predict_request("heavy", {"x": np.ones((1, 1000), np.float32)})
    alive: list[weakref.ref[object]] = []
    after_first = 0.0
    for version in range(2, 9):
        engine.predict(made)
        with engine._manager.hold(model_spec("heavy")) as loaded:
            alive += [weakref.ref(loaded), weakref.ref(loaded._session)]
        del loaded
        (base / str(version - 1)).rename(base / str(version))
        until(
            lambda v=version: states(engine, "heavy") == {v: "AVAILABLE", **dict.fromkeys(range(1, v), "END")}
        )  # type: ignore[misc]
        after_first = after_first or resident()
    until(lambda: not any(reference() for reference in alive), 5)
    # Six reloads, each of 30 MB when the constant stays; two versions side by side make 100 MB vary.
    assert resident() - after_first < 140
