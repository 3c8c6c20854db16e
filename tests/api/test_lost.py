"""What the submitter is told of executors that are gone, and that nothing is written for those that are not."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from .cluster import Cluster, Operator, eventually, pool
from .server import ApiServer
from .test_conditions import SPEC, WORKLOADS, set_status, stamp
from .test_reconcile import look_again, writes_about

EXECUTOR = "demo-cpu-0"
STARTED, ENDED = stamp(300), stamp(9)
READY = [{"type": "Ready", "status": "True", "lastTransitionTime": stamp(200)}]


@pytest.fixture
def node(cluster: Cluster) -> Iterator[str]:
    """Make a node for one test."""
    name = f"node-{cluster.namespace}"
    cluster.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
    yield name
    cluster.kubectl("delete", "node", name, "--ignore-not-found")


@pytest.fixture
def executor(cluster: Cluster, node: str) -> str:
    """Make an executor that runs on the node; return its UID."""
    cluster.apply(pool(SPEC))
    cluster.settle()
    template = (cluster.get(*WORKLOADS["cpu"].split("/")) or {})["spec"]["template"]
    pod = {"metadata": {**template["metadata"], "name": EXECUTOR}, "spec": {**template["spec"], "nodeName": node}}
    cluster.apply({"apiVersion": "v1", "kind": "Pod", **pod})
    report(cluster, {"running": {"startedAt": STARTED}}, conditions=READY)
    look_again(cluster, "running")
    return str((cluster.get("pod", EXECUTOR) or {})["metadata"]["uid"])


def report(cluster: Cluster, state: dict[str, Any], **status: Any) -> None:
    """Report on the executor as its kubelet would."""
    one = {
        "name": "condor",
        "image": "x",
        "imageID": "",
        "ready": "running" in state,
        "restartCount": 0,
        "state": state,
    }
    set_status(cluster, EXECUTOR, phase="Running", podIP="10.0.0.1", containerStatuses=[one], **status)


def terminated(code: int) -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "startedAt": STARTED, "finishedAt": ENDED}}


def told(cluster: Cluster) -> list[list[str]]:
    config = cluster.get("configmap", "demo-submitter-config") or {}
    return [line.split() for line in config["data"].get(".ends", "").splitlines()]


def words(cluster: Cluster, *expected: str) -> list[list[str]]:
    """Wait until the submitter is told of so many ends, with these words; return them."""

    def look() -> list[list[str]]:
        found = told(cluster)
        return found if tuple(line[0] for line in found) == expected else []

    return eventually(look, f"{expected}: {told(cluster)}")


def force(cluster: Cluster) -> None:
    cluster.kubectl("delete", "pod", EXECUTOR, "--grace-period=0", "--force")


def test_a_killed_container_is_told_once(
    server: ApiServer, cluster: Cluster, executor: str, operator: Operator
) -> None:
    assert told(cluster) == []
    before = writes_about(server, cluster)
    report(cluster, terminated(137))
    ((_, address, since, until, name, uid, node),) = words(cluster, "gone")
    assert (address, name, uid, node) == ("10.0.0.1", EXECUTOR, executor, f"node-{cluster.namespace}")
    assert int(until) - int(since) == 290
    force(cluster)
    look_again(cluster, "after")
    assert len(told(cluster)) == 1
    assert [reason for reason, _ in cluster.events()].count("ExecutorGone") == 1
    assert writes_about(server, cluster) <= before + 6
    look_again(cluster, "rest")
    count = writes_about(server, cluster)
    operator.stop()
    operator.start()
    look_again(cluster, "restarted")
    assert writes_about(server, cluster) == count


def test_an_executor_that_ends_in_peace_costs_no_word(cluster: Cluster, executor: str) -> None:
    report(cluster, terminated(0))
    force(cluster)
    look_again(cluster, "after")
    assert told(cluster) == []


def test_a_pod_deleted_by_force_is_lost_until_its_node_goes(
    cluster: Cluster, executor: str, node: str, operator: Operator
) -> None:
    force(cluster)
    words(cluster, "lost")
    eventually(lambda: "ExecutorLost" in [reason for reason, _ in cluster.events()], "the event")
    taint = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}
    cluster.kubectl("patch", "node", node, "--type=merge", "-p", json.dumps({"spec": {"taints": [taint]}}))
    look_again(cluster, "unreachable")
    assert [line[0] for line in told(cluster)] == ["lost"]
    operator.stop()
    operator.start()
    look_again(cluster, "restarted")
    assert [line[0] for line in told(cluster)] == ["lost"]
    again = "the event once more, as the former operator may not have come to it"
    eventually(lambda: [reason for reason, _ in cluster.events()].count("ExecutorLost") == 2, again)
    cluster.kubectl("delete", "node", node)
    words(cluster, "gone")
    eventually(lambda: "ExecutorGone" in [reason for reason, _ in cluster.events()], "the event")


def test_a_node_out_of_service_takes_its_executors_along(cluster: Cluster, executor: str, node: str) -> None:
    taint = {"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"}
    cluster.kubectl("patch", "node", node, "--type=merge", "-p", json.dumps({"spec": {"taints": [taint]}}))
    words(cluster, "gone")


def test_what_vanished_while_the_operator_was_away_is_not_proven(
    cluster: Cluster, executor: str, operator: Operator
) -> None:
    operator.stop()
    report(cluster, terminated(137))
    force(cluster)
    operator.start()
    look_again(cluster, "back")
    assert told(cluster) == []
