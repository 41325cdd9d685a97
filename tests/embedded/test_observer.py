"""The events that an engine reports to its observer."""

from collections.abc import Callable
from pathlib import Path

import pytest
from embedded.requests import floats, predict_request

from keraserve_embedded.engine import Engine, EngineOptions
from keraserve_embedded.errors import Code, EmbeddedError, StartError
from keraserve_embedded.models.model_list import ModelEntry
from keraserve_embedded.observer import Observer
from keraserve_protocol import messages as m


class Notes(Observer):
    """Records the events, without the seconds."""

    def __init__(self) -> None:
        self.events: list[tuple[object, ...]] = []

    def call_ended(self, call: str, model: str, version: int, code: Code, seconds: float) -> None:
        assert 0 < seconds < 60
        self.events.append((call, model, version, code.name))

    def graph_ran(
        self, model: str, version: int, signature: str, requests: int, rows: int, seconds: float
    ) -> None:
        assert 0 < seconds < 60
        self.events.append(("ran", model, version, signature, requests, rows))

    def version_loaded(self, model: str, version: int, code: Code, seconds: float) -> None:
        assert 0 < seconds < 60
        self.events.append(("load", model, version, code.name))


def sums(model: str, **values: float) -> m.PredictRequest:
    return predict_request(model, {name: floats(value) for name, value in values.items()})


def test_every_call_and_every_load_is_reported(many: Path, tmp_path: Path) -> None:
    notes = Notes()
    engine = Engine(EngineOptions(poll_seconds=0.05), notes)
    assert engine.start([ModelEntry("numbers", (many / "numbers",))])
    engine.predict(sums("numbers", a=1, b=2))
    rejected: list[Callable[[], object]] = [
        lambda: engine.predict(sums("numbers", a=1)),
        lambda: engine.predict(sums("invented", a=1, b=2)),
    ]
    for call in rejected:
        with pytest.raises(EmbeddedError):
            call()
    engine.stop()
    assert notes.events == [
        ("load", "numbers", 1, "OK"),
        ("ran", "numbers", 1, "serving_default", 1, 1),
        ("Predict", "numbers", 1, "OK"),
        ("Predict", "numbers", 1, "INVALID_ARGUMENT"),
        ("Predict", "", 0, "NOT_FOUND"),
    ]
    (tmp_path / "bad/1").mkdir(parents=True)
    (tmp_path / "bad/1/saved_model.pb").write_bytes(b"no graph")
    with pytest.raises(StartError):
        Engine(observer=notes).start([ModelEntry("bad", (tmp_path / "bad",))])
    assert notes.events[5][:3] == ("load", "bad", 1)
    assert notes.events[5][3] != "OK"
