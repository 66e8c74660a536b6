"""The store is a cache whose indices always agree with its objects, whatever order things were seen in."""

import hashlib
import json
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tradingbot_api.group import SYMBOLS_ANNOTATION
from tradingbot_operator.plan.capital import capital_of
from tradingbot_operator.plan.objects import ObjectKey, Raw, annotation, uid_of
from tradingbot_operator.plan.symbols import account_of, accounts_of, claim_of, symbols_of
from tradingbot_operator.store import ACCOUNT, BOT, CLAIM, EVIDENCE, POD, Store
from unit.operator.evidence_world import Cluster, sessions
from unit.operator.world import a_bot, a_claim, a_pod, an_account

NAMES = st.sampled_from(["a", "b", "c"])
ACCOUNTS = st.sampled_from(["x", "y"])
SYMBOLS = st.lists(st.sampled_from(["AAPL", "MSFT"]), unique=True, max_size=2)


def versioned(raw: Raw, version: int | str, **metadata: Any) -> Raw:
    return {**raw, "metadata": {**raw["metadata"], "resourceVersion": str(version), **metadata}}


def traded_by(pod: Raw) -> list[str]:
    return (annotation(pod, SYMBOLS_ANNOTATION) or "").split(",")


def some_evidence(bot: str, name: str, text: str) -> Raw:
    metadata = {"name": name, "namespace": "demo", "uid": f"uid-of-{name}"}
    return {"kind": EVIDENCE, "metadata": metadata, "spec": {"botRef": {"name": bot}, "podUID": text}}


class StoreMachine(RuleBasedStateMachine):
    """Puts and removes in any order; a plain dictionary is the model."""

    def __init__(self) -> None:
        super().__init__()
        self.store = Store()
        self.model: dict[ObjectKey, Raw] = {}
        self.version = 0

    def put(self, kind: str, raw: Raw) -> None:
        self.version += 1
        raw = versioned(raw, self.version)
        assert self.store.put(kind, raw)
        self.model[ObjectKey(kind, "demo", raw["metadata"]["name"])] = raw

    @rule(name=NAMES, account=ACCOUNTS, live=ACCOUNTS, symbols=SYMBOLS)
    def put_bot(self, name: str, account: str, live: str, symbols: list[str]) -> None:
        self.put(BOT, a_bot(name, accounts={"paper": account, "live": live}, symbols=symbols))

    @rule(name=ACCOUNTS)
    def put_account(self, name: str) -> None:
        self.put(ACCOUNT, an_account(name))

    @rule(bot=NAMES, symbols=SYMBOLS)
    def put_pod(self, bot: str, symbols: list[str]) -> None:
        self.put(POD, a_pod(bot, symbols=symbols))

    @rule(bot=NAMES)
    def put_claim(self, bot: str) -> None:
        self.put("PersistentVolumeClaim", a_claim(bot))

    @rule(bot=NAMES, number=st.integers(0, 3), text=st.text(max_size=8))
    def put_evidence(self, bot: str, number: int, text: str) -> None:
        self.put(EVIDENCE, some_evidence(bot, f"{bot}-{number}", text))

    @rule(bot=NAMES, number=st.integers(0, 3))
    def remove_evidence(self, bot: str, number: int) -> None:
        self.remove(EVIDENCE, f"{bot}-{number}")

    @rule(kind=st.sampled_from([BOT, ACCOUNT, POD]), name=NAMES)
    def remove(self, kind: str, name: str) -> None:
        key = ObjectKey(kind, "demo", name)
        assert (self.store.remove(key) is not None) == (self.model.pop(key, None) is not None)

    @rule(name=NAMES)
    def an_older_version_is_ignored(self, name: str) -> None:
        known = self.store.get(ObjectKey(BOT, "demo", name))
        if known is not None:
            assert not self.store.put(BOT, versioned(a_bot(name), 0))
            assert not self.store.put(BOT, known)

    @rule(name=NAMES)
    def a_namesake_is_not_removed(self, name: str) -> None:
        assert self.store.remove(ObjectKey(BOT, "demo", name), uid="of-another") is None

    def known(self) -> dict[ObjectKey, Raw | None]:
        keys = (key for kind in (BOT, ACCOUNT, POD, CLAIM, EVIDENCE) for key in self.store.keys(kind))
        return {key: self.store.get(key) for key in keys}

    @invariant()
    def objects_are_the_models(self) -> None:
        assert self.known() == self.model
        assert len(self.store) == len(self.model)

    @invariant()
    def indices_agree_with_the_objects(self) -> None:
        bots = {key: raw for key, raw in self.model.items() if key.kind == BOT}
        for account in ("x", "y"):
            expected = sorted(key for key, raw in bots.items() if account in accounts_of(raw))
            assert self.store.bots_on_account("demo", account) == expected
            for symbol in ("AAPL", "MSFT"):
                claiming = sorted(
                    key for key, raw in bots.items() if account_of(raw) == account and symbol in symbols_of(raw)
                )
                assert self.store.bots_claiming("demo", account, [symbol]) == claiming
        pods = sorted(key for key in self.model if key.kind == POD)
        for symbol in ("AAPL", "MSFT"):
            trading = [key for key in pods if symbol in traded_by(self.model[key])]
            assert self.store.pods_trading("demo", "sim", [symbol]) == trading
            assert self.store.pods_trading("demo", "another", [symbol]) == []
        for name in ("a", "b", "c"):
            children = self.store.children(ObjectKey(BOT, "demo", name))
            assert [key for key in children if key.kind == POD] == [k for k in pods if k.name == f"{name}-bot-0"]
            about = sorted(key for key in self.model if key.kind == EVIDENCE and key.name.startswith(f"{name}-"))
            assert self.store.evidence_about(ObjectKey(BOT, "demo", name)) == about


