"""The command `keraserve-embedded`, with those flags of TensorFlow Serving that this server supports."""

import argparse
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

import shtab

from keraserve_embedded.api.address import check_port
from keraserve_embedded.batching.options import BatchingOptions, read
from keraserve_embedded.calls.request_limits import RequestLimits
from keraserve_embedded.errors import ConfigError, EmbeddedError
from keraserve_embedded.models.config_file import ConfigFile
from keraserve_embedded.models.model_list import single_model
from keraserve_embedded.process.memory_plan import MemoryLimits
from keraserve_embedded.process.settings import Settings
from keraserve_embedded.runtimes import INSTALL_OPENVINO, PRECISIONS, RUNTIMES, has_openvino
from keraserve_embedded.telemetry.monitoring_config import metrics_path
from keraserve_protocol.quiet_import import permanent_imports

PROGRAM = "keraserve-embedded"

log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Serve until a signal, and exit with 0 (stopped), 1 (could not start) or 2 (wrong flags)."""
    settings = parse(sys.argv[1:] if arguments is None else arguments)
    _log_to_stderr()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))  # until there are requests to drain
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    status = 0
    try:
        check_files(settings)
        for port in (settings.port, settings.rest_api_port):
            check_port(settings.host, port or 0)
        with permanent_imports():  # late, so that --help does not take the seconds that TensorFlow does
            from keraserve_embedded.process import server

        server.serve(settings)
    except EmbeddedError as error:
        log.error("%s", error)
        status = 1
    # `os._exit` skips Python's shutdown, which waits for requests that were cut off, and crashes while
    # TensorFlow loads a version.
    logging.shutdown()
    os._exit(status)


def check_files(settings: Settings) -> None:
    """Read the configuration files, to report errors before TensorFlow is imported.

    Raises:
        ConfigError: a file or a base path is wrong; the message names it.
    """
    if settings.model_config_file is not None:
        ConfigFile(settings.model_config_file).read()
    else:
        single_model(settings.model_name, settings.model_base_path)
    if settings.monitoring_config_file is not None:
        metrics_path(settings.monitoring_config_file)


def parse(arguments: Sequence[str]) -> Settings:
    """Parse the command line; exits with status 2 and one sentence if it is wrong."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.rest_api_port and given.rest_api_port == given.port:
        parser.error("--rest_api_port and --port have to be two ports")
    if given.model_config_file is None and not given.model_base_path:
        parser.error("give --model_config_file, or --model_base_path and --model_name")
    if given.runtime == "openvino" and not has_openvino():
        parser.error(f"--runtime=openvino: {INSTALL_OPENVINO}")
    if given.runtime != "tensorflow" and given.mixed_precision:
        parser.error("--mixed_precision is TensorFlow's: not with --runtime=openvino or auto")
    if given.precision != "float32" and given.runtime == "tensorflow":
        parser.error(f"--precision={given.precision} needs --runtime=openvino or auto")
    batching = _batching(parser, given)
    given.port = None if given.grpc_socket_path and not given.port else given.port
    given.rest_api_port = given.rest_api_port or None
    given.rest_api_num_threads = given.rest_api_num_threads or _request_threads(batching)
    given.grpc_max_threads = given.grpc_max_threads or _request_threads(batching)
    return Settings(
        **{field.name: getattr(given, field.name) for field in fields(Settings) if field.name in given},
        rest_seconds=given.rest_api_timeout_in_ms / 1000,
        channel_arguments=given.grpc_channel_arguments,
        batching=batching,
        intra_op_threads=given.tensorflow_intra_op_parallelism,
        inter_op_threads=given.tensorflow_inter_op_parallelism,
        limits=RequestLimits(given.max_request_rows, given.max_request_elements),
        memory=MemoryLimits(given.max_bytes_in_flight, given.max_decoding_bytes),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Serve SavedModels over TensorFlow Serving's gRPC and REST APIs. "
        "The flags are tensorflow_model_server's, but for those that say so.",
        allow_abbrev=False,
    )
    _add_ports(parser)
    _add_models(parser)
    _add_computing(parser)
    _add_batching(parser)
    _add_limits(parser)
    _add_memory(parser)
    _add_responses(parser)
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {version(PROGRAM)}")
    shtab.add_argument_to(parser, "--show_completion")
    return parser


