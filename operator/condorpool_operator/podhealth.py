"""What keeps pods from being ready, read off what the scheduler, the kubelet and the workloads' controllers say of them; pure.

A clear verdict is told at once, a vague one only when it has lasted longer than any good start: so a pool that starts as it should
shows nothing of this. The same sight gives the same words: no counters, no times, and of messages that vary only what does not.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from . import labels, naming
from .api.status import Reason
from .seen import Fault

Obj = Mapping[str, Any]
Since = Callable[[str], float]
"""Seconds since a time stamp of the API."""

OVERLOOKED = ("agent",)
"""Containers that are no part of HTCondor: without them a pool takes and runs jobs."""

UNSCHEDULABLE_SECONDS = 15.0
"""From the scheduler's first refusal: a volume is bound, or a pod goes, within seconds."""
NOT_STARTED_SECONDS = 60.0
"""From the choice of a node to a container: volumes that are attached take half a minute."""
PROOF_SECONDS = 30.0
"""For which a new container has to run before it is taken to read a configuration that its predecessor refused."""
CRASH_SECONDS = 150.0
"""The same after other ends: longer than the startup probe (120 s), at whose end the kubelet kills a container."""
JOINING_SECONDS = 120.0
"""From a container's start to its readiness: a quarter of a minute, and more with many pods at once."""
LOST_SECONDS = 15.0
"""From the loss of readiness, which the kubelet takes three failed probes to see."""
REJOINING_SECONDS = 45.0
"""From the manager's readiness to that of all others: they find it again within seconds, and are probed every quarter of a minute."""
CLAIM_SECONDS = 60.0
"""From a claim's creation to its volume: a provisioner takes seconds, a cloud half a minute."""

TEXT_LIMIT = 400
"""Characters of somebody else's words."""

_CRASHES_BEFORE_LOOP = 2
"""The kubelet restarts at once after the first end, and calls it a loop from the second."""
_IMAGE_REASONS = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"}
_CREATION_REASONS = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
_REFUSAL = re.compile(r"(HTCondor|sshd) refuses the configuration: ")
"""How pool-init's termination message begins where it does not start the daemons (docs/design/image-contract.md)."""
_PROBE_FAILED = "Readiness probe failed: "
_PROBE_FAULT = re.compile(rf"{_PROBE_FAILED}({Reason.SPOOL_FULL}|{Reason.QUEUE_CORRUPT}|{Reason.CLOCK_SKEW}): (.+)")
"""The kubelet's words for a readiness probe that prints pool-init's faults."""
_LAST_WORDS = re.compile(rf"{Reason.QUEUE_CORRUPT}: (.+)")
"""What pool-init leaves where a fault is why the kubelet kills its container again and again."""

_DESCRIBE = "kubectl describe pod {pod}"
_LOGS = "kubectl logs {pod} -c {container}"


@dataclass(frozen=True)
class Ailment:
    """What is wrong with one pod, in words that are the same for every pod that has it, and the command that shows more."""

    reason: Reason
    text: str
    command: str = _DESCRIBE
    container: str = ""


@dataclass(frozen=True)
class Finding:
    """What is wrong with an object of a component, or with several in the same way."""

    reason: Reason
    subject: str
    text: str
    command: str
    uid: str
    """UID of the object whose events may say more."""

    @property
    def told(self) -> Fault:
        """The finding as status tells it."""
        return Fault(self.reason, f"{self.subject}: {self.text} ({self.command})")


def name_of(pod: Obj) -> str:
    """Return a pod's name."""
    return str(pod["metadata"]["name"])


def ordinal(pod: Obj) -> int:
    """Return a pod's place in its StatefulSet."""
    return int(name_of(pod).rpartition("-")[2])


def is_outdated(pod: Obj, stateful_set: Obj) -> bool:
    """Return whether a pod was made from another template than the StatefulSet's, in what only a new pod can take on."""
    wanted = stateful_set["spec"]["template"]["metadata"]["annotations"][labels.TEMPLATE_HASH]
    return bool(pod["metadata"].get("annotations", {}).get(labels.TEMPLATE_HASH) != wanted)


def is_terminating(pod: Obj) -> bool:
    """Return whether a pod was told to end: an executor drains from then on."""
    return "deletionTimestamp" in pod["metadata"]


def is_ready(pod: Obj) -> bool:
    """Return whether the kubelet calls a pod ready."""
    return _condition(pod, "Ready").get("status") == "True"


def runs(pod: Obj) -> bool:
    """Return whether a container of a pod runs."""
    return is_ready(pod) or any("running" in one.get("state", {}) for one in pod["status"].get("containerStatuses", ()))


