"""Network policies: who reaches the pool's pods and what these reach; the same rules in Kubernetes' words and in Calico's.

Needed, by measurement: submitter and executors reach the collector, the negotiator reaches the schedd, schedd and startds (their
shadows and starters) reach each other, all ask DNS; the agent beside the manager drains startds, and the operator asks it. Policies see
addresses after a Service's translation: pods, not Services.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .. import labels, naming
from ..api.network import EgressRule, LabelSelector, Peer
from ..kinds import CALICO_POLICY, NETWORK_POLICY, Kind
from .context import Context

CALICO_ORDER = 1000
"""Where Calico puts Kubernetes' policies too: whatever an administrator wants to come first comes first."""
DNS_PORT = 53
_DNS_PODS = {"k8s-app": "kube-dns"}


@dataclass(frozen=True)
class Members:
    """Pods of the same pool by component."""

    components: tuple[str, ...]


@dataclass(frozen=True)
class Network:
    """Addresses."""

    cidr: str
    excluded: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pods:
    """Pods by labels, in namespaces by labels; None is the own namespace, or all pods."""

    namespace: Mapping[str, str] | None
    pods: Mapping[str, str] | None


@dataclass(frozen=True)
class Ports:
    """A range of ports of a protocol."""

    first: int
    last: int
    protocol: str = "TCP"


@dataclass(frozen=True)
class Rule:
    """Any of the peers (whoever where there is none) on any of the ports (whichever where there is none)."""

    peers: tuple[Members | Network | Pods, ...]
    ports: tuple[Ports, ...]


@dataclass(frozen=True)
class Policy:
    """What the pods of a component may take in and open; all else is denied in both directions."""

    name: str
    component: str
    ingress: tuple[Rule, ...]
    egress: tuple[Rule, ...]


_CONDOR = (Ports(naming.CONDOR_PORT, naming.CONDOR_PORT),)
_AGENT = (Ports(naming.AGENT_PORT, naming.AGENT_PORT),)
_NAMESPACE = "kubernetes.io/metadata.name"


def _daemons(*components: str) -> Rule:
    return Rule((Members(components),), _CONDOR)


def policy_kind(mode: str, *, served: bool) -> Kind | None:
    """Return the kind of policies that a mode means, where Calico's API is served or not; None is no policies.

    Calico asked for and not served falls back to Kubernetes' kind: a pool is never left open by a missing API.
    """
    if mode == "Disabled":
        return None
    return CALICO_POLICY if served and mode in ("Auto", "Calico") else NETWORK_POLICY


def build_policies(context: Context) -> list[dict[str, Any]]:
    """Return the pool's policies, of the kind in effect; none where they are disabled."""
    if context.policy_kind is None:
        return []
    render = {NETWORK_POLICY: _kubernetes, CALICO_POLICY: _calico}[context.policy_kind]
    return [
        {
            "apiVersion": context.policy_kind.api_version,
            "kind": context.policy_kind.name,
            "metadata": context.metadata(policy.name, policy.component),
            "spec": render(policy, labels.policy_selector(context.pool.name, context.pool.uid)),
        }
        for policy in policies(context)
    ]


def policies(context: Context) -> list[Policy]:
    """Return one policy for each role, whole in itself: where one comes or goes before another, nothing that must flow is cut."""
    names, egress = context.names, context.pool.spec.network_policy.egress
    manager, submitter, executor, dns = naming.MANAGER, naming.SUBMITTER, naming.EXECUTOR, _dns(context)
    return [
        Policy(
            names.manager,
            manager,
            (_daemons(submitter, executor), *_watchers(context)),
            (_daemons(submitter, executor), dns),
        ),
        Policy(
            names.submitter,
            submitter,
            (_daemons(manager, executor), *_ssh(context)),
            (_daemons(manager, executor), dns, *_stated(egress.submitter)),
        ),
        Policy(
            names.executors,
            executor,
            (_daemons(manager, submitter),),
            (_daemons(manager, submitter), dns, *_stated(egress.executors)),
        ),
    ]


def _dns(context: Context) -> Rule:
    """Return the rule for DNS: its pods, and the addresses at which a node's own cache answers before any translation."""
    servers = [Network(_single(address)) for address in context.settings.dns_servers]
    ports = tuple(Ports(DNS_PORT, DNS_PORT, protocol) for protocol in ("UDP", "TCP"))
    return Rule((Pods({_NAMESPACE: "kube-system"}, _DNS_PODS), *servers), ports)


def _watchers(context: Context) -> tuple[Rule, ...]:
    """Return the rule for the agent: the operator's own pod, and whoever the spec says; none where that is nobody.

    A rule without peers would let everybody in.
    """
    settings = context.settings
    own = Pods({_NAMESPACE: settings.operator_namespace}, settings.operator_labels)
    operator = (own,) if settings.operator_namespace and settings.operator_labels else ()
    peers = (*operator, *(_peer(peer) for peer in context.pool.spec.network_policy.monitoring))
    return (Rule(peers, _AGENT),) if peers else ()


def _single(address: str) -> str:
    return f"{address}/128" if ":" in address else f"{address}/32"


