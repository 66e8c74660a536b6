"""Brings up the demo: a cluster, the operator, the simulator and a bot that trades, and shows what it does.

Every step says what it does, how long that usually takes, and what is there already. Must never touch a namespace
that is not the demo's, nor start a killed bot anew without being told to.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.markup import escape
from rich.table import Table

import demo_cluster
import demo_promotion
from demo_cluster import IMAGES, OPERATOR_IMAGE, ROOT, RUNTIME_IMAGE, STATE, Cluster, CommandFailedError, NoClusterError
from demo_promotion import Sight
from tradingbot_api import KILL_ANNOTATION, TradingBotStatus

OPERATOR_NAMESPACE = "tradingbot-system"
SIMULATOR_NAMESPACE = "alpaca-simulator"
NAMESPACE = "demo"
NAMESPACES = (OPERATOR_NAMESPACE, SIMULATOR_NAMESPACE, NAMESPACE)
BOT = "momentum"
SKIP_CANCEL = "tradingbots.dev/skip-cancel-on-delete"
BOTS = "tradingbots.tradingbots.dev"
IMAGE_ANNOTATION = "tradingbots.dev/demo-image"
"""On what runs an image of ours: which one, so that a new image under the old name is noticed."""
MARKET_ANNOTATION = "tradingbots.dev/demo-market"
"""On the demo's namespace: the simulator's process whose books the bot's state belongs to."""
ROLLOUT_SECONDS = 180
FILL_SECONDS = 300
POLL_SECONDS = 2.0
HOPELESS_RESTARTS = 3
INTERRUPTED = 130

Json = dict[str, Any]
console = Console(highlight=False, soft_wrap=True)


class DemoFailedError(Exception):
    """The demo did not get where it should; the message says how far it came."""


# What is seen ----------------------------------------------------------------


def positions_table(status: TradingBotStatus) -> Table | str:
    """What the bot holds, or a line that says nothing."""
    if not status.positions:
        return "Holds nothing at the moment."
    table = Table(title="What it holds", title_justify="left", box=None, pad_edge=False)
    for heading in ("symbol", "shares", "bought at", "worth"):
        table.add_column(heading, justify="left" if heading == "symbol" else "right")
    for held in status.positions:
        table.add_row(held.symbol, _number(held.qty), _number(held.average_entry_price), _number(held.market_value))
    return table


def orders_table(status: TradingBotStatus) -> Table | str:
    """The last orders, or a line that says there are none."""
    if not status.recent_orders:
        return "No orders yet."
    table = Table(title="Its last orders", title_justify="left", box=None, pad_edge=False)
    for heading in ("market time", "side", "symbol", "shares", "filled", "at", "status"):
        table.add_column(heading, justify="right" if heading in ("shares", "filled", "at") else "left")
    for order in status.recent_orders:
        price = order.filled_average_price
        table.add_row(
            order.created_at.removesuffix("Z").replace("T", " ")[:16],
            *(order.side, order.symbol, _number(order.qty), _number(order.filled_qty), _number(price), order.status),
        )
    return table


def _number(value: Decimal | None) -> str:
    if value is None:
        return "-"
    text = f"{value:,.4f}".rstrip("0").rstrip(".")
    return text if "." not in text or len(text.split(".")[1]) > 1 else f"{value:,.2f}"


def next_commands(cluster: Cluster, environment: Mapping[str, str]) -> list[tuple[str, str]]:
    """Commands to try, with what each does."""
    lines = []
    if environment.get("KUBECONFIG") != cluster.kubeconfig and cluster.name != "existing":
        lines.append((f"export KUBECONFIG={shlex.quote(cluster.kubeconfig)}", "for the commands below"))
    folder, _, name = cluster.kubectl.rpartition("/")
    if folder and folder not in environment.get("PATH", "").split(":"):
        lines.append((f'export PATH="$PATH:{folder}"', f"where {name} is"))
    return [
        *lines,
        (f"kubectl get bots -n {NAMESPACE} -w", "watch it trade"),
        (f"kubectl describe bot {BOT} -n {NAMESPACE}", "why it is in the state it is in"),
        (f"kubectl logs {BOT}-bot-0 -n {NAMESPACE} -f", "what it does, line by line"),
        (
            f"kubectl annotate bot {BOT} -n {NAMESPACE} {KILL_ANNOTATION}=enough",
            "stop it, with or without the operator",
        ),
        ("make demo-down", "remove the demo"),
    ]


