"""The admin API and its page: what a person sees of the simulator, and what the page may never do."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpaca_simulator.api.messages import Request
from unit.simulator.faulty_floor import FaultyFloor
from unit.simulator.floor import Floor

HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>\"'`${alert(3)}"


def page(floor: Floor) -> tuple[str, dict[str, str]]:
    response = floor.simulator.rest.handle(Request("GET", "/admin"))
    assert response.status == 200
    return response.body.decode(), dict(response.headers)


class Parts(HTMLParser):
    """What a page is made of."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.inline: dict[str, list[str]] = {"script": [], "style": []}
        self.handlers: list[str] = []
        self.ids: list[str] = []
        self.labels: set[str] = set()
        self.fields: set[str] = set()
        self._inside: str | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given_ = dict(attrs)
        self.links += [value or "" for name, value in attrs if name in {"src", "href", "action", "srcset"}]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag == "label":
            self.labels.add(given_.get("for") or "")
        if tag in {"select", "textarea", "input"}:
            self.fields.add(given_.get("id") or "")
        self._inside = tag if tag in self.inline else self._inside

    def handle_endtag(self, tag: str) -> None:
        self._inside = None if tag == self._inside else self._inside

    def handle_data(self, data: str) -> None:
        if self._inside is not None:
            self.inline[self._inside].append(data)


# -- faults over the admin API --------------------------------------------------------------


def test_rules_are_added_listed_counted_and_removed() -> None:
    floor = FaultyFloor()
    first, second = floor.fault("status", status=503, skip=1, name="mine"), floor.fault("empty_body", count=1)
    floor.client("GET", "/v2/account")
    listed = floor.get("/admin/faults").body
    assert [(one["id"], one["seen"], one["injected"], one["spent"]) for one in listed] == [
        ("mine", 1, 0, False),
        ("fault-1", 1, 1, True),
    ]
    assert listed[0]["rule"] == {"kind": "status", "name": "mine", "skip": 1, "status": 503}
    assert floor.get(f"/admin/faults/{second}").body["rule"] == {"kind": "empty_body", "count": 1}
    assert floor.delete(f"/admin/faults/{first}").status == 204
    assert [one["id"] for one in floor.get("/admin/faults").body] == [second]
    assert floor.delete("/admin/faults").status == 204
    assert floor.get("/admin/faults").body == []


def test_the_log_is_read_on_from_a_number() -> None:
    floor = FaultyFloor()
    floor.fault("status", status=503)
    for _ in range(5):
        floor.client("GET", "/v2/account")
    numbers = [line["number"] for line in floor.get("/admin/faults/log", after=2, limit=2).body["log"]]
    assert numbers == [3, 4]
    assert [line["number"] for line in floor.get("/admin/faults/log", limit=2).body["log"]] == [4, 5]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/admin/faults/nothing", 404),
        ("DELETE", "/admin/faults/nothing", 404),
        ("PUT", "/admin/faults", 404),
        ("GET", "/admin/interventions", 404),
        ("POST", "/admin/scenario", 404),
        ("GET", "/admin/faults/log?limit=many", 422),
        ("GET", "/admin/faults/log?after=-1", 422),
        ("GET", "/admin/view?account=nobody", 404),
    ],
)
def test_what_makes_no_sense_is_a_4xx_in_alpacas_shape(method: str, path: str, status: int) -> None:
    address, _, query = path.partition("?")
    answer = Floor().simulator.rest.handle(Request(method, address, query))
    assert answer.status == status
    assert set(json.loads(answer.body)) == {"code", "message"}


@given(
    st.sampled_from(["/admin/faults", "/admin/interventions"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["kind", "match", "status", "seconds", "symbol", "account", "order", "count", "x"]),
                inner | st.sampled_from(["status", "halt", "hang", "foreign_order", "SPY", "paper", "position_change"]),
                max_size=5,
            )
        ),
        max_leaves=8,
    ),
)
@settings(max_examples=150, deadline=None)
def test_no_body_makes_the_admin_api_fail(path: str, body: Any) -> None:
    floor = Floor()
    answer = floor.send("POST", path, json.dumps(body).encode())
    assert answer.status in {200, 403, 404, 422}
    assert floor.get("/admin/view").status == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_of_another_site_changes_nothing(site: str) -> None:
    floor = Floor()
    foreign = Request("POST", "/admin/faults", headers={"sec-fetch-site": site}, body=b'{"kind": "hang"}')
    assert floor.simulator.rest.handle(foreign).status == 403
    assert floor.get("/admin/faults").body == []


# -- what is honestly not there -------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/accounts", 501, 50110000),
        ("/v1beta1/news", 501, 50110000),
        ("/v1beta1/options/snapshots/SPY", 501, 50110000),
        ("/v1beta1/screener/stocks/movers", 501, 50110000),
        ("/v1beta3/crypto/us/latest/trades", 501, 50110000),
        ("/v1beta9/nothing", 404, 40410000),
        ("/v7/account", 404, 40410000),
        ("/", 404, 40410000),
        ("//", 404, 40410000),
    ],
)
def test_paths_that_alpaca_has_and_this_has_not_say_so(path: str, status: int, code: int) -> None:
    answer = Floor().get(path)
    assert (answer.status, answer.code) == (status, code)


