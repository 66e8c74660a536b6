"""The operator as it runs in a pod: a process with its own credentials, watched only through its ports and log."""

import os
import re
import signal
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path

from api_server import eventually
from nursery import ForkedOperator, Nursery

from free_ports import free_ports

REPORT_PORT = 18999
_WRITES = {"PATCH", "POST", "PUT", "DELETE"}


class OperatorProcess:
    """`tradingbot-operator run`, started and stopped at will; for one namespace, or for all."""

    def __init__(
        self,
        kubeconfig: Path,
        log: Path,
        *,
        namespace: str | None = None,
        nursery: Nursery | None = None,
        lease: str | None = None,
        resync_seconds: float = 1,
    ) -> None:
        """`lease` names the Lease that it shares with other replicas; without one it is the only replica."""
        self._kubeconfig = kubeconfig
        self._scope = ["--all-namespaces"] if namespace is None else ["--namespace", namespace]
        self._election = ["--standalone"] if lease is None else ["--leader-elect", "--lease-name", lease]
        self._resync_seconds = resync_seconds
        self._nursery = nursery
        self.log = log
        self._process: subprocess.Popen[bytes] | ForkedOperator | None = None
        self._probe_port = self._metrics_port = 0

    def start(self) -> None:
        """Starts it and waits until it has listed everything."""
        self.launch()
        eventually(self._is_ready, "the operator is ready")

    def launch(self) -> None:
        """Starts it and does not wait."""
        # Anew each time: while it was down, somebody else may have taken what it had.
        self._probe_port, self._metrics_port = free_ports(2)
        options = {
            "--runtime-image": "tradingbot-runtime:test",
            "--listen": "127.0.0.1",
            "--liveness-port": str(self._probe_port),
            "--metrics-port": str(self._metrics_port),
            "--resync-seconds": str(self._resync_seconds),
            "--lease-namespace": "tradingbot-system",
            "--report-poll-seconds": "1",
            "--report-port": str(REPORT_PORT),
        }
        arguments = ["run", *self._scope, *self._election, *(part for option in options.items() for part in option)]
        environment = {**os.environ, "KUBECONFIG": str(self._kubeconfig)}
        for name in ("KUBERNETES_SERVICE_HOST", "PYTHONTRACEMALLOC"):
            environment.pop(name, None)
        if self._nursery is not None:
            self._process = self._nursery.spawn(arguments, environment, self.log)
            return
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "tradingbot_operator.cli", *arguments]
            self._process = subprocess.Popen(command, stderr=log, env=environment)

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def ensure_running(self) -> None:
        """Starts it again if a test stopped it."""
        if not self.is_running:
            self.start()

    def pause(self) -> None:
        """SIGSTOP: it stands still where it is."""
        self._signal(signal.SIGSTOP)

    def wake(self) -> None:
        """SIGCONT: it goes on where it was."""
        self._signal(signal.SIGCONT)

    def ending(self, timeout_seconds: float = 60) -> int:
        """Waits until it ends by itself; its exit code."""
        assert self._process is not None
        code = self._process.wait(timeout=timeout_seconds)
        self._process = None
        return code

    def kill(self) -> None:
        """SIGKILL: nothing is finished, nothing is said."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        if self._process is None:
            return 0
        self._process.send_signal(number)
        return self.ending()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric over the series with these labels."""
        total = 0.0
        for line in self._get(self._metrics_port, "/metrics").splitlines():
            match = re.fullmatch(r"(\w+?)(?:\{(.*)\})? (\S+)", line)
            if match and match[1] == f"tradingbot_operator_{name}":
                found = dict(re.findall(r'(\w+)="([^"]*)"', match[2] or ""))
                if all(found.get(key) == value for key, value in labels.items()):
                    total += float(match[3])
        return total

    def writes(self) -> float:
        """How many writes it has sent since it started, but for those that keep the Lease."""
        leases = sum(self.metric("api_calls_total", verb=verb, resource="leases") for verb in _WRITES)
        return sum(self.metric("api_calls_total", verb=verb) for verb in _WRITES) - leases

    @property
    def is_leading(self) -> bool:
        """Whether it may write."""
        return self.metric("leader") == 1

    def readiness(self) -> str:
        """What /readyz says."""
        return self._get(self._probe_port, "/readyz")

    def wait_until_calm(self, sweeps: int = 3) -> float:
        """Waits until nothing is due and it wrote nothing over some sweeps; returns the writes so far."""
        before: tuple[float, float] | None = None

        def is_calm() -> bool:
            nonlocal before
            now = (self.writes(), self.metric("sweeps_total"))
            if before is None or now[0] != before[0] or self.metric("queue_due"):
                before = now
            return now[1] >= before[1] + sweeps

        eventually(is_calm, "the operator is calm", 120)
        return self.writes()

    def _is_ready(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise AssertionError(f"the operator ended with {self._process.returncode}: {self.log.read_text()[-2000:]}")
        return self.readiness().startswith("ok") and self._get(self._probe_port, "/healthz") == "ok"

    @staticmethod
    def _get(port: int, path: str) -> str:
        connection = HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()
