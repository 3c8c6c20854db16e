"""Carries out the plans for executors: orders to the pool's agent, and deletions. A deletion is a drain too, so no job is lost by it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial

from . import naming
from .agentclient import AgentClient, AgentError, Target
from .drains import Plan
from .kinds import POD, STATEFUL_SET
from .kube import Kube
from .naming import Names
from .observe import Children
from .podhealth import is_outdated, is_ready, is_terminating
from .pool import Pool, PoolKey
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


class Orders:
    """Tells the pools' agents whom to drain, and whom to call back; remembers which refusals it has logged."""

    def __init__(self, agents: AgentClient) -> None:
        self._agents = agents
        self._refused: dict[PoolKey, dict[str, str]] = {}

    async def give(self, key: PoolKey, target: Target, plans: Collection[Plan]) -> None:
        """Give some orders now; what is left, or was not taken, at the next look."""
        orders: list[tuple[str, Callable[[], Awaitable[None]]]] = [
            (pod, partial(self._agents.undrain, target, pod)) for plan in plans for pod in plan.undrain
        ]
        orders += [
            (one.pod, partial(self._agents.drain, target, one.pod, one.reason, quick=one.quick))
            for plan in plans
            for one in plan.drain
        ]
        now = orders[:MOST_ORDERS]
        answers = await asyncio.gather(*(give() for _, give in now), return_exceptions=True)
        logged, refused = self._refused.get(key, {}), dict[str, str]()
        for (pod, _), answer in zip(now, answers, strict=True):
            if isinstance(answer, AgentError):
                refused[pod] = str(answer)
                if logged.get(pod) != refused[pod]:
                    logger.warning("%s/%s: %s is not drained, or not called back: %s", *key, pod, answer)
            elif isinstance(answer, BaseException):
                raise answer
        self.forget(key)
        if refused:
            self._refused[key] = refused

    def forget(self, key: PoolKey) -> None:
        """Drop a pool."""
        self._refused.pop(key, None)
