"""JSON log lines on stderr: one object a line, with the service's name."""

import logging
import sys

import orjson
import structlog


def configure_logs(service: str, level: str = "INFO") -> None:
    """Send structlog and the standard library's records to stderr as JSON lines."""
    threshold = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=orjson.dumps),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.BytesLoggerFactory(file=sys.stderr.buffer),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    logging.basicConfig(
        stream=sys.stderr,
        level=max(threshold, logging.WARNING),
        format="%(levelname)s %(name)s %(message)s",
    )


def logger() -> structlog.stdlib.BoundLogger:
    """Return the logger of this process."""
    return structlog.get_logger()  # type: ignore[no-any-return]
