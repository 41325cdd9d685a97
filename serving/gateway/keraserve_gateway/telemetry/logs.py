"""JSON log lines on standard error, the libraries' own among them."""

import json
import logging
import sys
from typing import Any, TextIO, cast

import orjson
import structlog

from keraserve_gateway.telemetry.buffered_log import BufferedLog


def configure(level: str) -> None:
    """Set up logging for the process; `level` as in the settings."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    render = structlog.processors.JSONRenderer(_dumps)
    log = cast(TextIO, BufferedLog(sys.stderr))
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(log),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(log)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    handler.addFilter(_is_wanted)
    # Libraries log every start, stop and connection; only their warnings are wanted.
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def _is_wanted(record: logging.LogRecord) -> bool:
    """Leave out grpcio's stack trace for a caller that goes away before it has read the response."""
    return not record.getMessage().startswith("ExecuteBatchError raised in core by servicer method")


def _dumps(event: Any, **options: Any) -> str:
    try:
        return orjson.dumps(event, **options).decode()
    except TypeError:  # a file name that is no Unicode, a number of more than 64 bits
        return json.dumps(event, **options)
