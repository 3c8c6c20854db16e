"""Which executors are to be emptied, and which may go; pure.

An executor leaves in two phases. First the pool's agent drains it: it takes no job and goes on with those that it has. Only then its pod
goes: off the end of its StatefulSet when its group shrinks, or by deletion when it is outdated. Until then it can be called back at no
cost. Where an answer is unclear, nothing is taken away; what cannot run a job needs no answer.

The time that jobs have runs for one reason: where an executor leaves for another than it is drained for, a new drain begins.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .api.model import duration_seconds
from .api.v1alpha1 import ExecutorGroup
from .builders.executors import replicas
from .podhealth import is_outdated, is_ready, is_terminating, name_of, ordinal, runs
from .seen import Executor, State

Obj = Mapping[str, Any]

SCALE_IN, ROLLOUT, CORDON = "scale-in", "rollout", "its node is cordoned"
"""Why an executor is drained, as its slots show it."""


@dataclass(frozen=True)
class Drain:
    """An order to the agent; a quick one evicts the jobs that run, because their time for this reason is over."""

    pod: str
    reason: str
    quick: bool = False


@dataclass(frozen=True)
class Plan:
    """What is to be done about one group now, and what has to be waited for."""

    replicas: int
    """Size of the StatefulSet: above the group's own while executors at its end are not empty."""
    drain: tuple[Drain, ...] = ()
    undrain: tuple[str, ...] = ()
    """Names of pods that are called back."""
    delete: tuple[Obj, ...] = ()
    """Pods that hold no job and come again, of the present template."""
    leaving: frozenset[str] = frozenset()
    """Names of the pods that are on their way out, or on a cordoned node."""
    foreign: frozenset[str] = frozenset()
    """Names of the outdated pods that somebody else drains: they are left to him."""

    @property
    def under_way(self) -> bool:
        """Whether the agent has something to do, or soon to tell."""
        return bool(self.drain or self.undrain)


def max_unavailable(group: ExecutorGroup) -> int:
    """Return how many executors of a group may be away at once; at least one, or nothing could ever be replaced."""
    value = group.max_unavailable
    if isinstance(value, int):
        return value
    return max(1, math.floor(replicas(group) * int(value.removesuffix("%")) / 100))


def plan_group(
    group: ExecutorGroup,
    stateful_set: Obj | None,
    pods: Iterable[Obj] | None,
    state: State | None,
    unheard: Collection[str],
    cordoned: Collection[str] | None,
    now: float,
) -> Plan:
    """Return the plan of a group.

    `pods` are None where they are not known: then nothing but growth is planned. `state` is what the agent told, None where that is not
    known; `unheard` are pods that have been missing in it for a while; `cordoned` are nodes, None where they are not known: then nobody is
    called back; `now` is in seconds since the epoch.
    """
    wanted = replicas(group)
    if stateful_set is None:
        return Plan(wanted)
    if pods is None:
        return Plan(max(wanted, stateful_set["spec"]["replicas"]))
    view = _View(state, unheard)
    staying = [pod for pod in pods if not is_terminating(pod)]
    tail = [pod for pod in staying if ordinal(pod) >= wanted]
    members = [pod for pod in staying if ordinal(pod) < wanted]
    outdated = [pod for pod in members if is_outdated(pod, stateful_set)]
    picked = _pick(group, members, outdated, view)
    taken = {name_of(pod) for pod in picked}
    parked = [pod for pod in members if pod["spec"]["nodeName"] in (cordoned or ()) and name_of(pod) not in taken]
    leaving = [(pod, SCALE_IN) for pod in tail] + [(pod, ROLLOUT) for pod in picked] + [(pod, CORDON) for pod in parked]
    names = frozenset(name_of(pod) for pod, _ in leaving)
    calls = [] if cordoned is None else [pod for pod in staying if view.is_ours(pod) and name_of(pod) not in names]
    held = [ordinal(pod) for pod in tail if not view.is_empty(pod)]
    limit = duration_seconds(group.drain_timeout)
    return Plan(
        replicas=max(wanted, min(max(held, default=-1) + 1, stateful_set["spec"]["replicas"])),
        drain=tuple(_orders(leaving, view, now - limit)),
        undrain=tuple(name_of(pod) for pod in calls),
        delete=tuple(pod for pod in picked if view.is_empty(pod)),
        leaving=names,
        foreign=frozenset(name_of(pod) for pod in outdated if view.is_foreign(pod)),
    )