def with_images(documents: Sequence[Json], images: Mapping[str, str]) -> list[Json]:
    """The same objects with image names replaced, wherever they stand: containers and the operator's environment."""

    def renamed(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: renamed(entry) for key, entry in value.items()}
        if isinstance(value, list):
            return [renamed(entry) for entry in value]
        return images.get(value, value) if isinstance(value, str) else value

    return [renamed(document) for document in documents]


def with_image_annotation(documents: Sequence[Json], image_ids: Mapping[str, str]) -> list[Json]:
    """Deployments whose pods are replaced when the image under their image's name is another than before."""
    return [_marked(document, image_ids) if document["kind"] == "Deployment" else document for document in documents]


def _marked(deployment: Json, image_ids: Mapping[str, str]) -> Json:
    template = deployment["spec"]["template"]
    image = template["spec"]["containers"][0]["image"]
    if image not in image_ids:
        return deployment
    metadata = template.get("metadata") or {}
    annotations = {**(metadata.get("annotations") or {}), IMAGE_ANNOTATION: image_ids[image]}
    template = {**template, "metadata": {**metadata, "annotations": annotations}}
    return {**deployment, "spec": {**deployment["spec"], "template": template}}


def market_of(pods: Sequence[Json]) -> str:
    """Names the simulator's process: its market and its books begin and end with it. Empty where none runs."""
    for pod in pods:
        for container in pod.get("status", {}).get("containerStatuses", []):
            if container.get("ready"):
                return f"{pod['metadata']['uid']}/{container.get('restartCount', 0)}"
    return ""


def pod_trouble(pods: Sequence[Json]) -> str:
    """What the first pod that is not well says of itself; empty where all are."""
    for pod in pods:
        name = pod["metadata"]["name"]
        for container in pod.get("status", {}).get("containerStatuses", []):
            waiting = container.get("state", {}).get("waiting", {})
            if waiting.get("reason") and waiting["reason"] != "ContainerCreating":
                return f"pod {name}: {waiting['reason']} {waiting.get('message', '')}".strip()
            if container.get("state", {}).get("terminated"):
                return f"pod {name}: ended, {container['state']['terminated'].get('reason', 'Error')}"
        for condition in pod.get("status", {}).get("conditions", []):
            if condition["type"] == "PodScheduled" and condition["status"] == "False":
                return f"pod {name}: {condition.get('message', 'not scheduled')}"
    return ""


def is_hopeless(pods: Sequence[Json]) -> bool:
    """Whether a pod is started again and again without success: waiting longer does not help."""
    containers = [entry for pod in pods for entry in pod.get("status", {}).get("containerStatuses", [])]
    return any(
        entry.get("restartCount", 0) >= HOPELESS_RESTARTS
        and entry.get("state", {}).get("waiting", {}).get("reason") == "CrashLoopBackOff"
        for entry in containers
    )


# The cluster -----------------------------------------------------------------


