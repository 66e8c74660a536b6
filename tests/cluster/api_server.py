"""The API server as the tests see it: requests as the administrator or as anybody else, and waiting with a deadline."""

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import urllib3
import yaml
from kubernetes import config

Json = dict[str, Any]
Seen = TypeVar("Seen")

MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
_POLL_SECONDS = 0.1
_REOPENING_SECONDS = 30.0

PATHS = {
    "Namespace": ("api/v1", "namespaces"),
    "Secret": ("api/v1", "secrets"),
    "ServiceAccount": ("api/v1", "serviceaccounts"),
    "ConfigMap": ("api/v1", "configmaps"),
    "Service": ("api/v1", "services"),
    "Pod": ("api/v1", "pods"),
    "PersistentVolumeClaim": ("api/v1", "persistentvolumeclaims"),
    "StatefulSet": ("apis/apps/v1", "statefulsets"),
    "Deployment": ("apis/apps/v1", "deployments"),
    "PodDisruptionBudget": ("apis/policy/v1", "poddisruptionbudgets"),
    "Lease": ("apis/coordination.k8s.io/v1", "leases"),
    "Role": ("apis/rbac.authorization.k8s.io/v1", "roles"),
    "RoleBinding": ("apis/rbac.authorization.k8s.io/v1", "rolebindings"),
    "ClusterRole": ("apis/rbac.authorization.k8s.io/v1", "clusterroles"),
    "ClusterRoleBinding": ("apis/rbac.authorization.k8s.io/v1", "clusterrolebindings"),
    "CustomResourceDefinition": ("apis/apiextensions.k8s.io/v1", "customresourcedefinitions"),
    "Event": ("apis/events.k8s.io/v1", "events"),
    "TradingBot": ("apis/tradingbots.dev/v1alpha1", "tradingbots"),
    "BrokerAccount": ("apis/tradingbots.dev/v1alpha1", "brokeraccounts"),
    "PromotionGate": ("apis/tradingbots.dev/v1alpha1", "promotiongates"),
    "PromotionEvidence": ("apis/tradingbots.dev/v1alpha1", "promotionevidences"),
    "Approval": ("apis/tradingbots.dev/v1alpha1", "approvals"),
    "Attestation": ("apis/tradingbots.dev/v1alpha1", "attestations"),
    "KillRecord": ("apis/tradingbots.dev/v1alpha1", "killrecords"),
    "ValidationRun": ("apis/tradingbots.dev/v1alpha1", "validationruns"),
    "PersistentVolume": ("api/v1", "persistentvolumes"),
    "StorageClass": ("apis/storage.k8s.io/v1", "storageclasses"),
    "NetworkPolicy": ("apis/networking.k8s.io/v1", "networkpolicies"),
    "Job": ("apis/batch/v1", "jobs"),
    "ValidatingAdmissionPolicy": ("apis/admissionregistration.k8s.io/v1", "validatingadmissionpolicies"),
    "ValidatingAdmissionPolicyBinding": ("apis/admissionregistration.k8s.io/v1", "validatingadmissionpolicybindings"),
}
CLUSTER_WIDE = {
    "PersistentVolume",
    "StorageClass",
    "Namespace",
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
}


class Refused(Exception):
    """The API server's own words, and its code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class NotYet(AssertionError):
    """What was waited for did not come in time."""


def eventually(look: Callable[[], Seen], what: str, timeout_seconds: float = 60) -> Seen:
    """Looks until it sees something true, and returns that; what it saw last is in the error."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        last: object
        try:
            seen = look()
            if seen:
                return seen
            last = seen
        except (Refused, LookupError, OSError, urllib3.exceptions.HTTPError) as error:
            last = error
        if time.monotonic() > deadline:
            raise NotYet(f"after {timeout_seconds:g} s still not: {what}; last seen: {last!r}")
        time.sleep(_POLL_SECONDS)


@dataclass(frozen=True)
class Answer:
    """An object, and the warnings that came with it."""

    document: Json
    warning: str = ""


