"""JSON log lines on standard error, the libraries' own among them."""

import json
import logging
import sys
from typing import Any, TextIO, cast

import orjson
import structlog

from keraserve_gateway.telemetry.buffered_log import BufferedLog, EventLogger


def configure(level: str) -> None:
    """Set up logging for the process; `level` as in the settings."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    render = structlog.processors.JSONRenderer(_written)
    lines = BufferedLog(sys.stderr, lambda event: str(render(None, "", event)))
    structlog.configure(
        processors=shared,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: EventLogger(lines),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(cast(TextIO, lines))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                render,
            ],
        )
    )
    handler.addFilter(_matters)
    # The libraries speak of every start, stop and connection; only what is wrong matters here.
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def _matters(record: logging.LogRecord) -> bool:
    """Leave out grpcio's trace of the stack where a caller goes away before it has read the response."""
    return not record.getMessage().startswith("ExecuteBatchError raised in core by servicer method")


def _written(line: Any, **how: Any) -> str:
    try:
        return orjson.dumps(line, **how).decode()
    except TypeError:  # a file's name that is no Unicode, a number of more than 64 bits
        return json.dumps(line, **how)
