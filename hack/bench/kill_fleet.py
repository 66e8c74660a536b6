"""The bots that are killed: written by the real operator, run as processes of their own, with orders and positions.

Plays the node, as there is no kubelet: it starts a pod's program and says where that answers. Kills nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from bench.operator_cluster import ApiServer, ControlPlane, Json, end_with_us
from bench.programs import HACK, KEYS, ask, key_headers, request_bytes
from tradingbot_runtime.core.orders import client_order_id

TRADINGBOTS = "apis/tradingbots.dev/v1alpha1"
MERGE_PATCH = "application/merge-patch+json"
ORDERS = 5
SYMBOLS_OF_A_BOT = 2
SHARES = "10"
REPORT_PORT = 8080
_DEADLINE_SECONDS = 180.0


@dataclass(frozen=True)
class Place:
    """Where a bot trades: a namespace, its BrokerAccount, and the account of that number at the simulator."""

    namespace: str
    account: str
    number: int


@dataclass(frozen=True)
class Bot:
    """A TradingBot of the bench; the `index`th of its place."""

    place: Place
    index: int
    net: int
    """Part of its address, so that no two places share one."""

    @property
    def name(self) -> str:
        """The TradingBot's."""
        return f"{self.place.account}-{self.index:03}"

    @property
    def symbols(self) -> tuple[str, ...]:
        """Nobody else's on its account."""
        return tuple(symbol_of(self.index * SYMBOLS_OF_A_BOT + one) for one in range(SYMBOLS_OF_A_BOT))

    @property
    def address(self) -> str:
        """Where its process answers."""
        return f"127.{self.net}.{self.place.number}.{self.index + 1}"

    @property
    def seen_at(self) -> str:
        """Where the operator finds it: the near end of the cable."""
        return f"127.{self.net + 1}.{self.place.number}.{self.index + 1}"

    @property
    def path(self) -> str:
        """Of its TradingBot."""
        return f"{TRADINGBOTS}/namespaces/{self.place.namespace}/tradingbots/{self.name}"

    def report(self) -> Json:
        """What it says of itself."""
        with urllib.request.urlopen(f"http://{self.address}:{REPORT_PORT}/status", timeout=10) as answer:
            found: Json = json.load(answer)
        return found


@dataclass(frozen=True)
class Armed:
    """A bot that runs and has something to lose: the broker's ids of its open orders."""

    bot: Bot
    order_ids: frozenset[str]


