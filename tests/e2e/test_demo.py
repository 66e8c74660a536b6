"""What a newcomer sees first: `make demo`, word for word as the README has it."""

import os
import re
import subprocess
from pathlib import Path

from e2e.lab import Cluster

ROOT = Path(__file__).parents[2]


def _demo() -> str:
    """In a newcomer's shell, which has no KUBECONFIG yet, unless the cluster is one's own."""
    own = os.environ.get("CLUSTER") == "existing"
    shell = {name: value for name, value in os.environ.items() if own or name != "KUBECONFIG"}
    done = subprocess.run(
        ["make", "demo"], cwd=ROOT, env=shell, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return done.stdout


def test_the_demo_trades_says_what_to_do_next_and_can_be_run_again(cluster: Cluster) -> None:
    screen = _demo()
    assert "The bot has traded" in screen
    assert re.search(r"^momentum +paper +paper +Active +True ", screen, re.MULTILINE)
    assert "kubectl annotate bot momentum -n demo tradingbots.dev/kill=" in screen
    kubeconfig = re.search(r"export KUBECONFIG=(\S+)", screen)
    assert os.environ.get("CLUSTER") == "existing" or (kubeconfig and Path(kubeconfig.group(1)).exists())
    assert "there already" in _demo()
