"""`tradingbot run`: one bot until it is told to stop. Everything it was given is checked before anything is opened."""

import asyncio
import os
import random
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tradingbot_runtime import __version__
from tradingbot_runtime.commands.endings import WrongConfig, refusals
from tradingbot_runtime.commands.inputs import Address, Config, Keys, address_of, keys_in, load_strategy, read_config

if TYPE_CHECKING:
    from tradingbot_api import RuntimeConfig
    from tradingbot_runtime.app import App
    from tradingbot_runtime.broker.alpaca import AlpacaBroker
    from tradingbot_runtime.control.port import ControlPlane
    from tradingbot_runtime.core.engine import Engine
    from tradingbot_runtime.core.recovered import Recovered
    from tradingbot_runtime.recording import Recorder
    from tradingbot_runtime.state import Database
    from tradingbot_runtime.strategies.contract import Strategy


def run(
    config: Config,
    state: Annotated[Path, typer.Option(help="Directory of the bot's state; made when missing.", file_okay=False)],
    control: Annotated[
        str,
        typer.Option(
            help="Where a kill and a pause come from: kubernetes (its own TradingBot and BrokerAccount),"
            " file:PATH (YAML such as `kill: why` or `paused: true`; `tradingbot kill --help`), none,"
            " or auto: kubernetes in a pod, none elsewhere."
        ),
    ] = "auto",
    listen: Annotated[
        str, typer.Option(help="HOST:PORT for /healthz, /readyz, /metrics, /status and /sessions.")
    ] = "127.0.0.1:8080",
    record: Annotated[
        Path | None,
        typer.Option(help="Record every event and decision to this file, for `tradingbot replay`.", dir_okay=False),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Order nothing: show once what would be ordered now, as `plan` does.")
    ] = False,
) -> None:
    """Run a bot until SIGTERM or Ctrl-C.

    The broker's keys come from APCA_API_KEY_ID and APCA_API_SECRET_KEY; what sends notices, from WEBHOOK_TOKEN,
    SMTP_USERNAME and SMTP_PASSWORD. On SIGTERM an order that is being sent is waited for (3 s at most); open orders
    stay open, and the next start finds them.

    mode: live needs the grant that the bot was given and --control kubernetes: it trades only while its own TradingBot
    says spec.mode: live and status.grant with the same digest and epoch. Once that is gone, it opens nothing more,
    does with its live orders and positions what onDelete says, and never trades under that grant again.

    Exit codes: 0 ended as asked; 78 the config is wrong; 65 the state cannot be used; 1 anything else. The last two
    words, reason and message, also go to $TERMINATION_MESSAGE_PATH as JSON.

    Try it:  alpaca-simulator serve --session-seconds 30
             tradingbot run --config bot.yaml --state ./state --control file:control.yaml
    """
    # Process 1 of a container ignores signals nobody handles; until the loop runs, SIGTERM simply ends us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if dry_run:
        from tradingbot_runtime.commands.plan import show_plan

        show_plan(config, state if state.exists() else None, as_json=False)
        return
    with refusals(last_words=True):
        _run(_Start.checked(config, state, control, listen, record, os.environ))


@dataclass(frozen=True)
class _Start:
    """All that a start needs, checked before anything is opened."""

    config: "RuntimeConfig"
    strategy: "Strategy[Any]"
    state: Path
    control: str
    listen: Address
    record: Path | None
    keys: Keys

    @classmethod
    def checked(
        cls,
        config: Path,
        state: Path,
        control: str,
        listen: str,
        record: Path | None,
        environment: Mapping[str, str],
    ) -> "_Start":
        from tradingbot_api import Mode

        checked = read_config(config)
        strategy = load_strategy(checked)
        control = _control_name(control, environment)
        if checked.mode is Mode.LIVE and control != "kubernetes":
            raise WrongConfig(
                "LiveNotWatched",
                f"--control {control}: a live bot trades only while its own TradingBot grants it, and so that it can be"
                " killed from outside: run it in a pod with --control kubernetes, or set mode: paper and no grant",
            )
        if checked.mode.value != checked.broker.environment.value:
            raise WrongConfig(
                "WrongEnvironment",
                f"mode: {checked.mode.value}, but broker.environment: {checked.broker.environment.value}:"
                f" name the BrokerAccount that the bot has for {checked.mode.value}",
            )
        return cls(
            checked,
            strategy,
            state,
            control,
            address_of(listen),
            record,
            keys_in(environment),
        )

    def engine(self, recovered: "Recovered", *, watched: bool) -> "Engine":
        """The bot's mind, made of what the volume gives back."""
        from tradingbot_runtime.core.engine import Engine

        return Engine(self.config, self.strategy, recovered, watched=watched)