class Kubectl:
    """kubectl on the demo's cluster."""

    def __init__(self, cluster: Cluster) -> None:
        """Uses the cluster's own kubectl and kubeconfig, whatever the user's are."""
        self._command = [cluster.kubectl, f"--kubeconfig={cluster.kubeconfig}"]

    def __call__(self, *arguments: str, document: str | None = None, limit_seconds: float = 60) -> str:
        """Output of kubectl; raises CommandFailedError with its words."""
        try:
            done = subprocess.run(
                [*self._command, *arguments],
                input=document,
                capture_output=True,
                text=True,
                check=False,
                timeout=limit_seconds,
            )
        except subprocess.TimeoutExpired as error:
            raise CommandFailedError(["kubectl", *arguments], -1, f"no answer in {limit_seconds:g} s") from error
        if done.returncode != 0:
            raise CommandFailedError(["kubectl", *arguments], done.returncode, done.stderr)
        return done.stdout

    def get(self, *arguments: str) -> Json:
        """An object or a list as JSON; empty where it is not there."""
        text = self("get", *arguments, "--ignore-not-found", "--output=json")
        found: Json = json.loads(text) if text.strip() else {}
        return found

    def items(self, *arguments: str) -> list[Json]:
        """The objects of a list."""
        items: list[Json] = self.get(*arguments).get("items", [])
        return items

    def apply(self, folder: str, images: Mapping[str, str], image_ids: Mapping[str, str]) -> None:
        """Applies a kustomization, as the demo's own field manager."""
        documents = list(yaml.safe_load_all(self("kustomize", str(ROOT / folder))))
        documents = with_images(with_image_annotation(documents, image_ids), images)
        text = yaml.safe_dump_all(documents)
        arguments = ("apply", "--server-side", "--force-conflicts", "--field-manager=demo", "--filename=-")
        # A namespace or a CRD may need a moment before what lives in it is accepted.
        for attempt in range(5):
            try:
                self(*arguments, document=text)
                return
            except CommandFailedError:
                if attempt == 4:
                    raise
                time.sleep(POLL_SECONDS)


def image_ids(cluster: Cluster) -> dict[str, str]:
    """What tells one build of an image from the next, where the cluster is ours: its sources' digest."""
    if cluster.name == "existing":
        return {}
    digest = demo_cluster.digest_of_sources()
    return {image.tag: digest for image in IMAGES}


def image_names(environment: Mapping[str, str]) -> dict[str, str]:
    """Images that are called otherwise, on a cluster that is not ours."""
    return {image.tag: environment[image.variable] for image in IMAGES if environment.get(image.variable)}


# Steps -----------------------------------------------------------------------


@contextmanager
def step(number: str, what: str, usual: str) -> Iterator[None]:
    """Says what begins and how long it usually takes, and how long it took."""
    console.print(f"[bold cyan]{escape(f'[{number}]')}[/] [bold]{what}[/] [dim](usually {usual})[/]")
    began = time.monotonic()
    yield
    console.print(f"      [green]done[/] [dim]in {time.monotonic() - began:.1f} s[/]")


def tell(text: str) -> None:
    """A line within a step."""
    console.print(f"      {escape(text)}")


def wait(look: Callable[[], str | None], limit_seconds: float, what: str) -> None:
    """Until `look` returns None; meanwhile shows what it returns. Raises DemoFailedError with the last of it."""
    deadline, shown, began = time.monotonic() + limit_seconds, "", time.monotonic()
    with console.status("") as spinner:
        while (state := look()) is not None:
            if console.is_terminal:
                spinner.update(f"[dim]{time.monotonic() - began:4.0f} s[/] {escape(state)[: console.width - 14]}")
            elif state != shown:
                tell(f"{time.monotonic() - began:4.0f} s  {state}")
            shown = state
            if time.monotonic() > deadline:
                raise DemoFailedError(f"{what}: not after {limit_seconds:g} s. Last seen: {state}")
            time.sleep(POLL_SECONDS)


