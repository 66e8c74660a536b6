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
        ["make", "demo"], cwd=ROOT, env=shell, capture_output=True, text=True, timeout=1100, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return done.stdout


def test_the_demo_goes_from_paper_to_an_approved_promotion_to_a_kill_and_can_be_run_again(cluster: Cluster) -> None:
    # A former demo's bot is killed, and stays so.
    cluster.run("delete", "namespace", "demo", "--ignore-not-found", "--timeout=300s", timeout_seconds=310)
    screen = _demo()
    assert re.search(r"^Gate demo: (GO|REVIEW), score ", screen, re.MULTILINE)
    assert re.search(r"^BrokerAudit +Blocking +Pass +([3-9][0-9]|[0-9]{3,}) match", screen, re.MULTILINE)
    assert "the bot stays on paper: GO, 0 of 1 approvals" in screen
    assert "approver: alice" in screen
    assert re.search(r"^momentum +live +live +Active +True ", screen, re.MULTILINE)
    assert "flat by the broker's own word" in screen
    assert re.search(r"^momentum +live +paper +(Halted +)?False +Killed ", screen, re.MULTILINE)
    assert "kubectl annotate bot momentum -n demo tradingbots.dev/kill=" in screen
    kubeconfig = re.search(r"export KUBECONFIG=(\S+)", screen)
    assert os.environ.get("CLUSTER") == "existing" or (kubeconfig and Path(kubeconfig.group(1)).exists())
    again = _demo()
    assert "there already" in again
    assert "The demo runs, and its bot is killed." in again
