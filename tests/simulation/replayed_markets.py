"""A simulator that replays given daily bars: a strategy may have an edge there, or be known to have none."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from alpaca_simulator.market.calendar import new_york_stock_exchange
from alpaca_simulator.simulator import Simulator
from contract.conftest import noon_simulator
from simulation.world import MONDAY
from tradingbot_research.market import Bars


def on_sessions(bars: Bars, to_come: int) -> Bars:
    """The same bars, each on a session of the exchange; the last `to_come` are those from MONDAY on."""
    days = [session.day for session in new_york_stock_exchange().sessions]
    past = [day for day in days if day < MONDAY.date()][to_come - len(bars) :]
    when = [*past, *[day for day in days if day >= MONDAY.date()][:to_come]]
    return replace(bars, time=np.array(when, dtype="datetime64[ns]"))


def replaying(directory: Path, bars: Bars) -> Simulator:
    """A simulator whose daily bars are these, and whose clock stands at MONDAY."""
    tables = [_in_cents(frame).assign(symbol=symbol) for symbol, frame in bars.frames().items()]
    table, path = pd.concat(tables), directory / "prices.csv"
    table.assign(timestamp=[when.date().isoformat() for when in table.index]).to_csv(path, index=False)
    return noon_simulator(MONDAY, market={"replay": {"path": path, "timeframe": "1Day"}})


def _in_cents(frame: pd.DataFrame) -> pd.DataFrame:
    prices = frame[["open", "high", "low", "close"]].round(2)
    extremes = {"high": prices.max(axis=1), "low": prices.min(axis=1), "volume": frame["volume"].astype(int)}
    return prices.assign(**extremes)
