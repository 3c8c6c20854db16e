"""What keeps pods from being ready, said by conditions: one pool that is wrong in every way, mended step by step.

The reports are a real scheduler's, kubelet's and controllers'. Each step goes on from the one before.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.manifests import MARK, condor_pool, config_map, group, refs
from tests.e2e.support.neighbourhood import STARTED, nodes
from tests.e2e.support.operator import ROLE_IMAGE
from tests.e2e.support.pool import Pool
from tests.e2e.support.waiting import NotYetError, wait_for

PULL_SECONDS = 60.0
CRASH_SECONDS = 60.0
CLAIM_SECONDS = 90.0
"""A claim is told of after a minute."""
SCHEDULED_SECONDS = 40.0
UP_SECONDS = 120.0
SPOOL_SECONDS = 120.0
"""Three failed probes, a quarter of a minute apart, and as long again."""

VOLUME, CLASS, PLACE = "condorpool-e2e-spool", "condorpool-e2e-spool", "/var/lib/condorpool-e2e-spool"
"""A volume of 64 MiB: a tmpfs on a node."""
IMAGE = "registry.invalid/condor:none"


def spec(*groups: dict[str, Any], image: str = ROLE_IMAGE) -> dict[str, Any]:
    """Return the pool's spec."""
    repository, _, tag = image.rpartition(":")
    return {
        "image": {"repository": repository, "tag": tag},
        "submitter": {"storage": {"size": "32Mi", "storageClassName": CLASS}},
        "executors": [group("cpu"), *groups],
    }


