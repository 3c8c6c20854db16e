"""What status needs is read rightly off live objects."""

from typing import Any

import pytest

from condorpool_operator.observe import Children
from condorpool_operator.snapshot import observe_pool, ssh_endpoint

from .factories import JOHN, make_context

LABELS = {"condorpool.dev/component": "submitter"}


def deployment(**status: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "demo-manager", "generation": 2, "labels": {}},
        "status": status,
    }


UP = {"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1}


@pytest.mark.parametrize(
    ("status", "ready"),
    [
        (UP, True),
        ({}, False),
        (UP | {"observedGeneration": 1}, False),
        (UP | {"updatedReplicas": 0}, False),
        (UP | {"replicas": 2}, False),
        (UP | {"readyReplicas": 0}, False),
    ],
)
def test_the_manager_is_ready_at_this_generation_only(status: dict[str, Any], ready: bool) -> None:
    seen = observe_pool(make_context(), Children([deployment(**status)]), ())
    assert seen.manager.ready is ready


def service(kind: str, **fields: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "demo-ssh", "labels": {}},
        "spec": {"type": kind, "ports": [{"port": 22, "nodePort": 30022}]},
        **fields,
    }


POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "demo-submitter-0", "labels": LABELS},
    "status": {"hostIP": "10.0.0.7"},
}
INGRESS = {"loadBalancer": {"ingress": [{"hostname": "lb.example"}]}}


@pytest.mark.parametrize(
    ("objects", "endpoint"),
    [
        ([], None),
        ([service("NodePort")], None),
        ([service("NodePort"), POD], "10.0.0.7:30022"),
        ([service("LoadBalancer"), POD], None),
        ([service("LoadBalancer", status=INGRESS), POD], "lb.example:22"),
        ([service("ClusterIP"), POD], "demo-ssh.physics.svc.cluster.local:22"),
    ],
)
def test_the_ssh_endpoint(objects: list[dict[str, Any]], endpoint: str | None) -> None:
    context = make_context({"submitter": {"ssh": {"users": [JOHN]}}})
    assert ssh_endpoint(context, Children(objects)) == endpoint
