"""Imports alpaca-py once without its own deprecation warning, so that every other warning stays an error."""

import warnings

with warnings.catch_warnings():
    # alpaca-py 0.44 imports the websockets library's deprecated client.
    warnings.simplefilter("ignore", DeprecationWarning)
    import alpaca.trading  # noqa: F401
