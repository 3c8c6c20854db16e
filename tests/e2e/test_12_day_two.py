"""A pool's later life: groups come and go, hands meddle, references and rights vanish, the operator is away, the namespace ends."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from tests.e2e.support import operator
from tests.e2e.support.day import CPU, REPOSITORY, day_spec
from tests.e2e.support.jobs import EVICTED, EXECUTING, Job, shell_job
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.manifests import config_map, group, refs
from tests.e2e.support.pool import POOL_KIND, Pool, describe, is_ready
from tests.e2e.support.waiting import NotYetError, stays, wait_for

SETTLE_SECONDS = 120.0
TOLD_SECONDS = 20.0
UNDONE_SECONDS = 20.0
"""What is done to a child by hand is undone at once, and by a slower second look at the latest."""
RIGHTS_SECONDS = 90.0
"""A missing right is tell-worthy after a while, and tried again once a minute."""
NAMESPACE_SECONDS = 90.0
MOST_LINES = 20
"""What the operator may say of a pool that goes with its namespace."""

CHILDREN = "secrets,configmaps,services,poddisruptionbudgets,deployments,statefulsets"


@pytest.fixture
def pool(day_pool: Pool) -> Iterator[Pool]:
    """Give the pool as it was first, and put it back at the end."""
    yield day_pool
    day_pool.apply(day_spec())
    day_pool.wait_condition("Ready", "True", SETTLE_SECONDS)


def here(pool: Pool, script: str) -> str:
    """Return a job for the executor that is always there: the slot of one that just went may still be matched."""
    return shell_job(script, requirements=f'regexp("^{pool.executor("cpu")}[.]", Machine)')


def not_lost(job: Job, output: str) -> None:
    """Wait for the end of a job that ran once, without a break."""
    assert job.wait_done(60) == output
    events = job.events()
    assert EVICTED not in events
    assert events.count(EXECUTING) == 1, events


def test_a_group_comes_and_goes_under_its_job(pool: Pool) -> None:
    pool.apply(day_spec(executors=[CPU, group("extra", drainTimeout="10m")]))
    pool.wait_condition("Ready", "True", SETTLE_SECONDS)
    job = pool.submit(shell_job("sleep 20; echo finished", requirements='CondorPoolGroup == "extra"'))
    assert job.wait_running() == pool.executor("extra")

    pool.apply(day_spec())

    pool.wait_condition("Ready", "True", TOLD_SECONDS)
    assert [item["name"] for item in pool.live()["status"]["executors"]] == ["cpu"]
    not_lost(job, "finished\n")

    def gone() -> None:
        left = [obj["metadata"]["name"] for obj in pool.objects() if "extra" in obj["metadata"]["name"]]
        if left:
            raise NotYetError(f"{left}")

    wait_for("all of the group to go", gone, 60)


def replicas(pool: Pool) -> dict[str, int]:
    """Return the replicas of the pool's workloads."""
    return {obj["metadata"]["name"]: obj["spec"]["replicas"] for obj in pool.objects("deployments,statefulsets")}


def test_scaling_a_child_is_undone(pool: Pool) -> None:
    before = replicas(pool)
    job = pool.submit(shell_job("sleep 20; echo kept"))
    job.wait_running()

    for kind, name, number in (("statefulset", "cpu", 3), ("statefulset", "cpu", 0), ("deployment", "manager", 0)):
        pool.kubectl("scale", kind, f"{pool.name}-{name}", f"--replicas={number}")

        def undone() -> None:
            if (now := replicas(pool)) != before:
                raise NotYetError(f"{now}")

        wait_for("the replicas that the spec says", undone, UNDONE_SECONDS)

    not_lost(job, "kept\n")
    pool.wait_condition("Ready", "True", SETTLE_SECONDS)
    pool.wait_executors({pool.executor("cpu")}, 60)