class Demo:
    """The demo on one cluster."""

    def __init__(self, cluster: Cluster, environment: Mapping[str, str]) -> None:
        """Changes nothing yet."""
        self.cluster = cluster
        self.environment = environment
        self.names = image_names(environment)
        self.ids: dict[str, str] = {}

    @property
    def kubectl(self) -> Kubectl:
        """kubectl, once the cluster is up."""
        return Kubectl(self.cluster)

    def start_cluster(self) -> None:
        """The cluster, if it is not up."""
        self.cluster.up()

    def deliver_images(self) -> None:
        """Both images."""
        for image in IMAGES:
            with console.status(f"[dim]{image.tag}[/]"):
                self.cluster.deliver(image)
            tell(image.tag)
        self.ids = image_ids(self.cluster)

    def install_operator(self) -> None:
        """CRDs and operator, until it is available."""
        self._say_if_there("deployment", "tradingbot-operator", OPERATOR_NAMESPACE)
        self.kubectl.apply("manifests/overlays/demo", self.names, self.ids)
        self._wait_for_deployment("tradingbot-operator", OPERATOR_NAMESPACE)

    def deploy_simulator(self) -> None:
        """The broker, until it answers."""
        self._say_if_there("deployment", "alpaca-simulator", SIMULATOR_NAMESPACE)
        self.kubectl.apply("manifests/simulator", self.names, self.ids)
        self._wait_for_deployment("alpaca-simulator", SIMULATOR_NAMESPACE)

    def apply_example(self) -> None:
        """The bot; anew if the simulator is another than the one its books belong to."""
        market = market_of(self.kubectl.items("pods", "-n", SIMULATOR_NAMESPACE))
        namespace = self.kubectl.get("namespace", NAMESPACE)
        known = (namespace.get("metadata", {}).get("annotations") or {}).get(MARKET_ANNOTATION)
        bot = self._bot()
        if bot and known and known != market and not Sight.of(bot).is_killed:
            tell("the simulator was restarted and remembers nothing: the bot starts anew, too")
            self._remove_bot()
        elif bot:
            tell("the bot is there already")
        elif self.kubectl.items("persistentvolumeclaims", "-n", NAMESPACE):
            tell("a former demo's volume is left: it goes, because a new bot keeps its own books")
            self._remove_volumes()
        self.kubectl.apply("manifests/demo", self.names, self.ids)
        self.kubectl("annotate", "--overwrite", "namespace", NAMESPACE, f"{MARKET_ANNOTATION}={market}")

    def wait_for_fill(self) -> Sight:
        """Until an order was filled and the bot is ready, or it turns out to be killed."""
        seen = Sight.of(self._bot())

        def look() -> str | None:
            nonlocal seen
            seen = Sight.of(self._bot())
            # A pod tells of its orders a moment before the kubelet calls it ready.
            return None if (seen.has_traded and seen.is_ready) or seen.is_killed else seen.state

        wait(look, FILL_SECONDS, "a filled order")
        return seen

    def promote(self) -> None:
        """From paper to live, and to the end of it."""
        promotion = demo_promotion.Promotion(self.kubectl, wait, tell, bot=BOT, namespace=NAMESPACE)
        with step("7/10", "Thirty sessions on paper, each compared with the broker's own record", "4 minutes"):
            said = promotion.earn()
        console.print()
        console.print(demo_promotion.checklist_table(said))
        console.print()
        with step("8/10", "Asking for live trading: spec.mode: live", "2 s"):
            tell(promotion.ask())
        if not promotion.seen().is_live:
            with step("9/10", f"The word of {demo_promotion.APPROVER}, who may approve", "20 s"):
                for line in promotion.approve().rstrip().splitlines():
                    tell(line)
                promotion.go_live()
        console.print()
        console.print(self.kubectl("get", "bots", "-n", NAMESPACE).rstrip())
        console.print(orders_table(promotion.seen().status))
        console.print()
        with step("10/10", f"The kill: kubectl annotate bot {BOT} {KILL_ANNOTATION}=enough", "2 s"):
            seconds = promotion.kill("enough")
            tell(f"flat by the broker's own word {seconds:.1f} s after the annotation was asked for")
            promotion.back_on_paper()
            tell("its grant is void and its live keys are gone: it stays killed, on paper")

    def show(self) -> None:
        """The last screen."""
        seen = Sight.of(self._bot())
        console.print()
        console.print(self.kubectl("get", "bots", "-n", NAMESPACE).rstrip())
        for part in (positions_table(seen.status), orders_table(seen.status)):
            console.print()
            console.print(part)
        console.print()
        if seen.is_killed:
            killed = seen.condition("Killed")
            console.print(f"[bold red]The bot is killed:[/] {escape(killed.message if killed else '')}")
            console.print(
                "A kill stays, whatever is done to the bot: releasing it with approvals comes in a later release."
                "\nTo start anew, with an empty state: [bold]make demo-down demo[/]"
            )
            console.print()
        console.print("[bold]Try next[/]")
        for command, meaning in next_commands(self.cluster, self.environment):
            console.print(f"  {escape(command)}  [dim]# {meaning}[/]")

    def show_failure(self) -> None:
        """Pods, events and logs of the demo's namespaces, as far as they can be had."""
        for namespace in NAMESPACES:
            self._show_if_any(f"Pods in {namespace}", "get", "pods", "-n", namespace, "-o", "wide")
        for namespace in NAMESPACES:
            arguments = ("get", "events", "-n", namespace, "--sort-by=.lastTimestamp")
            self._show_if_any(f"Last events in {namespace}", *arguments, last_lines=12)
        for namespace in NAMESPACES:
            for pod in self._unwell(namespace):
                for more in ((), ("--previous",)):
                    arguments = ("logs", pod, "-n", namespace, "--tail=30", *more)
                    self._show_if_any(f"Log of {namespace}/{pod} {' '.join(more)}".rstrip(), *arguments)
        self._show_if_any("The bot", "describe", "bot", BOT, "-n", NAMESPACE, last_lines=40)

    def remove(self) -> None:
        """Bots first, while the operator and the broker are there; then everything of the demo."""
        if self.kubectl.get("crd", BOTS):
            self._delete_bots("--all")
        for namespace in (NAMESPACE, SIMULATOR_NAMESPACE):
            arguments = ("delete", "namespace", namespace, "--ignore-not-found", "--timeout=120s")
            self.kubectl(*arguments, limit_seconds=130)
        if self._is_used_elsewhere():
            tell("the operator stays: there are bots or accounts outside of the demo")
            return
        arguments = ("delete", "--ignore-not-found", "--timeout=120s", "-k", str(ROOT / "manifests/overlays/demo"))
        self.kubectl(*arguments, limit_seconds=130)

    # Parts of steps

    def _bot(self) -> Json:
        return self.kubectl.get(BOTS, BOT, "-n", NAMESPACE) if self.kubectl.get("crd", BOTS) else {}

    def _is_used_elsewhere(self) -> bool:
        if not self.kubectl.get("crd", BOTS):
            return False
        found = self.kubectl.items(f"{BOTS},brokeraccounts.tradingbots.dev", "--all-namespaces")
        return any(thing["metadata"]["namespace"] != NAMESPACE for thing in found)

    def _remove_bot(self) -> None:
        self._delete_bots(BOT)
        self._remove_volumes()

    def _remove_volumes(self) -> None:
        claims = ("delete", "persistentvolumeclaims", "--all", "-n", NAMESPACE, "--timeout=90s")
        self.kubectl(*claims, limit_seconds=100)

    def _delete_bots(self, which: str) -> None:
        """Gives the bots time to cancel their orders; the simulator's play money is not waited for any longer."""
        try:
            self.kubectl("delete", "bots", which, "-n", NAMESPACE, "--timeout=45s", limit_seconds=55)
        except CommandFailedError:
            tell("not confirmed by the bot yet: letting it go as docs/deletion.md has it")
            self.kubectl("annotate", "bots", which, "-n", NAMESPACE, f"{SKIP_CANCEL}=demo", "--overwrite")
            self.kubectl(
                "delete", "bots", which, "-n", NAMESPACE, "--timeout=60s", "--ignore-not-found", limit_seconds=70
            )

    def _say_if_there(self, kind: str, name: str, namespace: str) -> None:
        if self.kubectl.get(kind, name, "-n", namespace):
            tell(f"{name} is there already")

    def _wait_for_deployment(self, name: str, namespace: str) -> None:
        def look() -> str | None:
            found = self.kubectl.get("deployment", name, "-n", namespace)
            status, wanted = found.get("status", {}), found.get("spec", {}).get("replicas", 1)
            is_current = status.get("observedGeneration") == found.get("metadata", {}).get("generation")
            counts = (status.get("updatedReplicas", 0), status.get("availableReplicas", 0), status.get("replicas", 0))
            if is_current and counts == (wanted, wanted, wanted):
                return None
            pods = self.kubectl.items("pods", "-n", namespace)
            trouble = pod_trouble(pods)
            if is_hopeless(pods):
                raise DemoFailedError(f"{name} ends again and again. {trouble}")
            return trouble or f"waiting for {name}"

        wait(look, ROLLOUT_SECONDS, name)

    def _unwell(self, namespace: str) -> list[str]:
        try:
            pods = self.kubectl.items("pods", "-n", namespace)
        except (CommandFailedError, ValueError):
            return []
        ready = {"type": "Ready", "status": "True"}
        return [
            pod["metadata"]["name"]
            for pod in pods
            if not any(ready.items() <= condition.items() for condition in pod.get("status", {}).get("conditions", []))
        ]

    def _show_if_any(self, title: str, *arguments: str, last_lines: int = 60) -> None:
        try:
            text = self.kubectl(*arguments, limit_seconds=20)
        except (CommandFailedError, OSError):
            return
        if text.strip():
            console.print(f"\n[bold]{escape(title)}[/]")
            console.print(escape("\n".join(text.rstrip().splitlines()[-last_lines:])))


