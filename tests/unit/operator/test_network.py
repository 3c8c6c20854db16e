"""The same rules in the words of Kubernetes and of Calico: who reaches whom, and nothing more."""

from typing import Any

import pytest
from pydantic import ValidationError

from condorpool_operator.api.network import NetworkPolicy
from condorpool_operator.api.v1alpha1 import SshService
from condorpool_operator.builders.network import build_policies, policy_kind
from condorpool_operator.kinds import CALICO_POLICY, NETWORK_POLICY, Kind
from condorpool_operator.labels import COMPONENT, POOL, POOL_UID
from condorpool_operator.settings import Settings

from .factories import JOHN, UID, make_context

OURS = f"{POOL} == 'demo' && {POOL_UID} == '{UID}'"
KINDS = (NETWORK_POLICY, CALICO_POLICY)


def specs(kind: Kind | None, spec: dict[str, Any] | None = None) -> dict[str, Any]:
    objects = build_policies(make_context(spec, policy_kind=kind))
    return {obj["metadata"]["name"].removeprefix("demo-"): obj["spec"] for obj in objects}


@pytest.mark.parametrize(
    ("mode", "served", "kind"),
    [
        ("Auto", True, CALICO_POLICY),
        ("Auto", False, NETWORK_POLICY),
        ("Calico", True, CALICO_POLICY),
        ("Calico", False, NETWORK_POLICY),
        ("Kubernetes", True, NETWORK_POLICY),
        ("Disabled", True, None),
    ],
)
def test_the_kind_of_a_mode(mode: str, served: bool, kind: Kind | None) -> None:
    assert policy_kind(mode, served=served) == kind


def test_disabled_means_none() -> None:
    assert specs(None) == {}


@pytest.mark.parametrize("kind", KINDS)
def test_every_role_is_denied_what_is_not_allowed_in_both_directions(kind: Kind) -> None:
    found = specs(kind)
    assert found.keys() == {"manager", "submitter", "executors"}
    for spec in found.values():
        assert spec.get("types", spec.get("policyTypes")) == ["Ingress", "Egress"]


def test_kubernetes_selects_this_pools_pods_only() -> None:
    for role, spec in specs(NETWORK_POLICY).items():
        component = "executor" if role == "executors" else role
        assert spec["podSelector"] == {"matchLabels": {POOL: "demo", POOL_UID: UID, COMPONENT: component}}


def test_calico_selects_this_pools_pods_only() -> None:
    for role, spec in specs(CALICO_POLICY).items():
        component = "executor" if role == "executors" else role
        assert spec["selector"] == f"{COMPONENT} == '{component}' && {OURS}"


def members(peer: dict[str, Any]) -> str:
    labels = peer["podSelector"]["matchLabels"]
    assert (labels[POOL], labels[POOL_UID]) == ("demo", UID)
    return str(labels.get(COMPONENT))


@pytest.mark.parametrize(
    ("role", "direction", "others"),
    [
        ("manager", "ingress", {"submitter", "executor"}),
        ("manager", "egress", {"submitter", "executor"}),
        ("submitter", "ingress", {"manager", "executor"}),
        ("submitter", "egress", {"manager", "executor"}),
        ("executors", "ingress", {"manager", "submitter"}),
        ("executors", "egress", {"manager", "submitter"}),
    ],
)
def test_daemons_reach_each_other_on_what_is_needed(role: str, direction: str, others: set[str]) -> None:
    rules = specs(NETWORK_POLICY)[role][direction]
    condor = [rule for rule in rules if rule["ports"] == [{"protocol": "TCP", "port": 9618}]]
    assert {members(peer) for rule in condor for peer in rule["from" if direction == "ingress" else "to"]} == others
    (written,) = [rule for rule in specs(CALICO_POLICY)[role][direction] if rule["destination"].get("ports") == [9618]]
    selector = written["source" if direction == "ingress" else "destination"]["selector"]
    head, _, tail = selector.partition(f" && {COMPONENT} in ")
    assert head == OURS
    assert {name.strip(" '") for name in tail.strip("{}").split(",")} == others


@pytest.mark.parametrize("kind", KINDS)
def test_dns_is_open_to_its_pods_and_to_a_cache_on_the_node(kind: Kind) -> None:
    for spec in specs(kind).values():
        text = str(spec["egress"])
        assert "k8s-app" in text
        assert "10.96.0.10/32" in text
        assert "UDP" in text


RULES = {
    "egress": {
        "executors": [
            {
                "to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}],
                "ports": [{"port": 443}, {"port": 1000, "endPort": 2000}, {"protocol": "UDP", "port": 443}],
            },
            {"to": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "squid"}}}, {"podSelector": {}}]},
        ]
    }
}


def test_stated_egress_in_kubernetes_words() -> None:
    stated = specs(NETWORK_POLICY, {"networkPolicy": RULES})["executors"]["egress"][-2:]
    assert stated == [
        {
            "to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}],
            "ports": [
                {"protocol": "TCP", "port": 443},
                {"protocol": "TCP", "port": 1000, "endPort": 2000},
                {"protocol": "UDP", "port": 443},
            ],
        },
        {
            "to": [
                {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "squid"}}},
                {"podSelector": {}},
            ]
        },
    ]


