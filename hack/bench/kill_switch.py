"""From an annotation at a real API server to a bot that is flat: one bot, fifty at once, with the operator and without.

The operator, the API server, the simulator and every bot are processes of their own. Beside it: what no kill can do
without, a bare watch's delivery and a bare cancel and close-position. Goals are told, never asserted.
"""

from __future__ import annotations

import json
import random
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import partial
from http.client import HTTPConnection, HTTPResponse
from itertools import cycle, islice
from os import kill as send_signal
from pathlib import Path

from bench.harness import Bench, Measurement, Scale
from bench.kill_books import Books, Ended, books_of, ending_of
from bench.kill_fleet import (
    MERGE_PATCH,
    ORDERS,
    REPORT_PORT,
    SHARES,
    SYMBOLS_OF_A_BOT,
    TRADINGBOTS,
    Armed,
    Bot,
    Node,
    Place,
    armed,
    node,
    symbol_of,
    until,
    wait_for_pods,
    write,
)
from bench.operator_cluster import ApiServer, ControlPlane, Json, Running, control_plane
from bench.programs import DEADLINE_SECONDS, Program, cable, key_headers, simulator
from bench.runtime_signals import percentile
from free_ports import free_ports

KILLS_A_REPEAT = 20
TOGETHER_A_REPEAT = 10
RUN_TOGETHER = 10
"""Of the bots that are killed one by one, so many run at a time: idle ones take their share of the processor, too."""
SPEED = 20
"""Market time to machine time. A market order waits for the next second's quote, 50 ms at most; a session, 19 min."""
KILL = "tradingbots.dev/kill"
_OPEN = "2026-03-02T09:30:30-05:00"
_BARE = 2
_CASH = "1000000000"


class Operator(StrEnum):
    """How the operator is when the kill comes."""

    ALIVE = "alive"
    DEAD = "dead"
    PARTITIONED = "partitioned"


@dataclass(frozen=True)
class Killed:
    """Milliseconds of one bot's kill, each from the sending of the annotation."""

    cancelled: float
    """To the broker's word that the last order is cancelled."""
    flat: float
    """To the broker's word that the last share is gone."""
    reported: float
    """To the time that the bot gives for having verified it."""


@dataclass
class Found:
    """What was measured with the operator in one state."""

    one: list[Killed] = field(default_factory=list)
    together: list[Killed] = field(default_factory=list)
    bare_cancelled: list[float] = field(default_factory=list)
    """Milliseconds: a watch's delivery and a cancel's round trip."""
    bare_flat: list[float] = field(default_factory=list)
    """Milliseconds: the same, and a closing's, to the broker's word that it is done."""
    watch: list[float] = field(default_factory=list)
    """Milliseconds: the watch's delivery alone."""


def simulator_config(symbols: int) -> Json:
    """A market that runs, with an account for each place and one for what is measured bare."""
    accounts = [
        {"name": f"bench-{number}", "key_id": f"PKBENCH{number}", "secret_key": "bench-secret", "cash": _CASH}
        for number in range(_BARE + 1)
    ]
    assets = [{"symbol": symbol_of(number), "price": "40", "yearly_volatility": 0.1} for number in range(symbols)]
    return {
        "clock": {"mode": "scaled", "start": _OPEN, "speed": SPEED},
        "accounts": accounts,
        "assets": assets,
        "limits": {"orders_ever": 1_000_000, "requests_per_minute": 0},
    }


def milliseconds(began: float, ended: Ended, flat_at: str) -> Killed:
    """A kill that began at `began`; `flat_at` is the bot's own word, RFC 3339."""
    reported = datetime.fromisoformat(flat_at).timestamp()
    return Killed((ended.cancelled_at - began) * 1000, (ended.flat_at - began) * 1000, (reported - began) * 1000)


def annotate(api: ApiServer, path: str, key: str, value: str) -> float:
    """Annotates an object; the machine's time at which that was sent, on a connection made for it."""
    body = json.dumps({"metadata": {"annotations": {key: value}}}).encode()
    with closing(api.connect()) as connection:
        connection.connect()
        began = time.time()
        connection.request("PATCH", f"/{path}", body, {"Content-Type": MERGE_PATCH})
        response = connection.getresponse()
        answer = response.read()
    if response.status != 200:
        raise RuntimeError(f"{path} was not annotated: {answer[:500]!r}")
    return began