# Commands --------------------------------------------------------------------


def pick_cluster(environment: Mapping[str, str]) -> Cluster:
    """The cluster that CLUSTER asks for; without it the one that the demo is on, or the best there is."""
    asked = environment.get("CLUSTER") or "auto"
    remembered = STATE / "cluster"
    if asked == "auto" and remembered.exists() and remembered.read_text().strip() in ("kind", "embedded"):
        asked = remembered.read_text().strip()
    return demo_cluster.cluster_named(demo_cluster.choose(asked, demo_cluster.look_around(environment)), environment)


def up(environment: Mapping[str, str]) -> None:
    """`make demo`."""
    cluster = pick_cluster(environment)
    STATE.mkdir(exist_ok=True)
    (STATE / "cluster").write_text(f"{cluster.name}\n")
    demo = Demo(cluster, environment)
    began = time.monotonic()
    try:
        with step("1/10", f"Cluster: {cluster.name}", cluster.usual_start):
            demo.start_cluster()
        with step("2/10", "Images: operator and runtime", "2 minutes, 5 s if nothing changed"):
            demo.deliver_images()
        with step("3/10", "Operator", "10 s"):
            demo.install_operator()
        with step("4/10", "Broker: the Alpaca simulator, a session of 6.5 hours in 5 s", "10 s"):
            demo.deploy_simulator()
        with step("5/10", "Bot: momentum on AAPL, MSFT and NVDA with 10,000 dollars of play money", "2 s"):
            demo.apply_example()
        with step("6/10", "Its first filled order", "20 s"):
            seen = demo.wait_for_fill()
        is_new = not seen.is_killed
        if is_new:
            demo.promote()
    except (DemoFailedError, CommandFailedError) as error:
        console.print(f"\n[bold red]The demo failed.[/] {escape(str(error))}")
        if cluster.is_up():
            demo.show_failure()
        console.print(
            "\nWhat to do: the lines above say which part is unwell; docs/troubleshooting.md explains each reason."
            "\n`make demo` goes on from here; `make demo-down demo` starts anew."
        )
        raise SystemExit(1) from error
    done = "It traded on paper, passed its gate, was approved, traded live, and was killed flat."
    outcome = f"[green]{done}[/]" if is_new else "[red]The demo runs, and its bot is killed.[/]"
    console.print(f"\n{outcome} [dim]{time.monotonic() - began:.0f} s in all[/]")
    demo.show()


