"""Who may talk to a pool's pods and what these may open: rules in the shapes of networking.k8s.io/v1."""

import ipaddress
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from .model import Model, rules
from .placement import Labels


def _check_cidr(text: str) -> str:
    ipaddress.ip_network(text)
    return text


def _is_inside(part: str, whole: str) -> bool:
    inner, outer = ipaddress.ip_network(part), ipaddress.ip_network(whole)
    same = inner.version == outer.version and inner.prefixlen > outer.prefixlen
    return same and inner.network_address in outer


Cidr = Annotated[
    str,
    Field(min_length=4, max_length=43, pattern=r"^[0-9a-fA-F.:]+/[0-9]{1,3}$", json_schema_extra={"format": "cidr"}),
    AfterValidator(_check_cidr),
]
"""A network in CIDR notation, IPv4 or IPv6, without host bits: 10.0.0.0/8, 2001:db8::/32."""


class IpBlock(Model):
    """Addresses in CIDR notation."""

    cidr: Cidr
    """The network: 0.0.0.0/0 is all of IPv4."""
    except_: Annotated[tuple[Cidr, ...], Field(max_length=16, alias="except")] = ()
    """Parts of the network that are left out."""

    @model_validator(mode="after")
    def _except_is_inside(self) -> Self:
        for text in self.except_:
            if not _is_inside(text, self.cidr):
                raise ValueError(f"except: {text} is not a part of {self.cidr}")
        return self


class LabelSelector(Model):
    """Objects that carry all of these labels; all objects when empty."""

    match_labels: Labels | None = None
    """Labels and their values."""


class Peer(Model):
    """Who is at the other end: a network, or pods."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "has(self.ipBlock) != (has(self.podSelector) || has(self.namespaceSelector))",
                "a peer needs either ipBlock, or podSelector and namespaceSelector or one of them",
            )
        )
    )

    ip_block: IpBlock | None = None
    """Addresses outside the cluster."""
    namespace_selector: LabelSelector | None = None
    """Namespaces whose pods are meant; the pool's own when absent."""
    pod_selector: LabelSelector | None = None
    """Pods that are meant; all of the namespaces when absent."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.ip_block is None) == (self.pod_selector is None and self.namespace_selector is None):
            raise ValueError("a peer needs either ipBlock, or podSelector and namespaceSelector or one of them")
        return self


class PolicyPort(Model):
    """A port, or a range of ports."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("!has(self.endPort) || self.endPort >= self.port", "endPort must not be smaller than port")
        )
    )

    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"
    """Transport protocol."""
    port: Annotated[int, Field(ge=1, le=65535)]
    """The port, or the first of a range."""
    end_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """The last port of a range."""


class EgressRule(Model):
    """What may be opened: any of the ports at any of the peers."""

    to: Annotated[list[Peer], Field(min_length=1, max_length=16)]
    """Networks and pods that may be reached."""
    ports: Annotated[tuple[PolicyPort, ...], Field(max_length=16)] = ()
    """Ports that may be opened there; all when empty."""


Rules = Annotated[tuple[EgressRule, ...], Field(max_length=16)]


class Egress(Model):
    """What pods may open beyond their pool and DNS."""

    executors: Rules = ()
    """What jobs may open."""
    submitter: Rules = ()
    """What users who are logged in, and the schedd, may open."""


class NetworkPolicy(Model):
    """Isolation of the pool: its pods reach each other on what HTCondor needs, DNS, and what is stated here; nothing else."""

    mode: Literal["Auto", "Calico", "Kubernetes", "Disabled"] = "Auto"
    """Kind of policies: Auto is Calico where projectcalico.org/v3 is served, else Kubernetes. Disabled leaves the pool open."""
    egress: Egress = Egress()
    """What the pool's pods may open beyond the pool and DNS."""
    monitoring: Annotated[tuple[Peer, ...], Field(max_length=16)] = ()
    """Who may reach the metrics of the manager's agent, port 9619: nobody but the operator when empty."""