class ApiServer:
    """Requests with one identity; `as_service_account` gives another."""

    def __init__(self, kubeconfig: Path, impersonate: dict[str, Any] | None = None) -> None:
        self._kubeconfig = kubeconfig
        self._impersonate = impersonate or {}
        self._client = config.new_client_from_config(str(kubeconfig))

    @property
    def url(self) -> str:
        """Its address."""
        return str(self._client.configuration.host)

    @property
    def ca_file(self) -> Path:
        """Its certificate authority."""
        return Path(self._client.configuration.ssl_ca_cert)

    @contextmanager
    def as_service_account(self, namespace: str, name: str) -> Iterator["ApiServer"]:
        """The same API server, as a pod with this ServiceAccount would see it."""
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
        with self.as_user(f"system:serviceaccount:{namespace}:{name}", *groups) as other:
            yield other

    @contextmanager
    def as_user(self, name: str, *groups: str) -> Iterator["ApiServer"]:
        """The same API server, as a person or program of this name would see it."""
        other = ApiServer(self._kubeconfig, {"user": name, "groups": groups or ("system:authenticated",)})
        try:
            yield other
        finally:
            other.close()

    def close(self) -> None:
        """Closes the connections."""
        self._client.rest_client.pool_manager.clear()
        self._client.close()

    def request(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json", **query: str
    ) -> Answer:
        """One request; Refused where it is not carried out."""
        headers: Any = [("Content-Type", content_type), ("Accept", "application/json")]
        if self._impersonate:
            headers.append(("Impersonate-User", self._impersonate["user"]))
            headers += [("Impersonate-Group", group) for group in self._impersonate["groups"]]
        url = f"{self.url}/{path}" + (f"?{urlencode(query)}" if query else "")
        deadline = time.monotonic() + _REOPENING_SECONDS
        while True:
            response = self._client.rest_client.pool_manager.request(
                method,
                url,
                body=_encoded(body) if body is not None else None,
                headers=urllib3.HTTPHeaderDict(headers),
                timeout=60.0,
                retries=False,
            )
            # A CRD that was changed a moment ago: the API server asks to be asked again.
            if response.status != 429 or b"(re)initializing" not in response.data or time.monotonic() > deadline:
                break
            time.sleep(_POLL_SECONDS)
        try:
            document = json.loads(response.data) if response.data else {}
        except ValueError:
            document = {"message": response.data.decode(errors="replace")}
        if response.status >= 300:
            raise Refused(response.status, str(document.get("message", "")))
        return Answer(document, response.headers.get("Warning", ""))

    def get(self, kind: str, name: str, namespace: str | None = None, subresource: str = "") -> Json:
        """Reads an object."""
        return self.request("GET", path_of(kind, namespace, name, subresource)).document

    def list(self, kind: str, namespace: str | None = None, **query: str) -> list[Json]:
        """Reads a collection."""
        items: list[Json] = self.request("GET", path_of(kind, namespace), **query).document["items"]
        return items

    def exists(self, kind: str, name: str, namespace: str | None = None) -> bool:
        """Whether there is such an object."""
        try:
            self.get(kind, name, namespace)
        except Refused as refused:
            if refused.code != 404:
                raise
            return False
        return True

    def apply(self, document: Json, namespace: str | None = None, **query: str) -> Answer:
        """Server-side apply with strict validation, as `kubectl apply --server-side` does."""
        metadata = document["metadata"]
        path = path_of(document["kind"], metadata.get("namespace", namespace), metadata["name"])
        options = {"fieldManager": "tests", "force": "true", "fieldValidation": "Strict", **query}
        return self.request("PATCH", path, document, APPLY, **options)

    def create(self, document: Json, namespace: str | None = None) -> Json:
        """Creates with strict validation."""
        path = path_of(document["kind"], namespace)
        return self.request("POST", path, document, fieldValidation="Strict").document

    def replace(self, document: Json, namespace: str | None = None) -> Json:
        """Replaces what is there, with strict validation; again where somebody else wrote in between."""
        kind, metadata = document["kind"], document["metadata"]
        for _ in range(20):
            version = self.get(kind, metadata["name"], namespace)["metadata"]["resourceVersion"]
            body = {**document, "metadata": {**metadata, "resourceVersion": version}}
            try:
                path = path_of(kind, namespace, metadata["name"])
                return self.request("PUT", path, body, fieldValidation="Strict").document
            except Refused as refused:
                if refused.code != 409:
                    raise
        raise NotYet(f"{kind} {metadata['name']} changes all the time")

    def patch(
        self, kind: str, name: str, body: Json, namespace: str | None = None, subresource: str = "", **query: str
    ) -> Json:
        """A JSON merge patch."""
        path = path_of(kind, namespace, name, subresource)
        return self.request("PATCH", path, body, MERGE, **query).document

    def delete(self, kind: str, name: str, namespace: str | None = None, **options: Any) -> None:
        """Deletes in the background."""
        body = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background", **options}
        self.request("DELETE", path_of(kind, namespace, name), body)


def _encoded(body: Any) -> bytes:
    # An apply is read as YAML, which knows no surrogate pairs and folds some characters that are not escaped.
    text = json.dumps(body, ensure_ascii=False)
    return re.sub("[\x7f-\uffff]", lambda found: f"\\u{ord(found[0]):04x}", text).encode()


def path_of(kind: str, namespace: str | None = None, name: str = "", subresource: str = "") -> str:
    """The URL path of a collection, an object or its subresource."""
    prefix, plural = PATHS[kind]
    scope = [] if kind in CLUSTER_WIDE or namespace is None else ["namespaces", namespace]
    return "/".join([prefix, *scope, plural, *(part for part in (name, subresource) if part)])


def manifests(folder: Path) -> Iterator[Json]:
    """Every object of a kustomization without patches: its resources in order, with its namespace."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    namespace = kustomization.get("namespace")
    for entry in kustomization["resources"]:
        path = (folder / entry).resolve()
        documents = manifests(path) if path.is_dir() else yaml.safe_load_all(path.read_text())
        for document in documents:
            if namespace and document["kind"] not in CLUSTER_WIDE:
                document["metadata"]["namespace"] = namespace
            yield document
