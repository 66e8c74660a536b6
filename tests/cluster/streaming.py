"""Litestream as the operator runs it beside a bot, and an S3 on this machine for it to write to."""

import hashlib
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml

from cache_folder import cache_folder
from free_ports import free_ports
from tradingbot_operator.plan import PlanSettings
from tradingbot_operator.plan.litestream import CONFIG_PATH, SOCKET
from tradingbot_operator.settings import Litestream
from unit.operator.world import IMAGE, a_bot, an_account, child, plan

Json = dict[str, Any]

_SCRIPT = Path(__file__).parents[2] / "hack/cluster/cluster.sh"
_BUCKET = "trading-state"
_DEADLINE_SECONDS = 60.0
_KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}


@cache
def _bin() -> Path:
    subprocess.run([str(_SCRIPT), "build", "litestream"], check=True, timeout=1800)
    return cache_folder() / "bin"


def settings(endpoint: str = "") -> PlanSettings:
    """An operator that was started with the option."""
    return PlanSettings(
        runtime_image=IMAGE,
        litestream=Litestream(
            image="litestream/litestream:0.5.18",
            url=f"s3://{_BUCKET}/production",
            credentials_secret="litestream",
            endpoint=endpoint,
            region="us-east-1",
        ),
    )


class Bucket:
    """An S3 whose content outlives it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_ports(1)[0]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def up(self) -> None:
        command = [
            *(str(_bin() / "gofakes3"), "-host", f"127.0.0.1:{self._port}", "-quiet"),
            *("-backend", "bolt", "-bolt.db", str(self._folder / "s3.db"), "-initialbucket", _BUCKET),
        ]
        with (self._folder / "s3.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    def down(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@dataclass
class Companion:
    """Litestream's container of one bot: command, config and probe as rendered, on paths of this machine."""

    folder: Path
    volume: Path
    container: Json
    config: str

    @classmethod
    def of(cls, folder: Path, volume: Path, bucket: Bucket, bot: Json | None = None) -> "Companion":
        made = plan(bot or a_bot(), account=an_account(), settings=settings(bucket.endpoint))
        _, container = child(made, "StatefulSet")["spec"]["template"]["spec"]["containers"]
        folder.mkdir(exist_ok=True)
        (config,) = [one["value"] for one in container["env"] if one["name"] == "CONFIG"]
        return cls(folder, volume, container, config)

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        command = [self._here(part) for part in self.container["command"]]
        with (self.folder / "litestream.log").open("ab") as log:
            started = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)
        try:
            yield started
        finally:
            started.kill()
            started.wait()

    def probe(self) -> subprocess.Popen[bytes]:
        """The liveness probe, as the kubelet runs it: 0 once everything is in the bucket."""
        command = [self._here(part) for part in self.container["livenessProbe"]["exec"]["command"]]
        silent = subprocess.DEVNULL
        return subprocess.Popen(command, env=self._environment, stdout=silent, stderr=silent)

    def until_in_the_bucket(self) -> None:
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while self.probe().wait(timeout=30) != 0:
            assert time.monotonic() < deadline, (self.folder / "litestream.log").read_text()[-2000:]
            time.sleep(0.1)

    def restore(self, target: Path, *arguments: str) -> float:
        """`litestream restore` of what the bucket has, as docs/how-to/backups-and-restore.md says; its seconds."""
        began = time.monotonic()
        target.parent.mkdir(parents=True, exist_ok=True)
        (replica,) = [one["replica"] for one in yaml.safe_load(self.config)["dbs"]]
        place = urlencode({"endpoint": replica["endpoint"], "region": replica["region"], "forcePathStyle": "true"})
        command = ["litestream", "restore", *arguments, "-o", str(target), f"{replica['url']}?{place}"]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return time.monotonic() - began

    def staged_bytes(self) -> int:
        """What waits on the bot's volume for the bucket."""
        notes = self.volume / "paper/.state.db-litestream"
        return sum(path.stat().st_size for path in notes.rglob("*.ltx"))

    @property
    def _environment(self) -> dict[str, str]:
        # Nothing of this machine's own settings for Amazon's clients.
        path = os.pathsep.join((str(_bin()), os.environ["PATH"]))
        return {"PATH": path, "HOME": str(self.folder), "CONFIG": self._here(self.config), **_KEYS}

    def _here(self, text: str) -> str:
        places = {
            "/var/lib/tradingbot": str(self.volume),
            SOCKET: str(self.folder / "s"),
            CONFIG_PATH: str(self.folder / "litestream.yml"),
        }
        for there, here in places.items():
            text = text.replace(there, here)
        return text


def with_checksum(backup: Path) -> Path:
    """`sha256sum NAME > NAME.sha256`, which makes a backup of a file that was fetched."""
    digest = hashlib.sha256(backup.read_bytes()).hexdigest()
    backup.with_name(f"{backup.name}.sha256").write_text(f"{digest}  {backup.name}\n")
    return backup
