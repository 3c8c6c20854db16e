"""A pool's later life: rights that are missing, names that are taken for a while, claims that outlive it, pods that linger."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from .cluster import BY_KEY, PUBLIC_KEY, ROOT, Cluster, Operator, eventually, pool, secret
from .server import ApiServer, free_ports


def storage(**fields: Any) -> dict[str, Any]:
    return {"submitter": {"storage": fields}}


class TestDeletion:
    """No controller runs here that would collect what a pool owned: what goes, the operator removed."""

    def pod(self, cluster: Cluster, name: str = "demo-executor-0") -> None:
        template = (cluster.get("statefulset", "demo-executor") or {})["spec"]["template"]
        metadata = {"name": name, **template["metadata"]}
        spec = {**template["spec"], "nodeName": "away"}
        cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})

    def grace(self, cluster: Cluster, name: str = "demo-executor-0") -> int | None:
        grace: int | None = (cluster.get("pod", name) or {})["metadata"].get("deletionGracePeriodSeconds")
        return grace

    def end(self, cluster: Cluster) -> None:
        """Tell the pod to end as the garbage collector does; its node is away, so it lingers."""
        cluster.kubectl("delete", "pod", "demo-executor-0", "--wait=false")

    def test_pods_of_a_deleted_pool_are_hurried(self, cluster: Cluster) -> None:
        cluster.apply(pool())
        cluster.settle()
        self.pod(cluster)
        cluster.kubectl("delete", "condorpool", "demo")
        self.end(cluster)
        eventually(lambda: self.grace(cluster) == 10, "the grace to be shortened")

    def test_also_by_an_operator_that_was_away(self, cluster: Cluster, operator: Operator) -> None:
        cluster.apply(pool())
        cluster.settle()
        self.pod(cluster)
        operator.stop()
        cluster.kubectl("delete", "condorpool", "demo")
        self.end(cluster)
        assert (self.grace(cluster) or 0) > 80_000
        operator.start()
        eventually(lambda: self.grace(cluster) == 10, "the grace to be shortened")

    def test_a_pool_that_waits_for_its_dependents_is_hurried_too(self, cluster: Cluster) -> None:
        cluster.apply(pool())
        cluster.settle()
        self.pod(cluster)
        cluster.kubectl("delete", "condorpool", "demo", "--cascade=foreground", "--wait=false")
        self.end(cluster)
        eventually(lambda: self.grace(cluster) == 10, "the grace to be shortened")
        cluster.kubectl("patch", "condorpool", "demo", "--type=merge", "-p", '{"metadata": {"finalizers": []}}')

    def test_draining_executors_of_a_living_pool_keep_their_grace(self, cluster: Cluster) -> None:
        cluster.apply(pool())
        cluster.settle()
        self.pod(cluster)
        self.end(cluster)
        eventually(
            lambda: (cluster.get("condorpool", "demo") or {})["status"]["executors"][0]["draining"] == 1,
            "a draining pod",
        )
        assert (self.grace(cluster) or 0) > 80_000

    def test_what_nobody_told_to_end_is_kept(self, cluster: Cluster) -> None:
        cluster.apply(pool())
        cluster.settle()
        self.pod(cluster)
        cluster.kubectl("delete", "condorpool", "demo", "--cascade=orphan", "--wait=false")
        cluster.kubectl("patch", "condorpool", "demo", "--type=merge", "-p", '{"metadata": {"finalizers": []}}')
        cluster.apply(pool(name="witness"))
        cluster.settle("witness")
        assert self.grace(cluster) is None

    def test_a_new_pool_waits_for_the_former_ones_objects(self, cluster: Cluster) -> None:
        cluster.apply(pool())
        cluster.settle()
        cluster.kubectl("delete", "condorpool", "demo")
        cluster.apply(pool())
        eventually(lambda: cluster.condition("ManagerReady").get("reason") == "FormerPool", "the wait to be told")
        assert cluster.condition("Stalled")["status"] == "False"
        assert not cluster.events()
        kinds = "secrets,configmaps,services,poddisruptionbudgets,networkpolicies,deployments,statefulsets,persistentvolumeclaims"
        cluster.kubectl("patch", "pvc", "demo-submitter", "--type=merge", "-p", '{"metadata": {"finalizers": []}}')
        cluster.kubectl("delete", kinds, "-l", "condorpool.dev/pool=demo")
        eventually(
            lambda: cluster.condition("ManagerReady").get("reason") == "PodsNotReady", "the new pool's own objects"
        )


class TestRetention:
    def test_a_retained_claim_is_nobodys_and_the_next_pool_takes_it(self, cluster: Cluster) -> None:
        spec = {"submitter": {**BY_KEY["submitter"], "storage": {"retentionPolicy": "Retain"}}}
        cluster.apply(secret("john", authorized_keys=PUBLIC_KEY), pool(spec))
        cluster.settle()
        claim = cluster.get("pvc", "demo-submitter") or {}
        assert "ownerReferences" not in claim["metadata"]
        noted = json.loads(claim["metadata"]["annotations"]["condorpool.dev/uids"])
        shifted = {"john": 23456, "jane": noted["john"]}
        cluster.kubectl("delete", "condorpool", "demo")
        kinds = "secrets,configmaps,services,poddisruptionbudgets,networkpolicies,deployments,statefulsets"
        cluster.kubectl("delete", kinds, "-l", "condorpool.dev/pool=demo")
        cluster.kubectl(
            "annotate", "pvc", "demo-submitter", f"condorpool.dev/uids={json.dumps(shifted)}", "--overwrite"
        )
        cluster.apply(pool(spec))
        eventually(
            lambda: cluster.condition("SubmitterReady").get("reason") == "PodsNotReady", "the new pool's objects"
        )
        adopted = cluster.get("pvc", "demo-submitter") or {}
        assert adopted["metadata"]["uid"] == claim["metadata"]["uid"]
        assert json.loads(adopted["metadata"]["annotations"]["condorpool.dev/uids"]) == shifted
        new = (cluster.get("condorpool", "demo") or {})["metadata"]["uid"]
        assert adopted["metadata"]["labels"]["condorpool.dev/pool-uid"] == new

    def test_the_policy_can_be_changed_at_any_time(self, cluster: Cluster) -> None:
        cluster.apply(pool())
        cluster.settle()

        def owners() -> list[str]:
            meta = (cluster.get("pvc", "demo-submitter") or {})["metadata"]
            return [owner["name"] for owner in meta.get("ownerReferences", ())]

        assert owners() == ["demo"]
        cluster.apply(pool(storage(retentionPolicy="Retain")))
        eventually(lambda: owners() == [], "the claim to be nobody's")
        cluster.apply(pool(storage(retentionPolicy="Delete")))
        eventually(lambda: owners() == ["demo"], "the claim to be the pool's")


class TestManagersClaim:
    def volumes(self, cluster: Cluster) -> set[str]:
        deployment = cluster.get("deployment", "demo-manager") or {}
        return {volume["name"] for volume in deployment["spec"]["template"]["spec"]["volumes"]}

    def test_it_comes_and_goes_with_a_new_pod_and_what_it_holds_stays(self, cluster: Cluster) -> None:
        cluster.apply(pool())
        cluster.settle()
        bare = self.volumes(cluster)
        assert cluster.get("pvc", "demo-manager") is None

        cluster.apply(pool({"manager": {"storage": {"size": "2Gi"}}}))
        eventually(lambda: self.volumes(cluster) == bare | {"state"}, "the manager to have its claim")
        claim = cluster.get("pvc", "demo-manager") or {}
        assert claim["metadata"]["ownerReferences"][0]["name"] == "demo"

        cluster.apply(pool({"manager": {}}))
        eventually(lambda: self.volumes(cluster) == bare, "the manager to have none")
        cluster.settle()
        assert (cluster.get("pvc", "demo-manager") or {})["metadata"]["uid"] == claim["metadata"]["uid"]
        assert "deletionTimestamp" not in (cluster.get("pvc", "demo-manager") or {})["metadata"]


class TestGrowth:
    def bound(self, cluster: Cluster) -> None:
        """Report the claim as bound, as a controller would that has made a volume for it."""
        cluster.kubectl(
            "patch", "pvc", "demo-submitter", "--type=merge", "-p", '{"spec": {"volumeName": "some-volume"}}'
        )
        status = {"status": {"phase": "Bound", "capacity": {"storage": "10Gi"}, "accessModes": ["ReadWriteOnce"]}}
        cluster.kubectl(
            "patch", "pvc", "demo-submitter", "--subresource=status", "--type=merge", "-p", json.dumps(status)
        )

    @pytest.mark.parametrize("expandable", [True, False])
    def test_growth_reaches_the_claim_or_is_refused_and_can_be_taken_back(
        self, cluster: Cluster, expandable: bool
    ) -> None:
        name = f"class-{cluster.namespace}"
        cluster.apply(
            {
                "apiVersion": "storage.k8s.io/v1",
                "kind": "StorageClass",
                "metadata": {"name": name},
                "provisioner": "example.test/none",
                "allowVolumeExpansion": expandable,
            }
        )
        cluster.apply(pool(storage(size="10Gi", storageClassName=name)))
        cluster.settle()
        self.bound(cluster)
        eventually(
            lambda: (
                (cluster.get("condorpool", "demo") or {})["status"].get("submitter") == {"storage": {"size": "10Gi"}}
            ),
            "the capacity in status",
        )
        before = cluster.get("statefulset", "demo-submitter")
        cluster.apply(pool(storage(size="20Gi", storageClassName=name)))
        if expandable:
            eventually(lambda: self.asked(cluster) == "20Gi", "the claim to ask for more")
        else:
            eventually(
                lambda: cluster.condition("SubmitterReady").get("reason") == "ApiRefused", "the refusal to be told"
            )
            assert "resize" in cluster.condition("SubmitterReady")["message"]
            cluster.apply(pool(storage(size="10Gi", storageClassName=name)))
            eventually(lambda: cluster.condition("SubmitterReady").get("reason") != "ApiRefused", "all well again")
        assert cluster.get("statefulset", "demo-submitter") == before, "no pod is touched"

    def asked(self, cluster: Cluster) -> str:
        claim = cluster.get("pvc", "demo-submitter") or {}
        return str(claim["spec"]["resources"]["requests"]["storage"])


@pytest.fixture
def rules(server: ApiServer) -> list[dict[str, Any]]:
    """Return the rules of the chart's Role for a namespace."""
    chart = str(ROOT / "charts/condorpool-operator")
    rendered = subprocess.run(
        [
            str(server.binaries / "helm"),
            "template",
            "x",
            chart,
            "--set",
            "watchNamespaces={x}",
            "--show-only",
            "templates/rbac.yaml",
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    (role,) = [obj for obj in yaml.safe_load_all(rendered) if obj and obj["kind"] == "Role"]
    found: list[dict[str, Any]] = role["rules"]
    return found


class TestRights:
    """An operator of one namespace, without any ClusterRole; the one of the session is stopped meanwhile."""

    @pytest.fixture
    def limited(self, server: ApiServer, bare: Cluster, operator: Operator, tmp_path: Path) -> Iterator[Operator]:
        operator.stop()
        mine = Operator(
            server,
            tmp_path / "operator.log",
            user="limited",
            namespaces=bare.namespace,
            liveness_port=str(free_ports(1)[0]),
        )
        yield mine
        mine.stop()
        bare.kubectl("delete", "condorpools", "--all")
        operator.start()

    def grant(self, cluster: Cluster, rules: list[dict[str, Any]]) -> None:
        role = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": "operator"},
            "rules": rules,
        }
        binding = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "operator"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "operator"},
            "subjects": [{"kind": "User", "name": "limited", "apiGroup": "rbac.authorization.k8s.io"}],
        }
        cluster.apply(role, binding)

    @pytest.mark.parametrize(
        ("missing", "condition"),
        [
            ("poddisruptionbudgets", "ExecutorsReady"),
            ("networkpolicies", "NetworkPolicyEnforced"),
            ("persistentvolumeclaims", "SubmitterReady"),
        ],
    )
    def test_a_missing_right_is_told_and_given_later_it_goes_on(
        self, bare: Cluster, limited: Operator, rules: list[dict[str, Any]], missing: str, condition: str
    ) -> None:
        self.grant(bare, [rule for rule in rules if missing not in rule["resources"]])
        limited.start()
        bare.apply(pool())
        eventually(lambda: bare.condition(condition).get("reason") == "Forbidden", "the missing right to be told")
        assert missing in bare.condition(condition)["message"]
        assert "the operator has no right to" in bare.condition(condition)["message"]
        if missing == "networkpolicies":
            assert bare.get("statefulset", "demo-executor") is None, "nothing runs unguarded"
        else:
            assert bare.get("statefulset", "demo-executor") is not None, "the rest goes on"
        self.grant(bare, rules)
        bare.kubectl("annotate", "condorpool", "demo", "test/mark=granted")
        eventually(lambda: bare.condition(condition).get("reason") in ("PodsNotReady", "Enforced"), "the repair")