def down(environment: Mapping[str, str]) -> None:
    """`make demo-down`."""
    cluster = pick_cluster(environment)
    if not cluster.is_up():
        console.print(f"The {cluster.name} cluster is not up.")
        if cluster.name == "embedded":
            console.print("What the demo left in it is removed by `make cluster-purge`, together with all its data.")
        (STATE / "cluster").unlink(missing_ok=True)
        return
    cluster.up()
    if cluster.name != "kind":
        with step("1/2", "Removing the demo", "20 s"):
            Demo(cluster, environment).remove()
    with step("2/2", "Stopping the cluster", "5 s"):
        tell(cluster.down())
    (STATE / "cluster").unlink(missing_ok=True)


def cluster_up(environment: Mapping[str, str]) -> None:
    """`make cluster-up`."""
    cluster = pick_cluster(environment)
    with step("1/1", f"Cluster: {cluster.name}", cluster.usual_start):
        cluster.up()
    for line in exports(cluster):
        console.print(escape(line))


def exports(cluster: Cluster) -> list[str]:
    """What a shell needs for the cluster: its kubeconfig, and kubectl with its plugin, which is where this runs."""
    folders = [str(Path(sys.executable).parent), cluster.kubectl.rpartition("/")[0]]
    path = ":".join(dict.fromkeys(folder for folder in folders if folder))
    return [f"export KUBECONFIG={shlex.quote(cluster.kubeconfig)}", f'export PATH={shlex.quote(path)}:"$PATH"']


