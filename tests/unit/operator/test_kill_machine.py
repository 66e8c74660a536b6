"""Whatever happens in whatever order, and wherever the operator dies: kills are counted, none ends without a person's
word, no step is undone, and in the end the pod knows and is left alone.
"""

import copy
import itertools
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import yaml
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tradingbot_api import RuntimeConfig
from tradingbot_operator.plan import Plan, ReportAnswer, Reported, ReportFailure, ReportPending, plan_bot
from tradingbot_operator.plan.objects import Raw, mapping, name_of, number, text, uid_of
from unit.operator.kill_world import IN_FORCE, KILL, a_flatten_report, a_job_pod, a_release
from unit.operator.world import NOW, a_bot, a_pod, a_report, a_snapshot, an_account, stamp

STEPS = ("acknowledgedAt", "ordersCancelledAt", "flatAt", "releasedAt")
EVERYTHING = 99
"""More writes than one look has."""


class Pod:
    """What the runtime does about kills, in a few words; the volume is what outlives it."""

    def __init__(self, template: Raw, config: RuntimeConfig, volume: dict[str, Any]) -> None:
        self.template = template
        self.config = config
        self.volume = volume
        if volume and volume["epoch"] <= config.epoch:
            volume.clear()
        if config.killed is not None and volume.get("epoch") != config.killed.epoch:
            volume.clear()
            volume.update(epoch=config.killed.epoch, observedAt=stamp(NOW))

    def sees_a_kill(self) -> None:
        if not self.volume:
            self.volume.update(epoch=self.config.epoch + 1, observedAt=stamp(NOW))


