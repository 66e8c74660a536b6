"""The bot's memory on its volume: SQLite, a journal that only grows, one writer.

A change of state and the journal line that explains it commit in one transaction, or not at all.
"""

from tradingbot_runtime.state.backups import Backup, Backups, complete_backups
from tradingbot_runtime.state.database import Database
from tradingbot_runtime.state.export import export
from tradingbot_runtime.state.failures import (
    RestoreInterrupted,
    StateCorrupt,
    StateFailure,
    StateLocked,
    StateOfAnotherBot,
    StateTooNew,
    StateUnwritable,
)
from tradingbot_runtime.state.lock import DirectoryLock, holder_of_this_process
from tradingbot_runtime.state.record_rows import ClosedSession
from tradingbot_runtime.state.records import Records
from tradingbot_runtime.state.restoring import Restored, restore
from tradingbot_runtime.state.verification import Verification, verify, verify_backup

__all__ = [
    "Backup",
    "Backups",
    "ClosedSession",
    "Database",
    "DirectoryLock",
    "Records",
    "RestoreInterrupted",
    "Restored",
    "StateCorrupt",
    "StateFailure",
    "StateLocked",
    "StateOfAnotherBot",
    "StateTooNew",
    "StateUnwritable",
    "Verification",
    "complete_backups",
    "export",
    "holder_of_this_process",
    "restore",
    "verify",
    "verify_backup",
]
