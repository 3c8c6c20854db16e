"""Carries out the plans for executors: orders to the pool's agent, and deletions. A deletion is a drain too, so no job is lost by it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial

from . import naming
from .agentclient import AgentClient, AgentError, Target
from .drains import Plan
from .kinds import POD, STATEFUL_SET
from .kube import Kube
from .naming import Names
from .observe import Children
from .podhealth import is_outdated, is_ready, is_terminating
from .pool import Pool
from .snapshot import Obj

logger = logging.getLogger(__name__)

MOST_ORDERS = 8
"""Given at once, each in a second or two: a look must not hold its worker for long, and an agent takes few connections."""


def is_stuck(pod: Obj, stateful_set: Obj) -> bool:
    """Return whether a pod of an ordered StatefulSet keeps its successor away: outdated, never ready, and waited for all the same."""
    status = stateful_set.get("status", {})
    seen = status.get("observedGeneration") == stateful_set["metadata"]["generation"]
    outdated = pod["metadata"]["labels"].get("controller-revision-hash") != status.get("updateRevision")
    return seen and outdated and not is_ready(pod) and not is_terminating(pod)


async def replace_pods(kube: Kube, pool: Pool, names: Names, children: Children, plans: Mapping[str, Plan]) -> None:
    """Delete the executors whose turn it is, and a submitter that cannot start; their StatefulSets make new ones.

    An executor that is not outdated by what was applied since the plan was made stays: the plan was made of an old list.
    """
    submitter = children.get(STATEFUL_SET, names.submitter)
    stuck = [] if submitter is None else [pod for pod in children.pods(naming.SUBMITTER) if is_stuck(pod, submitter)]
    groups = {group: children.get(STATEFUL_SET, names.group(group)) for group in plans}
    outdated = [
        pod
        for group, plan in plans.items()
        for pod in plan.delete
        if (stateful_set := groups[group]) is not None and is_outdated(pod, stateful_set)
    ]
    for pod in stuck + outdated:
        await kube.delete(POD, pool.namespace, pod["metadata"]["name"], pod["metadata"]["uid"])


async def order(agents: AgentClient, target: Target, plans: Iterable[Plan]) -> None:
    """Tell a pool's agent whom to drain, and whom to call back: some now, and what is left, or was not taken, at the next look."""
    orders: list[Callable[[], Awaitable[object]]] = [
        partial(agents.undrain, target, pod) for plan in plans for pod in plan.undrain
    ]
    orders += [
        partial(agents.drain, target, one.pod, one.reason, quick=one.quick) for plan in plans for one in plan.drain
    ]
    for refused in await asyncio.gather(*(give() for give in orders[:MOST_ORDERS]), return_exceptions=True):
        if isinstance(refused, AgentError):
            logger.warning("%s: an executor is not drained, or not called back: %s", target.host, refused)
        elif isinstance(refused, BaseException):
            raise refused