def cluster_down(environment: Mapping[str, str]) -> None:
    """`make cluster-down`."""
    console.print(pick_cluster(environment).down())


def images(environment: Mapping[str, str]) -> None:
    """`make images`."""
    cluster = pick_cluster(environment)
    cluster.up()
    for image in IMAGES:
        with step("image", image.tag, "1 minute, 3 s if nothing changed"):
            cluster.deliver(image)


COMMANDS: Mapping[str, Callable[[Mapping[str, str]], None]] = {
    "up": up,
    "down": down,
    "cluster-up": cluster_up,
    "cluster-down": cluster_down,
    "images": images,
}


def main(arguments: Sequence[str]) -> int:
    """One command; 0 if it got where it should."""
    parser = argparse.ArgumentParser(
        description="The demo: a cluster, the operator, and a bot that trades on the simulator.",
        epilog=(
            "CLUSTER=auto|kind|embedded|existing chooses the cluster (auto: kind if Docker and kind are here, else the"
            f" embedded one; existing: the one of KUBECONFIG, with {OPERATOR_IMAGE.variable} and"
            f" {RUNTIME_IMAGE.variable} naming images that it can pull)."
        ),
    )
    parser.add_argument("command", choices=COMMANDS, help="what to do")
    command = parser.parse_args(arguments).command
    try:
        COMMANDS[command](os.environ)
    except NoClusterError as error:
        console.print(f"[bold red]No cluster:[/] {escape(str(error))}")
        return 1
    except CommandFailedError as error:
        console.print(f"[bold red]Failed:[/] {escape(str(error))}")
        return 1
    except KeyboardInterrupt:
        console.print("\nStopped by hand. What was started goes on running; `make demo` goes on from here,")
        console.print("`make demo-down` removes it.")
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
