"""Another time of day, date and year for the Python code of this process: whoever reads the clock says something else.

For a process that has no other purpose: it cannot be undone. Compiled code keeps the true clock.
"""

import datetime
import time
from typing import Any


class _OfAny(type):
    """A class that takes every instance of the one it stands for as its own."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, cls.__mro__[1])


def set_clock(to: datetime.datetime) -> None:
    """From now on it is `to` (with a zone), and time passes as it does. Import what must not be deceived before."""
    import pandas as pd
    from pydantic_core import core_schema

    true_time, true_time_ns = time.time, time.time_ns
    ahead_ns = int(to.timestamp()) * 10**9 - true_time_ns()
    real = datetime.datetime
    local, utc, text, words = time.localtime, time.gmtime, time.strftime, time.ctime

    class Date(datetime.date, metaclass=_OfAny):
        @classmethod
        def today(cls) -> "Date":
            return cls.fromtimestamp(now())

        @classmethod
        def __get_pydantic_core_schema__(cls, *_: Any) -> Any:
            return core_schema.date_schema()

    class DateTime(datetime.datetime, metaclass=_OfAny):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> "DateTime":
            return cls.fromtimestamp(now(), tz)

        @classmethod
        def utcnow(cls) -> "DateTime":
            return cls.now(datetime.UTC).replace(tzinfo=None)

        @classmethod
        def today(cls) -> "DateTime":
            return cls.now()

        @classmethod
        def __get_pydantic_core_schema__(cls, *_: Any) -> Any:
            return core_schema.datetime_schema()

    def now() -> float:
        return true_time() + ahead_ns / 1e9

    def stamp(_: Any, tz: Any = None) -> Any:
        return pd.Timestamp(real.fromtimestamp(now(), datetime.UTC)).tz_convert(tz)

    def stamp_utc(_: Any) -> Any:
        return stamp(_, "UTC")

    replaced: dict[tuple[Any, str], Any] = {
        (datetime, "date"): Date,
        (datetime, "datetime"): DateTime,
        (time, "time"): now,
        (time, "time_ns"): lambda: true_time_ns() + ahead_ns,
        (time, "localtime"): lambda seconds=None: local(now() if seconds is None else seconds),
        (time, "gmtime"): lambda seconds=None: utc(now() if seconds is None else seconds),
        (time, "ctime"): lambda seconds=None: words(now() if seconds is None else seconds),
        (time, "strftime"): lambda form, moment=None: text(form, local(now()) if moment is None else moment),
        (pd.Timestamp, "now"): classmethod(stamp),
        (pd.Timestamp, "today"): classmethod(stamp),
        (pd.Timestamp, "utcnow"): classmethod(stamp_utc),
    }
    for (owner, name), value in replaced.items():
        setattr(owner, name, value)