def works(pod: Obj) -> bool:
    """Return whether all that HTCondor needs of a pod is ready."""
    statuses = [one for one in pod.get("status", {}).get("containerStatuses", ()) if one["name"] not in OVERLOOKED]
    return is_ready(pod) or (bool(statuses) and all(one.get("ready") for one in statuses))


def ready_for(pod: Obj, since: Since) -> float:
    """Return for how many seconds a pod has been ready; for ever where that is not known."""
    stamp = _condition(pod, "Ready").get("lastTransitionTime") if is_ready(pod) else None
    return math.inf if stamp is None else since(stamp)


def _condition(pod: Obj, kind: str) -> Obj:
    found: Iterable[Obj] = pod.get("status", {}).get("conditions", ())
    return next((one for one in found if one["type"] == kind), {})


def examine(pods: Sequence[Obj], since: Since) -> tuple[Finding | None, float]:
    """Return what is wrong with the pods of a component, and after how many seconds one that is in doubt deserves another look."""
    ailing: list[tuple[Obj, Ailment]] = []
    later = math.inf
    for pod in pods:
        ailment, again = _examine(pod, since)
        later = min(later, again)
        if ailment is not None:
            ailing.append((pod, ailment))
    if not ailing:
        return None, later
    worst = min((ailment for _, ailment in ailing), key=lambda one: (_SEVERITY.index(one.reason), one.text))
    first, *others = [pod["metadata"] for pod, ailment in ailing if ailment == worst]
    subject = f"pod {first['name']}" + (f" and {len(others)} more" if others else "")
    command = worst.command.format(pod=first["name"], container=worst.container)
    return Finding(worst.reason, subject, worst.text, command, first["uid"]), later


_SEVERITY = (
    Reason.CONFIG_REFUSED,
    Reason.IMAGE_PULL_FAILED,
    Reason.QUEUE_CORRUPT,
    Reason.OUT_OF_MEMORY,
    Reason.CRASH_LOOPING,
    Reason.POD_NOT_STARTED,
    Reason.UNSCHEDULABLE,
    Reason.NOT_ANSWERING,
    Reason.NOT_JOINED,
)


def _examine(pod: Obj, since: Since) -> tuple[Ailment | None, float]:
    """Return what is wrong with a pod, or after how many seconds it will be."""
    if works(pod) or is_terminating(pod) or pod["status"].get("phase") in ("Failed", "Succeeded"):
        return None, math.inf
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        lasted = since(scheduled["lastTransitionTime"])
        return _after(UNSCHEDULABLE_SECONDS, lasted, _unschedulable(scheduled))
    statuses: Iterable[Obj] = pod["status"].get("containerStatuses", ())
    unready = [one for one in statuses if one["name"] not in OVERLOOKED and not one.get("ready")]
    for container in unready:
        if (ailment := _verdict(container, since)) is not None:
            return ailment, _proof(container, since)
    waiting = {one.get("state", {}).get("waiting", {}).get("reason") for one in unready}
    pulling = _condition(pod, "PodReadyToStartContainers").get("status") == "True" and not waiting & _CREATION_REASONS
    if scheduled and not pulling and any(waiting):
        ailment = Ailment(
            Reason.POD_NOT_STARTED, "its node has not started it: a volume, the network or a container fails"
        )
        return _after(NOT_STARTED_SECONDS, since(scheduled["lastTransitionTime"]), ailment)
    return _not_ready(pod, unready, since)


def _after(limit: float, lasted: float, ailment: Ailment) -> tuple[Ailment | None, float]:
    """Return what has lasted long enough to be told, or the seconds until it has."""
    return (ailment, math.inf) if lasted >= limit else (None, limit - lasted + 1)


def _unschedulable(scheduled: Obj) -> Ailment:
    said = str(scheduled.get("message", "")).partition(" preemption: ")[0].rstrip(". ")
    fix = "add nodes, or ask for less in resources, nodeSelector, affinity or tolerations"
    return Ailment(Reason.UNSCHEDULABLE, f"no node can take it: {said[:TEXT_LIMIT] or 'the scheduler waits'}: {fix}")


def _verdict(container: Obj, since: Since) -> Ailment | None:
    """Return what the kubelet says of a container that is not ready, where that is clear."""
    state = container.get("state", {})
    waiting = state.get("waiting", {}).get("reason", "")
    if waiting in _IMAGE_REASONS:
        return Ailment(Reason.IMAGE_PULL_FAILED, _image_text(container, waiting))
    ended = state.get("terminated") or container.get("lastState", {}).get("terminated")
    runs_for = since(state["running"]["startedAt"]) if "running" in state else 0.0
    if ended is None or runs_for > CRASH_SECONDS:
        return None
    said = " ".join(str(ended.get("message") or "").split())[:TEXT_LIMIT]
    if (refusal := _REFUSAL.search(said)) is not None and runs_for <= PROOF_SECONDS:
        return Ailment(Reason.CONFIG_REFUSED, f"{said[refusal.start() :]}: correct it in the ConfigMap")
    return _crash(container, ended, said, loops=waiting == "CrashLoopBackOff")


