"""The operator on a real API server: what it writes, what it repairs, what it leaves alone."""

import json
import signal
from typing import Any

import pytest

from .cluster import BY_KEY, BY_KEY_AND_PASSWORD, PUBLIC_KEY, Cluster, Operator, config_map, eventually, pool, secret
from .server import ApiServer, free_ports


def writes_about(server: ApiServer, cluster: Cluster, pool_name: str = "demo") -> int:
    """Return how many mutating requests the operator made about a pool, its objects and its events, by the audit log."""
    lines = [json.loads(line) for line in server.audit_log.read_text().splitlines()]
    targets = [entry.get("objectRef", {}) for entry in lines if entry["user"]["username"] == "operator"]
    mine = [
        one
        for one in targets
        if one.get("namespace") == cluster.namespace and one.get("name", "").startswith(pool_name)
    ]
    events = [one for one in cluster.objects("events") if one["involvedObject"]["name"] == pool_name]
    return len(mine) + len(events)


def look_again(cluster: Cluster, mark: str) -> None:
    """Make the operator look at the pool once more, by a change that means nothing, and wait until it has."""
    cluster.kubectl("annotate", "condorpool", "demo", f"test/mark={mark}", "--overwrite")
    cluster.apply(pool(name=f"witness-{mark}"))
    cluster.settle(f"witness-{mark}")


class TestWrites:
    def test_a_new_pool_costs_its_objects_and_at_most_three_writes(self, server: ApiServer, cluster: Cluster) -> None:
        cluster.apply(pool())
        cluster.settle()
        objects = [name for name in cluster.versions() if not name.startswith("CondorPool/")]
        assert len(objects) >= 15
        assert writes_about(server, cluster) <= len(objects) + 3

    def test_a_pool_at_rest_costs_none(self, server: ApiServer, cluster: Cluster) -> None:
        cluster.apply(secret("john", authorized_keys=PUBLIC_KEY), pool(BY_KEY))
        cluster.settle()
        look_again(cluster, "first")
        count = writes_about(server, cluster)
        look_again(cluster, "second")
        assert writes_about(server, cluster) == count

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
    def test_a_restart_costs_none(
        self, server: ApiServer, cluster: Cluster, operator: Operator, number: signal.Signals
    ) -> None:
        cluster.apply(secret("john", authorized_keys=PUBLIC_KEY, password="correct horse"), pool(BY_KEY_AND_PASSWORD))
        cluster.settle()
        look_again(cluster, "before")
        count = writes_about(server, cluster)
        operator.stop(number)
        operator.start()
        look_again(cluster, "after")
        assert writes_about(server, cluster) == count


class TestDrift:
    def test_edits_by_hand_are_undone(self, cluster: Cluster) -> None:
        cluster.apply(pool())
        cluster.settle()
        cluster.kubectl("scale", "statefulset", "demo-executor", "--replicas=5")
        patch = json.dumps({"spec": {"selector": {"condorpool.dev/component": "wrong"}}})
        cluster.kubectl("patch", "service", "demo-manager", "--type=merge", "-p", patch)

        def repaired() -> bool:
            scaled, service = cluster.get("statefulset", "demo-executor"), cluster.get("service", "demo-manager")
            assert scaled is not None
            assert service is not None
            selector, replicas = service["spec"]["selector"], scaled["spec"]["replicas"]
            return (selector["condorpool.dev/component"], replicas) == ("manager", 1)

        eventually(repaired, "the edits to be undone")

    @pytest.mark.parametrize(
        ("target", "change"),
        [
            ("deployment/demo-manager", {"strategy": {"type": "RollingUpdate"}}),
            ("service/demo-submitter", {"ports": [{"name": "condor", "port": 1, "targetPort": 1}]}),
            ("statefulset/demo-executor", {"updateStrategy": {"type": "RollingUpdate"}}),
        ],
    )
    def test_an_edit_that_an_apply_cannot_take_back_is_undone(
        self, cluster: Cluster, target: str, change: dict[str, Any]
    ) -> None:
        cluster.apply(pool())
        cluster.settle()
        (field,) = change
        before = (cluster.get(*target.split("/")) or {})["spec"][field]
        cluster.kubectl("patch", target, "--type=merge", "-p", json.dumps({"spec": change}))
        eventually(lambda: (cluster.get(*target.split("/")) or {})["spec"][field] == before, "the edit to be undone")
        assert not cluster.events()

    @pytest.mark.parametrize(
        "target", ["configmap/demo-manager-config", "service/demo-submitter", "deployment/demo-manager"]
    )
    def test_deleted_objects_come_back(self, cluster: Cluster, target: str) -> None:
        cluster.apply(pool())
        cluster.settle()
        old = cluster.get(*target.split("/"))
        assert old is not None
        cluster.kubectl("delete", target)
        new = eventually(lambda: cluster.get(*target.split("/")), f"{target} to come back") or {}
        assert new["metadata"]["uid"] != old["metadata"]["uid"]

    def test_a_lost_token_is_minted_again_and_the_key_stays(self, cluster: Cluster) -> None:
        cluster.apply(pool())
        cluster.settle()
        keys = cluster.get("secret", "demo-signing-keys")
        cluster.kubectl("delete", "secret", "demo-executor-token")
        eventually(lambda: cluster.get("secret", "demo-executor-token"), "the token to come back")
        assert cluster.get("secret", "demo-signing-keys") == keys

    def test_a_dropped_field_is_dropped(self, cluster: Cluster) -> None:
        cluster.apply(pool({"manager": {"nodeSelector": {"disk": "ssd"}}}))
        cluster.settle()
        assert node_selector(cluster)
        cluster.apply(pool({"manager": {}}))
        eventually(lambda: not node_selector(cluster), "the nodeSelector to go")

    def test_a_field_that_was_put_back_is_dropped_with_the_spec(self, cluster: Cluster) -> None:
        cluster.apply(pool({"manager": {"nodeSelector": {"disk": "ssd"}}}))
        cluster.settle()
        by_hand = {"strategy": {"type": "RollingUpdate"}, "template": {"spec": {"nodeSelector": None}}}
        cluster.kubectl("patch", "deployment/demo-manager", "--type=merge", "-p", json.dumps({"spec": by_hand}))
        eventually(lambda: node_selector(cluster), "the nodeSelector to come back")
        cluster.apply(pool({"manager": {}}))
        eventually(lambda: not node_selector(cluster), "the nodeSelector to go")


