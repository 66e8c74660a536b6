"""Where each kind lives in the API: its group, version and plural. Holds constants only."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from tradingbot_api import GROUP, VERSION


@dataclass(frozen=True)
class Resource:
    """One kind of object."""

    kind: str
    plural: str
    version: str
    group: str = ""

    @property
    def api_version(self) -> str:
        """As in a manifest."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str = "") -> str:
        """The URL path of the collection, an object, or one of its subresources."""
        parts = [f"/apis/{self.group}" if self.group else "/api", self.version]
        if namespace is not None:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part]
        return "/".join(parts)


_ALL = (
    Resource("TradingBot", "tradingbots", VERSION, GROUP),
    Resource("BrokerAccount", "brokeraccounts", VERSION, GROUP),
    Resource("PromotionGate", "promotiongates", VERSION, GROUP),
    Resource("PromotionEvidence", "promotionevidences", VERSION, GROUP),
    Resource("Approval", "approvals", VERSION, GROUP),
    Resource("Attestation", "attestations", VERSION, GROUP),
    Resource("KillRecord", "killrecords", VERSION, GROUP),
    Resource("ValidationRun", "validationruns", VERSION, GROUP),
    Resource("ServiceAccount", "serviceaccounts", "v1"),
    Resource("Role", "roles", "v1", "rbac.authorization.k8s.io"),
    Resource("RoleBinding", "rolebindings", "v1", "rbac.authorization.k8s.io"),
    Resource("ConfigMap", "configmaps", "v1"),
    Resource("Service", "services", "v1"),
    Resource("NetworkPolicy", "networkpolicies", "v1", "networking.k8s.io"),
    Resource("StatefulSet", "statefulsets", "v1", "apps"),
    Resource("Job", "jobs", "v1", "batch"),
    Resource("Pod", "pods", "v1"),
    Resource("PersistentVolumeClaim", "persistentvolumeclaims", "v1"),
)

RESOURCES: Final = MappingProxyType({resource.kind: resource for resource in _ALL})

OWN_KINDS: Final = (
    "TradingBot",
    "BrokerAccount",
    "PromotionGate",
    "PromotionEvidence",
    "Approval",
    "Attestation",
    "KillRecord",
    "ValidationRun",
)
"""Watched whole; the rest only where it carries our label."""

LOOKED_AT: Final = OWN_KINDS[:3]
"""Those of them that have a status, so that each of their objects is looked at."""

LABELLED_KINDS: Final = tuple(resource.kind for resource in _ALL if resource.kind not in OWN_KINDS)

EVENTS: Final = Resource("Event", "events", "v1", "events.k8s.io")

LEASES: Final = Resource("Lease", "leases", "v1", "coordination.k8s.io")

DEFINITIONS: Final = Resource("CustomResourceDefinition", "customresourcedefinitions", "v1", "apiextensions.k8s.io")
"""Not in a namespace."""

POLICIES: Final = MappingProxyType(
    {
        resource.kind: resource
        for resource in (
            Resource("ValidatingAdmissionPolicy", "validatingadmissionpolicies", "v1", "admissionregistration.k8s.io"),
            Resource(
                "ValidatingAdmissionPolicyBinding",
                "validatingadmissionpolicybindings",
                "v1",
                "admissionregistration.k8s.io",
            ),
        )
    }
)
"""Not in a namespace."""
