"""What keeps a pod from being ready is told by its reason, in words that stay the same, and not before it is sure."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from condorpool_operator.api.status import Reason
from condorpool_operator.podhealth import (
    Finding,
    examine,
    missing,
    refine,
    refused_creation,
    refused_replica,
    unbound,
    works,
)

NOW = 1000.0
Pod = dict[str, Any]


def since(stamp: str) -> float:
    return NOW - float(stamp)


def ago(seconds: float) -> str:
    return str(NOW - seconds)


def pod(name: str = "demo-cpu-0", component: str = "executor", **status: Any) -> Pod:
    return {
        "metadata": {"name": name, "uid": f"uid-of-{name}", "labels": {"condorpool.dev/component": component}},
        "status": {"phase": "Pending", **status},
    }


def condition(kind: str, status: str, seconds: float, **fields: str) -> dict[str, str]:
    return {"type": kind, "status": status, "lastTransitionTime": ago(seconds), **fields}


def unscheduled(seconds: float, message: str = "0/3 nodes are available: 3 Insufficient cpu.") -> Pod:
    return pod(conditions=[condition("PodScheduled", "False", seconds, reason="Unschedulable", message=message)])


def placed(
    container: Pod, seconds: float = 5, ready_since: float = 500, begun: bool | None = None, **fields: Any
) -> Pod:
    conditions = [condition("PodScheduled", "True", seconds), condition("Ready", "False", ready_since)]
    if begun is not None:
        conditions.append(condition("PodReadyToStartContainers", str(begun), seconds))
    one = {"name": "condor", "image": "registry/condor:1", "ready": False, **container}
    return pod(conditions=conditions, containerStatuses=[one], **fields)


def waiting(reason: str, message: str = "", **container: Any) -> Pod:
    return {"state": {"waiting": {"reason": reason, "message": message}}, **container}


def ended(**terminated: Any) -> Pod:
    return {"terminated": {"exitCode": 1, "reason": "Error", **terminated}}


def running(seconds: float, **container: Any) -> Pod:
    return {"state": {"running": {"startedAt": ago(seconds)}}, **container}


CORRUPT = "the schedd does not start"
REFUSAL = "HTCondor refuses the configuration: Configuration Error Line 3 while reading 50-00-knobs"
LOOP = waiting("CrashLoopBackOff", "back-off 20s restarting failed container", restartCount=3)

CLEAR = {
    "scheduler": (
        unscheduled(20),
        Reason.UNSCHEDULABLE,
        "no node can take it: 0/3 nodes are available: 3 Insufficient cpu",
    ),
    "pull": (placed(waiting("ErrImagePull")), Reason.IMAGE_PULL_FAILED, "image registry/condor:1 cannot be pulled"),
    "pull again": (
        placed(waiting("ImagePullBackOff", "… failed to resolve: registry/condor:1: not found")),
        Reason.IMAGE_PULL_FAILED,
        "does not have it",
    ),
    "no right to pull": (
        placed(waiting("ImagePullBackOff", "401 Unauthorized")),
        Reason.IMAGE_PULL_FAILED,
        "pullSecrets",
    ),
    "never pulled": (placed(waiting("ErrImageNeverPull")), Reason.IMAGE_PULL_FAILED, "pullPolicy is Never"),
    "name": (placed(waiting("InvalidImageName")), Reason.IMAGE_PULL_FAILED, "is no name of an image"),
    "refused configuration": (placed(LOOP | {"lastState": ended(message=REFUSAL)}), Reason.CONFIG_REFUSED, REFUSAL),
    "refused just now": (placed({"state": ended(message=REFUSAL)}), Reason.CONFIG_REFUSED, REFUSAL),
    "restarted to be refused": (
        placed(running(1, lastState=ended(message=REFUSAL))),
        Reason.CONFIG_REFUSED,
        "correct it in the ConfigMap",
    ),
    "memory": (placed(LOOP | {"lastState": ended(reason="OOMKilled")}), Reason.OUT_OF_MEMORY, "raise its memory limit"),
    "memory once": (placed(running(2, lastState=ended(reason="OOMKilled"))), Reason.OUT_OF_MEMORY, "was killed"),
    "crash": (placed(LOOP | {"lastState": ended(exitCode=44)}), Reason.CRASH_LOOPING, "with exit status 44"),
    "crash with words": (placed(LOOP | {"lastState": ended(message="no\nspace")}), Reason.CRASH_LOOPING, ": no space"),
    "queue": (
        placed(running(9, restartCount=3, lastState=ended(message=f"QueueCorrupt: {CORRUPT}"))),
        Reason.QUEUE_CORRUPT,
        CORRUPT,
    ),
    "between two crashes": (
        placed(running(9, restartCount=2, lastState=ended(exitCode=44))),
        Reason.CRASH_LOOPING,
        "with exit status 44",
    ),
    "no volume": (placed(waiting("ContainerCreating"), 70, begun=False), Reason.POD_NOT_STARTED, "a volume"),
    "no volume, old cluster": (placed(waiting("ContainerCreating"), 70), Reason.POD_NOT_STARTED, "a volume"),
    "no container": (placed(waiting("CreateContainerError"), 70, begun=True), Reason.POD_NOT_STARTED, "a container"),
    "never joined": (placed(running(130)), Reason.NOT_JOINED, "the collector cannot be reached or refuses it"),
    "lost": (placed(running(400), ready_since=40), Reason.NOT_JOINED, "is not in the pool"),
}


@pytest.mark.parametrize("case", CLEAR)
def test_each_state_has_its_reason(case: str) -> None:
    sick, reason, words = CLEAR[case]
    finding, _ = examine([sick], since)
    assert finding is not None
    assert finding.reason is reason
    told = finding.told
    assert told.message.startswith("pod demo-cpu-0: ")
    assert words in told.message
    assert "demo-cpu-0" in told.message.rpartition("(kubectl ")[2]


NOT_YET = {
    "new": (pod(), None),
    "pending": (unscheduled(3), 13),
    "volumes": (placed(waiting("ContainerCreating"), 20, begun=False), 41),
    "pulling": (placed(waiting("ContainerCreating"), 300, begun=True), None),
    "starting": (placed(running(10)), 111),
    "first crash": (placed(running(2, restartCount=1, lastState=ended())), 119),
    "corrected": (placed(running(40, lastState=ended(message=REFUSAL))), 81),
    "just lost": (placed(running(400), ready_since=10), 6),
    "healthy": (pod(conditions=[condition("Ready", "True", 5)]), None),
    "evicted": (pod(phase="Failed", conditions=[condition("Ready", "False", 500)]), None),
    "agent": (placed(running(500, name="agent")), None),
}


@pytest.mark.parametrize("case", NOT_YET)
def test_what_may_still_be_well_is_looked_at_later(case: str) -> None:
    unsure, seconds = NOT_YET[case]
    finding, later = examine([unsure], since)
    assert finding is None
    assert later == (float("inf") if seconds is None else seconds)


def test_a_pod_works_without_its_agent() -> None:
    manager = placed({"ready": True})
    manager["status"]["containerStatuses"].append({"name": "agent", "ready": False, **waiting("CrashLoopBackOff")})
    assert works(manager)
    assert examine([manager], since) == (None, float("inf"))
    manager["status"]["containerStatuses"][0]["ready"] = False
    assert not works(manager)
    assert not works(pod())


def test_a_pod_that_ends_is_not_judged() -> None:
    ending = placed(LOOP | {"lastState": ended()})
    ending["metadata"]["deletionTimestamp"] = ago(1)
    assert examine([ending], since)[0] is None


def test_the_worst_is_told_with_the_first_pod_and_the_number_of_the_others() -> None:
    pods = [unscheduled(60), *(placed(waiting("ErrImagePull")) for _ in range(3))]
    for ordinal, one in enumerate(pods):
        one["metadata"]["name"] = f"demo-cpu-{ordinal}"
    finding, _ = examine(pods, since)
    assert finding is not None
    assert finding.told.message.startswith("pod demo-cpu-1 and 2 more: image registry/condor:1 ")
    assert finding.told.message.endswith(" (kubectl describe pod demo-cpu-1)")


@pytest.mark.parametrize(
    ("component", "container", "reason"),
    [
        ("manager", "condor", Reason.NOT_ANSWERING),
        ("submitter", "sshd", Reason.NOT_ANSWERING),
        ("submitter", "condor", Reason.NOT_JOINED),
    ],
)
def test_silence_is_told_by_who_is_silent(component: str, container: str, reason: Reason) -> None:
    silent = placed(running(130, name=container))
    silent["metadata"]["labels"]["condorpool.dev/component"] = component
    finding, _ = examine([silent], since)
    assert finding is not None
    assert finding.reason is reason
    assert f"-c {container}" in finding.command


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=9), lambda inner: st.lists(inner, max_size=3)
    )
)
def test_words_of_any_kind_are_bounded_and_harm_nothing(words: Any) -> None:
    sick = placed(LOOP | {"lastState": ended(message=json.dumps(words) * 500, exitCode=words)})
    finding, _ = examine([sick], since)
    assert finding is not None
    assert len(finding.told.message) < 1024 + len(str(words))


def test_the_same_state_is_told_in_the_same_words_while_the_kubelet_tries_again() -> None:
    said = set()
    for state in ("ErrImagePull", "ImagePullBackOff"):
        for message in ("Back-off 10s: not found", "Back-off 5m0s: rpc error: not found"):
            finding, _ = examine([placed(waiting(state, message))], since)
            said.add(finding.told.message if finding else "")
    for count, container in ((3, LOOP), (7, running(1))):
        finding, _ = examine([placed({**container, "restartCount": count, "lastState": ended(message="x")})], since)
        said.add(finding.told.message if finding else "")
    assert len(said) == 2


STATEFUL_SET = {"metadata": {"name": "demo-cpu", "uid": "s"}, "spec": {"replicas": 3}}
PRIVILEGED = 'violates PodSecurity "baseline:latest": privileged (container "condor" must not set securityContext.privileged=true)'


def creation(ordinal: int, second: int, refusal: str = "") -> dict[str, Any]:
    what = f"create Pod demo-cpu-{ordinal} in StatefulSet demo-cpu"
    message = (
        f'{what} failed error: pods "demo-cpu-{ordinal}" is forbidden: {refusal}' if refusal else f"{what} successful"
    )
    reason = "FailedCreate" if refusal else "SuccessfulCreate"
    return {"reason": reason, "message": message, "lastTimestamp": f"2026-01-01T00:00:{second:02}Z", "metadata": {}}


class TestPodsThatAreNot:
    def test_which_they_are(self) -> None:
        assert missing(STATEFUL_SET, [pod("demo-cpu-1")]) == ["demo-cpu-0", "demo-cpu-2"]

    @pytest.mark.parametrize(
        ("refusal", "fix"),
        [
            (PRIVILEGED, "enforce=privileged"),
            ("exceeded quota: q, requested: cpu=1, used: cpu=2, limited: cpu=2", "raise the ResourceQuota"),
        ],
    )
    def test_why(self, refusal: str, fix: str) -> None:
        events = [creation(0, 1, refusal), creation(2, 2, refusal)]
        finding = refused_creation(STATEFUL_SET, ["demo-cpu-0", "demo-cpu-2"], events)
        assert finding is not None
        assert finding.told.reason is Reason.POD_NOT_CREATED
        assert finding.told.message.startswith(f"pod demo-cpu-0 and 1 more: cannot be created: {refusal}; ")
        assert fix in finding.text

    def test_those_behind_the_first_failure_count(self) -> None:
        finding = refused_creation(STATEFUL_SET, ["demo-cpu-0", "demo-cpu-1"], [creation(0, 1, PRIVILEGED)])
        assert finding is not None
        assert finding.subject == "pod demo-cpu-0 and 1 more"

    def test_a_failure_that_is_over_is_no_reason(self) -> None:
        events = [creation(0, 9), creation(0, 1, PRIVILEGED)]
        assert refused_creation(STATEFUL_SET, ["demo-cpu-0"], events) is None

    def test_another_pods_failure_is_no_reason(self) -> None:
        assert (
            refused_creation(STATEFUL_SET, ["demo-cpu-1"], [creation(10, 1, PRIVILEGED), creation(0, 1, PRIVILEGED)])
            is None
        )

    def test_why_a_deployment_has_none(self) -> None:
        message = f'pods "demo-manager-5d9f-x7k2p" is forbidden: {PRIVILEGED}'
        failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}
        deployment = {"metadata": {"name": "demo-manager", "uid": "d"}, "status": {"conditions": [failure]}}
        finding = refused_replica(deployment)
        assert finding is not None
        assert finding.told.message.startswith("Deployment demo-manager: cannot be created: violates PodSecurity")
        assert "x7k2p" not in finding.told.message
        assert refused_replica({**deployment, "status": {}}) is None


@pytest.mark.parametrize(
    ("component", "name", "words"),
    [
        ("submitter", None, "no default StorageClass: name one in spec.submitter.storage.storageClassName"),
        ("manager", None, "no default StorageClass: name one in spec.manager.storage.storageClassName"),
        ("submitter", "fast", "StorageClass fast exists"),
    ],
)
def test_a_claim_without_a_volume(component: str, name: str | None, words: str) -> None:
    claim: Pod = {
        "metadata": {
            "name": f"demo-{component}",
            "uid": "c",
            "labels": {"condorpool.dev/component": component},
            "creationTimestamp": ago(61),
        },
        "spec": {"storageClassName": name} if name else {},
        "status": {"phase": "Pending"},
    }
    finding, _ = unbound(claim, since)
    assert finding is not None
    assert finding.told.reason is Reason.CLAIM_PENDING
    assert words in finding.told.message
    claim["metadata"]["creationTimestamp"] = ago(20)
    assert unbound(claim, since) == (None, 41)
    claim["status"]["phase"] = "Bound"
    assert unbound(claim, since) == (None, float("inf"))


def event(reason: str, message: str, second: int = 1) -> dict[str, Any]:
    return {"reason": reason, "message": message, "lastTimestamp": f"2026-01-01T00:00:{second:02}Z", "metadata": {}}


FULL = "Readiness probe failed: SpoolFull: the claim of queue and homes is full"
TIMEOUT = 'Readiness probe failed: command timed out: "sh -c x" timed out after 10s'


def of_the_agent(message: str) -> dict[str, Any]:
    return event("Unhealthy", message, 3) | {"involvedObject": {"fieldPath": "spec.containers{agent}"}}


@pytest.mark.parametrize(
    ("reason", "events", "refined", "words"),
    [
        (Reason.NOT_JOINED, [event("Unhealthy", FULL)], Reason.SPOOL_FULL, "the claim of queue and homes is full"),
        (Reason.NOT_JOINED, [event("Unhealthy", "Readiness probe failed: ClockSkew: 9 s")], Reason.CLOCK_SKEW, "9 s"),
        (
            Reason.NOT_JOINED,
            [event("Unhealthy", f"Readiness probe failed: QueueCorrupt: {CORRUPT}")],
            Reason.QUEUE_CORRUPT,
            CORRUPT,
        ),
        (Reason.NOT_JOINED, [event("Unhealthy", FULL), event("Unhealthy", TIMEOUT, 2)], Reason.NOT_JOINED, "vague"),
        (
            Reason.NOT_JOINED,
            [event("Unhealthy", FULL), event("Unhealthy", "Liveness: x", 2)],
            Reason.SPOOL_FULL,
            "full",
        ),
        (Reason.NOT_JOINED, [event("Unhealthy", FULL), of_the_agent(TIMEOUT)], Reason.SPOOL_FULL, "full"),
        (Reason.NOT_JOINED, [event("Started", "x")], Reason.NOT_JOINED, "vague"),
        (
            Reason.POD_NOT_STARTED,
            [event("FailedMount", 'secret "x" not found')],
            Reason.POD_NOT_STARTED,
            '"x" not found',
        ),
        (Reason.POD_NOT_STARTED, [event("FailedCreatePodSandBox", "id 4f2")], Reason.POD_NOT_STARTED, "vague"),
    ],
)
def test_events_know_more(reason: Reason, events: list[dict[str, Any]], refined: Reason, words: str) -> None:
    finding = refine(Finding(reason, "pod p", "vague", "kubectl describe pod p", "u"), events)
    assert (finding.reason, words in finding.text) == (refined, True)