TestStore = StoreMachine.TestCase
TestStore.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_a_thousand_bots_with_sixty_sessions_each_fit() -> None:
    store, cluster = Store(), Cluster(sessions=sessions(1))
    cluster.audit()
    (one,) = cluster.of("PromotionEvidence")
    text = json.dumps(one)
    for number in range(300):
        renamed = json.loads(text.replace("momentum", f"bot-{number // 60}").replace('"1.50"', f'"{number}.50"'))
        digest = hashlib.sha256(str(number).encode()).hexdigest()
        renamed["metadata"] |= {"name": digest[:10], "uid": digest[:36], "resourceVersion": str(number)}
        renamed["spec"]["sourceDigest"] = renamed["spec"]["session"]["journalHash"] = digest
        store.put(EVIDENCE, renamed)
        assert store.get(ObjectKey(EVIDENCE, "demo", digest[:10])) == renamed
    packed = sum(len(stored.encoded) for stored in store._objects[EVIDENCE].values())
    assert packed / 300 < len(text) / 4


def test_managed_fields_are_not_kept() -> None:
    store = Store()
    store.put(BOT, versioned(a_bot(), 1, managedFields=[{"manager": "kubectl"}]))
    kept = store.get(ObjectKey(BOT, "demo", "momentum"))
    assert kept is not None and "managedFields" not in kept["metadata"]


def test_what_a_bot_claims_is_known_without_the_rest_of_it() -> None:
    store, bot = Store(), a_bot(symbols=["AAPL", "MSFT"], capital="2500")
    store.put(BOT, versioned(bot, 1))
    claimant = store.claimant(ObjectKey(BOT, "demo", "momentum"))
    assert claimant is not None and "strategy" not in claimant["spec"]
    assert claim_of(claimant) == claim_of(bot)
    assert (account_of(claimant), capital_of(claimant)) == ("sim", 2500)
    store.put(BOT, versioned(a_bot(capital="3000"), 2))
    assert capital_of(store.claimant(ObjectKey(BOT, "demo", "momentum")) or {}) == 3000
    assert store.claimant(ObjectKey(BOT, "demo", "nobody")) is None


def test_versions_that_are_no_numbers_are_taken_as_they_come() -> None:
    store = Store()
    assert store.put(BOT, versioned(a_bot(), "b"))
    assert store.put(BOT, versioned(a_bot(), "a"))
    assert not store.put(BOT, versioned(a_bot(), "a"))


def test_a_late_deletion_of_a_former_bot_does_not_hide_its_namesake() -> None:
    store = Store()
    store.put(BOT, versioned(a_bot(uid="new"), 9))
    key = ObjectKey(BOT, "demo", "momentum")
    store.remove(key, uid="old")
    assert uid_of(store.get(key) or {}) == "new"