class Kills(RuleBasedStateMachine):
    """One bot's name, its records, its pod, and an operator that dies between any two writes."""

    def __init__(self) -> None:
        super().__init__()
        self.ids = itertools.count(1)
        self.now = NOW
        self.bot: Any = a_bot(uid="bot-1", onKill="Flatten")
        self.account: Any = an_account()
        self.records: dict[str, Any] = {}
        self.approvals: list[Any] = []
        self.children: dict[str, Raw] = {}
        self.made: dict[str, Any] = {}
        self.pod: Pod | None = None
        self.volume: dict[str, Any] = {}
        self.reported: Reported = ReportPending()
        self.highest = 0
        self.seen_steps: dict[str, dict[str, Any]] = {}
        self.look(EVERYTHING)

    # ------------------------------------------------------------ people

    @rule(where=st.sampled_from(["bot", "account"]), there=st.booleans())
    def annotate(self, where: str, there: bool) -> None:
        raw = self.bot if where == "bot" else self.account
        raw["metadata"]["annotations"] = {KILL: "why"} if there else {}

    @rule(off=st.integers(-1, 1), of_this_bot=st.booleans())
    def approve(self, off: int, of_this_bot: bool) -> None:
        epoch = max(number(self.bot, "status", "kill", "epoch") + off, 1)
        uid = uid_of(self.bot) if of_this_bot else "bot-0"
        one = a_release(epoch, name=f"a-{next(self.ids)}", botRef={"name": "momentum", "uid": uid})
        one["metadata"]["creationTimestamp"] = stamp(self.now)  # type: ignore[index]
        self.approvals.append(one)

    @precondition(lambda self: self.approvals)
    @rule()
    def withdraw_an_approval(self) -> None:
        self.approvals.pop()

    @rule(volume=st.booleans())
    def make_the_bot_anew(self, volume: bool) -> None:
        uid = f"bot-{next(self.ids)}"
        annotations = self.bot["metadata"]["annotations"]
        self.bot = a_bot(uid=uid, onKill="Flatten", annotations=annotations)
        self.children, self.made, self.pod, self.reported = {}, {}, None, ReportPending()
        self.volume = self.volume if volume else {}

    # ------------------------------------------------------------ the world

    @rule(seconds=st.sampled_from([1, 25, 600, 2 * 24 * 3600]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule()
    def the_pod_is_as_its_template(self) -> None:
        template = mapping(self.children.get("StatefulSet", {}), "spec", "template")
        if template and (self.pod is None or self.pod.template != template):
            config = yaml.safe_load(self.children["ConfigMap"]["data"]["bot.yaml"])
            self.pod = Pod(template, RuntimeConfig.model_validate(config), self.volume)
            self.reported = ReportPending()

    @rule(volume=st.booleans())
    def the_pod_is_lost(self, volume: bool) -> None:
        self.pod, self.reported = None, ReportPending()
        if not volume:
            self.volume = {}

    @precondition(lambda self: self.pod is not None and self.is_annotated)
    @rule()
    def the_pod_sees_the_annotation(self) -> None:
        assert self.pod is not None
        self.pod.sees_a_kill()

    @precondition(lambda self: self.pod is not None and self.volume)
    @rule(step=st.sampled_from(["ordersCancelledAt", "flatAt"]))
    def the_broker_confirms_to_the_pod(self, step: str) -> None:
        self.volume.setdefault("ordersCancelledAt", stamp(self.now))
        self.volume.setdefault(step, stamp(self.now))

    @precondition(lambda self: self.made)
    @rule(confirmed=st.booleans())
    def a_job_ends(self, confirmed: bool) -> None:
        job = next((one for one in self.made.values() if one["kind"] == "Job"), None)
        if job is None:
            return
        at = {"ordersCancelledAt": stamp(self.now), "flatAt": stamp(self.now)} if confirmed else {"flatAt": None}
        report = a_flatten_report(flatten=True, uid=uid_of(self.bot), confirmed=confirmed, **at)
        words = report.model_dump_json(by_alias=True) if confirmed else "Killed"
        pod: Any = a_job_pod(job, words)
        pod["status"]["containerStatuses"][0]["state"]["terminated"]["finishedAt"] = stamp(self.now)
        self.made[name_of(pod)] = pod

    @precondition(lambda self: self.is_remembered_by_the_status)
    @rule()
    def a_record_is_lost_with_a_write(self) -> None:
        """The bot's status still has the kill; what is looked at next is that."""
        name, _ = self.records.popitem()
        # How often a Job was made is not in a bot's status.
        self.seen_steps[name].pop("attempts", None)
        self.look(EVERYTHING)

    # ------------------------------------------------------------ the operator

    @rule()
    def the_operator_restarts(self) -> None:
        self.reported = ReportPending()

    @rule(invents=st.booleans())
    def the_pod_is_asked(self, invents: bool) -> None:
        if self.pod is None:
            return
        kill = {"epoch": 10**9, "observedAt": stamp(self.now)} if invents else dict(self.volume) or None
        self.reported = ReportAnswer(a_report(uid=uid_of(self.bot), kill=kill), self.now)

    @rule()
    def the_pod_does_not_answer(self) -> None:
        last = self.reported if isinstance(self.reported, ReportAnswer) else None
        self.reported = ReportFailure("NotReporting", "timeout", self.now, last)

    @rule(writes=st.sampled_from([EVERYTHING, EVERYTHING, 0, 1, 2, 3, 4, 8]))
    def look(self, writes: int) -> None:
        """One look, of which only so many writes are carried out: then it dies."""
        plan = self.plan()
        for done, write in enumerate(self.writes(plan)):
            if done >= writes:
                self.reported = ReportPending()
                return
            write()

    def plan(self) -> Plan:
        pods = (a_pod(),) if self.pod is not None else ()
        # As the API server's: what a plan is made from is nobody's to change.
        world: Any = copy.deepcopy(
            {
                "account": self.account,
                "children": self.children,
                "kill_records": tuple(self.records.values()),
                "approvals": tuple(self.approvals),
                "flattening": tuple(self.made.values()),
            }
        )
        snapshot = a_snapshot(
            copy.deepcopy(self.bot), now=self.now, pods=pods, reported=self.reported, policies=IN_FORCE, **world
        )
        return plan_bot(snapshot)

    def writes(self, plan: Plan) -> Iterator[Any]:
        """In the reconciler's order."""
        if plan.kill is not None:
            record: Any = plan.kill.record or plan.kill.create
            if plan.kill.create is not None:
                yield lambda: self.create_record(record)
            yield lambda: self.write_record(record, plan.kill.status if plan.kill is not None else {})
        for manifest in plan.flatten:
            yield lambda manifest=manifest: self.made.setdefault(name_of(manifest), self.stored(manifest))
        for child in plan.apply:
            yield lambda child=child: self.children.update({child.kind: self.stored(child.manifest)})
        yield lambda: self.write_status(plan.status)
        for gone in plan.discard:
            if text(gone, "kind") == "KillRecord":
                yield lambda gone=gone: self.records.pop(name_of(gone))
            else:
                yield lambda gone=gone: self.made.pop(name_of(gone))

    def create_record(self, manifest: Any) -> None:
        assert name_of(manifest) not in self.records
        self.records[name_of(manifest)] = {"kind": "KillRecord", **self.stored(manifest)}

    def write_record(self, raw: Any, status: Any) -> None:
        before = self.records[name_of(raw)]
        if "releasedAt" in status:
            self.check_the_release(before, status)
        self.records[name_of(raw)] = {**before, "status": copy.deepcopy(status)}

    def write_status(self, status: Any) -> None:
        said = {one["type"]: one["status"] for one in status["conditions"]}
        assert said["Killed"] == ("True" if self.unreleased else "False")
        assert ("kill" in status) == bool(self.unreleased)
        self.bot["status"] = copy.deepcopy(status)

    def stored(self, manifest: Any) -> Any:
        there = self.children.get(manifest["kind"], {})
        uid = uid_of(there) or f"uid-{next(self.ids)}"
        metadata = {"uid": uid, "resourceVersion": "1", "creationTimestamp": stamp(self.now), **manifest["metadata"]}
        return {**copy.deepcopy(manifest), "metadata": metadata}

    # ------------------------------------------------------------ several of these, as they often come

    @rule(where=st.sampled_from(["bot", "account"]), step=st.sampled_from(["", "ordersCancelledAt", "flatAt"]))
    def a_kill_goes_as_far_as(self, where: str, step: str) -> None:
        self.annotate(where, there=True)
        self.the_pod_is_as_its_template()
        if self.pod is not None:
            self.pod.sees_a_kill()
            if step:
                self.the_broker_confirms_to_the_pod(step)
        self.the_pod_is_asked(invents=False)
        self.look(EVERYTHING)

    @rule(
        off=st.sampled_from([0, 0, 0, -1, 1]),
        of_this_bot=st.sampled_from([True, True, True, False]),
        keeps=st.sampled_from(["", "", "", "bot", "account"]),
        writes=st.sampled_from([EVERYTHING, 0, 1, 2, 4]),
    )
    def somebody_wants_it_to_end(self, off: int, of_this_bot: bool, keeps: str, writes: int) -> None:
        for where in ("bot", "account"):
            if where != keeps:
                self.annotate(where, there=False)
        self.approve(off, of_this_bot)
        self.look(writes)

    # ------------------------------------------------------------ what is so

    @property
    def is_annotated(self) -> bool:
        return any(raw["metadata"]["annotations"] for raw in (self.bot, self.account))

    @property
    def unreleased(self) -> list[int]:
        return [number(one, "spec", "epoch") for one in self.records.values() if not text(one, "status", "releasedAt")]

    @property
    def is_killed(self) -> bool:
        return self.is_annotated or bool(self.unreleased)

    @property
    def is_remembered_by_the_status(self) -> bool:
        kill, last = mapping(self.bot, "status", "kill"), next(reversed(self.records.values()), {})
        same = all(kill.get(step) == mapping(last, "status").get(step) for step in ("ordersCancelledAt", "flatAt"))
        return (
            number(last, "spec", "epoch") in self.unreleased
            and kill.get("epoch") == number(last, "spec", "epoch")
            and same
        )

    def check_the_release(self, record: Any, status: Any) -> None:
        epoch, by = number(record, "spec", "epoch"), status["releasedBy"]["uid"]
        (approval,) = [one for one in self.approvals if uid_of(one) == by]
        assert approval["spec"]["killEpoch"] == epoch
        assert approval["spec"]["botRef"]["uid"] == uid_of(self.bot)
        assert approval["metadata"]["creationTimestamp"] >= record["spec"]["observedAt"]
        assert not self.is_annotated
        assert status["ordersCancelledAt"] and status["flatAt"]

    # ------------------------------------------------------------ what always holds

    @invariant()
    def numbers_only_rise_and_are_used_once(self) -> None:
        numbers = [number(one, "spec", "epoch") for one in self.records.values()]
        assert len(set(numbers)) == len(numbers)
        assert sorted(numbers) == list(range(1, len(numbers) + 1))
        assert max(numbers, default=0) >= self.highest
        self.highest = max(numbers, default=0)

    @invariant()
    def an_approval_ends_one_kill(self) -> None:
        used = [text(one, "status", "releasedBy", "uid") for one in self.records.values()]
        assert len(set(filter(None, used))) == len(list(filter(None, used)))

    @invariant()
    def no_step_is_undone(self) -> None:
        for name, record in self.records.items():
            status, before = mapping(record, "status"), self.seen_steps.get(name, {})
            kept = {step: status.get(step) for step in STEPS if step in before and step != "acknowledgedAt"}
            assert kept == {step: before[step] for step in kept}, name
            assert "acknowledgedAt" not in before or "acknowledgedAt" in status
            assert number(status, "attempts") >= before.get("attempts", 0)
            self.seen_steps[name] = {step: status[step] for step in (*STEPS, "attempts") if step in status}

    @invariant()
    def no_config_releases_what_no_record_says_is_over(self) -> None:
        config = self.children.get("ConfigMap")
        if config is not None:
            released = number(yaml.safe_load(config["data"]["bot.yaml"]), "epoch")
            assert all(epoch > released for epoch in self.unreleased)

    # ------------------------------------------------------------ the end

    def teardown(self) -> None:
        """Left alone, everything settles: a killed bot's pod knows, another's does not, and nothing restarts."""
        templates = []
        for _ in range(8):
            self.now += timedelta(seconds=1)
            self.the_pod_is_as_its_template()
            if self.is_annotated and self.pod is not None:
                self.pod.sees_a_kill()
            self.the_pod_is_asked(invents=False)
            self.look(EVERYTHING)
            templates.append(mapping(self.children.get("StatefulSet", {}), "spec", "template"))
        assert templates[-1] == templates[-2] == templates[-3]
        assert self.pod is not None
        assert bool(self.volume) == self.is_killed == bool(self.unreleased)
        said = {one["type"]: one["status"] for one in self.bot["status"]["conditions"]}
        assert said["Killed"] == ("True" if self.is_killed else "False")


# What fails is short as it is, and to make it shorter takes minutes.
TestKills = Kills.TestCase
TestKills.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, phases=set(Phase) - {Phase.shrink}
)