def test_stated_egress_in_calicos_words() -> None:
    stated = specs(CALICO_POLICY, {"networkPolicy": RULES})["executors"]["egress"][-4:]
    outside = {"nets": ["0.0.0.0/0"], "notNets": ["10.0.0.0/8"]}
    assert stated == [
        {"action": "Allow", "protocol": "TCP", "destination": {**outside, "ports": [443, "1000:2000"]}},
        {"action": "Allow", "protocol": "UDP", "destination": {**outside, "ports": [443]}},
        {"action": "Allow", "destination": {"namespaceSelector": "all()", "selector": "app == 'squid'"}},
        {"action": "Allow", "destination": {"selector": "all()"}},
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_jobs_and_sessions_have_rules_of_their_own(kind: Kind) -> None:
    before, after = specs(kind), specs(kind, {"networkPolicy": RULES})
    assert {role for role in before if before[role] != after[role]} == {"executors"}


MONITORS = [
    {"namespaceSelector": {"matchLabels": {"team": "watch"}}, "podSelector": {}},
    {"ipBlock": {"cidr": "10.9.0.0/16"}},
]
OPERATOR = {"kubernetes.io/metadata.name": "condorpool-system"}
AGENT = {"protocol": "TCP", "port": 9619}


def test_the_agent_is_open_to_the_operators_pod_alone_unless_stated() -> None:
    own = {"namespaceSelector": {"matchLabels": OPERATOR}, "podSelector": {"matchLabels": {"app": "operator"}}}
    assert specs(NETWORK_POLICY)["manager"]["ingress"][-1] == {"from": [own], "ports": [AGENT]}
    source = {
        "namespaceSelector": "kubernetes.io/metadata.name == 'condorpool-system'",
        "selector": "app == 'operator'",
    }
    (rule,) = [one for one in specs(CALICO_POLICY)["manager"]["ingress"] if one["destination"]["ports"] == [9619]]
    assert rule["source"] == source


def test_the_agent_is_open_to_whoever_monitors() -> None:
    spec = {"networkPolicy": {"monitoring": MONITORS}}
    peers = specs(NETWORK_POLICY, spec)["manager"]["ingress"][-1]["from"]
    assert peers[1:] == [MONITORS[0], {"ipBlock": {"cidr": "10.9.0.0/16"}}]
    rules = [one for one in specs(CALICO_POLICY, spec)["manager"]["ingress"] if one["destination"]["ports"] == [9619]]
    assert [one["source"] for one in rules[1:]] == [
        {"namespaceSelector": "team == 'watch'", "selector": "all()"},
        {"nets": ["10.9.0.0/16"]},
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("settings", [{}, {"operator_namespace": "n"}, {"operator_labels": {"a": "b"}}])
def test_an_operator_outside_the_cluster_opens_nothing(kind: Kind, settings: dict[str, Any]) -> None:
    context = make_context(policy_kind=kind, settings=Settings(dns_servers=(), **settings))
    (manager,) = [obj["spec"] for obj in build_policies(context) if obj["metadata"]["name"] == "demo-manager"]
    assert "9619" not in str(manager)


def ssh(**service: Any) -> dict[str, Any]:
    return {"submitter": {"ssh": {"users": [JOHN], "service": service}}}


def test_sshd_is_closed_unless_asked_for_and_open_to_all_unless_stated() -> None:
    port = {"protocol": "TCP", "port": 22}
    assert port not in [rule["ports"][0] for rule in specs(NETWORK_POLICY)["submitter"]["ingress"]]
    assert specs(NETWORK_POLICY, ssh())["submitter"]["ingress"][-1] == {"ports": [port]}
    calico = {"action": "Allow", "protocol": "TCP", "destination": {"ports": [22]}}
    assert specs(CALICO_POLICY, ssh())["submitter"]["ingress"][-1] == calico


def test_source_ranges_narrow_sshd() -> None:
    ranges = ["10.1.0.0/16", "2001:db8::/32"]
    rule = specs(NETWORK_POLICY, ssh(sourceRanges=ranges))["submitter"]["ingress"][-1]
    assert [peer["ipBlock"]["cidr"] for peer in rule["from"]] == ranges
    rules = specs(CALICO_POLICY, ssh(sourceRanges=ranges))["submitter"]["ingress"][-2:]
    assert [one["source"]["nets"] for one in rules] == [["10.1.0.0/16"], ["2001:db8::/32"]]


@pytest.mark.parametrize(
    ("service", "policy"),
    [
        ({}, None),
        ({"sourceRanges": ["10.0.0.0/8"]}, "Local"),
        ({"sourceRanges": ["10.0.0.0/8"], "type": "LoadBalancer"}, "Local"),
        ({"sourceRanges": ["10.0.0.0/8"], "type": "ClusterIP"}, None),
        ({"externalTrafficPolicy": "Cluster"}, "Cluster"),
    ],
)
def test_source_ranges_make_the_service_show_the_clients_address(service: dict[str, Any], policy: str | None) -> None:
    assert SshService.model_validate(service).traffic_policy == policy


@pytest.mark.parametrize(
    ("peer", "message"),
    [
        ({"ipBlock": {"cidr": "10.0.0.1/8"}}, "host bits"),
        ({"ipBlock": {"cidr": "300.0.0.0/8"}}, "does not appear"),
        ({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}}, "not a part of 10.0.0.0/8"),
        ({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8"]}}, "not a part of"),
        ({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["::/16"]}}, "not a part of"),
        ({"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}, "either ipBlock"),
        ({}, "either ipBlock"),
    ],
)
def test_wrong_peers_are_refused(peer: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        NetworkPolicy.model_validate({"egress": {"submitter": [{"to": [peer]}]}})