def _add_ports(parser: argparse.ArgumentParser) -> None:
    ports = parser.add_argument_group("ports and threads")
    ports.add_argument("--host", default="127.0.0.1", help="address to listen on (ours; default %(default)s)")
    ports.add_argument(
        "--port",
        type=_count,
        default=8500,
        help="gRPC port (default %(default)s; 0: any free one, or none with --grpc_socket_path)",
    )
    ports.add_argument("--grpc_socket_path", default="", help="also serve gRPC on this UNIX socket")
    ports.add_argument("--rest_api_port", type=_count, default=0, help="REST port (default: 0, none)")
    ports.add_argument(
        "--rest_api_timeout_in_ms",
        type=_count,
        default=30_000,
        help="how long a request on the REST port may take (default %(default)s; 0: for ever)",
    )
    ports.add_argument(
        "--rest_api_num_threads",
        type=_count,
        default=0,
        help="as --grpc_max_threads, for REST requests (the same default)",
    )
    ports.add_argument(
        "--monitoring_config_file",
        type=Path,
        help="MonitoringConfig in text format: Prometheus metrics on the REST port",
    )
    ports.add_argument(
        "--grpc_max_threads",
        type=_count,
        default=0,
        help="requests that run or wait for a batch at once (default: 4 for each CPU, with batching 128)",
    )
    ports.add_argument(
        "--grpc_channel_arguments",
        type=_channel_arguments,
        default=[],
        help="gRPC server options, comma separated, as grpc.max_connection_age_ms=2000; "
        "messages may have 64 MiB unless grpc.max_receive_message_length says otherwise",
    )
    ports.add_argument(
        "--drain_seconds",
        type=_seconds,
        default=30.0,
        help="how long running requests may take after SIGTERM (ours; default %(default)s)",
    )
    ports.add_argument(
        "--tensorflow_intra_op_parallelism",
        type=_count,
        help="threads that share one op; 0 leaves it to TensorFlow (default: 0; with batching, the CPUs "
        "divided among the batches that run at once)",
    )
    ports.add_argument(
        "--tensorflow_inter_op_parallelism",
        type=_count,
        help="ops that run at once; 0 leaves it to TensorFlow (default: 0; with batching, each batch's ops "
        "one after another)",
    )


def _add_models(parser: argparse.ArgumentParser) -> None:
    models = parser.add_argument_group("models")
    models.add_argument("--model_name", default="default", help="name of the one model (default %(default)s)")
    models.add_argument("--model_base_path", default="", help="folder with its versions")
    models.add_argument(
        "--model_config_file",
        type=Path,
        help="models.config; the two flags above are ignored then. A base_path that does not exist here is "
        "looked for as the folder of its last name beside the file",
    )
    models.add_argument(
        "--model_config_file_poll_wait_seconds",
        type=_count,
        default=0,
        help="how often to look at that file (default: 0, once)",
    )
    models.add_argument(
        "--file_system_poll_wait_seconds",
        type=_count,
        default=1,
        help="how often to look for new versions (default %(default)s; 0: once)",
    )
    _add_switch(
        models,
        "--allow_version_labels_for_unavailable_models",
        "a new version label may name a version that is not available yet",
    )
    models.add_argument(
        "--runtime",
        choices=RUNTIMES,
        default="tensorflow",
        help="what runs the networks: openvino where a version has a form for it and gives the same results; "
        "auto: the faster one, measured when a version is loaded (ours; default %(default)s)",
    )
    models.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="float32",
        help="of OpenVINO's networks; bfloat16 only where a version's card says that it costs at most 0.1 "
        "points of accuracy (ours; default %(default)s)",
    )


def _add_computing(parser: argparse.ArgumentParser) -> None:
    computing = parser.add_argument_group("how models are computed")
    computing.add_argument(
        "--mixed_precision",
        type=_mixed_precision,
        default="",
        metavar="bfloat16",
        help="compute convolutions and matrix products in bfloat16: faster on a processor that has "
        "instructions for it, and probabilities change (default: none, float32)",
    )
    _add_switch(
        computing,
        "--xla_cpu_compilation_enabled",
        "let XLA compile what a model marks for it (jit_compile=True); without, such a model fails",
    )


