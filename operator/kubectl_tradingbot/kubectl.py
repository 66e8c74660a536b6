"""The one place that runs kubectl: every question and every change goes through it, with a timeout.

What kubectl says on its way out becomes an error with a name. Must never ask for a Secret, and never retries a write.
"""

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from kubectl_tradingbot.errors import (
    NotAllowedError,
    NotFoundError,
    NotInstalledError,
    PluginError,
    RefusedError,
    UnreachableError,
    UsageError,
)

Raw = Mapping[str, Any]

BOTS: Final = "tradingbots.tradingbots.dev"
ACCOUNTS: Final = "brokeraccounts.tradingbots.dev"
GATES: Final = "promotiongates.tradingbots.dev"
EVIDENCE: Final = "promotionevidences.tradingbots.dev"
APPROVALS: Final = "approvals.tradingbots.dev"

REQUEST_SECONDS: Final = 20
"""How long one call may take, kubectl's own start included."""
_SPARE_SECONDS: Final = 5
_MOST_WORDS: Final = 2000

_RBAC: Final = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\S+) resource "(?P<resource>[^"]+)" in API group "(?P<group>[^"]*)"'
    r'(?: in the namespace "(?P<namespace>[^"]+)")?'
)
_POLICY: Final = re.compile(r"ValidatingAdmissionPolicy '(?P<policy>[^']+)' .*?denied request: (?P<why>.*)", re.DOTALL)
_UNREACHABLE: Final = re.compile(
    r"unable to connect to the server|connection to the server .* was refused|dial tcp|i/o timeout|no such host"
    r"|deadline exceeded|client\.timeout|tls handshake|x509:|connection reset|unexpected EOF"
    r"|server is currently unable to handle the request|couldn't get current server API group list",
    re.IGNORECASE,
)
_LOGGED: Final = re.compile(r"[EWIF]\d{4} \d{2}:\d{2}:\d{2}")
_NO_KIND: Final = re.compile(
    r"doesn't have a resource type|could not find the requested resource|no matches for kind|no resources? matches"
)
_NO_USER: Final = re.compile(r"\(Unauthorized\)|must be logged in|asked for the client to provide credentials")
_NO_CONFIG: Final = re.compile(
    r'context ".*" does not exist|context was not found|no context exists|error loading config file'
    r"|invalid configuration|stat .*: no such file"
)
_ROLES: Final = {
    (BOTS, "patch"): "tradingbots-duty (kill, pause) or tradingbots-edit",
    (ACCOUNTS, "patch"): "tradingbots-duty or tradingbots-accounts",
    (APPROVALS, "create"): "tradingbots-approver (promotions) or tradingbots-releaser (kills)",
}


@dataclass(frozen=True)
class Scope:
    """Which cluster, which namespace, and as whom: kubectl's own options, passed through. None: as kubectl decides."""

    namespace: str | None = None
    context: str | None = None
    kubeconfig: str | None = None
    as_user: str | None = None
    as_groups: tuple[str, ...] = ()

    @property
    def cluster_arguments(self) -> list[str]:
        """All but the namespace."""
        named = {"--context": self.context, "--kubeconfig": self.kubeconfig, "--as": self.as_user}
        found = [f"{option}={value}" for option, value in named.items() if value]
        return found + [f"--as-group={group}" for group in self.as_groups]

    @property
    def arguments(self) -> list[str]:
        """As kubectl takes them."""
        return self.cluster_arguments + ([f"--namespace={self.namespace}"] if self.namespace else [])


@dataclass(frozen=True)
class Done:
    """How a call ended."""

    stdout: str
    stderr: str
    code: int


@dataclass(frozen=True)
class Kubectl:
    """kubectl with one scope."""

    scope: Scope = field(default_factory=Scope)
    program: str = "kubectl"

    def attempt(
        self,
        *arguments: str,
        document: str | None = None,
        all_namespaces: bool = False,
        timeout_seconds: float = REQUEST_SECONDS,
    ) -> Done:
        """One call, however it ends; UnreachableError where it takes too long or kubectl is not there."""
        scope = self.scope.cluster_arguments if all_namespaces else self.scope.arguments
        everywhere = ["--all-namespaces"] if all_namespaces else []
        command = [self._found(), *arguments, *everywhere, *scope, f"--request-timeout={timeout_seconds:g}s"]
        try:
            done = subprocess.run(  # noqa: S603 - the person's own kubectl, without a shell
                command,
                input=document,
                # Without an input of its own, kubectl would take what is typed for the next question.
                stdin=subprocess.DEVNULL if document is None else None,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=timeout_seconds + _SPARE_SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise UnreachableError(
                f"`kubectl {arguments[0]}` gave no answer within {timeout_seconds + _SPARE_SECONDS:g} s"
            ) from None
        return Done(done.stdout, done.stderr.strip(), done.returncode)

    def run(self, *arguments: str, document: str | None = None, all_namespaces: bool = False) -> str:
        """Its output; an error with a name where it fails."""
        done = self.attempt(*arguments, document=document, all_namespaces=all_namespaces)
        if done.code != 0:
            raise error_of(done.stderr or done.stdout)
        return done.stdout

    def get(self, resource: str, name: str, *options: str) -> Raw:
        """One object; NotFoundError where it is not there."""
        return _document(self.run("get", resource, name, "--output=json", *options))

    def list(self, resource: str, *options: str, all_namespaces: bool = False) -> Sequence[Raw]:
        """The objects of a kind."""
        found = _document(self.run("get", resource, "--output=json", *options, all_namespaces=all_namespaces))
        items: Sequence[Raw] = found.get("items", [])
        return items

    def create(self, document: Raw) -> Raw:
        """Creates an object, strictly validated; as it was stored."""
        said = self.run("create", "--filename=-", "--validate=strict", "--output=json", document=json.dumps(document))
        return _document(said)

    def whoami(self) -> str:
        """The name that the API server knows the person by."""
        found = _document(self.run("auth", "whoami", "--output=json"))
        name = found.get("status", {}).get("userInfo", {}).get("username", "")
        if not name:
            raise NotAllowedError("the API server does not say who you are: `kubectl auth whoami` has to name you")
        return str(name)

    def stream(self, *arguments: str) -> Iterator[str]:
        """The lines of a call that may go on for as long as the person wants it to."""
        process = subprocess.Popen(  # noqa: S603 - as above
            [self._found(), *arguments, *self.scope.arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        try:
            assert process.stdout is not None  # noqa: S101 - it was asked for in the line above
            yield from process.stdout
            _, said = process.communicate(timeout=_SPARE_SECONDS)
            if process.returncode != 0:
                raise error_of(said)
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=_SPARE_SECONDS)

    def _found(self) -> str:
        found = shutil.which(self.program)
        if found is None:
            raise UnreachableError(f"there is no {self.program} on PATH: install it, or put it there")
        return found


def _document(text: str) -> Raw:
    try:
        found = json.loads(text)
    except ValueError:
        raise RefusedError(f"kubectl's answer is no JSON: {text[:200]!r}") from None
    if not isinstance(found, dict):
        raise RefusedError(f"kubectl's answer is no object: {text[:200]!r}")
    return found


def error_of(said: str) -> PluginError:
    """What kubectl's last words mean."""
    # What kubectl's library logs on the way says the same, again and again.
    own = "\n".join(line for line in said.strip().splitlines() if not _LOGGED.match(line))
    said = (own or said.strip())[-_MOST_WORDS:]
    policy = _POLICY.search(said)
    if policy is not None:
        return NotAllowedError(f"refused by the policy {policy['policy']}: {policy['why'].strip()}")
    right = _RBAC.search(said)
    if right is not None:
        return NotAllowedError(_missing_right(right))
    if _NO_USER.search(said):
        return NotAllowedError(f"the API server does not know you: log in anew. It says: {said}")
    if _NO_KIND.search(said):
        return NotInstalledError(
            "the cluster does not know the kinds of tradingbots.dev: install the operator's CustomResourceDefinitions"
            f" (kubectl apply -k manifests/base), or name another cluster with --context. It says: {said}"
        )
    if _NO_CONFIG.search(said):
        return UsageError(f"the kubeconfig does not fit: {said}")
    if _UNREACHABLE.search(said):
        return UnreachableError(f"the API server cannot be reached: {said}")
    if "(NotFound)" in said:
        return NotFoundError(re.sub(r"^Error from server \(NotFound\): ", "", said))
    if "(Forbidden)" in said:
        return NotAllowedError(said)
    return RefusedError(said or "kubectl failed and said nothing")


def _missing_right(found: re.Match[str]) -> str:
    resource = f"{found['resource']}.{found['group']}" if found["group"] else found["resource"]
    where = f"in the namespace {found['namespace']}" if found["namespace"] else "in the whole cluster"
    role = _ROLES.get((resource, found["verb"]), "tradingbots-view" if found["verb"] in ("get", "list") else "")
    # Without a name of the namespace a list of all of them was asked for.
    hint = f"; the ClusterRole {role} has it" if role and "tradingbots.dev" in resource else ""
    return f"{found['user']} may not {found['verb']} {resource} {where}: have that right bound to you there{hint}"


def command_line(*words: str) -> str:
    """A command as a person can paste it."""
    return shlex.join(words)