def node_selector(cluster: Cluster) -> Any:
    """Return where the manager may run."""
    return (cluster.get("deployment", "demo-manager") or {})["spec"]["template"]["spec"].get("nodeSelector")


class TestForeign:
    def test_what_is_not_ours_is_never_touched(self, cluster: Cluster) -> None:
        cluster.apply(config_map("demo-manager-config", precious="data"))
        before = cluster.get("configmap", "demo-manager-config")
        cluster.apply(pool())
        finding = eventually(
            lambda: (c := cluster.condition("ManagerReady")) and c["reason"] == "NameConflict" and c,
            "the conflict told",
        )
        assert "ConfigMap demo-manager-config" in finding["message"]
        assert cluster.get("configmap", "demo-manager-config") == before
        assert [reason for reason, _ in cluster.events()] == ["NameConflict"]
        assert cluster.get("statefulset", "demo-submitter") is not None, "the rest of the pool goes on"

    def test_a_conflict_ends_when_the_other_goes(self, cluster: Cluster) -> None:
        cluster.apply(config_map("demo-manager-config", precious="data"), pool())
        eventually(lambda: cluster.condition("ManagerReady").get("reason") == "NameConflict", "the conflict told")
        cluster.kubectl("delete", "configmap", "demo-manager-config")
        look_again(cluster, "after")
        eventually(lambda: cluster.condition("ManagerReady").get("reason") == "PodsNotReady", "the conflict gone")

    def test_an_object_with_our_labels_but_not_ours_is_not_pruned(self, cluster: Cluster) -> None:
        cluster.apply(pool())
        cluster.settle()
        labels = (cluster.get("configmap", "demo-manager-config") or {})["metadata"]["labels"]
        stray = config_map("stray", a="b")
        stray["metadata"]["labels"] = labels
        cluster.apply(stray)
        look_again(cluster, "after")
        assert cluster.get("configmap", "stray") is not None


def test_a_removed_group_is_pruned_and_nothing_else(cluster: Cluster) -> None:
    cluster.apply(pool({"executors": [{"name": "kept"}, {"name": "gone"}]}))
    cluster.settle()
    before = cluster.versions()
    cluster.apply(pool({"executors": [{"name": "kept"}]}))
    eventually(lambda: not [name for name in cluster.versions() if "demo-gone" in name], "the group to go")
    after = {name: v for name, v in cluster.versions().items() if "CondorPool" not in name}
    assert after == {name: v for name, v in before.items() if "demo-gone" not in name and "CondorPool" not in name}


def test_turning_ssh_off_removes_its_service(cluster: Cluster) -> None:
    cluster.apply(secret("john", authorized_keys=PUBLIC_KEY), pool(BY_KEY))
    cluster.settle()
    assert cluster.get("service", "demo-ssh")
    cluster.apply(pool())
    eventually(lambda: cluster.get("service", "demo-ssh") is None, "the ssh Service to go")


