"""What was seen of a pool: the plain facts that its status is computed from."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from .api.status import ConditionType, Reason


@dataclass(frozen=True)
class Problem:
    """Something that keeps a condition from being True, said so that a user can mend it."""

    condition: ConditionType
    reason: Reason
    message: str


@dataclass(frozen=True)
class Fault:
    """What keeps pods of a component from being ready."""

    reason: Reason
    message: str


@dataclass(frozen=True)
class Workload:
    """A single-pod workload as its controller reports it."""

    ready: bool
    message: str
    daemon: str
    """The name by which the collector knows its daemon."""
    fault: Fault | None = None
    """What is wrong with its pod, where that is known."""


@dataclass(frozen=True)
class Group:
    """One executor group: pods wanted; ready with the current template and not draining; draining; outdated; names of all ready ones."""

    name: str
    desired: int
    ready: int
    draining: int
    outdated: int
    pods: frozenset[str] = frozenset()
    fault: Fault | None = None
    held_back: int = 0
    """Those that are ready, of the current template and wanted, and drain all the same: somebody keeps jobs away from them."""
    leaving: int = 0
    """Those that are on their way out, and were not told to end yet."""
    foreign: frozenset[str] = frozenset()
    """Names of outdated ones that somebody else drains."""


@dataclass(frozen=True)
class Slots:
    """Slots as the collector knows them."""

    total: int = 0
    claimed: int = 0
    draining: int = 0


@dataclass(frozen=True)
class Jobs:
    """Jobs as the schedd told them to the collector."""

    idle: int
    running: int
    held: int


@dataclass(frozen=True, slots=True)
class Executor:
    """One executor as the collector knows it."""

    claimed: int
    """CPUs that jobs have."""
    drain: Literal["ours", "foreign"] | None = None
    """Who asked for it to be drained."""
    drained: bool = False
    """Whether it has no job and takes none."""
    drain_since: int | None = None
    """When its drain began, in seconds since the epoch."""
    drain_reason: str | None = None
    """What a drain of ours was ordered for, as far as the agent tells."""
    host: str = ""
    """IP address of its pod."""


@dataclass(frozen=True)
class State:
    """What is kept of an agent's answer: slots by group, jobs, and the pods whose daemons the collector has heard lately."""

    slots: Mapping[str, Slots]
    jobs: Jobs
    present: frozenset[str]
    broken: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Names of the mounts that are broken, by executor."""
    executors: Mapping[str, Executor] = field(default_factory=dict)
    """The executors that the collector has heard lately, by pod."""
    drains: bool = True
    """Whether the agent can drain executors; that of an older image cannot."""


@dataclass(frozen=True)
class Sight:
    """What is known by the pool's agent: its last state, or that it is silent, or nothing yet."""

    state: State | None
    silent: bool
    failing: bool = False
    """Whether the agent has just not answered, or is not ready, while its last state is still taken for the present one."""
    absent: frozenset[str] = frozenset()
    """Pods whose daemons have been missing from the collector for a while."""
    doubted: frozenset[str] = frozenset()
    """Pods whose daemons are missing, not for long."""
    unheard: frozenset[str] = frozenset()
    """Executors that run, ready or not, and have been missing for a while in the answers of an agent that did not fall silent meanwhile."""
    look_again: float = math.inf
    """Seconds until time alone may change this."""


@dataclass(frozen=True)
class Observation:
    """What was seen of a valid pool after its objects were applied."""

    manager: Workload
    submitter: Workload
    groups: tuple[Group, ...]
    problems: tuple[Problem, ...]
    image: str
    collector: str
    policy_mode: str
    storage: str | None
    manager_storage: str | None
    ssh_endpoint: str | None
    sight: Sight
