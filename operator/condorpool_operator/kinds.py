"""The kinds of object that the operator reads or writes, and the order in which it applies them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .api.v1alpha1 import API_VERSION, KIND, PLURAL


@dataclass(frozen=True)
class Kind:
    """A kind of the Kubernetes API; objects of a namespaced one have a path in their namespace."""

    api_version: str
    name: str
    plural: str

    def path(self, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
        """Return the REST path of the collection, of an object or of its subresource."""
        prefix = "/api" if "/" not in self.api_version else "/apis"
        parts = [prefix, self.api_version]
        if namespace is not None:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part is not None]
        return "/".join(parts)


CONDOR_POOL = Kind(API_VERSION, KIND, PLURAL)
CONFIG_MAP = Kind("v1", "ConfigMap", "configmaps")
SECRET = Kind("v1", "Secret", "secrets")
SERVICE = Kind("v1", "Service", "services")
CLAIM = Kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
POD = Kind("v1", "Pod", "pods")
NAMESPACE = Kind("v1", "Namespace", "namespaces")
NODE = Kind("v1", "Node", "nodes")
EVENT = Kind("v1", "Event", "events")
DEPLOYMENT = Kind("apps/v1", "Deployment", "deployments")
STATEFUL_SET = Kind("apps/v1", "StatefulSet", "statefulsets")
DISRUPTION_BUDGET = Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
NETWORK_POLICY = Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
CALICO_POLICY = Kind("projectcalico.org/v3", "NetworkPolicy", "networkpolicies")

POLICIES = (NETWORK_POLICY, CALICO_POLICY)
WORKLOADS = (DEPLOYMENT, STATEFUL_SET)
APPLIED = (SECRET, CONFIG_MAP, CLAIM, SERVICE, DISRUPTION_BUDGET, *POLICIES, *WORKLOADS)
"""What a pool is made of; workloads are applied last, when all that they mount and that guards them is there."""

_BY_TYPE = {(kind.api_version, kind.name): kind for kind in (*APPLIED, POD, CONDOR_POOL)}


def kind_of(obj: Mapping[str, Any]) -> Kind:
    """Return the kind of an object."""
    return _BY_TYPE[obj["apiVersion"], obj["kind"]]
