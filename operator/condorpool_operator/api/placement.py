"""Where the pods of a role run, what they carry and what they may use: Kubernetes' own fields, passed through."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from .model import LabelValue, Model, QualifiedName, Quantity, rules

_OPAQUE = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_OWN_DOMAINS = "k.contains('condorpool.dev/') || k.startsWith('app.kubernetes.io/')"
_OWN_KEYS = rules(
    (
        f"self.all(k, !({_OWN_DOMAINS}))",
        "keys under condorpool.dev/ and app.kubernetes.io/ belong to the operator: choose another prefix",
    )
)

Labels = Annotated[dict[QualifiedName, LabelValue], Field(max_length=16)]
Annotations = Annotated[dict[QualifiedName, Annotated[str, Field(max_length=4096)]], Field(max_length=16)]
Quantities = Annotated[dict[QualifiedName, Quantity], Field(max_length=8)]


class Toleration(Model):
    """A taint that the pods tolerate."""

    key: Annotated[str, Field(max_length=316)] | None = None
    """Key of the taint; absent with operator Exists matches every key."""
    operator: Literal["Exists", "Equal"] | None = None
    """How key and value are compared; Equal when absent."""
    value: Annotated[str, Field(max_length=63)] | None = None
    """Value of the taint, with operator Equal."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint; absent matches every effect."""
    toleration_seconds: int | None = None
    """Seconds for which a NoExecute taint is tolerated; for ever when absent."""


_REQUESTS_WITHIN_LIMITS = (
    "!has(self.requests) || !has(self.limits) || self.requests.all(k, !(k in self.limits) || "
    "quantity(string(self.requests[k])).compareTo(quantity(string(self.limits[k]))) <= 0)"
)


class Resources(Model):
    """Requests and limits of a container, as in a pod."""

    model_config = ConfigDict(
        json_schema_extra=rules((_REQUESTS_WITHIN_LIMITS, "a request must not exceed the limit of the same resource"))
    )

    limits: Quantities | None = None
    """Upper bounds by resource name: cpu, memory, ephemeral-storage, or an extended resource."""
    requests: Quantities | None = None
    """What the scheduler sets aside, by resource name."""


class Placement(Model):
    """Where pods run, and what they carry besides the operator's own labels."""

    node_selector: Labels | None = None
    """Labels that a node must have."""
    tolerations: Annotated[list[Toleration], Field(max_length=16)] | None = None
    """Taints that the pods tolerate."""
    affinity: Annotated[dict[str, Any], Field(json_schema_extra=_OPAQUE)] | None = None
    """Affinity of the pods, as in the spec of a pod."""
    topology_spread_constraints: (
        Annotated[list[dict[str, Any]], Field(max_length=8, json_schema_extra={"items": _OPAQUE})] | None
    ) = None
    """How the pods spread over nodes, as in the spec of a pod."""
    priority_class_name: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    """PriorityClass of the pods."""
    pod_labels: Annotated[Labels, Field(json_schema_extra=_OWN_KEYS)] | None = None
    """Labels added to the pods."""
    pod_annotations: Annotated[Annotations, Field(json_schema_extra=_OWN_KEYS)] | None = None
    """Annotations added to the pods."""
