"""`tradingbot`: runs a bot, checks a config, verifies a state. Turns every way to fail into words and an exit code."""

import asyncio
import os
import random
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
import yaml
from pydantic import ValidationError

from tradingbot_api import EX_CONFIG, EX_STATE, Mode, RuntimeConfig, TerminationMessage
from tradingbot_runtime import __version__
from tradingbot_runtime.state_cli import state_app
from tradingbot_runtime.strategies.contract import Strategy
from tradingbot_runtime.strategies.registry import InvalidStrategyParameters, UnknownStrategy, load

MAX_CONFIG_BYTES = 1024 * 1024
_DEFAULT_TERMINATION_LOG = Path("/dev/termination-log")

app = typer.Typer(
    name="tradingbot",
    help="Runs one trading bot: its data, strategy, orders, state, reconciliation and kill.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(state_app, name="state")


class WrongConfig(Exception):
    """What the bot was told is wrong: a restart does not help."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Address:
    """Where to listen."""

    host: str
    port: int


@app.command()
def run(
    config: Annotated[Path, typer.Option(help="The bot's config, a RuntimeConfig in YAML.", dir_okay=False)],
    state: Annotated[Path, typer.Option(help="Directory of the bot's state; made when missing.", file_okay=False)],
    control: Annotated[
        str,
        typer.Option(
            help="Where a kill and a pause come from: kubernetes (its own TradingBot and BrokerAccount),"
            " file:PATH (YAML such as `kill: why` or `paused: true`), none,"
            " or auto: kubernetes in a pod, none elsewhere."
        ),
    ] = "auto",
    listen: Annotated[
        str, typer.Option(help="HOST:PORT for /healthz, /readyz, /metrics and /status.")
    ] = "127.0.0.1:8080",
) -> None:
    """Run a bot until SIGTERM or Ctrl-C.

    The broker's keys come from APCA_API_KEY_ID and APCA_API_SECRET_KEY. On SIGTERM an order that is being sent is
    waited for (3 s at most); open orders stay open, and the next start finds them.

    Exit codes: 0 ended as asked; 78 the config is wrong; 65 the state cannot be used; 1 anything else. The last two
    words, reason and message, also go to $TERMINATION_MESSAGE_PATH as JSON.

    Try it:  alpaca-simulator serve --session-seconds 30
             tradingbot run --config bot.yaml --state ./state --control file:control.yaml
    """
    from tradingbot_runtime.state import StateFailure  # with alpaca-py below: only `run` pays for these imports

    try:
        _run(_Start.checked(config, state, control, listen, os.environ))
    except WrongConfig as error:
        _end(EX_CONFIG, error.reason, str(error))
    except StateFailure as error:
        _end(EX_STATE, error.reason, str(error))


@app.command("check-config")
def check_config(
    config: Annotated[Path, typer.Option(help="The bot's config, a RuntimeConfig in YAML.", dir_okay=False)],
) -> None:
    """Check a config, with the strategy's own parameters, and say what it would run. Changes nothing."""
    try:
        checked = read_config(config)
        strategy = load_strategy(checked)
    except WrongConfig as error:
        _fail(EX_CONFIG, error.reason, str(error))
    typer.echo(
        f"{config} is right: bot {checked.bot.namespace}/{checked.bot.name} runs {checked.strategy.name}"
        f" on {', '.join(checked.symbols)} ({checked.timeframe.value} bars, {strategy.lookback} of them)"
        f" with {checked.capital} on account {checked.broker.account} in mode {checked.mode.value}"
    )


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    """The console script."""
    # Process 1 of a container ignores signals nobody handles; until the loop runs, SIGTERM simply ends us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    app()


def read_config(path: Path) -> RuntimeConfig:
    """The config in a YAML file. Raises WrongConfig with every field that is wrong."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_CONFIG_BYTES + 1)
    except OSError as error:
        raise WrongConfig("ConfigUnreadable", f"{path} cannot be read: {error.strerror}") from error
    if len(text) > MAX_CONFIG_BYTES:
        raise WrongConfig("ConfigUnreadable", f"{path} is larger than {MAX_CONFIG_BYTES} bytes")
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        raise WrongConfig("InvalidYAML", f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise WrongConfig("InvalidConfig", f"{path} holds no RuntimeConfig: write fields such as `bot:` and `symbols:`")
    try:
        return RuntimeConfig.model_validate(document)
    except ValidationError as error:
        raise WrongConfig("InvalidConfig", f"{path}: {_fields(error)}") from error


def load_strategy(config: RuntimeConfig) -> Strategy[Any]:
    """The config's strategy. Raises WrongConfig."""
    try:
        return load(config.strategy.name, config.strategy.parameters)
    except (UnknownStrategy, InvalidStrategyParameters) as error:
        raise WrongConfig(type(error).__name__, str(error)) from error


@dataclass(frozen=True)
class _Start:
    """All that a start needs, checked before anything is opened."""

    config: RuntimeConfig
    strategy: Strategy[Any]
    state: Path
    control: str
    listen: Address
    key_id: str
    secret_key: str

    @classmethod
    def checked(cls, config: Path, state: Path, control: str, listen: str, environment: Mapping[str, str]) -> "_Start":
        checked = read_config(config)
        strategy = load_strategy(checked)
        if checked.mode is Mode.LIVE:
            raise WrongConfig(
                "LiveNotGranted",
                "mode: live trading needs a grant, and this release grants none: set mode: paper",
            )
        return cls(
            checked,
            strategy,
            state,
            _control_name(control, environment),
            _address(listen),
            *_keys(environment),
        )


def _run(start: _Start) -> None:
    from tradingbot_runtime.state import Database, DirectoryLock, holder_of_this_process

    holder = holder_of_this_process(os.environ, datetime.now(UTC))
    with DirectoryLock(start.state, holder):
        database = Database.open(start.state, start.config.bot.uid, start.config.mode.value)
        try:
            asyncio.run(_serve(start, database))
        finally:
            database.close()


async def _serve(start: _Start, database: Any) -> None:
    from tradingbot_runtime.app import App
    from tradingbot_runtime.broker.alpaca import AlpacaBroker
    from tradingbot_runtime.broker.connection import Credentials
    from tradingbot_runtime.core.engine import Engine
    from tradingbot_runtime.ops import logs
    from tradingbot_runtime.ops.http import CannotListen, StatusServer, Views

    config = start.config
    logs.configure(config.bot.name, config.bot.namespace)
    rng = random.Random()  # noqa: S311 (jitter, not secrets)
    control = _control(start, rng)
    engine = Engine(config, start.strategy, database.recover(), watched=control.watched)
    broker = AlpacaBroker(config.broker, Credentials(start.key_id, start.secret_key), rng=rng)
    bot = App(config, engine, database, broker, control, rng=rng)
    server = StatusServer(
        start.listen.host, start.listen.port, Views(bot.report, bot.heartbeat_age_seconds, bot.metrics)
    )
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
        broker.close()


def _control(start: _Start, rng: random.Random) -> Any:
    from tradingbot_runtime.control.file import FileControl
    from tradingbot_runtime.control.kubernetes import ApiServer, KubernetesControl
    from tradingbot_runtime.control.none import NoControl

    if start.control == "none":
        return NoControl()
    if start.control.startswith("file:"):
        return FileControl(Path(start.control.removeprefix("file:")))
    server = ApiServer.in_cluster(os.environ)
    return KubernetesControl(server, start.config.bot, start.config.broker.account, rng=rng)


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


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise WrongConfig("InvalidOptions", f"--listen {text}: write HOST:PORT, such as 127.0.0.1:8080")
    return Address(host.strip("[]"), int(port))


def _keys(environment: Mapping[str, str]) -> tuple[str, str]:
    names = ("APCA_API_KEY_ID", "APCA_API_SECRET_KEY")
    keys = [environment.get(name, "").strip() for name in names]
    missing = [name for name, key in zip(names, keys, strict=True) if not key]
    if missing:
        raise WrongConfig(
            "MissingCredentials",
            f"{' and '.join(missing)} not set: put both keys into the account's Secret, or into the environment",
        )
    return keys[0], keys[1]


def _fields(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(str(part) for part in problem['loc']) or 'config'}: {problem['msg']}"
        for problem in error.errors(include_url=False)
    )


def _end(code: int, reason: str, message: str) -> NoReturn:
    """Last words for the operator, then the end."""
    last_words = TerminationMessage(reason=reason[:128], message=message[:1024])
    path = Path(os.environ.get("TERMINATION_MESSAGE_PATH") or _DEFAULT_TERMINATION_LOG)
    if "TERMINATION_MESSAGE_PATH" in os.environ or path.exists():
        try:
            path.write_text(last_words.model_dump_json(by_alias=True))
        except OSError as error:
            typer.echo(f"cannot write {path}: {error.strerror}", err=True)
    _fail(code, reason, message)


def _fail(code: int, reason: str, message: str) -> NoReturn:
    typer.echo(f"{reason}: {message}", err=True)
    raise typer.Exit(code)