def _crash(container: Obj, ended: Obj, said: str, *, loops: bool) -> Ailment | None:
    """Return what the end of a container tells, beside that its configuration was refused."""
    name = str(container["name"])
    if (words := _LAST_WORDS.match(said)) is not None:
        return Ailment(Reason.QUEUE_CORRUPT, words[1], _LOGS, name)
    if ended.get("reason") == "OOMKilled":
        text = f"container {name} took more memory than its limit and was killed: raise its memory limit in the spec"
        return Ailment(Reason.OUT_OF_MEMORY, text)
    if loops or container.get("restartCount", 0) >= _CRASHES_BEFORE_LOOP:
        last_words = f": {said}" if said else ""
        text = f"container {name} ends again and again, with exit status {ended.get('exitCode')}{last_words}"
        return Ailment(Reason.CRASH_LOOPING, text, f"{_LOGS} --previous", name)
    return None


def refuses_configuration(pod: Obj) -> bool:
    """Return whether pool-init has refused the configuration of a pod that is not ready."""
    for container in pod.get("status", {}).get("containerStatuses", ()):
        ended = container.get("state", {}).get("terminated") or container.get("lastState", {}).get("terminated") or {}
        if not is_ready(pod) and _REFUSAL.search(str(ended.get("message"))):
            return True
    return False


def _proof(container: Obj, since: Since) -> float:
    """Return after how many seconds a container that runs again will have shown that it does better."""
    running = container.get("state", {}).get("running")
    if running is None:
        return math.inf
    runs_for = since(running["startedAt"])
    return (PROOF_SECONDS if runs_for <= PROOF_SECONDS else CRASH_SECONDS) - runs_for + 1


def _image_text(container: Obj, waiting: str) -> str:
    """Return why an image is missing: the kubelet's words alternate, so they are only sorted."""
    image = f"image {str(container.get('image'))[:TEXT_LIMIT]}"
    said = str(container["state"]["waiting"].get("message", "")).lower()
    if waiting == "InvalidImageName":
        return f"{image} is no name of an image: correct spec.image"
    if waiting == "ErrImageNeverPull":
        return f"{image} is not on the node, and spec.image.pullPolicy is Never: load it there, or allow pulling"
    if any(word in said for word in ("unauthorized", "denied", "authorization", "forbidden", "no basic auth")):
        return f"{image} cannot be pulled, the registry refuses: correct spec.image, or name a Secret in pullSecrets"
    if "not found" in said:
        return f"{image} cannot be pulled, the registry does not have it: correct spec.image"
    return f"{image} cannot be pulled: correct spec.image, or see that the node reaches the registry"


def _not_ready(pod: Obj, unready: Sequence[Obj], since: Since) -> tuple[Ailment | None, float]:
    """Return what is said of containers that run and do not become ready, or no longer are."""
    running = [one for one in unready if "running" in one.get("state", {})]
    if not running:
        return None, math.inf
    container = running[0]
    started = since(container["state"]["running"]["startedAt"])
    turned = since(stamp) if (stamp := _condition(pod, "Ready").get("lastTransitionTime")) else math.inf
    was_ready = turned < started - 1
    limit, lasted = (LOST_SECONDS, turned) if was_ready else (JOINING_SECONDS, started)
    return _after(limit, lasted, _silence(pod, str(container["name"])))


def _silence(pod: Obj, container: str) -> Ailment:
    component = pod["metadata"]["labels"].get(labels.COMPONENT)
    if component == naming.MANAGER:
        text = "collector and negotiator do not answer: its log says why"
        return Ailment(Reason.NOT_ANSWERING, text, _LOGS, container)
    if container == "sshd":
        return Ailment(Reason.NOT_ANSWERING, "sshd does not answer: its log says why", _LOGS, container)
    text = "runs and is not in the pool: the collector cannot be reached or refuses it; names must resolve, its log says more"
    return Ailment(Reason.NOT_JOINED, text, _LOGS, container)


def missing(stateful_set: Obj, pods: Iterable[Obj]) -> list[str]:
    """Return the names of the pods that a StatefulSet asks for and that do not exist."""
    there = {pod["metadata"]["name"] for pod in pods}
    names = (f"{stateful_set['metadata']['name']}-{ordinal}" for ordinal in range(stateful_set["spec"]["replicas"]))
    return [name for name in names if name not in there]


