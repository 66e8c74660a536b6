"""The operator as it runs in a pod: a process with its own credentials, watched only through its ports and log."""

import os
import re
import signal
import socket
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path

from api_server import eventually

REPORT_PORT = 18999
_WRITES = {"PATCH", "POST", "PUT", "DELETE"}


class OperatorProcess:
    """`tradingbot-operator run`, started and stopped at will."""

    def __init__(self, kubeconfig: Path, log: Path) -> None:
        self._kubeconfig = kubeconfig
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._probe_port, self._metrics_port = _free_ports(2)

    def start(self) -> None:
        """Starts it and waits until it has listed everything."""
        command = [sys.executable, "-m", "tradingbot_operator.cli", "run", "--all-namespaces", "--standalone"]
        options = {
            "--runtime-image": "tradingbot-runtime:test",
            "--listen": "127.0.0.1",
            "--liveness-port": str(self._probe_port),
            "--metrics-port": str(self._metrics_port),
            "--resync-seconds": "1",
            "--report-poll-seconds": "1",
            "--report-port": str(REPORT_PORT),
        }
        arguments = [part for option in options.items() for part in option]
        environment = {**os.environ, "KUBECONFIG": str(self._kubeconfig)}
        for name in ("KUBERNETES_SERVICE_HOST", "PYTHONTRACEMALLOC"):
            environment.pop(name, None)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen([*command, *arguments], stderr=log, env=environment)
        eventually(self._is_ready, "the operator is ready", 30)

    def ensure_running(self) -> None:
        """Starts it again if a test stopped it."""
        if self._process is None or self._process.poll() is not None:
            self.start()

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
        code = self._process.wait(timeout=20)
        self._process = None
        return code

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
        """How many writes it has sent since it started."""
        return sum(self.metric("api_calls_total", verb=verb) for verb in _WRITES)

    def wait_until_calm(self, sweeps: int = 3) -> float:
        """Waits until nothing is due and it wrote nothing over some sweeps; returns the writes so far."""
        before: tuple[float, float] | None = None

        def is_calm() -> bool:
            nonlocal before
            now = (self.writes(), self.metric("sweeps_total"))
            if before is None or now[0] != before[0] or self.metric("queue_due"):
                before = now
            return now[1] >= before[1] + sweeps

        eventually(is_calm, "the operator is calm", 60)
        return self.writes()

    def _is_ready(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise AssertionError(f"the operator ended with {self._process.returncode}: {self.log.read_text()[-2000:]}")
        return self._get(self._probe_port, "/readyz") == "ok" and self._get(self._probe_port, "/healthz") == "ok"

    @staticmethod
    def _get(port: int, path: str) -> str:
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for entry in sockets:
            entry.bind(("127.0.0.1", 0))
        return [entry.getsockname()[1] for entry in sockets]
    finally:
        for entry in sockets:
            entry.close()