class Bare:
    """What is measured beside: a watch of one object, and an order and a position of nobody's."""

    def __init__(self, api: ApiServer, bot: Bot, broker: Program, books: Books) -> None:
        self._path = bot.path
        self._api = api
        self._watch = _watch_of(api, bot)
        self._broker = HTTPConnection("127.0.0.1", broker.port, timeout=DEADLINE_SECONDS)
        self._books = books
        self._count = 0

    def measure(self, found: Found) -> None:
        """One sample of each, in milliseconds."""
        delivered = self._delivery()
        cancelled, flat = self._at_the_broker()
        found.watch.append(delivered * 1000)
        found.bare_cancelled.append((delivered + cancelled) * 1000)
        found.bare_flat.append((delivered + cancelled + flat) * 1000)

    def _delivery(self) -> float:
        self._count += 1
        value = str(self._count)
        began = annotate(self._api, self._path, "bench/at", value)
        while True:
            raw = json.loads(self._watch.readline())["object"]
            if raw["metadata"].get("annotations", {}).get("bench/at") == value:
                return time.time() - began

    def _at_the_broker(self) -> tuple[float, float]:
        symbol = symbol_of(0)
        order = {"symbol": symbol, "side": "buy", "time_in_force": "day"}
        bought = self._ask("POST", "/v2/orders", order | {"qty": SHARES, "type": "market"})["id"]
        self._books.wait(lambda: self._is_filled(bought), "a bare order's fill")
        waiting = self._ask("POST", "/v2/orders", order | {"qty": "1", "type": "limit", "limit_price": "1"})["id"]
        began = time.time()
        self._ask("DELETE", f"/v2/orders/{waiting}")
        cancelled = time.time()
        closing = self._ask("DELETE", f"/v2/positions/{symbol}")["id"]
        self._books.wait(lambda: self._is_filled(closing), "a bare closing's fill")
        filled_at = next(one.at for one in self._books.told if one.order_id == closing and one.event == "fill")
        return cancelled - began, filled_at - cancelled

    def _is_filled(self, order_id: str) -> bool:
        return any(one.order_id == order_id and one.event == "fill" for one in self._books.told)

    def _ask(self, method: str, path: str, document: Json | None = None) -> Json:
        body = json.dumps(document).encode() if document is not None else None
        self._broker.request(method, path, body, key_headers(_BARE))
        response = self._broker.getresponse()
        answer = response.read()
        if response.status >= 300:
            raise RuntimeError(f"{method} {path} was answered with {response.status}: {answer[:300]!r}")
        return json.loads(answer) if answer else {}


def _watch_of(api: ApiServer, bot: Bot) -> HTTPResponse:
    collection = bot.path.rpartition("/")[0]
    selector = f"fieldSelector=metadata.name%3D{bot.name}"
    version = json.loads(api.request("GET", f"{collection}?{selector}"))["metadata"]["resourceVersion"]
    connection = api.connect()
    path = f"/{collection}?watch=1&timeoutSeconds=3600&resourceVersion={version}&{selector}"
    connection.request("GET", path, headers={"Accept": "application/json"})
    return connection.getresponse()


@dataclass
class _Setting:
    """The operator in one state, and the bots that are killed meanwhile."""

    plane: ControlPlane
    state: Operator
    kills: int
    together: int
    net: int
    found: Found = field(default_factory=Found)

    def __post_init__(self) -> None:
        self.namespace = f"kill-{self.state}"
        self.lonely = self._bots("lonely", 0, self.kills)
        self.crowd = self._bots("crowd", 1, self.together)
        self.bare = self._bots("bare", _BARE, 1)

    def _bots(self, account: str, number: int, count: int) -> list[Bot]:
        place = Place(self.namespace, account, number)
        return [Bot(place, index, self.net) for index in range(count)]

    def run(self) -> Found:
        """Writes the bots with the operator's help, puts the operator into its state, and kills."""
        api, everybody = self.plane.api, [*self.lonely, *self.crowd, *self.bare]
        port = free_ports(1)[0]
        host, _, api_port = api.url.removeprefix("https://").partition(":")
        ends = [(("127.0.0.1", port), (host, int(api_port)))]
        ends += [((one.seen_at, REPORT_PORT), (one.address, REPORT_PORT)) for one in everybody]
        api.request("POST", "api/v1/namespaces", {"metadata": {"name": self.namespace}})
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-kill-")))
            symbols = SYMBOLS_OF_A_BOT * max(self.kills, self.together)
            broker = stack.enter_context(simulator(simulator_config(symbols)))
            line = stack.enter_context(cable(ends))
            operator = stack.enter_context(self.plane.operator(f"https://127.0.0.1:{port}"))
            for bots in (self.lonely, self.crowd, self.bare):
                write(api, bots[0].place, bots, broker.port)
            wait_for_pods(self.plane, self.namespace, len(everybody))
            stack.enter_context(_in(self.state, operator, line))
            host_of_bots = stack.enter_context(node(api, folder))
            self._kill_all(api, host_of_bots, broker)
            _check(self.state, operator)
        return self.found

    def _kill_all(self, api: ApiServer, host: Node, broker: Program) -> None:
        with books_of(broker.port, 0) as books, books_of(broker.port, _BARE) as bare_books:
            bare = Bare(api, self.bare[0], broker, bare_books)
            for first in range(0, self.kills, RUN_TOGETHER):
                with armed(host, self.lonely[first : first + RUN_TOGETHER], broker.port) as bots:
                    for bot in bots:
                        bare.measure(self.found)
                        began = annotate(api, bot.bot.path, KILL, "bench")
                        self.found.one += _ended([bot], books, began)
        with books_of(broker.port, 1) as books, armed(host, self.crowd, broker.port) as bots:
            account = f"{TRADINGBOTS}/namespaces/{self.namespace}/brokeraccounts/{self.crowd[0].place.account}"
            began = annotate(api, account, KILL, "bench")
            self.found.together += _ended(bots, books, began)
        for number in (0, 1):
            _verify_flat(broker, number)


