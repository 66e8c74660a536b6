"""What kubectl says on its way out becomes an error with a name, and its options are passed through."""

from pathlib import Path

import pytest

from kubectl_tradingbot.bots import suggestions
from kubectl_tradingbot.errors import (
    Code,
    NotAllowedError,
    NotFoundError,
    NotInstalledError,
    PluginError,
    RefusedError,
    UnreachableError,
    UsageError,
)
from kubectl_tradingbot.kubectl import Kubectl, Scope, command_line, error_of

FORBIDDEN = (
    'Error from server (Forbidden): tradingbots.tradingbots.dev "momentum" is forbidden: User "eve" cannot patch'
    ' resource "tradingbots" in API group "tradingbots.dev" in the namespace "demo"'
)
POLICY = (
    'Error from server (Forbidden): error when creating "STDIN": approvals.tradingbots.dev "a" is forbidden:'
    " ValidatingAdmissionPolicy 'tradingbots-approvals' with binding 'tradingbots-approvals' denied request:"
    " a person approves, with a name of their own"
)
# What kubectl v1.32 says, what it is to us, the words that tell a person what to do.
SAID: list[tuple[str, type[PluginError], str]] = [
    (FORBIDDEN, NotAllowedError, "eve may not patch tradingbots.tradingbots.dev in the namespace demo"),
    (FORBIDDEN, NotAllowedError, "tradingbots-duty"),
    (POLICY, NotAllowedError, "refused by the policy tradingbots-approvals: a person approves"),
    ('Error from server (NotFound): tradingbots.tradingbots.dev "m" not found', NotFoundError, '"m" not found'),
    ('error: the server doesn\'t have a resource type "tradingbots"', NotInstalledError, "CustomResourceDefinitions"),
    ("Unable to connect to the server: dial tcp: lookup x: no such host", UnreachableError, "cannot be reached"),
    ("Unable to connect to the server: x509: certificate signed by unknown authority", UnreachableError, "x509"),
    ("Error from server (Timeout): context deadline exceeded", UnreachableError, "cannot be reached"),
    ("error: You must be logged in to the server (Unauthorized)", NotAllowedError, "log in anew"),
    ('error: context "x" does not exist', UsageError, "the kubeconfig does not fit"),
    ("The TradingBot is invalid: spec.mode: nonsense", RefusedError, "spec.mode: nonsense"),
    ("", RefusedError, "said nothing"),
]


@pytest.mark.parametrize(("said", "kind", "words"), SAID)
def test_an_error_says_what_to_do(said: str, kind: type[PluginError], words: str) -> None:
    error = error_of(said)
    assert type(error) is kind
    assert words in str(error)


def test_what_its_library_logs_is_left_out() -> None:
    logged = 'E1121 20:26:23.852648   10729 memcache.go:265] "Unhandled Error" err="dial tcp"'
    assert "memcache" not in str(error_of(f"{logged}\n{logged}\nThe connection to the server x was refused"))
    assert "memcache" in str(error_of(logged))


def test_each_error_has_a_code_of_its_own_kind() -> None:
    kinds = (UsageError, NotAllowedError, NotFoundError, UnreachableError, RefusedError)
    assert [kind.code for kind in kinds] == [2, 5, 6, 7, 1]
    assert len(set(Code)) == len(Code)


def fake(folder: Path, script: str) -> Kubectl:
    program = folder / "kubectl"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    scope = Scope("demo", "prod", "/etc/config", "alice", ("traders", "staff"))
    return Kubectl(scope, program=str(program))


def test_its_own_options_are_passed_through(tmp_path: Path) -> None:
    kubectl = fake(tmp_path, 'echo "$@"')
    given = "--context=prod --kubeconfig=/etc/config --as=alice --as-group=traders --as-group=staff"
    assert kubectl.run("get", "bots").split() == f"get bots {given} --namespace=demo --request-timeout=20s".split()
    assert "--namespace=demo" not in kubectl.run("get", "bots", all_namespaces=True)


def test_a_call_that_hangs_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubectl_tradingbot.kubectl._SPARE_SECONDS", 0.1)
    with pytest.raises(UnreachableError, match="no answer within"):
        fake(tmp_path, "exec sleep 30").attempt("get", "bots", timeout_seconds=0.1)


def test_an_answer_that_makes_no_sense_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="no JSON"):
        fake(tmp_path, "echo hello").get("bots", "x")
    with pytest.raises(RefusedError, match="no object"):
        fake(tmp_path, "echo '[]'").get("bots", "x")
    with pytest.raises(NotAllowedError, match="does not say who you are"):
        fake(tmp_path, "echo '{}'").whoami()


def test_a_stream_ends_with_the_error_that_ended_it(tmp_path: Path) -> None:
    lines = fake(tmp_path, "echo one; echo 'Error from server (NotFound): pods \"x\" not found' >&2; exit 1").stream(
        "logs"
    )
    assert next(lines) == "one\n"
    with pytest.raises(NotFoundError):
        next(lines)


def test_names_that_are_close_are_suggested_and_bounded() -> None:
    assert suggestions("momentun", ["momentum", "other"]) == ["momentum"]
    assert suggestions("mo", ["momentum-a", "momentum-b", "momentum-c", "momentum-d"]) == [
        "momentum-a",
        "momentum-b",
        "momentum-c",
    ]
    assert suggestions("zzz", ["momentum"]) == []


def test_a_command_can_be_pasted() -> None:
    assert (
        command_line("kubectl", "x", "--reason", "it's over; $HOME") == """kubectl x --reason 'it'"'"'s over; $HOME'"""
    )