class TestStatus:
    def up(self, cluster: Cluster) -> None:
        cluster.workload_is_up("deployment", "demo-manager")
        cluster.manager_pod("demo", condor=True, agent=True)
        cluster.workload_is_up("statefulset", "demo-submitter")

    def test_ready_tells_the_truth_at_every_generation(self, cluster: Cluster) -> None:
        cluster.apply(pool({"executors": []}))
        cluster.settle()
        assert cluster.condition("Ready")["status"] == "False"
        self.up(cluster)
        cluster.kubectl("wait", "--for=condition=Ready", "condorpool/demo", "--timeout=20s")
        cluster.apply(pool({"executors": [], "manager": {"priorityClassName": "x"}}))
        cluster.settle()
        assert cluster.condition("Ready")["status"] == "False", "the edited manager is not up yet"
        self.up(cluster)
        cluster.kubectl("wait", "--for=condition=Ready", "condorpool/demo", "--timeout=20s")
        assert [reason for reason, _ in cluster.events("Normal")].count("Ready") == 2

    def test_an_agent_that_fails_or_cannot_be_reached_harms_nothing(
        self, server: ApiServer, cluster: Cluster, operator: Operator
    ) -> None:
        cluster.apply(pool({"executors": []}))
        cluster.settle()
        self.up(cluster)
        cluster.kubectl("wait", "--for=condition=Ready", "condorpool/demo", "--timeout=20s")
        log, count = operator.log(), writes_about(server, cluster)
        for number, ready in enumerate((False, True, False)):
            cluster.manager_pod("demo", condor=True, agent=ready)
            look_again(cluster, f"agent-{number}")
        assert writes_about(server, cluster) == count
        assert (cluster.condition("Ready")["status"], cluster.condition("StateKnown")["status"]) == ("True", "Unknown")
        assert "demo-manager" not in operator.log().removeprefix(log), "a name that does not resolve is no news"
        cluster.manager_pod("demo", condor=False, agent=True)
        eventually(lambda: cluster.condition("ManagerReady")["status"] == "False", "the daemons' end to be told")

    def test_what_only_the_operator_can_see_is_refused_by_condition(self, cluster: Cluster) -> None:
        cluster.apply(pool())
        cluster.settle()
        before = {name: v for name, v in cluster.versions().items() if "CondorPool" not in name}
        cluster.apply(pool({"manager": {"podLabels": {"not a key!": "x"}}}))
        cluster.settle()
        finding = cluster.condition("Accepted")
        assert (finding["status"], finding["reason"]) == ("False", "InvalidSpec")
        assert "spec.manager.podLabels" in finding["message"]
        assert {name: v for name, v in cluster.versions().items() if "CondorPool" not in name} == before
        assert [reason for reason, _ in cluster.events()] == ["InvalidSpec"]
        cluster.apply(pool())
        cluster.settle()
        assert cluster.condition("Accepted")["status"] == "True"

    def test_what_the_api_server_refuses_is_told(self, cluster: Cluster) -> None:
        affinity = {
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"x": 1}]}}
        }
        cluster.apply(pool({"manager": {"affinity": affinity}}))
        finding = eventually(lambda: cluster.condition("ManagerReady"), "a finding")
        assert finding["reason"] == "ApiRefused"
        assert "Deployment demo-manager" in finding["message"]
        assert cluster.get("statefulset", "demo-submitter") is not None


@pytest.mark.parametrize("bound", [True, False])
def test_the_ssh_endpoint_comes_and_goes_with_the_submitters_pod(cluster: Cluster, bound: bool) -> None:
    cluster.apply(secret("john", authorized_keys=PUBLIC_KEY), pool(BY_KEY))
    cluster.settle()
    if bound:
        capacity = {"status": {"capacity": {"storage": "10Gi"}}}
        patch = ("--subresource=status", "--type=merge", "-p", json.dumps(capacity))
        cluster.kubectl("patch", "pvc", "demo-submitter", *patch)
    template = (cluster.get("statefulset", "demo-submitter") or {})["spec"]["template"]
    pod = {"name": "demo-submitter-0", "labels": template["metadata"]["labels"]}
    for _ in range(2):
        cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": pod, "spec": template["spec"]})
        host = json.dumps({"status": {"hostIP": "10.0.0.7"}})
        cluster.kubectl("patch", "pod", pod["name"], "--subresource=status", "--type=merge", "-p", host)
        eventually(lambda: endpoint(cluster).startswith("10.0.0.7:3"), "the endpoint")
        cluster.kubectl("delete", "pod", pod["name"], "--grace-period=0", "--force")
        eventually(lambda: endpoint(cluster) == "", "the endpoint to go")