def refused_creation(stateful_set: Obj, names: Sequence[str], events: Iterable[Obj]) -> Finding | None:
    """Return why pods of a StatefulSet cannot be made, where the last that its controller said of one of them is a failure.

    The controller gives up at the first failure: of the pods behind it nothing is said, and they are not made either.
    """
    meta, said = stateful_set["metadata"], {name: _last_about(name, events) for name in names}
    failed = [event for event in said.values() if event is not None and event["reason"] == "FailedCreate"]
    if not failed:
        return None
    waiting = [name for name, event in said.items() if event is None or event in failed]
    subject = f"pod {waiting[0]}" + (f" and {len(waiting) - 1} more" if len(waiting) > 1 else "")
    command = f"kubectl describe statefulset {meta['name']}"
    return _not_created(subject, str(failed[0].get("message", "")), command, meta["uid"])


def _last_about(pod: str, events: Iterable[Obj]) -> Obj | None:
    mine = [one for one in events if re.search(rf"\bPod {re.escape(pod)} in StatefulSet ", str(one.get("message")))]
    return max(mine, key=_time_of, default=None)


def _time_of(event: Obj) -> str:
    """Return when an event last happened; time stamps of the API sort as text."""
    return str(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp", ""))


def refused_replica(deployment: Obj) -> Finding | None:
    """Return why the pod of a Deployment cannot be made, where its controller says so."""
    failure, meta = _condition(deployment, "ReplicaFailure"), deployment["metadata"]
    if failure.get("status") != "True":
        return None
    subject, command = f"Deployment {meta['name']}", f"kubectl describe deployment {meta['name']}"
    return _not_created(subject, str(failure.get("message", "")), command, meta["uid"])


def _not_created(subject: str, words: str, command: str, uid: str) -> Finding:
    """Return the finding in the words of whoever refused: what is before them holds names made by chance."""
    why = words.partition(" is forbidden: ")[2] or words.partition(" error: ")[2] or words
    text = f"cannot be created: {' '.join(why.split())[:TEXT_LIMIT]}"
    if "violates PodSecurity" in why:
        text += "; label the namespace pod-security.kubernetes.io/enforce=privileged, or set privileged: false"
    elif "exceeded quota" in why:
        text += "; raise the ResourceQuota, or ask for less"
    return Finding(Reason.POD_NOT_CREATED, subject, text, command, uid)


def unbound(claim: Obj, since: Since) -> tuple[Finding | None, float]:
    """Return what is wrong with a claim that waits for its volume, or after how many seconds it will be."""
    meta, name = claim["metadata"], claim["spec"].get("storageClassName")
    if claim.get("status", {}).get("phase") != "Pending":
        return None, math.inf
    if (age := since(meta["creationTimestamp"])) < CLAIM_SECONDS:
        return None, CLAIM_SECONDS - age + 1
    text = (
        f"no volume is made for it: see that StorageClass {name} exists and its provisioner runs"
        if name
        else "the cluster has no default StorageClass: name one in "
        f"spec.{meta['labels'][labels.COMPONENT]}.storage.storageClassName, on a new pool"
    )
    return Finding(
        Reason.CLAIM_PENDING, f"claim {meta['name']}", text, f"kubectl describe pvc {meta['name']}", meta["uid"]
    ), math.inf


def waits_for_claim(finding: Finding | None) -> bool:
    """Return whether a finding is no more than the consequence of a claim without a volume."""
    return finding is None or (
        finding.reason is Reason.UNSCHEDULABLE and "persistentvolumeclaim" in finding.text.lower()
    )


def refine(finding: Finding, events: Iterable[Obj]) -> Finding:
    """Return a vague finding in the words of the newest event that knows the cause: a volume's, or a readiness probe's."""
    newest = sorted(events, key=_time_of, reverse=True)
    if finding.reason is Reason.POD_NOT_STARTED:
        mounts = [_words(event) for event in newest if event["reason"] in ("FailedMount", "FailedAttachVolume")]
        return replace(finding, text=f"a volume cannot be mounted: {mounts[0]}") if mounts else finding
    probes = [_words(event) for event in newest if event["reason"] == "Unhealthy" and _is_of_condor(event)]
    fault = next((_PROBE_FAULT.match(words) for words in probes if words.startswith(_PROBE_FAILED)), None)
    return replace(finding, reason=Reason(fault[1]), text=fault[2]) if fault else finding


def _words(event: Obj) -> str:
    return " ".join(str(event.get("message", "")).split())[:TEXT_LIMIT]


def _is_of_condor(event: Obj) -> bool:
    return str(event.get("involvedObject", {}).get("fieldPath", "{condor}")).endswith("{condor}")


VAGUE = (Reason.POD_NOT_STARTED, Reason.NOT_JOINED, Reason.NOT_ANSWERING)
"""Reasons of which an event may know more."""