def _ssh(context: Context) -> tuple[Rule, ...]:
    ssh = context.pool.spec.submitter.ssh
    if ssh is None:
        return ()
    return (
        Rule(tuple(Network(cidr) for cidr in ssh.service.source_ranges), (Ports(naming.SSH_PORT, naming.SSH_PORT),)),
    )


def _stated(rules: Iterable[EgressRule]) -> tuple[Rule, ...]:
    return tuple(
        Rule(
            tuple(_peer(peer) for peer in rule.to),
            tuple(Ports(port.port, port.end_port or port.port, port.protocol) for port in rule.ports),
        )
        for rule in rules
    )


def _peer(peer: Peer) -> Network | Pods:
    if peer.ip_block is not None:
        return Network(peer.ip_block.cidr, tuple(peer.ip_block.except_))
    return Pods(_labels(peer.namespace_selector), _labels(peer.pod_selector))


def _labels(selector: LabelSelector | None) -> Mapping[str, str] | None:
    return None if selector is None else selector.match_labels or {}


def _kubernetes(policy: Policy, pool: Mapping[str, str]) -> dict[str, Any]:
    return {
        "podSelector": {"matchLabels": {**pool, labels.COMPONENT: policy.component}},
        "policyTypes": ["Ingress", "Egress"],
        **_unless_empty("ingress", [_kubernetes_rule(rule, "from", pool) for rule in policy.ingress]),
        **_unless_empty("egress", [_kubernetes_rule(rule, "to", pool) for rule in policy.egress]),
    }


def _unless_empty(name: str, rules: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a field, left out where it is empty: the API servers store no empty lists and maps, and would always differ."""
    return {name: rules} if rules else {}


def _kubernetes_rule(rule: Rule, direction: str, pool: Mapping[str, str]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    if rule.peers:
        result[direction] = [written for peer in rule.peers for written in _kubernetes_peers(peer, pool)]
    if rule.ports:
        result["ports"] = [
            {"protocol": ports.protocol, "port": ports.first}
            | ({"endPort": ports.last} if ports.last > ports.first else {})
            for ports in rule.ports
        ]
    return result


def _kubernetes_peers(peer: Members | Network | Pods, pool: Mapping[str, str]) -> list[dict[str, Any]]:
    if isinstance(peer, Members):
        return [{"podSelector": {"matchLabels": {**pool, labels.COMPONENT: name}}} for name in peer.components]
    if isinstance(peer, Network):
        return [{"ipBlock": {"cidr": peer.cidr, **({"except": list(peer.excluded)} if peer.excluded else {})}}]
    selectors = {"namespaceSelector": peer.namespace, "podSelector": peer.pods}
    return [
        {
            name: {"matchLabels": dict(wanted)} if wanted else {}
            for name, wanted in selectors.items()
            if wanted is not None
        }
    ]


def _calico(policy: Policy, pool: Mapping[str, str]) -> dict[str, Any]:
    return {
        "order": CALICO_ORDER,
        "selector": _all_of({**pool, labels.COMPONENT: policy.component}),
        "types": ["Ingress", "Egress"],
        **_unless_empty("ingress", [one for rule in policy.ingress for one in _calico_rules(rule, "source", pool)]),
        **_unless_empty("egress", [one for rule in policy.egress for one in _calico_rules(rule, "destination", pool)]),
    }


def _calico_rules(rule: Rule, side: str, pool: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return Calico's rules for one of ours: each has one protocol, and its peers are networks or pods, never both."""
    rules = []
    for entity in [_calico_entity(peer, pool) for peer in rule.peers] or [{}]:
        for protocol in sorted({ports.protocol for ports in rule.ports}) or [""]:
            ports = [_range(one) for one in rule.ports if one.protocol == protocol]
            destination = {**(entity if side == "destination" else {}), **({"ports": ports} if ports else {})}
            fields = {"protocol": protocol, "source": entity if side == "source" else {}, "destination": destination}
            rules.append({"action": "Allow", **{name: value for name, value in fields.items() if value}})
    return rules


def _range(ports: Ports) -> int | str:
    return ports.first if ports.first == ports.last else f"{ports.first}:{ports.last}"


def _calico_entity(peer: Members | Network | Pods, pool: Mapping[str, str]) -> dict[str, Any]:
    if isinstance(peer, Members):
        return {"selector": _members(peer, pool)}
    if isinstance(peer, Network):
        return {"nets": [peer.cidr], **({"notNets": list(peer.excluded)} if peer.excluded else {})}
    selectors = {"namespaceSelector": peer.namespace, "selector": peer.pods}
    return {name: _all_of(wanted) for name, wanted in selectors.items() if wanted is not None}


def _members(members: Members, pool: Mapping[str, str]) -> str:
    wanted = ", ".join(f"'{name}'" for name in members.components)
    return f"{_all_of(pool)} && {labels.COMPONENT} in {{{wanted}}}"


def _all_of(wanted: Mapping[str, str]) -> str:
    return " && ".join(f"{key} == '{value}'" for key, value in sorted(wanted.items())) or "all()"
