"""The command `keraserve-gateway`: flags made from the settings, then serve."""

import argparse
import asyncio
import sys
import tomllib
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import ValidationError

from keraserve_gateway.settings import ENV_PREFIX, Settings

PROGRAM = "keraserve-gateway"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the gateway; the exit status is 0 after a drain, 1 for a port, 2 for a setting."""
    given = vars(_parser().parse_args(_dashed(sys.argv[1:] if arguments is None else arguments)))
    try:
        settings = Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        return _fail("; ".join(_sentence(one) for one in error.errors()), 2)
    except (OSError, tomllib.TOMLDecodeError) as error:
        return _fail(f"the settings can't be read: {error}", 2)
    # Imported late: --help answers at once.
    from keraserve_gateway import logs
    from keraserve_gateway.serve import CannotListen, serve

    logs.configure(settings.log_level)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(serve(settings))
    except CannotListen as error:
        return _fail(str(error), 1)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="HTTP and gRPC front of a TensorFlow Serving model server.",
        epilog="Flags win over the environment, that over the file, that over the defaults.",
        allow_abbrev=False,
    )
    for name, field in Settings.model_fields.items():
        shown = "none" if field.default in (None, ()) else field.default
        about = f"{field.description} [{ENV_PREFIX}{name.upper()}; default: {shown}]"
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="VALUE", help=about.replace("%", "%%"))
    return parser


def _dashed(arguments: Sequence[str]) -> list[str]:
    """Take `--grpc_port=1`, as TensorFlow Serving writes flags, for `--grpc-port=1`."""
    return [_dashed_flag(one) if one.startswith("--") else one for one in arguments]


def _dashed_flag(argument: str) -> str:
    name, equals, value = argument.partition("=")
    return name.replace("_", "-") + equals + value


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
