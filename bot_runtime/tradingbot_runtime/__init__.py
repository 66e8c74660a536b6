"""The bot runtime: one bot, its data, strategy, orders, state, reconciliation and kill.

`core` decides and does no I/O; `data`, `broker`, `state`, `control` and `ops` are its adapters; `app` feeds
events to the core and carries out the commands it returns.
"""

__version__ = "0.1.0"