def _run(start: _Start) -> None:
    from tradingbot_runtime.state import Database, DirectoryLock, holder_of_this_process

    holder = holder_of_this_process(os.environ, datetime.now(UTC))
    with DirectoryLock(start.state, holder):
        database = Database.open(start.state, start.config.bot.uid, start.config.mode.value)
        try:
            asyncio.run(_serve(start, database))
        finally:
            database.close()


async def _serve(start: _Start, database: "Database") -> None:
    from tradingbot_runtime.commands.brokers import broker_of
    from tradingbot_runtime.ops import logs
    from tradingbot_runtime.ops.http import CannotListen, StatusServer, Views
    from tradingbot_runtime.ops.sessions import closed_sessions

    config = start.config
    logs.configure(config.bot.name, config.bot.namespace)
    rng = random.Random()  # noqa: S311 (jitter, not secrets)
    with ExitStack() as closing:
        broker = closing.enter_context(broker_of(config.broker, start.keys, config.bot.uid, config.mode.value, rng))
        bot = _bot(start, database, broker, rng, closing)
        views = Views(
            bot.report,
            bot.heartbeat_age_seconds,
            bot.metrics,
            lambda limit: closed_sessions(database.records, limit),
        )
        server = StatusServer(start.listen.host, start.listen.port, views)
        stop = asyncio.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(name, stop.set)
        try:
            await server.start()
            logs.notice("info", "started", f"version {__version__}, mode {config.mode.value}, port {server.port}")
            await bot.run(stop)
            logs.notice("info", "stopped", "open orders stay open; the next start finds them")
        except CannotListen as error:
            raise WrongConfig("CannotListen", str(error)) from error
        finally:
            await server.close()


def _bot(start: _Start, database: "Database", broker: "AlpacaBroker", rng: random.Random, closing: ExitStack) -> "App":
    from tradingbot_runtime.app import App
    from tradingbot_runtime.ops.mirror import Mirror
    from tradingbot_runtime.ops.notices import Deliverer, NoticeSecrets
    from tradingbot_runtime.state import Backups

    config, mode = start.config, start.config.mode.value
    control = _control(start, rng)
    recovered = database.recover()
    recorder = _recorder(start, recovered, watched=control.watched)
    if recorder is not None:
        closing.enter_context(recorder)
    return App(
        config,
        start.engine(recovered, watched=control.watched),
        database,
        broker,
        control,
        rng=rng,
        recorder=recorder,
        mirror=Mirror(start.state / mode),
        deliverer=Deliverer(config.notices, NoticeSecrets.of(os.environ)),
        backups=Backups(start.state, mode),
        renew=_renewal(start, recorder, watched=control.watched),
    )


def _renewal(start: _Start, recorder: "Recorder | None", *, watched: bool) -> "Callable[[Recovered], Engine]":
    from tradingbot_runtime.ops import logs

    def renew(recovered: "Recovered") -> "Engine":
        if recorder is not None and not recorder.is_full:
            # A recording is of one engine from its first event on; what another one decides cannot follow it.
            recorder.is_full = True
            logs.notice("warning", "recording_ended", "the state was opened anew: start again to record again")
        return start.engine(recovered, watched=watched)

    return renew


def _recorder(start: _Start, recovered: "Recovered", *, watched: bool) -> "Recorder | None":
    from tradingbot_runtime.recording import Recorder

    if start.record is None:
        return None
    try:
        return Recorder(start.record, start.config, recovered, watched=watched)
    except OSError as error:
        raise WrongConfig("InvalidOptions", f"--record {start.record}: {error.strerror}") from error


def _control(start: _Start, rng: random.Random) -> "ControlPlane":
    from tradingbot_runtime.control.file import FileControl
    from tradingbot_runtime.control.kubernetes import ApiServer, KubernetesControl
    from tradingbot_runtime.control.none import NoControl

    if start.control == "none":
        return NoControl()
    if start.control.startswith("file:"):
        return FileControl(Path(start.control.removeprefix("file:")))
    server = ApiServer.in_cluster(os.environ)
    config = start.config
    return KubernetesControl(server, config.bot, config.broker.account, rng=rng, grant=config.grant)


def _control_name(text: str, environment: Mapping[str, str]) -> str:
    if text == "auto":
        return "kubernetes" if environment.get("KUBERNETES_SERVICE_HOST") else "none"
    if text == "none" or (text.startswith("file:") and len(text) > len("file:")):
        return text
    if text != "kubernetes":
        raise WrongConfig("InvalidOptions", f"--control {text}: write kubernetes, file:PATH, none or auto")
    if not environment.get("KUBERNETES_SERVICE_HOST"):
        raise WrongConfig(
            "InvalidOptions",
            "--control kubernetes needs a pod (KUBERNETES_SERVICE_HOST is not set): use file:PATH or none",
        )
    return text