VOLATILE = ("clusterIP", "clusterIPs")
EDITED = {
    "secret/day-users": {"data": {"authorized_keys.ann": "bWluZQ=="}},
    "configmap/day-manager-config": {"data": {"90-operator.conf": "ALLOW_WRITE = *\n"}},
    "service/day-submitter": {"spec": {"ports": [{"name": "condor", "port": 1, "targetPort": 1}]}},
    "poddisruptionbudget/day-cpu": {"spec": {"maxUnavailable": "99%"}},
    "deployment/day-manager": {"spec": {"strategy": {"type": "RollingUpdate"}}},
    "statefulset/day-cpu": {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 1}}}},
}
DELETED = (
    *("secret/day-users", "configmap/day-cpu-config", "service/day-manager", "poddisruptionbudget/day-cpu"),
    *("deployment/day-manager", "statefulset/day-submitter", "statefulset/day-cpu"),
)


def contents(pool: Pool) -> dict[str, Any]:
    """Return labels, data and spec of the pool's children, without what the API server chooses."""
    result = {}
    for obj in pool.objects(CHILDREN):
        spec = {key: value for key, value in obj.get("spec", {}).items() if key not in VOLATILE}
        result[f"{obj['kind'].lower()}/{obj['metadata']['name']}"] = (obj["metadata"]["labels"], obj.get("data"), spec)
    return result


def wait_contents(pool: Pool, before: Mapping[str, Any]) -> None:
    """Wait until the children are as they were."""

    def look() -> None:
        now = contents(pool)
        if other := [name for name in before.keys() | now.keys() if before.get(name) != now.get(name)]:
            raise NotYetError(f"{sorted(other)}")

    wait_for("the children as they were", look, UNDONE_SECONDS)


def test_children_edited_and_deleted_by_hand_come_back_the_same(pool: Pool) -> None:
    before = contents(pool)
    job = pool.submit(shell_job("sleep 25; echo untouched"), user="ann")
    job.wait_running()

    for child, patch in EDITED.items():
        pool.kubectl("patch", child, "--type=merge", f"--patch={json.dumps(patch)}")
    wait_contents(pool, before)
    pool.kubectl("delete", "--wait=false", *DELETED)

    wait_contents(pool, before)
    pool.wait_condition("Ready", "True", SETTLE_SECONDS)
    not_lost(job, "untouched\n")
    assert pool.submit(shell_job("echo and on")).wait_done(90) == "and on\n"


def test_a_wrong_image_is_taken_back(pool: Pool) -> None:
    pool.apply(day_spec(image={"repository": REPOSITORY, "tag": "no-such-tag"}))
    for kind in ("ManagerReady", "SubmitterReady", "ExecutorsReady"):
        pool.wait_condition(kind, "False", SETTLE_SECONDS)

    def stuck() -> None:
        broken = {pod["metadata"]["labels"]["condorpool.dev/component"] for pod in pool.pods() if not is_ready(pod)}
        if broken != {"manager", "submitter", "executor"}:
            raise NotYetError(describe(pool.pods()))

    wait_for("pods of all roles that cannot start", stuck, SETTLE_SECONDS)

    pool.apply(day_spec())

    pool.wait_condition("Ready", "True", SETTLE_SECONDS)


def test_an_object_that_is_not_ours_is_never_touched(pool: Pool) -> None:
    kind, name = "networkpolicies.networking.k8s.io", f"{pool.name}-executors"
    foreign = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {"podSelector": {"matchLabels": {"e2e": "nobody"}}, "policyTypes": ["Ingress"]},
    }
    pool.kubectl.apply(foreign)
    before = pool.kubectl.must_get(kind, name)["metadata"]["resourceVersion"]

    pool.apply(day_spec(networkPolicy={"mode": "Kubernetes"}))

    told = pool.wait_condition("NetworkPolicyEnforced", "False", TOLD_SECONDS, "NameConflict")
    assert name in told["message"]
    assert "NameConflict" in {reason for reason, _ in pool.warnings()}
    assert (
        stays("the foreign object", lambda: pool.kubectl.must_get(kind, name)["metadata"]["resourceVersion"], 3)
        == before
    )
    calico = [policy for policy in pool.policies() if policy["apiVersion"].startswith("projectcalico.org")]
    assert name in {policy["metadata"]["name"] for policy in calico}

    pool.kubectl("delete", kind, name)
    # spares the minute until the operator's own look
    pool.kubectl("annotate", POOL_KIND, pool.name, "e2e=look")
    pool.wait_condition("NetworkPolicyEnforced", "True", TOLD_SECONDS, "Enforced")