def symbol_of(number: int) -> str:
    """A symbol of the bench's own."""
    return "K" + chr(65 + number // 26) + chr(65 + number % 26)


def write(api: ApiServer, place: Place, bots: Sequence[Bot], simulator_port: int) -> None:
    """An account and its bots, as a person writes them."""
    collection = f"{TRADINGBOTS}/namespaces/{place.namespace}"
    account = {
        "apiVersion": "tradingbots.dev/v1alpha1",
        "kind": "BrokerAccount",
        "metadata": {"name": place.account},
        "spec": {
            "provider": "simulator",
            "environment": "paper",
            "credentialsSecretRef": {"name": "keys"},
            "baseURL": f"http://127.0.0.1:{simulator_port}",
        },
    }
    api.request("POST", f"{collection}/brokeraccounts", account)
    for bot in bots:
        document = {
            "apiVersion": "tradingbots.dev/v1alpha1",
            "kind": "TradingBot",
            "metadata": {"name": bot.name},
            "spec": {
                # Nothing doubles in two days: it holds what it is given, and opens nothing.
                "strategy": {"name": "momentum", "parameters": {"lookback": 2, "threshold_percent": 100}},
                "symbols": list(bot.symbols),
                "capital": "10000",
                "onKill": "Flatten",
                "accounts": {"paper": place.account},
            },
        }
        api.request("POST", f"{collection}/tradingbots", document)


def wait_for_pods(plane: ControlPlane, namespace: str, count: int) -> None:
    """Until the operator has written every child, and Kubernetes a pod for each."""
    path = f"apis/apps/v1/namespaces/{namespace}/statefulsets"
    until(lambda: plane.api.count(path) >= count, f"{count} StatefulSets")
    with plane.controller_manager(["statefulset-controller"]):
        until(lambda: plane.api.count(f"api/v1/namespaces/{namespace}/pods") >= count, f"{count} pods")


class Node:
    """Starts and stops the processes of bots."""

    def __init__(self, api: ApiServer, folder: Path, process: subprocess.Popen[str]) -> None:
        self._api = api
        self._folder = folder
        self._process = process
        self._asked, self._answers = _piped(process)

    def start(self, bot: Bot) -> int:
        """A bot's pod runs from now on; gives its process."""
        folder = self._folder / f"{bot.place.namespace}-{bot.name}"
        folder.mkdir()
        namespace, child = bot.place.namespace, f"{bot.name}-bot"
        config = json.loads(self._api.request("GET", f"api/v1/namespaces/{namespace}/configmaps/{child}"))
        (folder / "bot.yaml").write_text(config["data"]["bot.yaml"], encoding="utf-8")
        host, _, port = self._api.url.removeprefix("https://").partition(":")
        listen = f"{bot.address}:{REPORT_PORT}"
        options = ["--config", str(folder / "bot.yaml"), "--state", str(folder / "state"), "--listen", listen]
        pod = {
            "arguments": ["run", *options, "--control", "kubernetes"],
            "token": self._api.token(namespace, child),
            "authority": self._api.authority.decode(),
            "log": str(folder / "log"),
            "environment": {
                "KUBERNETES_SERVICE_HOST": host,
                "KUBERNETES_SERVICE_PORT": port,
                "APCA_API_KEY_ID": f"PKBENCH{bot.place.number}",
                "APCA_API_SECRET_KEY": KEYS[1],
            },
        }
        return int(self._ask(pod)["pid"])

    def say_running(self, bot: Bot) -> None:
        """As its kubelet: the pod runs, and this is its address."""
        container = {"name": "bot", "image": "bench", "imageID": "", "ready": True, "restartCount": 0}
        status = {
            "phase": "Running",
            "conditions": [{"type": "PodScheduled", "status": "True"}],
            "containerStatuses": [{**container, "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}],
            "podIP": bot.seen_at,
            "podIPs": [{"ip": bot.seen_at}],
        }
        path = f"api/v1/namespaces/{bot.place.namespace}/pods/{bot.name}-bot-0/status"
        self._api.request("PATCH", path, {"status": status}, MERGE_PATCH, groups=("system:masters", "system:nodes"))

    def stop(self, pid: int) -> None:
        """SIGTERM, and waits for its end."""
        self._ask({"stop": pid})

    def last_words(self, bot: Bot) -> str:
        """The end of its log."""
        return (self._folder / f"{bot.place.namespace}-{bot.name}" / "log").read_text(errors="replace")[-1500:]

    def _ask(self, what: Json) -> Json:
        self._asked.write(json.dumps(what) + "\n")
        self._asked.flush()
        answer: Json = json.loads(self._answers.readline())
        return answer


def _piped(process: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the host has no pipes")
    return process.stdin, process.stdout


@contextmanager
def node(api: ApiServer, folder: Path) -> Iterator[Node]:
    """A node; whatever runs on it ends with it."""
    # Threads do not live through a fork.
    environment = {**os.environ, "PYTHONPATH": str(HACK), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "bench.bot_host"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, preexec_fn=end_with_us, **pipes) as process:  # type: ignore[call-overload]
        try:
            json.loads(process.stdout.readline())
            yield Node(api, folder, process)
        finally:
            process.stdin.close()
            process.wait(_DEADLINE_SECONDS)


def _is_active(host: Node, bot: Bot) -> str:
    return f"{bot.name} is Active: {host.last_words(bot)}"


def _knows_its_orders(bot: Bot) -> str:
    return f"{bot.name} knows its orders: {_said(bot)}"


@contextmanager
def armed(host: Node, bots: Sequence[Bot], simulator_port: int) -> Iterator[list[Armed]]:
    """The bots run, each with a position in each of its symbols and with open orders, and know of them."""
    started: list[int] = []
    try:
        for bot in bots:
            started.append(host.start(bot))
        for bot in bots:
            until(partial(_has_looked, bot), partial(_is_active, host, bot))
            host.say_running(bot)
        found = [Armed(bot, _give(bot, simulator_port)) for bot in bots]
        for bot in bots:
            until(partial(_knows_of_it, bot), partial(_knows_its_orders, bot))
        yield found
    finally:
        for pid in started:
            host.stop(pid)


def _has_looked(bot: Bot) -> bool:
    report = _said(bot)
    return bool(report.get("ready") and report["tradingState"] == "Active" and report.get("lastBarAt"))


def _said(bot: Bot) -> Json:
    try:
        return bot.report()
    except OSError:
        return {}


def _knows_of_it(bot: Bot) -> bool:
    report = _said(bot)
    return report.get("openOrders") == ORDERS and len(report["positions"]) == SYMBOLS_OF_A_BOT


def _give(bot: Bot, simulator_port: int) -> frozenset[str]:
    """Under ids of the bot's own, so that it takes them for what they are; gives the broker's ids of the open ones."""
    uid = bot.report()["uid"]
    bought = [{"symbol": symbol, "qty": SHARES, "type": "market", "time_in_force": "day"} for symbol in bot.symbols]
    waiting = [
        {"symbol": bot.symbols[one % 2], "qty": "1", "type": "limit", "limit_price": "1", "time_in_force": "gtc"}
        for one in range(ORDERS)
    ]
    requests = []
    for number, order in enumerate([*bought, *waiting], 1):
        document = {**order, "side": "buy", "client_order_id": client_order_id(uid, "paper", 0, number)}
        body = json.dumps(document).encode()
        requests.append(request_bytes("POST", "/v2/orders", key_headers(bot.place.number), body))
    answers = [json.loads(answer) for answer in ask(simulator_port, requests)]
    return frozenset(one["id"] for one in answers[len(bought) :])


def until(look: Callable[[], object], what: str | Callable[[], str]) -> None:
    """Waits until `look` finds what it looks for."""
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while not look():
        if time.monotonic() > deadline:
            raise RuntimeError(f"after {_DEADLINE_SECONDS:.0f} s not so: {what if isinstance(what, str) else what()}")
        time.sleep(0.05)
