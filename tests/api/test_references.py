"""The users' ConfigMaps and Secrets: missing, wrong, late, vanished, edited; told once, and what runs stays."""

import json

import pytest

from .cluster import BY_KEY_AND_PASSWORD, PUBLIC_KEY, Cluster, Operator, config_map, eventually, pool, secret


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

    def test_an_edited_config_map_waits_for_the_pools_check(self, cluster: Cluster) -> None:
        """Nobody can judge here; only a manager that does not start because of its configuration is not waited for."""
        cluster.apply(config_map("knobs", site="KNOB = 1\n"), pool({"config": {"configMapRefs": [{"name": "knobs"}]}}))
        cluster.settle()
        cluster.apply(config_map("knobs", site="KNOB = 2\n"))
        eventually(lambda: cluster.condition("ConfigValid").get("reason") == "ConfigUnchecked", "the wait to be told")
        assert self.mounted(cluster) == "KNOB = 1\n"
        assert cluster.events() == []
        self.refuse(cluster)
        eventually(lambda: self.mounted(cluster) == "KNOB = 2\n", "the edit to be rendered")

    def mounted(self, cluster: Cluster) -> str:
        found = cluster.get("configmap", "demo-manager-config")
        assert found is not None
        return str(found["data"]["50-00-knobs-site"])

    def refuse(self, cluster: Cluster) -> None:
        """Make a manager's pod as its kubelet shows one whose pool-init refuses the configuration."""
        template = (cluster.get("deployment", "demo-manager") or {})["spec"]["template"]
        metadata = {"name": "demo-manager-x", "labels": template["metadata"]["labels"]}
        spec = {**template["spec"], "nodeName": "away"}
        cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        ended = {"exitCode": 1, "message": "HTCondor refuses the configuration: 50-00-knobs-site, line 1: no"}
        container = {"name": "condor", "image": "x", "imageID": "", "ready": False, "restartCount": 1}
        container |= {"state": {"terminated": ended}}
        patch = json.dumps({"status": {"phase": "Running", "containerStatuses": [container]}})
        cluster.kubectl("patch", "pod", "demo-manager-x", "--subresource=status", "--type=merge", "-p", patch)

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
        cluster.apply(secret("john", authorized_keys=PUBLIC_KEY), pool({"submitter": {"ssh": {"users": users}}}))
        finding = eventually(lambda: cluster.condition("UsersValid"), "a finding")
        assert (finding["status"], finding["reason"]) == ("False", reason)
        assert "spec.submitter.ssh.users[jane].authorizedKeysSecretRef" in finding["message"]
        assert text in finding["message"]
        assert "rubbish" not in finding["message"]
        database = (cluster.get("secret", "demo-users") or {})["data"]
        assert "authorized_keys.john" in database
        assert "authorized_keys.jane" not in database
        assert [event for event, _ in cluster.events()] == [reason]
        cluster.apply(secret("jane", authorized_keys=PUBLIC_KEY))
        eventually(lambda: cluster.condition("UsersValid")["status"] == "True", "the repair to be seen", seconds=5)
        eventually(lambda: "authorized_keys.jane" in (cluster.get("secret", "demo-users") or {})["data"], "jane's key")

    def test_the_secret_of_a_mount_is_missed_and_noticed(self, cluster: Cluster) -> None:
        onedata = {"provider": "p.example", "tokenSecretRef": {"name": "onedata"}}
        mounts = [
            {"name": "a", "path": "/a", "command": ["x"], "secretRef": {"name": "files"}},
            {"name": "b", "path": "/b", "oneclient": onedata},
        ]
        cluster.apply(secret("onedata", other="x"), pool({"executors": [{"name": "cpu", "mounts": mounts}]}))
        finding = eventually(lambda: cluster.condition("ExecutorsReady"), "a finding")
        assert (finding["status"], finding["reason"]) == ("False", "SecretNotFound")
        assert "spec.executors[cpu].mounts[a].secretRef: there is no Secret files: create it" in finding["message"]
        assert "mounts[b].oneclient.tokenSecretRef: Secret onedata has no key token: add it" in finding["message"]
        assert cluster.get("statefulset", "demo-cpu") is not None, (
            "the pods run, and take jobs once the Secret is there"
        )
        cluster.apply(secret("onedata", token="x"), secret("files", key="x"))
        eventually(
            lambda: cluster.condition("ExecutorsReady")["reason"] == "PodsNotReady", "the repair to be seen", seconds=5
        )

    def test_a_password_appears_nowhere_but_in_its_secret(self, cluster: Cluster, operator: Operator) -> None:
        cluster.apply(secret("john", authorized_keys=PUBLIC_KEY, password="correct horse"), pool(BY_KEY_AND_PASSWORD))
        cluster.settle()
        kinds = "configmaps,services,deployments,statefulsets,condorpools,events"
        assert "correct horse" not in cluster.kubectl("get", kinds, "-o", "json")
        assert "correct horse" not in operator.log()
        hashes = (cluster.get("secret", "demo-users") or {})["data"]["shadow"]
        assert hashes
