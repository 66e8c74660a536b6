"""What tests make in a namespace: accounts, bots, and the status a kubelet would give to a bot's pod."""

import itertools
import json
import threading
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from api_server import ApiServer, Json, Refused, eventually
from operator_process import REPORT_PORT

CHILDREN = ("ServiceAccount", "Role", "RoleBinding", "Service", "NetworkPolicy", "ConfigMap", "StatefulSet")
OPERATOR = "system:serviceaccount:tradingbot-system:tradingbot-operator"
_hosts = itertools.count(1)


class FakeRuntime:
    """Answers GET /status and /sessions as a bot's pod would, on an address of its own."""

    def __init__(self, report: Json) -> None:
        self.report: Json | None = report
        self.sessions: Json = {"sessions": []}
        runtime = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                pages = {"/status": runtime.report, "/sessions": runtime.sessions}
                page = pages.get(self.path.partition("?")[0])
                body = json.dumps(page).encode()
                self.send_response(200 if page is not None else 503)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                return

        self._server = _on_an_address_of_its_own(Handler)
        self.address = str(self._server.server_address[0])
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _on_an_address_of_its_own(handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    for host in itertools.islice(_hosts, 100):
        # Where these tests run twice on one machine, the other run has taken some of the addresses.
        with suppress(OSError):
            return ThreadingHTTPServer(("127.77.{}.{}".format(*divmod(host, 250)), REPORT_PORT), handler)
    raise AssertionError("no address of 127.77.0.0/16 is free")


class World:
    """One namespace."""

    def __init__(self, api: ApiServer, namespace: str) -> None:
        self.api = api
        self.namespace = namespace
        self.runtimes: list[FakeRuntime] = []
        self._identities = ExitStack()

    def close(self) -> None:
        self._identities.close()
        for runtime in self.runtimes:
            runtime.close()

    @cached_property
    def _kubelet(self) -> ApiServer:
        return self._identities.enter_context(self.api.as_user("kubelet", "system:masters", "system:nodes"))

    @cached_property
    def _past_the_fences(self) -> ApiServer:
        return self._identities.enter_context(self.api.as_user(OPERATOR, "system:masters"))

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

    def tamper(self, kind: str, name: str, change: Json) -> Json:
        """A change that the policies refuse, as it is found where one was missing for a while."""
        return self._past_the_fences.patch(kind, name, change, self.namespace)

    def smuggle(self, document: Json) -> Json:
        """Makes what the policies refuse."""
        return self._past_the_fences.create(document, self.namespace)

    # ----------------------------------------------------------------- looking

    def get(self, kind: str, name: str) -> Json:
        return self.api.get(kind, name, self.namespace)

    def child(self, bot: str, kind: str = "StatefulSet") -> Json:
        return self.get(kind, f"{bot}-bot")

    def condition(self, name: str, kind: str = "Ready", of: str = "TradingBot") -> Json:
        conditions = self.get(of, name).get("status", {}).get("conditions", [])
        return next((entry for entry in conditions if entry["type"] == kind), {})

    def wait_for_condition(
        self, name: str, kind: str, status: str, reason: str = "", *, of: str = "TradingBot", seconds: float = 60
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
        """As a node: there is no kubelet here, and this is the API it would use."""
        self.wait_for_pod(bot)
        self._kubelet.patch("Pod", f"{bot}-bot-0", {"status": status}, self.namespace, "status")

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
        self.runtimes.append(runtime)
        self.run_again(bot, runtime)
        return runtime

    def end_job(self, job: str, message: Json | str, *, exit_code: int = 0, image: str = "") -> Json:
        """The pod that the Job controller made for a Job has run this image, and left these last words."""
        # By its uid: the pod of a former Job of this name may still be going away.
        uid = eventually(lambda: self.get("Job", job), f"there is a Job {job}")["metadata"]["uid"]
        selector = f"batch.kubernetes.io/controller-uid={uid}"
        (pod,) = eventually(lambda: self.api.list("Pod", self.namespace, labelSelector=selector), f"{job} has a pod")
        said = message if isinstance(message, str) else json.dumps(message)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        ended = {"exitCode": exit_code, "message": said, "startedAt": now, "finishedAt": now, "reason": "Completed"}
        container = {"name": pod["spec"]["containers"][0]["name"], "image": "i", "imageID": image, "ready": False}
        status = {
            "phase": "Failed" if exit_code else "Succeeded",
            "containerStatuses": [{**container, "restartCount": 0, "state": {"terminated": ended}}],
        }
        self._kubelet.patch("Pod", pod["metadata"]["name"], {"status": status}, self.namespace, "status")
        return pod

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
