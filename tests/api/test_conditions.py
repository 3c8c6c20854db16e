"""What keeps pods from being ready reaches conditions and events, and a pool that stays broken costs no write."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from .cluster import Cluster, eventually, pool
from .server import ApiServer
from .test_reconcile import look_again, writes_about

SPEC = {"executors": [{"name": "cpu", "replicas": 2}]}
WORKLOADS = {
    "manager": "deployment/demo-manager",
    "submitter": "statefulset/demo-submitter",
    "cpu": "statefulset/demo-cpu",
}
CONDITIONS = {"manager": "ManagerReady", "submitter": "SubmitterReady", "cpu": "ExecutorsReady"}


def stamp(seconds_ago: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds_ago)).strftime("%Y-%m-%dT%H:%M:%SZ")


def make_pod(cluster: Cluster, component: str, name: str) -> dict[str, Any]:
    """Make a pod as the workload's controller would, bound to a node that is away."""
    template = (cluster.get(*WORKLOADS[component].split("/")) or {})["spec"]["template"]
    spec = {**template["spec"], "nodeName": "away"}
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {**template["metadata"], "name": name}, "spec": spec})
    return cluster.get("pod", name) or {}


def report(cluster: Cluster, name: str, state: dict[str, Any], ago: float = 300, **container: Any) -> None:
    """Report on a pod as a kubelet would whose container is in a state, has been chosen and is not ready since so many seconds."""
    one = {
        "name": "condor",
        "image": "registry.example/condor:1",
        "imageID": "",
        "ready": False,
        "restartCount": 0,
        "state": state,
        **container,
    }
    conditions = [
        {"type": kind, "status": status, "lastTransitionTime": stamp(ago)}
        for kind, status in (("PodScheduled", "True"), ("Ready", "False"))
    ]
    set_status(cluster, name, phase="Pending", conditions=conditions, containerStatuses=[one])


def set_status(cluster: Cluster, name: str, **status: Any) -> None:
    cluster.kubectl("patch", "pod", name, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))


def condition(cluster: Cluster, component: str, reason: str) -> dict[str, Any]:
    """Wait until a component's condition has a reason; return it."""

    def look() -> dict[str, Any]:
        found = cluster.condition(CONDITIONS[component])
        return found if found.get("reason") == reason else {}

    return eventually(look, f"{reason} of {component}: {cluster.condition(CONDITIONS[component])}")


REFUSAL = "HTCondor refuses the configuration: Configuration Error Line 3 while reading 50-00-knobs-a.conf"
LOOP = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}


def last(**terminated: Any) -> dict[str, Any]:
    return {
        "terminated": {"exitCode": 1, "reason": "Error", "startedAt": stamp(20), "finishedAt": stamp(9), **terminated}
    }


class TestReports:
    @pytest.mark.parametrize(
        ("component", "name", "state", "container", "reason", "words", "stalled"),
        [
            (
                "manager",
                "demo-manager-x",
                {"waiting": {"reason": "ErrImagePull"}},
                {},
                "ImagePullFailed",
                "registry.example/condor:1",
                True,
            ),
            (
                "submitter",
                "demo-submitter-0",
                LOOP,
                {"lastState": last(exitCode=44)},
                "CrashLooping",
                "exit status 44",
                True,
            ),
            ("cpu", "demo-cpu-1", LOOP, {"lastState": last(reason="OOMKilled")}, "OutOfMemory", "memory limit", True),
            ("cpu", "demo-cpu-1", {"waiting": {"reason": "ContainerCreating"}}, {}, "PodNotStarted", "a volume", False),
            (
                "manager",
                "demo-manager-x",
                {"running": {"startedAt": stamp(200)}},
                {},
                "NotAnswering",
                "collector",
                False,
            ),
        ],
    )
    def test_are_told(
        self,
        cluster: Cluster,
        component: str,
        name: str,
        state: dict[str, Any],
        container: dict[str, Any],
        reason: str,
        words: str,
        stalled: bool,
    ) -> None:
        cluster.apply(pool(SPEC))
        cluster.settle()
        make_pod(cluster, component, name)
        report(cluster, name, state, **container)
        message = condition(cluster, component, reason)["message"]
        assert f"pod {name}: " in message
        assert words in message
        assert cluster.condition("Stalled")["status"] == str(stalled)
        assert [one for one, _ in cluster.events()] == [reason]

    def test_a_refused_configuration_is_the_configurations_finding(self, cluster: Cluster) -> None:
        cluster.apply(pool(SPEC))
        cluster.settle()
        make_pod(cluster, "cpu", "demo-cpu-0")
        report(cluster, "demo-cpu-0", LOOP, lastState=last(message=REFUSAL))
        found = eventually(
            lambda: (one := cluster.condition("ConfigValid")) and one["status"] == "False" and one, "ConfigValid=False"
        )
        assert found["reason"] == "ConfigRefused"
        assert found["message"].startswith(f"pod demo-cpu-0: {REFUSAL}")
        assert cluster.condition("ExecutorsReady")["reason"] == "PodsNotReady"
        assert [one for one, _ in cluster.events()] == ["ConfigRefused"]

    def test_what_the_scheduler_says_is_passed_on(self, cluster: Cluster) -> None:
        cluster.apply(pool(SPEC))
        cluster.settle()
        make_pod(cluster, "cpu", "demo-cpu-0")
        refused = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/3 nodes are available: no.",
        }
        set_status(cluster, "demo-cpu-0", conditions=[refused | {"lastTransitionTime": stamp(14)}])
        message = condition(cluster, "cpu", "Unschedulable")["message"]
        assert message.startswith(
            "cpu: 0 of 2 ready; pod demo-cpu-0: no node can take it: 0/3 nodes are available: no: "
        )
        assert cluster.condition("Reconciling")["status"] == "True"

    def test_what_is_vague_is_not_told_at_once(self, cluster: Cluster) -> None:
        cluster.apply(pool(SPEC))
        cluster.settle()
        make_pod(cluster, "manager", "demo-manager-x")
        report(cluster, "demo-manager-x", {"running": {"startedAt": stamp(5)}}, ago=6)
        look_again(cluster, "later")
        assert cluster.condition("ManagerReady")["reason"] == "PodsNotReady"
        assert not cluster.events()


