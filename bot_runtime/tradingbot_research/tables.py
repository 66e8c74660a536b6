"""A backtest as Parquet tables: the same backtest is the same bytes."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tradingbot_research.result import Cause, Result
from tradingbot_research.statistics import drawdowns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tradingbot_research.sweep import Trial


def write_table(table: pa.Table, path: Path) -> None:
    """Writes a table, one row group, without anything of this moment or this machine."""
    pq.write_table(table, path, compression="zstd", row_group_size=max(len(table), 1), store_schema=False)


def trades(result: Result) -> pa.Table:
    """Every fill: time (UTC), symbol, shares (negative: sold), price, commission, cause, what was held after it, profit
    against the average entry before commission."""
    fills, bars = result.fills, result.bars
    names = np.array(bars.symbols)
    causes = np.array([cause.name.lower() for cause in Cause])
    return pa.table(
        {
            "time": pa.array(bars.time[fills.bar], type=pa.timestamp("ns", tz="UTC")),
            "symbol": pa.array(names[fills.symbol].tolist(), type=pa.string()),
            "shares": fills.shares,
            "price": fills.price,
            "commission": fills.commission,
            "cause": pa.array(causes[fills.cause].tolist(), type=pa.string()),
            "position": fills.position,
            "cash": fills.cash,
            "profit": fills.profit,
        }
    )


def unfilled(result: Result) -> pa.Table:
    """Everything that was wanted and not done."""
    found = result.unfilled
    return pa.table(
        {
            "time": pa.array(result.bars.time[[one.bar for one in found]], type=pa.timestamp("ns", tz="UTC"))
            if found
            else pa.array([], type=pa.timestamp("ns", tz="UTC")),
            "symbol": pa.array([one.symbol for one in found], type=pa.string()),
            "shares": pa.array([one.shares for one in found], type=pa.float64()),
            "obstacle": pa.array([one.obstacle.value for one in found], type=pa.string()),
            "times": pa.array([one.times for one in found], type=pa.int64()),
        }
    )


def equity(result: Result) -> pa.Table:
    """At each close: equity, cash, drawdown as a share, and the shares held of each symbol."""
    columns = {
        "time": pa.array(result.bars.time, type=pa.timestamp("ns", tz="UTC")),
        "equity": pa.array(result.equity),
        "cash": pa.array(result.cash),
        "drawdown": pa.array(drawdowns(result.equity, result.capital)),
    }
    for column, symbol in enumerate(result.bars.symbols):
        columns[f"position {symbol}"] = pa.array(np.ascontiguousarray(result.positions[:, column]))
    return pa.table(columns)


def trials(found: "Sequence[Trial]") -> pa.Table:
    """Every set of parameters that was tried, as JSON, with the daily Sharpe ratio over the whole time."""
    import json

    return pa.table(
        {
            "parameters": pa.array([json.dumps(dict(one.parameters), sort_keys=True) for one in found]),
            "daily_sharpe": pa.array([one.moments[-1].sharpe for one in found]),
            "daily_return": pa.array([one.moments[-1].mean for one in found]),
        }
    )