def mounter(node: str) -> dict[str, Any]:
    """Return a pod that can mount on a node."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "mounter"},
        "spec": {
            "nodeName": node,
            "hostPID": True,
            "terminationGracePeriodSeconds": 1,
            "containers": [
                {
                    "name": "condor",
                    "image": ROLE_IMAGE,
                    "command": ["sleep", "3600"],
                    "securityContext": {"privileged": True},
                }
            ],
        },
    }


def volume(node: str) -> dict[str, Any]:
    """Return the volume, bound to its node."""
    here = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": VOLUME, "labels": MARK},
        "spec": {
            "capacity": {"storage": "64Mi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": CLASS,
            "hostPath": {"path": PLACE},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [here]}},
        },
    }


@pytest.fixture(scope="module")
def node(kubectl: Kubectl, new_namespace: Callable[[str], Kubectl]) -> Iterator[str]:
    """Return a node that has a small file system."""
    name = next(iter(nodes(kubectl)))
    hands = new_namespace("hands")
    hands.apply(mounter(name))
    hands("wait", STARTED, "--timeout=60s", "pod/mounter", seconds=70)
    on_node = ("nsenter", "--target=1", "--mount", "--", "sh", "-c")
    made = hands.execute(
        "mounter", "condor", *on_node, f"mkdir -p {PLACE} && mount -t tmpfs -o size=64m,mode=0755 tmpfs {PLACE}"
    )
    assert made.code == 0, made
    yield name
    kubectl("delete", "persistentvolume", VOLUME, "--ignore-not-found", "--wait=false")
    hands.execute("mounter", "condor", *on_node, f"umount --lazy {PLACE} && rmdir {PLACE}")


@pytest.fixture(scope="module")
def ailing(new_namespace: Callable[[str], Kubectl], node: str) -> Pool:
    """Return a pool with an image and a StorageClass that do not exist."""
    pool = Pool(new_namespace("ailing"), "ailing")
    pool.kubectl.apply(config_map("knobs", bad="this is no setting\n"), condor_pool(pool.name, spec(image=IMAGE)))
    return pool


def told(pool: Pool, kind: str, reason: str, seconds: float) -> str:
    """Wait until a condition is False for a reason; return its message, once it is seen that an event tells the same."""
    message = str(pool.wait_condition(kind, "False", seconds, reason)["message"])
    assert reason in {one for one, _ in pool.warnings()}
    return message


def test_a_wrong_image(ailing: Pool) -> None:
    message = told(ailing, "ManagerReady", "ImagePullFailed", PULL_SECONDS)
    assert message.startswith(f"pod {ailing.manager}: image {IMAGE} cannot be pulled: correct spec.image")

    message = told(ailing, "ExecutorsReady", "ImagePullFailed", PULL_SECONDS)
    assert f"cpu: 0 of 1 ready; pod {ailing.executor('cpu')}: image {IMAGE}" in message
    assert ailing.condition("Stalled")["status"] == "True"


def test_a_refused_configuration(ailing: Pool) -> None:
    """Of a new group: nobody judges a first configuration but the pods that read it."""
    ailing.apply(spec(group("odd", config=refs("knobs"))))

    message = told(ailing, "ConfigValid", "ConfigRefused", CRASH_SECONDS)

    assert message.startswith("pod ailing-odd-0: "), message
    assert "HTCondor refuses the configuration: " in message
    assert "50-00-knobs-bad.conf" in message


def test_an_executor_that_no_node_can_take(ailing: Pool) -> None:
    ailing.apply(spec(group("huge", resources={"limits": {"cpu": "1000"}})))
    ailing.wait_condition("Accepted", "True", SCHEDULED_SECONDS)
    ailing.kubectl("delete", "pods", "--all", "--wait=false")  # else the next look of the kubelet may take a minute

    message = told(ailing, "ExecutorsReady", "Unschedulable", SCHEDULED_SECONDS)

    assert f"pod {ailing.executor('huge')}: no node can take it: 0/" in message
    assert "Insufficient cpu" in message
    ailing.wait_condition("ConfigValid", "True", UP_SECONDS)
    ailing.wait_condition("ManagerReady", "True", UP_SECONDS)


def test_a_pod_that_may_not_be_made(ailing: Pool) -> None:
    label = "pod-security.kubernetes.io/enforce=baseline"
    ailing.kubectl("label", "namespace", ailing.namespace, label)

    ailing.apply(spec(group("later", 2)))
    message = told(ailing, "ExecutorsReady", "PodNotCreated", SCHEDULED_SECONDS)

    assert f"pod {ailing.executor('later')} and 1 more: cannot be created: violates PodSecurity" in message
    assert "label the namespace pod-security.kubernetes.io/enforce=privileged" in message
    ailing.kubectl("label", "namespace", ailing.namespace, f"{label.partition('=')[0]}-")


def test_a_claim_without_a_volume(ailing: Pool, node: str) -> None:
    message = told(ailing, "SubmitterReady", "ClaimPending", CLAIM_SECONDS)

    assert f"claim ailing-submitter: no volume is made for it: see that StorageClass {CLASS} exists" in message
    ailing.kubectl.apply(volume(node))
    ailing.wait_condition("SubmitterReady", "True", UP_SECONDS)


def test_a_pool_that_starts_well_shows_nothing_while_its_neighbour_runs_full(ailing: Pool) -> None:
    ailing.run(
        ailing.submitter, "sh", "-c", "fallocate -l $(($(stat -fc '%a*%S' /var/lib/condor/spool)-524288)) /home/fill"
    )
    well = Pool(ailing.kubectl, "well")
    well.apply({"executors": [group("cpu")]})

    def ready() -> None:
        conditions = {one["type"]: one for one in well.live().get("status", {}).get("conditions", [])}
        reasons = {one["reason"] for one in conditions.values() if one["status"] == "False"}
        assert reasons <= {"PodsNotReady", "Settled"}, conditions
        if conditions.get("Ready", {}).get("status") != "True":
            raise NotYetError(f"{conditions}")

    wait_for("a pool that starts as it should", ready, UP_SECONDS)
    assert not well.warnings()


def test_a_full_spool(ailing: Pool) -> None:
    message = told(ailing, "SubmitterReady", "SpoolFull", SPOOL_SECONDS)

    assert message.startswith(f"pod {ailing.submitter}: the volume of queue and homes is full: remove files")
    ailing.run(ailing.submitter, "rm", "/home/fill")
    ailing.wait_condition("SubmitterReady", "True", UP_SECONDS)


def test_all_is_mended_and_each_fault_was_told_once(ailing: Pool) -> None:
    ailing.apply(spec())
    ailing.wait_ready()

    seen = Counter(reason for reason, _ in ailing.warnings())
    once = ("ConfigRefused", "ClaimPending", "Unschedulable", "PodNotCreated", "SpoolFull")
    assert {reason: seen[reason] for reason in once} == dict.fromkeys(once, 1), seen
    assert set(seen) <= {*once, "ImagePullFailed", "PodsNotReady"}, ailing.warnings()
    conditions = json.dumps(ailing.live()["status"]["conditions"])
    assert not any(reason in conditions for reason in once)
