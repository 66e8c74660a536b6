"""What tests make in a namespace: accounts, bots, and the status a kubelet would give to a bot's pod."""

import itertools
import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from api_server import ApiServer, Json, Refused, eventually
from operator_process import REPORT_PORT

CHILDREN = ("ServiceAccount", "Role", "RoleBinding", "Service", "NetworkPolicy", "ConfigMap", "StatefulSet")
_hosts = itertools.count(1)


class FakeRuntime:
    """Answers GET /status as a bot's pod would, on an address of its own."""

    def __init__(self, report: Json) -> None:
        self.report: Json | None = report
        self.address = "127.77.{}.{}".format(*divmod(next(_hosts), 250))
        runtime = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = json.dumps(runtime.report).encode()
                self.send_response(200 if runtime.report is not None and self.path == "/status" else 503)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                return

        self._server = ThreadingHTTPServer((self.address, REPORT_PORT), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class World:
    """One namespace."""

    def __init__(self, api: ApiServer, namespace: str) -> None:
        self.api = api
        self.namespace = namespace
        self._runtimes: list[FakeRuntime] = []

    def close(self) -> None:
        for runtime in self._runtimes:
            runtime.close()

    # ------------------------------------------------------------------ making

    def account(self, name: str = "sim", annotations: dict[str, str] | None = None, **spec: Any) -> str:
        document = {
            "apiVersion": "tradingbots.dev/v1alpha1",
            "kind": "BrokerAccount",
            "metadata": {"name": name, "annotations": annotations or {}},
            "spec": {
                "provider": "simulator",
                "environment": "paper",
                "credentialsSecretRef": {"name": "keys"},
                "baseURL": "http://alpaca-simulator:8080",
                **spec,
            },
        }
        self.api.apply(document, self.namespace)
        return name

    def live_account(self, name: str) -> str:
        document = {
            "apiVersion": "tradingbots.dev/v1alpha1",
            "kind": "BrokerAccount",
            "metadata": {"name": name},
            "spec": {"provider": "alpaca", "environment": "live", "credentialsSecretRef": {"name": "keys"}},
        }
        self.api.apply(document, self.namespace)
        return name

    def gate(self, name: str = "standard", **spec: Any) -> str:
        document = {
            "apiVersion": "tradingbots.dev/v1alpha1",
            "kind": "PromotionGate",
            "metadata": {"name": name},
            "spec": spec,
        }
        self.api.apply(document, self.namespace)
        return name

    def bot(self, name: str, account: str = "sim", annotations: dict[str, str] | None = None, **spec: Any) -> str:
        document = {
            "apiVersion": "tradingbots.dev/v1alpha1",
            "kind": "TradingBot",
            "metadata": {"name": name, "annotations": annotations or {}},
            "spec": {
                "strategy": {"name": "momentum", "parameters": {"lookback": 20}},
                "symbols": ["AAPL", "MSFT"],
                "capital": "10000",
                "accounts": {"paper": account},
                **spec,
            },
        }
        self.api.apply(document, self.namespace)
        return name

    def younger_bot(self, name: str, *, than: str, **spec: Any) -> str:
        """A bot that is younger by the clock of the API server, which counts whole seconds."""
        made = self.get("TradingBot", than)["metadata"]["creationTimestamp"]
        moment = datetime.fromisoformat(made)
        eventually(lambda: datetime.now(UTC) - moment > timedelta(seconds=1.1), "a second has passed")
        return self.bot(name, **spec)

    # ----------------------------------------------------------------- looking

    def get(self, kind: str, name: str) -> Json:
        return self.api.get(kind, name, self.namespace)

    def child(self, bot: str, kind: str = "StatefulSet") -> Json:
        return self.get(kind, f"{bot}-bot")

    def condition(self, name: str, kind: str = "Ready", of: str = "TradingBot") -> Json:
        conditions = self.get(of, name).get("status", {}).get("conditions", [])
        return next((entry for entry in conditions if entry["type"] == kind), {})

    def wait_for_condition(
        self, name: str, kind: str, status: str, reason: str = "", *, of: str = "TradingBot", seconds: float = 20
    ) -> Json:
        def look() -> Json | None:
            found = self.condition(name, kind, of)
            is_it = found.get("status") == status and reason in ("", found.get("reason"))
            return found if is_it else None

        try:
            found = eventually(look, f"{of} {name} has {kind}={status} {reason}", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; it is: {self.condition(name, kind, of)}") from None
        assert found is not None
        return found

    def wait_for_children(self, bot: str) -> dict[str, Json]:
        return {
            kind: eventually(lambda kind=kind: self._child_or_none(bot, kind), f"{bot} has its {kind}")
            for kind in CHILDREN
        }

    def wait_for_pod(self, bot: str) -> Json:
        return eventually(lambda: self.get("Pod", f"{bot}-bot-0"), f"{bot} has a pod")

    def _child_or_none(self, bot: str, kind: str) -> Json:
        return self.child(bot, kind)

    # --------------------------------------------------- what a kubelet would do

    def set_pod_status(self, bot: str, **status: Any) -> None:
        """As the administrator: there is no kubelet here, and this is the API it would use."""
        self.wait_for_pod(bot)
        self.api.patch("Pod", f"{bot}-bot-0", {"status": status}, self.namespace, "status")

    def set_container(self, bot: str, *, phase: str = "Pending", **container: Any) -> None:
        status = {"name": "bot", "image": "tradingbot-runtime:test", "imageID": "", "ready": False, "restartCount": 0}
        self.set_pod_status(
            bot,
            phase=phase,
            conditions=[{"type": "PodScheduled", "status": "True"}],
            containerStatuses=[{**status, **container}],
        )

    def run(self, bot: str, **changes: Any) -> FakeRuntime:
        """The bot's pod runs and answers with a healthy report; `changes` by their names in the report."""
        uid = self.get("TradingBot", bot)["metadata"]["uid"]
        runtime = FakeRuntime(a_report(self.namespace, bot, uid) | changes)
        self._runtimes.append(runtime)
        self.run_again(bot, runtime)
        return runtime

    def run_again(self, bot: str, runtime: FakeRuntime) -> None:
        """A new pod of the bot runs, and its runtime answers there."""
        running = {"ready": True, "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}
        self.set_container(bot, phase="Running", **running)
        self.set_pod_status(bot, podIP=runtime.address, podIPs=[{"ip": runtime.address}])


def a_report(namespace: str, bot: str, uid: str) -> Json:
    return {
        "namespace": namespace,
        "name": bot,
        "uid": uid,
        "mode": "paper",
        "version": "0.1.0",
        "startedAt": "2026-01-01T00:00:00Z",
        "ready": True,
        "tradingState": "Active",
        "brokerConnected": True,
        "streamConnected": True,
        "account": {"equity": "10100.50", "cash": "5000", "dayPnl": "100.50"},
        "positions": [{"symbol": "AAPL", "qty": "10", "averageEntryPrice": "150", "marketValue": "1550"}],
        "recentOrders": [],
        "openOrders": 1,
        "filledOrders": 7,
        "lastReconciliation": {"at": "2026-01-01T00:00:01Z", "result": "Clean"},
    }


__all__ = ["CHILDREN", "FakeRuntime", "Refused", "World", "a_report"]
