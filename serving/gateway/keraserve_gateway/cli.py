"""The command `keraserve-gateway`: makes its flags from the settings, and serves."""

import argparse
import asyncio
import sys
import tomllib
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

import shtab
from pydantic import ValidationError

from keraserve_gateway import settings_page
from keraserve_gateway.api_keys import keys
from keraserve_gateway.settings import ENV_PREFIX, Settings, described

PROGRAM = "keraserve-gateway"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the gateway; returns 0 after draining, 1 if a port or a model is missing, 2 for a wrong setting."""
    arguments = sys.argv[1:] if arguments is None else arguments
    match arguments[:1]:
        case ["key"]:
            return _make_key(arguments[1:])
        case ["settings"]:
            sys.stdout.write(settings_page.render())
            return 0
        case _:
            return _serve(arguments)


def _serve(arguments: Sequence[str]) -> int:
    given = vars(_parser().parse_args(_dashed(arguments)))
    try:
        settings = Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        return _fail("; ".join(_sentence(one) for one in error.errors()), 2)
    except (OSError, tomllib.TOMLDecodeError) as error:
        return _fail(f"the settings can't be read: {error}", 2)
    # Imported late, so that --help is fast.
    from keraserve_gateway import workers
    from keraserve_gateway.memory_budget import MemoryExceeded
    from keraserve_gateway.serve import PortUnavailable, serve
    from keraserve_gateway.telemetry import logs
    from keraserve_gateway.upstream.model_server import ModelsUnavailable

    logs.configure(settings.log_level)
    try:
        if settings.workers > 1:
            return workers.supervise(settings, _dashed(arguments))
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(serve(settings.part))
    except (PortUnavailable, ModelsUnavailable, MemoryExceeded) as error:
        return _fail(str(error), 1)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="HTTP and gRPC gateway before a TensorFlow Serving model server.",
        epilog="Flags win over the environment, that over the file, that over the defaults."
        f" '{PROGRAM} key NAME' makes an API key; '{PROGRAM} settings' prints this list as a page.",
        allow_abbrev=False,
    )
    for name, field in Settings.model_fields.items():
        default, about = described(field)
        about = f"{about} [{ENV_PREFIX}{name.upper()}; default: {default}]"
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="VALUE", help=about.replace("%", "%%"))
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {version(PROGRAM)}")
    shtab.add_argument_to(parser, "--show-completion")
    return parser


def _make_key(arguments: Sequence[str]) -> int:
    """Make an API key: its entry for the file goes to standard output, the key itself to standard error."""
    parser = argparse.ArgumentParser(
        prog=f"{PROGRAM} key",
        description="Make an API key. The entry, which holds only its hash, goes to standard output:"
        f" {PROGRAM} key NAME >> keys.toml",
        allow_abbrev=False,
    )
    parser.add_argument("name", help="its owner, for the log")
    parser.add_argument("--models", metavar="A,B", default="", help="its models; all if left out")
    parser.add_argument("--requests-per-second", type=float, metavar="N", help="if not the settings' rate")
    given = parser.parse_args(arguments)
    models = [name for name in given.models.split(",") if name]
    try:
        key, entry = keys.make(given.name, models, given.requests_per_second)
    except ValidationError as error:
        return _fail("; ".join(_sentence(one) for one in error.errors()), 2)
    sys.stdout.write(entry)
    sys.stdout.flush()
    sys.stderr.write(f"The key, which is stored nowhere and shown once: {key}\n")
    return 0


def _dashed(arguments: Sequence[str]) -> list[str]:
    """Accept `--grpc_port=1`, as TensorFlow Serving writes flags, as `--grpc-port=1`."""
    parts = [one.partition("=") if one.startswith("--") else ("", "", one) for one in arguments]
    return [name.replace("_", "-") + equals + value for name, equals, value in parts]


def _sentence(error: Any) -> str:
    name = ".".join(str(part) for part in error["loc"]) or "settings"
    return f"{name}: {error['msg']} (got {str(error['input'])[:100]!r})"


def _fail(sentence: str, status: int) -> int:
    sys.stderr.write(f"{PROGRAM}: {sentence}\n")
    return status


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:  # not on every platform
        return asyncio.new_event_loop
    return uvloop.new_event_loop


if __name__ == "__main__":
    sys.exit(main())