class TestEvents:
    def record(self, cluster: Cluster, kind: str, about: dict[str, Any], reason: str, message: str) -> None:
        """Record an event as kubelet and controllers do."""
        meta = about["metadata"]
        involved = {"kind": kind, "name": meta["name"], "namespace": cluster.namespace, "uid": meta["uid"]}
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": "e-", "namespace": cluster.namespace},
        }
        times = {"firstTimestamp": stamp(9), "lastTimestamp": stamp(5), "type": "Warning", "count": 3}
        body = {**event, **times, "involvedObject": involved, "reason": reason, "message": message}
        cluster.kubectl("create", "-f", "-", stdin=json.dumps(body))

    def test_a_probe_says_what_is_wrong(self, cluster: Cluster) -> None:
        cluster.apply(pool(SPEC))
        cluster.settle()
        manager = make_pod(cluster, "manager", "demo-manager-x")
        set_status(cluster, manager["metadata"]["name"], conditions=[{"type": "Ready", "status": "True"}])
        submitter = make_pod(cluster, "submitter", "demo-submitter-0")
        self.record(cluster, "Pod", submitter, "Unhealthy", "Readiness probe failed: SpoolFull: the volume is full\n")
        report(cluster, "demo-submitter-0", {"running": {"startedAt": stamp(900)}}, ago=200)
        assert "pod demo-submitter-0: the volume is full" in condition(cluster, "submitter", "SpoolFull")["message"]
        assert [one for one, _ in cluster.events()] == ["SpoolFull"]

    def test_a_controller_says_why_there_is_no_pod(self, cluster: Cluster) -> None:
        cluster.apply(pool(SPEC))
        cluster.settle()
        group = cluster.get("statefulset", "demo-cpu") or {}
        why = 'pods "demo-cpu-0" is forbidden: violates PodSecurity "baseline:latest": privileged'
        self.record(
            cluster,
            "StatefulSet",
            group,
            "FailedCreate",
            f"create Pod demo-cpu-0 in StatefulSet demo-cpu failed error: {why}",
        )
        seen = {"status": {"observedGeneration": group["metadata"]["generation"], "replicas": 0}}
        cluster.kubectl(
            "patch", "statefulset", "demo-cpu", "--subresource=status", "--type=merge", "-p", json.dumps(seen)
        )
        message = condition(cluster, "cpu", "PodNotCreated")["message"]
        assert (
            'pod demo-cpu-0 and 1 more: cannot be created: violates PodSecurity "baseline:latest": privileged; label'
            in message
        )


def test_a_pool_that_stays_broken_costs_no_write(server: ApiServer, cluster: Cluster) -> None:
    """Also while the kubelet tries again, in other words each time."""
    cluster.apply(pool(SPEC))
    cluster.settle()
    for ordinal in range(2):
        make_pod(cluster, "cpu", f"demo-cpu-{ordinal}")
        report(cluster, f"demo-cpu-{ordinal}", LOOP, restartCount=3, lastState=last(exitCode=44))
    eventually(lambda: "and 1 more" in cluster.condition("ExecutorsReady")["message"], "both pods to be told")
    look_again(cluster, "first")
    count = writes_about(server, cluster)
    report(cluster, "demo-cpu-0", {"running": {"startedAt": stamp(1)}}, restartCount=4, lastState=last(exitCode=44))
    look_again(cluster, "second")
    report(cluster, "demo-cpu-0", LOOP, restartCount=5, lastState=last(exitCode=44))
    look_again(cluster, "third")
    assert writes_about(server, cluster) == count
    assert [one for one, _ in cluster.events()] == ["CrashLooping"]
