"""The bot's memory on its volume: SQLite, a journal that only grows, one writer.

A change of state and the journal line that explains it commit in one transaction, or not at all.
"""

from tradingbot_runtime.state.database import Database
from tradingbot_runtime.state.failures import (
    StateCorrupt,
    StateFailure,
    StateLocked,
    StateOfAnotherBot,
    StateTooNew,
    StateUnwritable,
)
from tradingbot_runtime.state.lock import DirectoryLock, holder_of_this_process
from tradingbot_runtime.state.verification import Verification, verify

__all__ = [
    "Database",
    "DirectoryLock",
    "StateCorrupt",
    "StateFailure",
    "StateLocked",
    "StateOfAnotherBot",
    "StateTooNew",
    "StateUnwritable",
    "Verification",
    "holder_of_this_process",
    "verify",
]
