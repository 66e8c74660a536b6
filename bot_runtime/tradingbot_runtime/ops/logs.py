"""Logs as JSON lines on stderr, each with the bot it is about. No key is ever logged."""

import json
import logging
import sys
from typing import TextIO

import structlog

LEVELS = {"info": "info", "warning": "warning", "error": "error", "critical": "critical"}
"""Notice severities as log levels; one that is not listed is logged as an error."""


class _LibraryFormatter(logging.Formatter):
    """A library's log record as the same kind of JSON line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {"level": record.levelname.lower(), "logger": record.name, "event": record.getMessage()}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def configure(bot: str, namespace: str, *, stream: TextIO | None = None) -> None:
    """Sends our logs, and the warnings of libraries, to stderr as JSON."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_LibraryFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(stream or sys.stderr),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(bot=bot, namespace=namespace)


def notice(severity: str, name: str, message: str) -> None:
    """Logs a notice of the core's."""
    level = LEVELS.get(severity, "error")
    getattr(structlog.get_logger(), level)(name, message=message)
