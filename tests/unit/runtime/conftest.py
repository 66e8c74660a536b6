"""Imports alpaca-py once without its own deprecation warning; gives logging back as it was after every test."""

import logging
import warnings
from collections.abc import Iterator

import pytest
import structlog

with warnings.catch_warnings():
    # alpaca-py 0.44 imports the websockets library's deprecated client.
    warnings.simplefilter("ignore", DeprecationWarning)
    import alpaca.trading  # noqa: F401


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """A command under test sends all logs to its own stderr, which is closed once the test is over."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
