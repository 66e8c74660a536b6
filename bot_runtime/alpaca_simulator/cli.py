"""The command line of the simulator: `alpaca-simulator serve`, `config`, `replay` and `scenario check`.

Only turns flags into a configuration; flags given win over the file.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import structlog
import typer
import yaml

from alpaca_simulator.api.rendering import account_summary_json
from alpaca_simulator.config import ConfigError, SimulatorConfig, parse_config, read_config
from alpaca_simulator.faults.scenario import ScenarioError, planned, read_scenario, told_by_step
from alpaca_simulator.market.calendar import OutsideCalendarError, new_york_stock_exchange
from alpaca_simulator.server import serve as serve_until_stopped
from alpaca_simulator.simulator import Simulator
from alpaca_simulator.state.kept_simulator import kept_simulator, verified
from alpaca_simulator.state.records import StateError
from alpaca_simulator.state.replay import Replayed, state_digest
from alpaca_simulator.values.instants import utc_text

SESSION_SECONDS = 6.5 * 3600


class ClockChoice(StrEnum):
    """How market time moves."""

    REAL = "real"
    SCALED = "scaled"
    STEPPED = "stepped"


class ReplayTimeframe(StrEnum):
    """What a row of replayed files is."""

    DAY = "1Day"
    MINUTE = "1Min"


class LogLevel(StrEnum):
    """How much to log."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"


class LogFormat(StrEnum):
    """How a log line looks."""

    JSON = "json"
    TEXT = "text"


app = typer.Typer(
    name="alpaca-simulator",
    help="A simulated Alpaca: REST and trade updates for any Alpaca client, with a market and a clock of its own.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

scenarios = typer.Typer(help="Scenarios: what goes wrong at which market time.", no_args_is_help=True)
app.add_typer(scenarios, name="scenario")


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8900,
    config: Annotated[
        Path | None, typer.Option(help="YAML or JSON file with seed, clock, accounts, assets and limits.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Same seed, same market, on every machine.")] = None,
    clock: Annotated[
        ClockChoice | None,
        typer.Option(help="real: wall time. scaled: faster than life. stepped: by POST /admin/clock/step."),
    ] = None,
    start: Annotated[
        str | None, typer.Option(help="Market time to start at, such as 2026-03-02T09:25:00-05:00.")
    ] = None,
    speed: Annotated[
        float | None, typer.Option(help="Market seconds that pass in one machine second (scaled).")
    ] = None,
    session_seconds: Annotated[
        float | None, typer.Option(help="Instead of --speed: machine seconds for a session of 6.5 hours.")
    ] = None,
    skip_closed: Annotated[
        bool | None,
        typer.Option("--skip-closed/--no-skip-closed", help="Jump over nights, weekends and holidays (scaled)."),
    ] = None,
    minutes_after_close: Annotated[
        float | None,
        typer.Option(
            min=0.0, max=240.0, help="Market minutes after a close before a jump: time for clients to settle the day."
        ),
    ] = None,
    account: Annotated[
        list[str] | None,
        typer.Option(help="NAME:paper|live:KEY_ID:SECRET[:CASH]; repeat for more. Replaces the demo accounts."),
    ] = None,
    partial_fill_probability: Annotated[
        float | None, typer.Option(min=0.0, max=0.95, help="Chance that a quote fills only part of an order.")
    ] = None,
    replay: Annotated[
        Path | None, typer.Option(help="CSV or Parquet file, or a directory of them, with prices to replay.")
    ] = None,
    replay_timeframe: Annotated[
        ReplayTimeframe, typer.Option(help="What one row of the replayed files is.")
    ] = ReplayTimeframe.DAY,
    state: Annotated[
        Path | None, typer.Option(help="Directory that keeps the state across restarts; without it all is forgotten.")
    ] = None,
    scenario: Annotated[
        Path | None, typer.Option(help="YAML file of faults and interventions at market times.")
    ] = None,
    requests_per_minute: Annotated[
        int | None, typer.Option(min=0, help="Requests an account may send to each API; 0 is no limit. Alpaca: 200.")
    ] = None,
    log_level: Annotated[LogLevel, typer.Option(help="How much to log.")] = LogLevel.INFO,
    log_format: Annotated[LogFormat, typer.Option(help="How a log line looks.")] = LogFormat.JSON,
) -> None:
    """Serve the simulator until it is told to stop (SIGTERM or Ctrl-C).

    Without any option: a paper account (key PKDEMOPAPER, secret demo-paper-secret) and a live account
    (AKDEMOLIVE, demo-live-secret), $100000 each, 60 times faster than life from Monday 2026-03-02, 09:25
    New York, closed hours skipped.

    Point a client at it:

      TradingClient(key, secret, url_override="http://127.0.0.1:8900")

      StockHistoricalDataClient(key, secret, url_override="http://127.0.0.1:8900")

      TradingStream(key, secret, url_override="ws://127.0.0.1:8900/stream")

    Look at it:  http://127.0.0.1:8900/admin in a browser, or curl http://127.0.0.1:8900/admin/state

    Let things go wrong:  alpaca-simulator serve --scenario FILE, or
    curl -d '{"kind": "reset_after", "match": {"route": "POST /v2/orders"}, "count": 1}'
    http://127.0.0.1:8900/admin/faults

    A session in five seconds:  alpaca-simulator serve --session-seconds 5

    Across restarts:  alpaca-simulator serve --state ./state

    By hand:  alpaca-simulator serve --clock stepped, then
    curl -d '{"until": "open"}' http://127.0.0.1:8900/admin/clock/step

    The admin paths need no keys: do not listen where strangers can reach it.
    """
    if speed is not None and session_seconds is not None:
        _fail("--speed and --session-seconds say the same thing: give one")
    if session_seconds is not None:
        if session_seconds <= 0:
            _fail("--session-seconds must be above 0")
        speed = SESSION_SECONDS / session_seconds
    flags = _flags(
        seed=seed,
        partial_fill_probability=partial_fill_probability,
        accounts=[_account(text) for text in account] if account else None,
        market=replay and {"replay": {"path": replay, "timeframe": replay_timeframe.value}},
        faults=scenario and {"scenario": scenario},
        limits=_flags(requests_per_minute=requests_per_minute) or None,
        clock=_flags(
            mode=clock and clock.value,
            start=start,
            speed=speed,
            skip_closed=skip_closed,
            minutes_after_close=minutes_after_close,
        )
        or None,
    )
    try:
        restored: list[Replayed] = []
        with kept_simulator(_combined(config, flags, state), on_restored=restored.append) as simulator:
            _set_up_logging(log_level, log_format)
            for before in restored:
                _tell_restored(before)
            asyncio.run(_serve_until_signal(simulator, host, port))
    except (ConfigError, OutsideCalendarError, StateError, ScenarioError) as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"cannot listen on {host}:{port}: {error.strerror or error}")


