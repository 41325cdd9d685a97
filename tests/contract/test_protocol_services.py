"""Our call paths, text form and generated code compared with TensorFlow Serving's and with the protos."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc_tools
from google.protobuf import text_format
from tensorflow_serving.apis import (
    model_service_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2,
    prediction_service_pb2_grpc,
)
from tensorflow_serving.config import model_server_config_pb2

import keraserve_protocol
from keraserve_protocol import messages, model_config, services

PACKAGE = Path(keraserve_protocol.__file__).parent
THEIR_SERVICES = [
    *prediction_service_pb2.DESCRIPTOR.services_by_name.values(),
    *model_service_pb2.DESCRIPTOR.services_by_name.values(),
]


def short(full_name: str) -> str:
    return full_name.rsplit(".", 1)[-1]


def test_the_calls_are_those_of_their_descriptors() -> None:
    theirs = {
        f"/{service.full_name}/{method.name}": (short(method.input_type.name), short(method.output_type.name))
        for service in THEIR_SERVICES
        for method in service.methods
        if not method.server_streaming
    }
    ours = {
        call.path: (call.request.DESCRIPTOR.name, call.response.DESCRIPTOR.name) for call in services.CALLS
    }
    assert ours == theirs


class RecordingChannel:
    def __init__(self) -> None:
        self.paths: list[str] = []

    def unary_unary(self, path: str, *_: Any, **__: Any) -> None:
        self.paths.append(path)

    unary_stream = stream_stream = stream_unary = lambda *_, **__: None


def test_our_stubs_call_the_paths_that_theirs_do() -> None:
    theirs, ours, ours_async = RecordingChannel(), RecordingChannel(), RecordingChannel()
    prediction_service_pb2_grpc.PredictionServiceStub(theirs)
    model_service_pb2_grpc.ModelServiceStub(theirs)
    services.Stub(ours)  # pyright: ignore[reportArgumentType]
    services.AsyncStub(ours_async)  # pyright: ignore[reportArgumentType]
    assert sorted(ours.paths) == sorted(theirs.paths) == sorted(ours_async.paths)


def sample_config() -> messages.ModelServerConfig:
    config = messages.ModelServerConfig()
    first = config.model_config_list.config.add(name="fashion-mnist", base_path="/models/größe 'a'")
    first.model_platform = "tensorflow"
    first.model_version_policy.specific.versions.extend([3, 7])
    first.version_labels["stable"] = 3
    first.version_labels["canary"] = 7
    second = config.model_config_list.config.add(name="digits", base_path="/models/digits")
    second.model_version_policy.latest.num_versions = 2
    third = config.model_config_list.config.add(name="all", base_path="/models/all")
    third.model_version_policy.all.SetInParent()
    return config


def test_their_parser_reads_our_models_config() -> None:
    theirs = text_format.Parse(
        model_config.render(sample_config()), model_server_config_pb2.ModelServerConfig()
    )
    assert theirs.SerializeToString(deterministic=True) == sample_config().SerializeToString(
        deterministic=True
    )
    assert list(theirs.model_config_list.config[0].model_version_policy.specific.versions) == [3, 7]
    assert model_config.parse(text_format.MessageToString(theirs)) == sample_config()


def test_generated_code_is_up_to_date(tmp_path: Path) -> None:
    includes = Path(grpc_tools.__file__).parent / "_proto"
    protos = sorted((PACKAGE / "proto").glob("*.proto"))
    command = [
        sys.executable, "-m", "grpc_tools.protoc", f"-I{PACKAGE.parent}", f"-I{includes}",
        f"--python_out={tmp_path}", f"--pyi_out={tmp_path}", *map(str, protos),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    fresh = sorted((tmp_path / "keraserve_protocol" / "proto").glob("*_pb2*.py*"))
    kept = sorted((PACKAGE / "proto").glob("*_pb2*.py*"))
    assert [path.name for path in fresh] == [path.name for path in kept]
    assert len(kept) == 2 * len(protos)
    for new, old in zip(fresh, kept, strict=True):
        assert new.read_bytes() == old.read_bytes(), f"{old.name} is stale: run `make proto`"


def test_both_can_be_imported_in_one_process() -> None:
    """This file imports both, which would fail if their messages had the same names."""
    ours, theirs = messages.PredictRequest.DESCRIPTOR, predict_pb2.PredictRequest
    assert ours.file.pool is theirs.DESCRIPTOR.file.pool
    assert ours.full_name != theirs.DESCRIPTOR.full_name