def test_a_paused_pool_is_left_alone_and_catches_up(pool: Pool) -> None:
    pool.apply(day_spec(paused=True))
    pool.wait_condition("Ready", "Unknown", TOLD_SECONDS, "Paused")

    pool.kubectl("delete", "poddisruptionbudget", "day-cpu")
    pool.apply(day_spec(paused=True, executors=[CPU | {"replicas": 2}]))
    pool.wait_condition("Ready", "Unknown", TOLD_SECONDS, "Paused")
    assert stays("replicas", lambda: replicas(pool)["day-cpu"], 3) == 1
    assert pool.kubectl.get("poddisruptionbudget", "day-cpu") is None
    assert pool.submit(here(pool, "echo still")).wait_done(60) == "still\n"

    pool.apply(day_spec(executors=[CPU | {"replicas": 2}]))
    pool.wait_condition("Ready", "True", SETTLE_SECONDS)
    assert replicas(pool)["day-cpu"] == 2
    assert pool.kubectl.get("poddisruptionbudget", "day-cpu") is not None
    pool.wait_executors({pool.executor("cpu", 0), pool.executor("cpu", 1)}, 60)


def knob(pool: Pool, name: str) -> str:
    """Return a knob as the running startd of the first executor has it."""
    return pool.said(pool.executor("cpu"), "condor_config_val", "-startd", name).strip()


def wait_knob(pool: Pool, name: str, value: str) -> None:
    """Wait until the first executor's startd has a value for a knob."""

    def look() -> None:
        if (seen := knob(pool, name)) != value:
            raise NotYetError(seen)

    wait_for(f"{name} = {value}", look, 90)


def test_references_that_vanish_leave_what_they_gave(pool: Pool) -> None:
    pool.kubectl.apply(config_map("passing", knobs="E2E_PASSING = first\n"))
    keys = pool.kubectl.must_get("secret", "ann")
    pool.apply(day_spec(config=refs("passing")))
    pool.wait_condition("Ready", "True", SETTLE_SECONDS)
    pool.kubectl("annotate", "pods", "--all", "--overwrite", "e2e=first")
    wait_knob(pool, "E2E_PASSING", "first")

    pool.kubectl("delete", "configmap/passing", "secret/ann")
    assert "passing" in pool.wait_condition("ConfigValid", "False", TOLD_SECONDS, "ConfigMapNotFound")["message"]
    assert "ann" in pool.wait_condition("UsersValid", "False", TOLD_SECONDS, "SecretNotFound")["message"]
    users = ("sh", "-c", "cat /etc/condorpool/users/authorized_keys.ann && id ann")
    assert pool.kubectl.execute(pool.submitter, "sshd", *users).code == 0
    pool.kubectl("delete", "pod", pool.executor("cpu"), seconds=90)
    wait_knob(pool, "E2E_PASSING", "first")

    keys["metadata"] = {"name": "ann"}
    pool.kubectl.apply(config_map("passing", knobs="E2E_PASSING = second\n"), keys)
    pool.wait_condition("Ready", "True", SETTLE_SECONDS)
    pool.kubectl("annotate", "pods", "--all", "--overwrite", "e2e=second")
    wait_knob(pool, "E2E_PASSING", "second")