@app.command("config")
def show_config(
    config: Annotated[Path | None, typer.Argument(help="File to check; without it the defaults.")] = None,
) -> None:
    """Check a configuration file and print it whole as YAML, defaults included and secrets hidden."""
    try:
        full = read_config(config) if config else SimulatorConfig()
    except ConfigError as error:
        _fail(str(error))
    typer.echo(yaml.safe_dump(full.model_dump(mode="json"), sort_keys=False), nl=False)


@app.command()
def replay(
    directory: Annotated[Path, typer.Argument(help="State directory that no simulator is using.")],
) -> None:
    """Verify a state directory: read every record, handle them all again, and print where that ends as JSON.

    Nothing is changed. Exits 2 when the state is corrupt, in use, or of another format.
    """
    try:
        header, end = verified(directory)
    except (StateError, ConfigError, OutsideCalendarError) as error:
        _fail(str(error))
    exchange = end.simulator.exchange
    summary = {
        "format": header.format,
        "seed": header.seed,
        "started_at": utc_text(header.start),
        "market_time": utc_text(end.at),
        "records": end.number,
        "replayed": end.records,
        "torn_bytes": end.torn_bytes,
        "state_sha256": state_digest(exchange),
        "accounts": [account_summary_json(exchange, account) for account in exchange.accounts.values()],
    }
    typer.echo(json.dumps(summary, indent=2))


@scenarios.command("check")
def check_scenario(
    file: Annotated[Path, typer.Argument(help="Scenario file.")],
    config: Annotated[Path | None, typer.Option(help="Configuration whose clock says when it starts.")] = None,
    start: Annotated[str | None, typer.Option(help="Market time it starts at, in place of the file's.")] = None,
) -> None:
    """Check a scenario and print what would happen when. Exits 2 when it cannot be read or carried out."""
    try:
        clock = _combined(config, {"clock": _flags(start=start)}, None).clock
        begins = datetime.now(UTC) if clock.mode == "real" else clock.start
        found = read_scenario(file)
        steps = planned(found, new_york_stock_exchange(), begins)
    except (ConfigError, OutsideCalendarError, ScenarioError) as error:
        _fail(str(error))
    typer.echo(f"{found.name or file.name}: {len(steps)} steps from {utc_text(begins)}")
    for line in told_by_step(steps):
        typer.echo(line)


def main() -> None:
    """The console script."""
    app()


async def _serve_until_signal(simulator: Simulator, host: str, port: int) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    await serve_until_stopped(simulator, host, port, stopped)


def _tell_restored(before: Replayed) -> None:
    structlog.stdlib.get_logger("alpaca_simulator").info(
        "state_restored",
        records=before.number,
        replayed=before.records,
        torn_bytes_cut_off=before.torn_bytes,
        market_time=before.at.isoformat(),
    )


def _combined(path: Path | None, flags: dict[str, Any], state: Path | None) -> SimulatorConfig:
    """The file's configuration with the flags laid over it; raises ConfigError."""
    base = read_config(path) if path else SimulatorConfig()
    merged = {name: getattr(base, name) for name in SimulatorConfig.model_fields}
    if state is not None:
        merged["state"] = {**(base.state.model_dump() if base.state else {}), "directory": state}
    clock = {**base.clock.model_dump(), **flags.pop("clock", {})}
    market = {**base.market.model_dump(), **flags.pop("market", {})}
    limits = {**base.limits.model_dump(), **flags.pop("limits", {})}
    return parse_config({**merged, **flags, "clock": clock, "market": market, "limits": limits}, "options")


def _flags(**given: Any) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


def _account(text: str) -> dict[str, str]:
    parts = text.split(":")
    if len(parts) not in (4, 5):
        _fail(f"--account {parts[0]}: expected NAME:paper|live:KEY_ID:SECRET[:CASH]")
    return dict(zip(("name", "kind", "key_id", "secret_key", "cash"), parts, strict=False))


def _set_up_logging(level: LogLevel, form: LogFormat) -> None:
    renderer: Any = structlog.processors.JSONRenderer()
    if form is LogFormat.TEXT:
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def _fail(message: str) -> NoReturn:
    typer.echo(f"alpaca-simulator: {message}", err=True)
    raise typer.Exit(2)
