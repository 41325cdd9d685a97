"""The command line: flags, defaults, and the errors for wrong ones."""

import subprocess
import sys
from pathlib import Path

import pytest

from keraserve_embedded.batching.options import BatchingOptions, cores
from keraserve_embedded.process.cli import parse
from keraserve_embedded.process.hosting import threads

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
    assert (settings.rest_api_port, settings.rest_seconds) == (None, 30)
    assert (settings.batching, settings.intra_op_threads) == (None, None)


def test_a_socket_without_a_port() -> None:
    assert parse([*ONE, "--port=0"]).port == 0
    assert parse([*ONE, "--port=0", "--grpc_socket_path=a.sock"]).port is None


def test_tensorflows_threads_are_set() -> None:
    program = (
        "import sys; from keraserve_embedded.process.cli import parse;"
        "from keraserve_embedded.process.hosting import HostedEngine;"
        "HostedEngine(parse(sys.argv[1:])); import tensorflow as tf; threads = tf.config.threading;"
        "print(threads.get_intra_op_parallelism_threads(), threads.get_inter_op_parallelism_threads())"
    )
    flags = ["--tensorflow_intra_op_parallelism=3", "--tensorflow_inter_op_parallelism=2"]
    command = [sys.executable, "-c", program, *ONE, *flags]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    assert said == "3 2\n"


def test_with_batching_a_batch_is_run_by_one_thread() -> None:
    batching = BatchingOptions(num_batch_threads=cores())
    assert threads(batching) == (1, -1)
    assert threads(None) == (0, 0)  # TensorFlow's own choice


@pytest.mark.parametrize(
    ("written", "meant"), [("", True), ("=true", True), ("=1", True), ("=false", False), ("=0", False)]
)
def test_booleans_are_written_as_for_tensorflow_serving(written: str, meant: bool) -> None:
    settings = parse([*ONE, f"--enable_grpc_healthcheck_service{written}"])
    assert settings.enable_grpc_healthcheck_service is meant


def test_every_flag_is_understood() -> None:
    flags = """
        --host=0.0.0.0 --port=18500 --grpc_socket_path=/run/grpc.sock --grpc_max_threads=3 --drain_seconds=1.5
        --grpc_channel_arguments=grpc.max_connection_age_ms=2000,grpc.lb_policy_name=pick_first
        --rest_api_port=18501 --rest_api_timeout_in_ms=1500 --rest_api_num_threads=5
        --monitoring_config_file=/models/monitoring.config --model_config_file=/models/models.config
        --model_config_file_poll_wait_seconds=5 --file_system_poll_wait_seconds=2
        --allow_version_labels_for_unavailable_models=true --enable_serialization_as_tensor_content
        --tensorflow_intra_op_parallelism=1 --tensorflow_inter_op_parallelism=2
        --mixed_precision=bfloat16 --xla_cpu_compilation_enabled
    """
    settings = parse(flags.split())
    assert settings.model_config_file == Path("/models/models.config")
    assert settings.channel_arguments == [
        ("grpc.max_connection_age_ms", 2000),
        ("grpc.lb_policy_name", "pick_first"),
    ]
    assert (settings.port, settings.grpc_socket_path) == (18500, "/run/grpc.sock")
    assert (settings.rest_api_port, settings.rest_seconds) == (18501, 1.5)
    assert settings.rest_api_num_threads == 5
    assert settings.monitoring_config_file == Path("/models/monitoring.config")
    assert (settings.drain_seconds, settings.grpc_max_threads) == (1.5, 3)
    assert (settings.intra_op_threads, settings.inter_op_threads) == (1, 2)
    assert (settings.mixed_precision, settings.xla_cpu_compilation_enabled) == ("bfloat16", True)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--enable_streaming", *ONE], "unrecognized arguments: --enable_streaming"),
        (["--file_system_poll_wait=1", *ONE], "unrecognized arguments"),
        ([], "--model_config_file"),
        (["--port=many", *ONE], "whole number"),
        (["--file_system_poll_wait_seconds=-1", *ONE], "whole number"),
        (["--enable_grpc_healthcheck_service=perhaps", *ONE], "neither true nor false"),
        (["--grpc_channel_arguments=a", *ONE], "not key=value"),
        (["--drain_seconds=nan", *ONE], "not a number of seconds"),
        (["--port=8501", "--rest_api_port=8501", *ONE], "have to be two ports"),
        (["--rest_api_timeout_in_ms=soon", *ONE], "whole number"),
        (["--mixed_precision=float16", *ONE], "'float16' is not supported: bfloat16 is"),
        (["--mixed_precision=bfloat16", "--runtime=auto", *ONE], "--mixed_precision is TensorFlow's"),
        (["--precision=bfloat16", *ONE], "needs --runtime=openvino or auto"),
    ],
)
def test_wrong_flags_are_named(flags: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(flags)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_openvino_has_to_be_installed_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("keraserve_embedded.process.cli.has_openvino", lambda: False)
    assert parse([*ONE, "--runtime=auto"]).runtime == "auto"
    with pytest.raises(SystemExit):
        parse([*ONE, "--runtime=openvino"])
    assert 'pip install "keraserve[openvino]"' in capsys.readouterr().err


def test_batching_is_described_by_tensorflow_servings_file(tmp_path: Path) -> None:
    file = tmp_path / "batching.txt"
    file.write_text("max_batch_size { value: 8 } num_batch_threads { value: 3 }")
    assert parse([*ONE, "--enable_batching"]).batching == BatchingOptions()
    settings = parse([*ONE, "--enable_batching=true", f"--batching_parameters_file={file}"])
    assert settings.batching == BatchingOptions(max_batch_size=8, num_batch_threads=3)
    assert settings.grpc_max_threads == 128
    by_version = parse([*ONE, "--enable_batching", "--enable_per_model_batching_parameters"]).batching
    assert by_version == BatchingOptions(explicit=False)
    assert parse([*ONE, "--enable_per_model_batching_parameters"]).batching is None


def test_wrong_batching_flags_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "batching.txt"
    file.write_text("max_batch_size { value: 0 }")
    for flags, said in [
        ([f"--batching_parameters_file={file}"], "is set without --enable_batching"),
        (["--enable_batching", f"--batching_parameters_file={file}"], f"{file}: max_batch_size must be at"),
        (["--enable_batching", "--batching_parameters_file=gone"], "can't read gone: No such file"),
    ]:
        with pytest.raises(SystemExit) as rejected:
            parse([*ONE, *flags])
        assert rejected.value.code == 2
        assert said in capsys.readouterr().err