def test_edits_while_the_operator_is_away(kubectl: Kubectl, pool: Pool) -> None:
    wait_for("executors that were too many to be gone", lambda: _is_small(pool), SETTLE_SECONDS)
    with operator.absent(kubectl):
        pool.kubectl.apply(config_map("unseen", knobs="E2E_UNSEEN = seen\n"))
        pool.apply(day_spec(config=refs("unseen"), executors=[CPU | {"replicas": 2}]))
        pool.kubectl("delete", "configmap/day-manager-config", "service/day-cpu")
        assert pool.submit(here(pool, "echo alone")).wait_done(60) == "alone\n"
        assert replicas(pool)["day-cpu"] == 1

    pool.wait_condition("Ready", "True", SETTLE_SECONDS)
    pool.kubectl("annotate", "pods", "--all", "--overwrite", "e2e=unseen")
    pool.wait_executors({pool.executor("cpu", 0), pool.executor("cpu", 1)}, 60)
    wait_knob(pool, "E2E_UNSEEN", "seen")
    assert pool.kubectl.get("configmap", "day-manager-config") is not None
    assert pool.kubectl.get("service", "day-cpu") is not None


def _is_small(pool: Pool) -> None:
    """The end of a group is emptied before its StatefulSet shrinks, and the pool is ready meanwhile."""
    if (size := replicas(pool)["day-cpu"]) != 1:
        raise NotYetError(f"{size} executors")


@contextmanager
def without_right(kubectl: Kubectl, *resources: str) -> Iterator[None]:
    """Take the rights on some kinds from the operator for a while."""
    role = kubectl.must_get("clusterrole", operator.DEPLOYMENT)
    less = [rule for rule in role["rules"] if not set(resources) & set(rule["resources"])]
    assert len(less) < len(role["rules"])

    def set_rules(rules: list[dict[str, Any]]) -> None:
        kubectl("patch", "clusterrole", operator.DEPLOYMENT, "--type=merge", f"--patch={json.dumps({'rules': rules})}")

    set_rules(less)
    try:
        yield
    finally:
        set_rules(role["rules"])


def test_missing_rights_are_told_and_recovered_from(kubectl: Kubectl, pool: Pool) -> None:
    with without_right(kubectl, "poddisruptionbudgets", "networkpolicies"):
        # as many executors as there are: what a scale-in leaves in the collector is not this test's matter
        executors = [CPU | {"replicas": 2, "maxUnavailable": 1}]
        pool.apply(day_spec(executors=executors, networkPolicy={"mode": "Kubernetes"}))
        for condition, resource in (
            ("ExecutorsReady", "poddisruptionbudgets"),
            ("NetworkPolicyEnforced", "networkpolicies"),
        ):
            told = pool.wait_condition(condition, "False", RIGHTS_SECONDS, "Forbidden")
            assert resource in told["message"].lower()
        assert pool.submit(here(pool, "echo running")).wait_done(60) == "running\n"

    pool.wait_condition("Ready", "True", RIGHTS_SECONDS)
    assert pool.kubectl.must_get("poddisruptionbudget", "day-cpu")["spec"]["maxUnavailable"] == 1
    assert {policy["apiVersion"] for policy in pool.policies()} >= {"networking.k8s.io/v1"}


def test_a_namespace_that_ends_takes_its_busy_pool_along(kubectl: Kubectl, ending_pool: Pool) -> None:
    job = ending_pool.submit(shell_job("sleep 7200"))
    job.wait_running()
    name, began = ending_pool.namespace, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())

    kubectl("delete", "namespace", name, "--wait=false")

    def ended() -> None:
        if pods := ending_pool.pods():
            raise NotYetError(describe(pods))

    wait_for("the pods to end", ended, NAMESPACE_SECONDS)
    # Kubernetes looks at such a namespace again after half of its pods' grace period or five minutes, or when it changes
    kubectl.attempt("annotate", "namespace", name, "e2e=look")

    def gone() -> None:
        if (live := kubectl.get("namespace", name)) is not None:
            raise NotYetError(json.dumps(live["status"]))

    wait_for("the namespace to go", gone, NAMESPACE_SECONDS)
    log = kubectl.in_namespace(operator.NAMESPACE)("logs", f"deployment/{operator.DEPLOYMENT}", f"--since-time={began}")
    mine = [line for line in log.splitlines() if name in line]
    assert "Traceback" not in log
    assert len(mine) < MOST_LINES, "\n".join(mine)
