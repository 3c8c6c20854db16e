"""Network policies on a real API server: of the right kind, before what they guard, and never none while the kind changes."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from .cluster import BY_KEY, PUBLIC_KEY, Cluster, eventually, pool, secret
from .server import ApiServer

NAMES = {"demo-manager", "demo-submitter", "demo-executors"}
KUBERNETES = "networkpolicies.networking.k8s.io"
CALICO = "networkpolicies.projectcalico.org"

CALICO_API = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {
        "name": CALICO,
        "annotations": {"api-approved.kubernetes.io": "unapproved, a stand-in of a test"},
    },
    "spec": {
        "group": "projectcalico.org",
        "scope": "Namespaced",
        "names": {
            "plural": "networkpolicies",
            "singular": "networkpolicy",
            "kind": "NetworkPolicy",
            "listKind": "NetworkPolicyList",
        },
        "versions": [
            {
                "name": "v3",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                    }
                },
            }
        ],
    },
}
"""projectcalico.org/v3 as a server without Calico can serve it; what Calico does with it is for the end-to-end tests."""

LOOK_SECONDS = 30.0
"""The operator asks every ten seconds which APIs are served."""


def mode(name: str) -> dict[str, Any]:
    return {"networkPolicy": {"mode": name}}


def policies(cluster: Cluster, kind: str) -> set[str]:
    return {one["metadata"]["name"] for one in cluster.objects(kind)}


@pytest.fixture
def calico(cluster: Cluster) -> Iterator[Cluster]:
    """Serve projectcalico.org/v3 for the time of a test."""
    cluster.apply(CALICO_API)
    cluster.kubectl("wait", "--for=condition=Established", f"crd/{CALICO}", "--timeout=20s")
    yield cluster
    cluster.kubectl("delete", "crd", CALICO, "--ignore-not-found")


def status_mode(cluster: Cluster) -> str:
    status = (cluster.get("condorpool", "demo") or {}).get("status", {})
    return str(status.get("networkPolicy", {}).get("mode"))


def test_without_calico_they_are_kubernetes_own(cluster: Cluster) -> None:
    cluster.apply(pool())
    cluster.settle()
    assert policies(cluster, KUBERNETES) == NAMES
    assert status_mode(cluster) == "Kubernetes"
    assert cluster.condition("NetworkPolicyEnforced")["status"] == "True"


def test_disabled_removes_them_and_says_so(cluster: Cluster) -> None:
    cluster.apply(pool())
    cluster.settle()
    cluster.apply(pool(mode("Disabled")))
    eventually(lambda: not policies(cluster, KUBERNETES), "the policies to go")
    eventually(lambda: cluster.condition("NetworkPolicyEnforced").get("reason") == "Disabled", "the condition")


def test_calico_asked_for_and_not_served_leaves_no_pool_open(cluster: Cluster) -> None:
    cluster.apply(pool(mode("Calico")))
    cluster.settle()
    finding = cluster.condition("NetworkPolicyEnforced")
    assert (finding["status"], finding["reason"]) == ("False", "CalicoNotServed")
    assert "install Calico's API server" in finding["message"]
    assert policies(cluster, KUBERNETES) == NAMES
    assert [reason for reason, _ in cluster.events()] == ["CalicoNotServed"]


def test_source_ranges_reach_policy_and_service(cluster: Cluster) -> None:
    service = {"sourceRanges": ["10.1.0.0/16", "2001:db8::/32"]}
    cluster.apply(
        secret("john", authorized_keys=PUBLIC_KEY),
        pool({"submitter": {"ssh": {**BY_KEY["submitter"]["ssh"], "service": service}}}),
    )
    cluster.settle()
    policy, ssh = cluster.get(KUBERNETES, "demo-submitter"), cluster.get("service", "demo-ssh")
    assert policy is not None
    assert ssh is not None
    (rule,) = [one for one in policy["spec"]["ingress"] if one["ports"][0]["port"] == 22]
    assert [peer["ipBlock"]["cidr"] for peer in rule["from"]] == service["sourceRanges"]
    assert ssh["spec"]["externalTrafficPolicy"] == "Local"


class TestSwitch:
    def test_the_kind_follows_the_api_as_it_comes_and_goes(self, server: ApiServer, calico: Cluster) -> None:
        calico.apply(pool())
        eventually(lambda: status_mode(calico) == "Calico", "Calico's kind", LOOK_SECONDS)
        assert policies(calico, CALICO) == NAMES
        calico.kubectl("delete", "crd", CALICO)
        eventually(lambda: status_mode(calico) == "Kubernetes", "Kubernetes' kind", LOOK_SECONDS)
        assert policies(calico, KUBERNETES) == NAMES
        calico.apply(CALICO_API)
        eventually(lambda: not policies(calico, KUBERNETES), "Calico's kind again", 2 * LOOK_SECONDS)
        assert policies(calico, CALICO) == NAMES
        assert calico.condition("NetworkPolicyEnforced")["status"] == "True"

    def test_old_ones_go_ten_seconds_after_the_new_ones_came(self, server: ApiServer, calico: Cluster) -> None:
        calico.apply(pool(mode("Kubernetes")))
        calico.settle()
        assert (policies(calico, KUBERNETES), policies(calico, CALICO)) == (NAMES, set())
        eventually(lambda: self._sees_calico(calico), "the operator to see Calico's API", LOOK_SECONDS)
        calico.apply(pool())
        eventually(lambda: not policies(calico, KUBERNETES) & NAMES, "the old kind to go")
        assert policies(calico, CALICO) == NAMES
        made = self._times(server, calico, "patch", "projectcalico.org")
        gone = self._times(server, calico, "delete", "networking.k8s.io")
        assert len(made) == len(gone) == len(NAMES)
        assert (min(gone) - max(made)).total_seconds() > 9

    def _sees_calico(self, cluster: Cluster) -> bool:
        cluster.apply(pool(mode("Calico"), "witness"))
        cluster.settle("witness")
        seen = bool(cluster.condition("NetworkPolicyEnforced", "witness")["status"] == "True")
        cluster.kubectl("delete", "condorpool", "witness")
        cluster.kubectl("delete", CALICO, "-l", "condorpool.dev/pool=witness")
        return seen

    def _times(self, server: ApiServer, cluster: Cluster, verb: str, group: str) -> list[datetime]:
        entries = [json.loads(line) for line in server.audit_log.read_text().splitlines()]
        return [
            datetime.fromisoformat(entry["requestReceivedTimestamp"])
            for entry in entries
            if (entry["verb"], entry["user"]["username"]) == (verb, "operator")
            and entry["objectRef"].get("apiGroup") == group
            and entry["objectRef"].get("namespace") == cluster.namespace
            and entry["objectRef"]["name"] in NAMES
        ]

    def test_calicos_policies_of_a_pool_that_is_gone_go(self, calico: Cluster) -> None:
        calico.apply(pool())
        eventually(lambda: policies(calico, CALICO) == NAMES, "Calico's kind", 2 * LOOK_SECONDS)
        calico.kubectl("delete", "condorpool", "demo")
        eventually(lambda: not policies(calico, CALICO), "Calico's policies to go")