@contextmanager
def _in(state: Operator, operator: Running, line: Program) -> Iterator[None]:
    """The operator is in that state; afterwards it can be ended."""
    if state is Operator.DEAD:
        operator.kill()
    if state is Operator.PARTITIONED:
        send_signal(line.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        send_signal(line.pid, signal.SIGCONT)


def _check(state: Operator, operator: Running) -> None:
    if (operator.process.poll() is None) is (state is Operator.DEAD):
        raise RuntimeError(f"the operator is not {state}")


def _ended(bots: Sequence[Armed], books: Books, began: float) -> list[Killed]:
    """Waits for the end of each, as the broker tells it and as the bot does."""

    def look(one: Armed) -> Ended | None:
        return ending_of(list(books.told), one.order_ids, frozenset(one.bot.symbols), began)

    killed = []
    for one in bots:
        books.wait(partial(look, one), f"the end of {one.bot.name}: {ORDERS} cancels and flat")
    for one in bots:
        until(partial(_flat_at, one.bot), f"{one.bot.name} says that it is flat")
        ended = look(one)
        if ended is None:
            raise RuntimeError(f"{one.bot.name} is no longer flat")
        killed.append(milliseconds(began, ended, _flat_at(one.bot)))
    return killed


def _flat_at(bot: Bot) -> str:
    return str((bot.report().get("kill") or {}).get("flatAt") or "")


def _verify_flat(broker: Program, account: int) -> None:
    """By what the broker's books hold at the end, not by what was told on the way."""
    connection = HTTPConnection("127.0.0.1", broker.port, timeout=DEADLINE_SECONDS)
    for path in ("/v2/positions", "/v2/orders?status=open"):
        connection.request("GET", path, headers=key_headers(account))
        left = json.loads(connection.getresponse().read())
        if left:
            raise RuntimeError(f"{path} of account {account} is not empty: {left[:2]}")
    connection.close()


def run(scale: Scale) -> Iterator[Measurement]:
    """Milliseconds from an annotation to what came of it, with the operator in each state."""
    kills, together = scale.repeats * KILLS_A_REPEAT, scale.repeats * TOGETHER_A_REPEAT
    net = 2 * random.randrange(40, 120)  # noqa: S311  (no secrets: two runs at once must not share addresses)
    with control_plane() as plane:
        for state in Operator:
            yield from _figures(state, _Setting(plane, state, kills, together, net).run())


def _figures(state: Operator, found: Found) -> Iterator[Measurement]:
    yield Measurement(f"operator {state}: a bare watch's delivery", "ms", tuple(found.watch))
    yield from _both(f"operator {state}: a bare watch, cancel and closing", found.bare_flat, "", ())
    parts: tuple[tuple[str, Callable[[Killed], float], str, list[float]], ...] = (
        ("last cancel", lambda one: one.cancelled, "a bare watch and cancel", found.bare_cancelled),
        ("flat", lambda one: one.flat, "a bare watch, cancel and closing", found.bare_flat),
        ("flat, as the bot says", lambda one: one.reported, "a bare watch, cancel and closing", found.bare_flat),
    )
    for who, killed in (("one bot", found.one), (f"{len(found.together)} bots", found.together)):
        for what, value, beside, bare in parts:
            samples = [value(one) for one in killed]
            yield from _both(f"operator {state}, {who}: {what}", samples, beside, bare)


def _both(what: str, samples: Sequence[float], beside: str, bare: Sequence[float]) -> Iterator[Measurement]:
    """The middle and the 99th percentile. What stands beside is taken in the order it was measured, around again."""
    yield Measurement(what, "ms", tuple(samples), beside, tuple(islice(cycle(bare), len(samples))))
    high = (percentile(list(bare), 99),) if bare else ()
    yield Measurement(f"{what}, p99", "ms", (percentile(list(samples), 99),), beside, high)


BENCH = Bench("kill-switch", "a kill by annotation, with and without operator", 600, run)
