"""HandleReloadConfigRequest over gRPC: models, policies and labels change; a wrong one changes nothing."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from embedded.requests import floats, predict_request

from keraserve_embedded.engine import Engine
from keraserve_embedded.models import model as model_module
from keraserve_embedded.models.model_list import ModelEntry
from keraserve_protocol import messages as m
from keraserve_protocol.services import Stub
from keraserve_protocol.tensors import from_proto

Engines = Callable[..., Engine]
Stubs = Callable[..., Stub]


def config(*models: m.ModelConfig) -> m.ReloadConfigRequest:
    made = m.ReloadConfigRequest()
    made.config.model_config_list.SetInParent()
    made.config.model_config_list.config.extend(models)
    return made


def model(folder: Path, name: str = "numbers", **labels: int) -> m.ModelConfig:
    made = m.ModelConfig(name=name, base_path=str(folder / name), model_platform="tensorflow")
    made.version_labels.update(labels)
    return made


def keep_all(one: m.ModelConfig) -> m.ModelConfig:
    one.model_version_policy.all.SetInParent()
    return one


def rejected(stub: Stub, request: m.ReloadConfigRequest, **how: float) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as error:
        stub.reload_config(request, **how)
    return error.value.code().name, error.value.details() or ""  # type: ignore[attr-defined]


def versions(stub: Stub, name: str = "numbers") -> dict[int, str]:
    response = stub.get_model_status(m.GetModelStatusRequest(model_spec=m.model_spec(name)))
    return {one.version: m.ModelVersionStatus.State.Name(one.state) for one in response.model_version_status}


def responses(stub: Stub, name: str = "numbers", **spec: object) -> int:
    """The version that responds."""
    response = stub.predict(predict_request(name, dict.fromkeys("ab", floats(1.0)), **spec))
    assert from_proto(response.outputs["total"]).tolist() == [2.0]
    return response.model_spec.version.value


@pytest.fixture
def folder(tmp_path: Path, many: Path) -> Path:
    """`numbers` with the versions 1 and 2; the server starts with nothing else."""
    for version in ("1", "2"):
        shutil.copytree(many / "numbers/1", tmp_path / "numbers" / version)
    return tmp_path


@pytest.fixture
def served(folder: Path, engines: Engines, stub: Stubs) -> Stub:
    return stub(engines(ModelEntry("numbers", (folder / "numbers",), labels={"stable": 2})))


def test_models_policies_and_labels(served: Stub, folder: Path, many: Path) -> None:
    assert versions(served) == {2: "AVAILABLE"}
    added = config(keep_all(model(folder, stable=2, old=1)), model(many, "regressor"))
    assert served.reload_config(added).status.error_code == 0
    # When the response is there, so are the models and the labels.
    assert versions(served) == {2: "AVAILABLE", 1: "AVAILABLE"}
    assert versions(served, "regressor") == {1: "AVAILABLE"}
    assert (responses(served, label="old"), responses(served, label="stable"), responses(served)) == (1, 2, 2)

    one = model(folder)
    one.model_version_policy.specific.versions.append(1)
    served.reload_config(config(one))
    assert versions(served) == {2: "END", 1: "AVAILABLE"}
    assert responses(served) == 1
    with pytest.raises(grpc.RpcError, match="Unrecognized servable version label: stable"):
        responses(served, label="stable")
    assert versions(served, "regressor") == {1: "END"}


def without(one: m.ModelConfig, field: str) -> m.ModelConfig:
    one.ClearField(field)
    return one


@pytest.mark.parametrize(
    ("make", "code", "said"),
    [
        (lambda _: m.ReloadConfigRequest(), "INVALID_ARGUMENT", "Only ModelConfigList is currently"),
        (lambda f: config(model(f), model(f)), "INVALID_ARGUMENT", "configured more than once: numbers"),
        (lambda f: config(without(model(f), "name")), "INVALID_ARGUMENT", "a model has no name"),
        (lambda f: config(without(model(f), "base_path")), "INVALID_ARGUMENT", "numbers has no base_path"),
        (lambda f: config(without(model(f), "model_platform")), "INVALID_ARGUMENT", "no model_platform"),
        (
            lambda f: config(model(f, canary=7)),
            "FAILED_PRECONDITION",
            "Request to assign label to version 7 of model numbers, "
            "which is not currently available for inference",
        ),
    ],
)
def test_a_wrong_configuration_changes_nothing(
    served: Stub, folder: Path, make: Callable[[Path], m.ReloadConfigRequest], code: str, said: str
) -> None:
    got = rejected(served, make(folder))
    assert got[0] == code
    assert said in got[1]
    assert versions(served) == {2: "AVAILABLE"}
    assert responses(served, label="stable") == 2


def test_a_label_may_be_early_where_that_is_allowed(folder: Path, engines: Engines, stub: Stubs) -> None:
    engine = engines(ModelEntry("numbers", (folder / "numbers",), labels={"stable": 2}), early_labels=True)
    served = stub(engine)
    served.reload_config(config(model(folder, stable=2, canary=7)))
    with pytest.raises(grpc.RpcError, match=r"Servable not found for request: Specific\(numbers, 7\)"):
        responses(served, label="canary")
    # One that is in use moves only to a version that serves.
    assert rejected(served, config(model(folder, stable=8, canary=7)))[0] == "FAILED_PRECONDITION"
    assert responses(served, label="stable") == 2


def test_a_missing_or_broken_model_does_not_affect_others(served: Stub, folder: Path) -> None:
    nowhere, broken = model(folder, "nowhere"), model(folder, "broken")
    got = rejected(served, config(model(folder, stable=2), nowhere))
    assert got[0] == "UNKNOWN"
    assert "1 model(s) did not become available: {{{name: nowhere} due to error: can't look for" in got[1]
    assert responses(served, label="stable") == 2
    with pytest.raises(grpc.RpcError, match=r"any versions of model nowhere: can't look for .* No such file"):
        versions(served, "nowhere")

    (folder / "broken/1").mkdir(parents=True)
    (folder / "broken/1/saved_model.pb").write_bytes(b"no graph")
    got = rejected(served, config(model(folder, stable=2), broken))
    assert "{{{name: broken version: 1} due to error: " in got[1]
    response = served.get_model_status(m.GetModelStatusRequest(model_spec=m.model_spec("broken")))
    (one,) = response.model_version_status
    assert one.state == m.ModelVersionStatus.END
    assert one.status.error_code != 0
    assert one.status.error_message
    assert responses(served, label="stable") == 2


def test_a_caller_waits_no_longer_than_its_deadline(
    served: Stub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        model_module, "scan", lambda _: time.sleep(1) or {}
    )  # as while a large model is loaded
    assert rejected(served, config(model(folder)), timeout=0.3)[0] == "DEADLINE_EXCEEDED"