class _View:
    """What is known of executors by the agent."""

    def __init__(self, state: State | None, unheard: Collection[str]) -> None:
        self._known = state is not None
        self._helpless = state is not None and not state.drains
        self._executors: Mapping[str, Executor] = {} if state is None else state.executors
        self._unheard = unheard

    def get(self, pod: Obj) -> Executor | None:
        """Return what is known of a pod's daemons; what its predecessor of the same name left in the collector is not it."""
        executor, address = self._executors.get(name_of(pod)), pod["status"].get("podIP")
        return executor if executor is not None and executor.host == address else None

    def is_ours(self, pod: Obj) -> bool:
        return self._drain(pod) == "ours"

    def is_foreign(self, pod: Obj) -> bool:
        return self._drain(pod) == "foreign"

    def is_begun(self, pod: Obj) -> bool:
        """Return whether an executor is drained because it is outdated, as far as is known."""
        executor = self.get(pod)
        return executor is not None and executor.drain == "ours" and executor.drain_reason == ROLLOUT

    def _drain(self, pod: Obj) -> str | None:
        executor = self.get(pod)
        return None if executor is None else executor.drain

    def is_lost(self, pod: Obj) -> bool:
        """Return whether a pod is surely none that jobs are sent to: it does not run, or the collector has not heard of it for a while.

        Not to be heard at one look proves nothing: a collector that has just come back knows nobody yet.
        """
        if not runs(pod):
            return True
        return self._known and self.get(pod) is None and name_of(pod) in self._unheard

    def is_empty(self, pod: Obj) -> bool:
        """Return whether a pod may go: drained, lost, or of a pool whose agent cannot drain.

        Where it has jobs all the same, SIGTERM lets them finish: what is lost then is only the way back.
        """
        executor = self.get(pod)
        return self._helpless or self.is_lost(pod) or (executor is not None and executor.drained)

    def serves(self, pod: Obj) -> bool:
        """Return whether an executor takes jobs as far as is known."""
        return is_ready(pod) and self._drain(pod) is None

    def is_busy(self, pod: Obj) -> bool:
        executor = self.get(pod)
        return executor is not None and executor.claimed > 0


def _pick(group: ExecutorGroup, members: Sequence[Obj], outdated: Sequence[Obj], view: _View) -> list[Obj]:
    """Return the outdated executors whose turn it is: lost ones at no cost, those drained for it, those drained for something else, others.

    Of the latter two idle ones come first, then those at the end. Not more are away at once than the group allows, and only one is taken
    before a first executor of the new template has become ready.
    """
    lost = [pod for pod in outdated if view.is_lost(pod)]
    others = [pod for pod in outdated if not view.is_lost(pod)]
    begun = [pod for pod in others if view.is_begun(pod)]
    idle = [pod for pod in others if view.is_ours(pod) and not view.is_begun(pod)]
    serving = [pod for pod in others if view.serves(pod)]
    away = max(0, replicas(group) - sum(view.serves(pod) for pod in members))
    old = {name_of(pod) for pod in outdated}
    budget: float = max_unavailable(group) - away
    most = math.inf
    if not any(is_ready(pod) for pod in members if name_of(pod) not in old):
        most = 1 - (
            away - (len(others) - len(begun) - len(serving))
        )  # what is away for other reasons is none of those taken
    for pods in (idle, serving):
        pods.sort(key=lambda pod: (view.is_busy(pod), -ordinal(pod)))
    taken = _first(idle, min(budget + len(idle), most))  # these are away already
    return lost + begun + taken + _first(serving, min(budget, most - len(taken)))


def _first(pods: Sequence[Obj], count: float) -> list[Obj]:
    return [pod for place, pod in enumerate(pods) if place < count]


def _orders(leaving: Iterable[tuple[Obj, str]], view: _View, since: float) -> Iterable[Drain]:
    """Yield what the agent has to be told: to drain who does not drain for this reason yet, and to evict where that began before a moment.

    An older agent does not tell the reason of a drain: then nobody is evicted.
    """
    for pod, reason in leaving:
        executor = view.get(pod)
        if executor is None or view.is_empty(pod):
            continue
        if executor.drain is None:
            yield Drain(name_of(pod), reason)
        elif executor.drain == "foreign" or executor.drain_reason is None:
            continue
        elif executor.drain_reason != reason:
            yield Drain(name_of(pod), reason)
        elif reason != CORDON and executor.drain_since is not None and executor.drain_since < since:
            yield Drain(name_of(pod), reason, quick=True)  # a cordon's end is up to whoever cordoned the node
