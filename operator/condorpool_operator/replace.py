"""Replaces executors whose pods are outdated, a few at a time: a deletion is a drain, so no job is lost by it."""

import math
from collections.abc import Sequence

from . import naming
from .api.v1alpha1 import ExecutorGroup
from .builders.executors import replicas
from .kinds import POD, STATEFUL_SET
from .kube import Kube
from .naming import Names
from .observe import Children
from .podhealth import is_ready, is_terminating
from .pool import Pool
from .snapshot import Obj, is_outdated


def max_unavailable(group: ExecutorGroup) -> int:
    """Return how many executors of a group may be away at once; at least one, or nothing could ever be replaced."""
    value = group.max_unavailable
    if isinstance(value, int):
        return value
    return max(1, math.floor(replicas(group) * int(value.removesuffix("%")) / 100))


def pods_to_replace(group: ExecutorGroup, stateful_set: Obj, pods: Sequence[Obj]) -> list[Obj]:
    """Return the pods to delete now: outdated ones that are not ready first, at no cost; then from the tail what the budget allows."""
    staying = [pod for pod in pods if not is_terminating(pod)]
    outdated = [pod for pod in staying if is_outdated(pod, stateful_set)]
    broken = [pod for pod in outdated if not is_ready(pod)]
    serving = [pod for pod in staying if is_ready(pod)]
    budget = max_unavailable(group) - max(0, replicas(group) - len(serving))
    candidates = sorted((pod for pod in outdated if is_ready(pod)), key=_ordinal, reverse=True)
    return broken + candidates[: max(0, budget)]


def _ordinal(pod: Obj) -> int:
    return int(pod["metadata"]["name"].rpartition("-")[2])


def is_stuck(pod: Obj, stateful_set: Obj) -> bool:
    """Return whether a pod of an ordered StatefulSet keeps its successor away: outdated, never ready, and waited for all the same."""
    status = stateful_set.get("status", {})
    seen = status.get("observedGeneration") == stateful_set["metadata"]["generation"]
    outdated = pod["metadata"]["labels"].get("controller-revision-hash") != status.get("updateRevision")
    return seen and outdated and not is_ready(pod) and not is_terminating(pod)


async def replace_outdated(kube: Kube, pool: Pool, names: Names, children: Children) -> None:
    """Delete the outdated executor pods that may go now, and a submitter that cannot start; their StatefulSets make new ones."""
    submitter = children.get(STATEFUL_SET, names.submitter)
    if submitter is not None:
        stuck = [pod for pod in children.pods(naming.SUBMITTER) if is_stuck(pod, submitter)]
        await _delete(kube, pool, stuck)
    for group in pool.spec.groups:
        stateful_set = children.get(STATEFUL_SET, names.group(group.name))
        if stateful_set is None:
            continue
        await _delete(kube, pool, pods_to_replace(group, stateful_set, children.pods(naming.EXECUTOR, group.name)))


async def _delete(kube: Kube, pool: Pool, pods: Sequence[Obj]) -> None:
    for pod in pods:
        await kube.delete(POD, pool.namespace, pod["metadata"]["name"], pod["metadata"]["uid"])