@pytest.mark.parametrize("path", ["/stream", "/v2/iex", "/v2/sip", "/v2/test"])
def test_a_plain_request_where_a_stream_is_says_what_is_missing(path: str) -> None:
    answer = Floor().get(path)
    assert (answer.status, answer.message) == (400, "websocket upgrade required")


# -- the view -------------------------------------------------------------------------------


def test_the_view_has_what_a_person_wants_to_see() -> None:
    floor = FaultyFloor().holding("SPY", 5)
    assert isinstance(floor, FaultyFloor)
    floor.buy("TLT", 1, limit=5, client_order_id=HOSTILE)
    floor.intervene("halt", symbol="AAPL")
    floor.fault("lose_update", match={"events": ["fill"]})
    stream = floor.listening()
    floor.client("GET", "/v2/account")
    view = floor.get("/admin/view").body
    paper, live = view["accounts"]
    assert (paper["name"], live["name"], view["account_count"]) == ("paper", "live", 2)
    assert [one["client_order_id"] for one in paper["open_orders"]] == [HOSTILE]
    assert [(one["symbol"], one["qty"]) for one in paper["positions"]] == [("SPY", "5")]
    assert paper["rate_limit"] == {"per_minute": 200, "trading": 1, "data": 0}
    assert [(one["symbol"], one["side"], one["qty"], one["account"]) for one in view["fills"]] == [
        ("SPY", "buy", "5", "paper")
    ]
    assert view["halts"] == [{"symbol": "AAPL", "code": "T1", "reason": "Halt News Pending"}]
    assert view["clock"]["mode"] == "stepped"
    assert [one["rule"]["kind"] for one in view["faults"]] == ["lose_update"]
    assert [(one["stream"], one["account"], one["listening"], one["frames_sent"]) for one in view["streams"]] == [
        ("trade_updates", "paper", True, 2)
    ]
    assert "secret" not in json.dumps(view)
    stream.close()
    assert floor.get("/admin/view").body["streams"] == []


def test_the_view_cuts_what_may_be_many_and_says_how_many_there_are() -> None:
    accounts = [{"name": f"a{n}", "key_id": f"PK{n}", "secret_key": "s"} for n in range(30)]
    floor = Floor(accounts=accounts)
    floor.keys = {"APCA-API-KEY-ID": "PK0", "APCA-API-SECRET-KEY": "s"}
    for _ in range(60):
        floor.buy("TLT", 1, limit=5)
    view = floor.get("/admin/view").body
    assert (len(view["accounts"]), view["account_count"]) == (20, 30)
    assert (len(view["accounts"][0]["open_orders"]), view["accounts"][0]["open_order_count"]) == (50, 60)
    assert [one["name"] for one in floor.get("/admin/view", account="a29").body["accounts"]] == ["a29"]


# -- the page -------------------------------------------------------------------------------


def test_the_page_loads_nothing_from_anywhere() -> None:
    html, headers = page(Floor())
    parts = Parts(html)
    assert [link for link in parts.links if link != "data:,"] == []
    assert not re.search(r"https?://|@import|url\(", html)
    assert headers["Content-Type"] == "text/html; charset=UTF-8"


def test_the_pages_policy_lets_its_own_script_and_style_run_and_nothing_else() -> None:
    html, headers = page(Floor())
    parts = Parts(html)
    policy = dict(rule.partition(" ")[::2] for rule in headers["Content-Security-Policy"].split("; "))
    for kind in ("script", "style"):
        digest = hashlib.sha256("".join(parts.inline[kind]).encode()).digest()
        assert policy[f"{kind}-src"] == f"'sha256-{base64.b64encode(digest).decode()}'"
    assert policy["default-src"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert parts.handlers == []


def test_nothing_that_a_client_sent_is_in_the_page_or_made_into_markup_by_it() -> None:
    floor = FaultyFloor()
    before, _ = page(floor)
    floor.buy("TLT", 1, limit=5, client_order_id=HOSTILE)
    floor.fault("status", status=503, message=HOSTILE)
    after, _ = page(floor)
    assert after == before
    (script,) = Parts(after).inline["script"]
    for dangerous in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "srcdoc"):
        assert dangerous not in script
    assert "textContent" in script


def test_json_with_markup_in_it_is_never_served_as_a_page() -> None:
    floor = FaultyFloor()
    floor.buy("TLT", 1, limit=5, client_order_id=HOSTILE)
    for path in ("/admin/view", "/admin/state", "/admin/accounts/paper/orders", f"/admin/accounts/{HOSTILE}/orders"):
        assert floor.get(path).raw.headers["Content-Type"].startswith("application/json")


def test_every_field_of_the_page_has_a_label_and_every_id_is_there_once() -> None:
    parts = Parts(page(Floor())[0])
    assert parts.fields
    assert parts.fields <= parts.labels
    assert len(parts.ids) == len(set(parts.ids))


def test_the_script_only_speaks_of_elements_that_the_page_has_and_of_rules_that_can_be_read() -> None:
    parts = Parts(page(Floor())[0])
    (script,) = parts.inline["script"]
    named = set(re.findall(r'\bat\("([a-z-]+)"\)', script)) | set(re.findall(r'\bfill\("([a-z-]+)"', script))
    assert named <= set(parts.ids)
    for rule in re.findall(r"^  \[\"[^\"]+\", (\{.*\})\],$", script, re.MULTILINE):
        as_json = re.sub(r"([{ ,])(\w+):", r'\1"\2":', rule)
        assert Floor().send("POST", "/admin/faults", as_json.encode()).status == 200, rule
