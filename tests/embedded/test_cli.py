from pathlib import Path

import pytest

from keraserve_embedded.cli import parse

ONE = ["--model_name=colours", "--model_base_path=/models/colours"]


def test_the_defaults_are_tensorflow_servings() -> None:
    settings = parse(ONE)
    assert (settings.host, settings.port) == ("127.0.0.1", 8500)
    assert settings.model_config_file is None
    assert settings.model_config_file_poll_wait_seconds == 0
    assert settings.file_system_poll_wait_seconds == 1
    assert not settings.enable_grpc_healthcheck_service
    assert not settings.enable_serialization_as_tensor_content
    assert settings.grpc_max_threads >= 4
    assert settings.drain_seconds == 30


@pytest.mark.parametrize(
    ("written", "meant"), [("", True), ("=true", True), ("=1", True), ("=false", False), ("=0", False)]
)
def test_booleans_are_written_as_for_tensorflow_serving(written: str, meant: bool) -> None:
    settings = parse([*ONE, f"--enable_grpc_healthcheck_service{written}"])
    assert settings.enable_grpc_healthcheck_service is meant


def test_every_flag_is_understood() -> None:
    settings = parse(
        [
            "--host=0.0.0.0",
            "--port=18500",
            "--rest_api_port=0",
            "--model_config_file=/models/models.config",
            "--model_config_file_poll_wait_seconds=5",
            "--file_system_poll_wait_seconds=2",
            "--allow_version_labels_for_unavailable_models=true",
            "--enable_serialization_as_tensor_content",
            "--grpc_max_threads=3",
            "--grpc_channel_arguments=grpc.max_connection_age_ms=2000,grpc.lb_policy_name=pick_first",
            "--drain_seconds=1.5",
            "--tensorflow_intra_op_parallelism=1",
            "--tensorflow_inter_op_parallelism=2",
        ]
    )
    assert settings.model_config_file == Path("/models/models.config")
    assert settings.channel_arguments == [
        ("grpc.max_connection_age_ms", 2000),
        ("grpc.lb_policy_name", "pick_first"),
    ]
    assert (settings.drain_seconds, settings.grpc_max_threads) == (1.5, 3)
    assert (settings.intra_op_threads, settings.inter_op_threads) == (1, 2)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--enable_batching", *ONE], "unrecognized arguments: --enable_batching"),
        (["--file_system_poll_wait=1", *ONE], "unrecognized arguments"),
        ([], "--model_config_file"),
        (["--port=many", *ONE], "whole number"),
        (["--file_system_poll_wait_seconds=-1", *ONE], "whole number"),
        (["--enable_grpc_healthcheck_service=perhaps", *ONE], "neither true nor false"),
        (["--grpc_channel_arguments=a", *ONE], "not key=value"),
        (["--drain_seconds=nan", *ONE], "not a number of seconds"),
    ],
)
def test_what_is_wrong_is_said(flags: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(flags)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