def _add_batching(parser: argparse.ArgumentParser) -> None:
    batching = parser.add_argument_group("batching")
    _add_switch(
        batching,
        "--enable_batching",
        "run requests that wait at the same time as one batch. This says that each row of a batch gives the "
        "same result as alone; a version whose model card says otherwise still runs each request alone",
    )
    _add_switch(
        batching,
        "--enable_per_model_batching_parameters",
        "with --enable_batching: only versions that say that this changes no result, by their model card or "
        "by batching_params.pbtxt in their folder, which is used in place of --batching_parameters_file",
    )
    batching.add_argument(
        "--batching_parameters_file",
        type=Path,
        help="BatchingParameters in text format; without batch_timeout_micros no request waits for others",
    )


def _add_limits(parser: argparse.ArgumentParser) -> None:
    limits = parser.add_argument_group("limits of one request")
    limits.add_argument(
        "--max_request_rows",
        type=_count,
        default=RequestLimits.rows,
        help="most rows of a batch: examples, strings, or a tensor's first dimension "
        "(ours; default %(default)s)",
    )
    limits.add_argument(
        "--max_request_elements",
        type=_count,
        default=RequestLimits.elements,
        help="most elements of all input tensors together (ours; default %(default)s)",
    )


def _add_memory(parser: argparse.ArgumentParser) -> None:
    memory = parser.add_argument_group("memory of all requests together")
    memory.add_argument(
        "--max_bytes_in_flight",
        type=_positive,
        help="most bytes of the messages and bodies of requests in flight, on both ports; they are in memory "
        "five times (ours; default: 268435456, or as many as fit into the memory limit)",
    )
    memory.add_argument(
        "--max_decoding_bytes",
        type=_positive,
        help="most bytes of memory for images that are decoded at a time; requests wait for each other "
        "(ours; default: what the memory limit leaves)",
    )


def _batching(parser: argparse.ArgumentParser, given: argparse.Namespace) -> BatchingOptions | None:
    file = given.batching_parameters_file
    if file and not given.enable_batching:
        parser.error("--batching_parameters_file is set without --enable_batching")
    if not given.enable_batching:
        return None
    try:
        options = read(file) if file else BatchingOptions()
    except ConfigError as error:
        return parser.error(f"--batching_parameters_file: {error}")
    return replace(options, explicit=not given.enable_per_model_batching_parameters)


def _request_threads(batching: BatchingOptions | None) -> int:
    """Choose enough threads for large batches: requests wait for their batch on their threads."""
    return 128 if batching else 4 * (os.cpu_count() or 1)


def _add_responses(parser: argparse.ArgumentParser) -> None:
    responses = parser.add_argument_group("responses")
    _add_switch(responses, "--enable_grpc_healthcheck_service", "serve grpc.health.v1.Health")
    _add_switch(
        responses,
        "--enable_serialization_as_tensor_content",
        "respond with tensor_content (faster) in place of float_val and the like",
    )


def _add_switch(group: "argparse._ArgumentGroup", flag: str, text: str) -> None:
    """Add a flag that accepts `--flag`, `--flag=true` and `--flag=false`."""
    group.add_argument(
        flag, type=_boolean, nargs="?", const=True, default=False, metavar="true|false", help=text
    )


def _boolean(text: str) -> bool:
    booleans = {"true": True, "1": True, "false": False, "0": False}
    if text.lower() not in booleans:
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return booleans[text.lower()]


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 0")
    return int(text)


def _positive(text: str) -> int:
    count = _count(text)
    if not count:
        raise argparse.ArgumentTypeError("0 would let no request through")
    return count


def _mixed_precision(text: str) -> str:
    if text not in ("", "bfloat16"):
        raise argparse.ArgumentTypeError(f"{text!r} is not supported: bfloat16 is, or nothing for float32")
    return text


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return seconds


def _channel_arguments(text: str) -> list[tuple[str, int | str]]:
    pairs: list[tuple[str, int | str]] = []
    for part in filter(None, text.split(",")):
        key, equals, value = part.partition("=")
        if not (key and equals):
            raise argparse.ArgumentTypeError(f"{part!r} is not key=value")
        pairs.append((key, int(value) if value.lstrip("-").isdigit() else value))
    return pairs


def _log_to_stderr() -> None:
    """Log one line for each event: time (UTC), level, message."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    root = logging.getLogger("keraserve_embedded")
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    root.propagate = False