def test_executors_of_a_namespace_that_ends_are_told_by_their_beacon(cluster: Cluster) -> None:
    """Kubernetes deletes pods first and the rest when they are gone: without this the namespace would wait for the drain."""
    cluster.apply(pool())
    cluster.settle()
    uid = (cluster.get("condorpool", "demo") or {})["metadata"]["uid"]
    template = (cluster.get("statefulset", "demo-executor") or {})["spec"]["template"]
    metadata = {"name": "demo-executor-0", **template["metadata"]}
    spec = {**template["spec"], "nodeName": "away"}
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    assert cluster.get("service", f"demo-{uid[:8]}") is not None
    cluster.kubectl("delete", "namespace", cluster.namespace, "--wait=false")
    cluster.kubectl("delete", "pod", "demo-executor-0", "--wait=false")
    eventually(lambda: cluster.get("service", f"demo-{uid[:8]}") is None, "the beacon to go")
    eventually(lambda: cluster.condition("Ready").get("reason") == "NamespaceTerminating", "the end to be told")


def test_a_namespace_that_ends_is_told_and_not_fought(cluster: Cluster, operator: Operator) -> None:
    """No namespace controller runs here, so the namespace stays in its end for ever: the longest one there can be."""
    cluster.apply(pool())
    cluster.settle()
    cluster.kubectl("delete", "namespace", cluster.namespace, "--wait=false")
    cluster.kubectl("delete", "service", "demo-manager")
    eventually(lambda: cluster.condition("ManagerReady").get("reason") == "NamespaceTerminating", "the end to be told")
    assert cluster.condition("Stalled")["status"] == "False"
    assert not cluster.events()