def endpoint(cluster: Cluster) -> str:
    status = (cluster.get("condorpool", "demo") or {})["status"]
    return str(status.get("submitter", {}).get("ssh", {}).get("endpoint", ""))


def test_a_paused_pool_is_left_alone(cluster: Cluster) -> None:
    cluster.apply(pool())
    cluster.settle()
    cluster.apply(pool({"paused": True, "executors": []}))
    cluster.settle()
    assert cluster.condition("Ready")["reason"] == "Paused"
    cluster.kubectl("delete", "service", "demo-manager")
    look_again(cluster, "paused")
    assert cluster.get("service", "demo-manager") is None
    assert cluster.get("statefulset", "demo-executor") is not None
    cluster.apply(pool({"executors": []}))
    eventually(lambda: cluster.get("service", "demo-manager"), "the repair after the pause")
    eventually(lambda: cluster.get("statefulset", "demo-executor") is None, "the group to go after the pause")


class TestReplacement:
    def executor(self, cluster: Cluster, ordinal: int, *, ready: bool = True, outdated: bool = True) -> None:
        """Make a pod as the StatefulSet's controller would, from an older template or the present one."""
        template = (cluster.get("statefulset", "demo-cpu") or {})["spec"]["template"]
        annotations = dict(template["metadata"]["annotations"])
        if outdated:
            annotations["condorpool.dev/template-hash"] = "older"
        name = f"demo-cpu-{ordinal}"
        metadata = {"name": name, "labels": template["metadata"]["labels"], "annotations": annotations}
        spec = {**template["spec"], "nodeName": "away"}
        cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        if ready:
            status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
            patch = json.dumps({"status": status})
            cluster.kubectl("patch", "pod", name, "--subresource=status", "--type=merge", "-p", patch)

    def terminating(self, cluster: Cluster) -> list[str]:
        return sorted(
            one["metadata"]["name"] for one in cluster.objects("pods") if "deletionTimestamp" in one["metadata"]
        )

    def test_what_cannot_have_a_job_goes_and_the_rest_waits_for_the_agent(self, cluster: Cluster) -> None:
        cluster.apply(pool({"executors": [{"name": "cpu", "replicas": 3, "maxUnavailable": 3}]}))
        cluster.settle()
        cluster.apply(pool({"paused": True, "executors": [{"name": "cpu", "replicas": 3, "maxUnavailable": 3}]}))
        cluster.settle()
        for ordinal in range(3):
            self.executor(cluster, ordinal, ready=ordinal < 2)

        cluster.apply(pool({"executors": [{"name": "cpu", "replicas": 3, "maxUnavailable": 3}]}))
        eventually(lambda: self.terminating(cluster) == ["demo-cpu-2"], "the pod that runs nothing to be told to end")
        look_again(cluster, "later")
        assert self.terminating(cluster) == ["demo-cpu-2"]
        status = cluster.get("condorpool", "demo")
        assert status is not None
        assert status["status"]["executors"] == [{"name": "cpu", "desired": 3, "ready": 0, "draining": 1}]
        assert cluster.condition("ExecutorsReady")["reason"] == "RollingOut"

        cluster.kubectl("delete", "pod", "demo-cpu-2", "--grace-period=0", "--force")
        cluster.apply(pool({"executors": [{"name": "cpu", "replicas": 1, "maxUnavailable": 3}]}))
        eventually(lambda: self.size(cluster) == 2, "the place without a pod to go")
        look_again(cluster, "last")
        assert self.size(cluster) == 2, "an executor that may have jobs was given up without an answer"

    def size(self, cluster: Cluster) -> int:
        return int((cluster.get("statefulset", "demo-cpu") or {})["spec"]["replicas"])


class TestScope:
    def test_one_namespace_only(self, server: ApiServer, bare: Cluster, operator: Operator, tmp_path: Any) -> None:
        """An operator of one namespace sees its pools and no others; the cluster-wide one is stopped meanwhile."""
        elsewhere = Cluster(server, f"{bare.namespace}-elsewhere")
        elsewhere.kubectl("create", "namespace", elsewhere.namespace)
        operator.stop()
        namespaced = Operator(
            server, tmp_path / "operator.log", namespaces=bare.namespace, liveness_port=str(free_ports(1)[0])
        )
        try:
            namespaced.start()
            elsewhere.apply(pool())
            bare.apply(pool())
            bare.settle()
            assert elsewhere.condition("Ready") == {}
        finally:
            namespaced.stop()
            operator.start()
        elsewhere.settle()
