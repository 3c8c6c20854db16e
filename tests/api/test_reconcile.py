"""The operator on a real API server: what it writes, what it repairs, what it leaves alone."""

import json
import signal
from typing import Any

import pytest

from .cluster import Cluster, Operator, eventually, pool
from .server import ApiServer, free_ports

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPf0mR6sC8Zk6V2GqWmFv0aXzF2o0r0r0r0r0r0r0r0r john"
WITH_SSH = {"submitter": {"ssh": {"users": [{"name": "john", "authorizedKeysSecretRef": {"name": "john"}}]}}}


def secret(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


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
        cluster.apply(secret("john", authorized_keys=KEY), pool(WITH_SSH))
        cluster.settle()
        look_again(cluster, "first")
        count = writes_about(server, cluster)
        look_again(cluster, "second")
        assert writes_about(server, cluster) == count

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
    def test_a_restart_costs_none(
        self, server: ApiServer, cluster: Cluster, operator: Operator, number: signal.Signals
    ) -> None:
        cluster.apply(secret("john", authorized_keys=KEY, password="correct horse"), pool(_by_key_and_password()))
        cluster.settle()
        look_again(cluster, "before")
        count = writes_about(server, cluster)
        operator.stop(number)
        operator.start()
        look_again(cluster, "after")
        assert writes_about(server, cluster) == count


def _by_key_and_password() -> dict[str, Any]:
    reference = {"name": "john"}
    return {
        "submitter": {
            "ssh": {"users": [{"name": "john", "authorizedKeysSecretRef": reference, "passwordSecretRef": reference}]}
        }
    }


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
        assert (cluster.get("deployment", "demo-manager") or {})["spec"]["template"]["spec"]["nodeSelector"]
        cluster.apply(pool({"manager": {}}))

        def dropped() -> bool:
            found = cluster.get("deployment", "demo-manager")
            return found is not None and "nodeSelector" not in found["spec"]["template"]["spec"]

        eventually(dropped, "the nodeSelector to go")


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
    cluster.apply(pool({"executors": [{"name": "a"}, {"name": "b"}]}))
    cluster.settle()
    before = cluster.versions()
    cluster.apply(pool({"executors": [{"name": "a"}]}))
    eventually(lambda: not [name for name in cluster.versions() if "demo-b" in name], "group b to go")
    after = {name: v for name, v in cluster.versions().items() if "CondorPool" not in name}
    assert after == {name: v for name, v in before.items() if "demo-b" not in name and "CondorPool" not in name}


def test_turning_ssh_off_removes_its_service(cluster: Cluster) -> None:
    cluster.apply(secret("john", authorized_keys=KEY), pool(WITH_SSH))
    cluster.settle()
    assert cluster.get("service", "demo-ssh")
    cluster.apply(pool())
    eventually(lambda: cluster.get("service", "demo-ssh") is None, "the ssh Service to go")


class TestReferences:
    def test_a_missing_config_map_is_told_once_and_waited_for(self, cluster: Cluster) -> None:
        cluster.apply(pool({"config": {"configMapRefs": [{"name": "knobs"}]}}))
        finding = eventually(lambda: cluster.condition("ConfigValid"), "a finding")
        assert (finding["status"], finding["reason"]) == ("False", "ConfigMapNotFound")
        assert "spec.config.configMapRefs[knobs]" in finding["message"]
        assert "create it" in finding["message"]
        assert cluster.get("deployment", "demo-manager") is None, "nothing starts with half a configuration"
        assert [reason for reason, _ in cluster.events()] == ["ConfigMapNotFound"]
        cluster.apply(config_map("knobs", site="KNOB = 1\n"))
        eventually(lambda: cluster.get("deployment", "demo-manager"), "the pool to start", seconds=5)
        rendered = cluster.get("configmap", "demo-executor-config")
        assert rendered is not None
        assert rendered["data"]["50-00-knobs-site"] == "KNOB = 1\n"

    def test_a_vanished_config_map_changes_nothing_that_runs(self, cluster: Cluster) -> None:
        cluster.apply(
            config_map("knobs", site="KNOB = 1\n"),
            pool({"manager": {"config": {"configMapRefs": [{"name": "knobs"}]}}}),
        )
        cluster.settle()
        before = {name: v for name, v in cluster.versions().items() if "CondorPool" not in name}
        cluster.kubectl("delete", "configmap", "knobs")
        eventually(lambda: cluster.condition("ConfigValid").get("reason") == "ConfigMapNotFound", "a finding")
        assert {name: v for name, v in cluster.versions().items() if "CondorPool" not in name} == before

    def test_a_config_map_that_would_get_around_an_owned_setting_changes_nothing(self, cluster: Cluster) -> None:
        cluster.apply(config_map("knobs", site="KNOB = 1\n"), pool({"config": {"configMapRefs": [{"name": "knobs"}]}}))
        cluster.settle()
        before = {name: v for name, v in cluster.versions().items() if "CondorPool" not in name}
        cluster.apply(config_map("knobs", site="KNOB = 2\nMASTER.DAEMON_LIST = MASTER\n"))
        eventually(lambda: cluster.condition("ConfigValid").get("reason") == "ConfigMapInvalid", "a finding")
        finding = cluster.condition("ConfigValid")["message"]
        assert "spec.config.configMapRefs[knobs]: key site, line 2: MASTER.DAEMON_LIST is refused" in finding
        assert {name: v for name, v in cluster.versions().items() if "CondorPool" not in name} == before

    def test_an_edited_config_map_is_rendered_anew_at_once(self, cluster: Cluster) -> None:
        cluster.apply(config_map("knobs", site="KNOB = 1\n"), pool({"config": {"configMapRefs": [{"name": "knobs"}]}}))
        cluster.settle()
        cluster.apply(config_map("knobs", site="KNOB = 2\n"))

        def rendered() -> bool:
            found = cluster.get("configmap", "demo-manager-config")
            return found is not None and found["data"]["50-00-knobs-site"] == "KNOB = 2\n"

        eventually(rendered, "the edit to be rendered", seconds=5)

    def test_objects_with_huge_metadata_do_not_blind_the_watch(self, cluster: Cluster) -> None:
        cluster.apply(pool({"config": {"configMapRefs": [{"name": "knobs"}]}}))
        eventually(lambda: cluster.condition("ConfigValid").get("reason") == "ConfigMapNotFound", "a finding")
        huge = config_map("huge", a="b")
        huge["metadata"]["annotations"] = {"test/huge": "x" * 200_000}
        cluster.kubectl("create", "-f", "-", stdin=json.dumps(huge))
        cluster.apply(config_map("knobs", site="KNOB = 1\n"))
        eventually(lambda: cluster.get("deployment", "demo-manager"), "the pool to start", seconds=5)

    @pytest.mark.parametrize(
        ("data", "reason", "text"),
        [
            (None, "SecretNotFound", "there is no Secret jane"),
            ({"other": "x"}, "SecretInvalid", "has no key authorized_keys"),
            ({"authorized_keys": ""}, "SecretInvalid", "holds no public key"),
            ({"authorized_keys": "rubbish"}, "SecretInvalid", "line 1 is not a public key"),
        ],
    )
    def test_a_bad_secret_of_one_user_is_told_once_and_harms_no_other(
        self, cluster: Cluster, data: dict[str, str] | None, reason: str, text: str
    ) -> None:
        users = [{"name": name, "authorizedKeysSecretRef": {"name": name}} for name in ("jane", "john")]
        if data is not None:
            cluster.apply(secret("jane", **data))
        cluster.apply(secret("john", authorized_keys=KEY), pool({"submitter": {"ssh": {"users": users}}}))
        finding = eventually(lambda: cluster.condition("UsersValid"), "a finding")
        assert (finding["status"], finding["reason"]) == ("False", reason)
        assert "spec.submitter.ssh.users[jane].authorizedKeysSecretRef" in finding["message"]
        assert text in finding["message"]
        assert "rubbish" not in finding["message"]
        database = (cluster.get("secret", "demo-users") or {})["data"]
        assert "authorized_keys.john" in database
        assert "authorized_keys.jane" not in database
        assert [event for event, _ in cluster.events()] == [reason]
        cluster.apply(secret("jane", authorized_keys=KEY))
        eventually(lambda: cluster.condition("UsersValid")["status"] == "True", "the repair to be seen", seconds=5)
        eventually(lambda: "authorized_keys.jane" in (cluster.get("secret", "demo-users") or {})["data"], "jane's key")

    def test_a_password_appears_nowhere_but_in_its_secret(self, cluster: Cluster, operator: Operator) -> None:
        cluster.apply(secret("john", authorized_keys=KEY, password="correct horse"), pool(_by_key_and_password()))
        cluster.settle()
        kinds = "configmaps,services,deployments,statefulsets,condorpools,events"
        assert "correct horse" not in cluster.kubectl("get", kinds, "-o", "json")
        assert "correct horse" not in operator.log()
        hashes = (cluster.get("secret", "demo-users") or {})["data"]["shadow"]
        assert hashes


class TestStatus:
    def up(self, cluster: Cluster) -> None:
        cluster.workload_is_up("deployment", "demo-manager")
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

    def test_outdated_pods_go_one_at_a_time_from_the_tail(self, cluster: Cluster) -> None:
        cluster.apply(pool({"paused": True}))
        cluster.apply(pool({"executors": [{"name": "cpu", "replicas": 3, "maxUnavailable": 1}]}))
        cluster.settle()
        cluster.apply(pool({"paused": True, "executors": [{"name": "cpu", "replicas": 3, "maxUnavailable": 1}]}))
        cluster.settle()
        for ordinal in range(3):
            self.executor(cluster, ordinal)
        cluster.apply(pool({"executors": [{"name": "cpu", "replicas": 3, "maxUnavailable": 1}]}))
        eventually(lambda: self.terminating(cluster) == ["demo-cpu-2"], "the tail to be told to end")
        look_again(cluster, "later")
        assert self.terminating(cluster) == ["demo-cpu-2"]
        status = cluster.get("condorpool", "demo")
        assert status is not None
        assert status["status"]["executors"] == [{"name": "cpu", "desired": 3, "ready": 0, "draining": 1}]
        assert cluster.condition("ExecutorsReady")["reason"] == "RollingOut"
        cluster.kubectl("delete", "pod", "demo-cpu-2", "--grace-period=0", "--force")
        self.executor(cluster, 2, outdated=False)
        eventually(lambda: self.terminating(cluster) == ["demo-cpu-1"], "the next to be told to end")


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


def test_the_operator_never_lacked_a_right_and_never_stumbled(server: ApiServer, operator: Operator) -> None:
    """Runs last: over all tests above nothing was forbidden to the operator, and no reconcile raised."""
    entries = [json.loads(line) for line in server.audit_log.read_text().splitlines()]
    mine = [entry for entry in entries if entry["user"]["username"] == "operator"]
    assert not [entry["requestURI"] for entry in mine if entry["responseStatus"]["code"] == 403]
    assert "Traceback" not in operator.log()
    assert "forbidden" not in operator.log().lower()
