"""Whatever happens to a group, and whatever is known of it: no executor goes that has or may get a job, and all plans end."""

from dataclasses import dataclass, field
from typing import Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from condorpool_operator.api.v1alpha1 import ExecutorGroup
from condorpool_operator.drains import Drain, Plan
from condorpool_operator.seen import State

from .fleet import HOUR, NAME, NOW, executor, group, plan, pod, told


@dataclass
class Machine:
    """An executor as it is, whoever knows."""

    outdated: bool
    jobs: int = 0
    drain: Literal["ours", "foreign"] | None = None
    running: bool = True
    known: bool = True
    """To the collector, without which it is not ready either."""
    cordoned: bool = False
    reason: str | None = None
    """What our drain is for, and since when."""
    since: int = 0
    leaves: dict[str, int] = field(default_factory=dict)
    """Why it has to leave, and since when."""


@dataclass
class World:
    """A group on a cluster where plans are carried out at once, and the agent tells the truth or nothing."""

    machines: list[Machine]
    group: ExecutorGroup
    lost: list[str] = field(default_factory=list)
    now: int = NOW

    def look(self, *, answers: bool) -> State | None:
        if not answers:
            return None
        return told(
            *(
                executor(n, one.jobs, one.drain, drain_since=one.since, drain_reason=one.reason)
                for n, one in enumerate(self.machines)
                if one.running and one.known
            )
        )

    def step(self, *, answers: bool) -> Plan:
        pods = [
            pod(n, outdated=one.outdated, ready=one.known, running=one.running, node=f"node-{n}")
            for n, one in enumerate(self.machines)
        ]
        cordoned = [f"node-{n}" for n, one in enumerate(self.machines) if one.cordoned]
        self._count_time(answers=answers)
        found = plan(self.group, len(self.machines), pods, self.look(answers=answers), cordoned=cordoned, now=self.now)
        for order in found.drain:
            self._drain(self.at(order.pod), order)
        for name in found.undrain:
            assert self.at(name).drain == "ours"
            self.at(name).drain = self.at(name).reason = None
        for gone in found.delete:
            self._end(self.at(gone["metadata"]["name"]))
            self.machines[int(gone["metadata"]["name"].rpartition("-")[2])] = Machine(outdated=False)
        for one in self.machines[found.replicas :]:
            self._end(one)
        del self.machines[found.replicas :]
        self.machines += [Machine(outdated=False) for _ in range(found.replicas - len(self.machines))]
        return found

    def _count_time(self, *, answers: bool) -> None:
        """Note since when executors have to leave; a reason that comes again before anybody could be called back has not ended."""
        for n, one in enumerate(self.machines):
            reasons = {"scale-in": n >= (self.group.replicas or 0), "rollout": one.outdated}
            holding = {why for why, holds in reasons.items() if holds} | (set() if answers else one.leaves.keys())
            one.leaves = {why: one.leaves.get(why, self.now) for why in holding}

    def _drain(self, machine: Machine, order: Drain) -> None:
        assert machine.drain != "foreign"
        if order.quick and machine.jobs:
            if self.now - machine.leaves.get(order.reason, self.now) < HOUR or machine.reason != order.reason:
                self.lost.append(f"{machine}: {order}")
            machine.jobs = 0
        machine.drain, machine.reason, machine.since = "ours", order.reason, self.now

    def at(self, name: str) -> Machine:
        return self.machines[int(name.rpartition("-")[2])]

    def _end(self, machine: Machine) -> None:
        if machine.running and (machine.jobs or machine.drain is None):
            self.lost.append(f"{machine}")

    def settle(self) -> None:
        for one in self.machines:
            one.known = True
            one.jobs, one.drain, one.cordoned = 0, None if one.drain == "foreign" else one.drain, False


def happen(what: str, machine: Machine) -> None:
    """Let something happen to an executor that nobody planned."""
    match what:
        case "job" if machine.running and machine.drain is None:
            machine.jobs += 1
        case "end":
            machine.jobs = 0
        case "drain" if machine.drain is None:
            machine.drain = "foreign"
        case "die" | "live":
            machine.running, machine.jobs, machine.drain, machine.reason = what == "live", 0, None, None
        case "unheard" | "heard":
            machine.known = what == "heard"
        case "cordon" | "uncordon":
            machine.cordoned = what == "cordon"


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["job", "end", "drain", "die", "live", "change", "back", "scale", "cordon", "uncordon", "unheard", "heard"]
        ),
        st.integers(0, 7),
        st.booleans(),
    ),
    min_size=20,
    max_size=40,
)


@settings(max_examples=300)
@given(st.integers(1, 6), st.integers(1, 3), STEPS)
def test_no_executor_goes_that_has_or_may_get_a_job_and_all_plans_end(
    size: int, unavailable: int, steps: list[tuple[str, int, bool]]
) -> None:
    world = World([Machine(outdated=False) for _ in range(size)], group(size, unavailable))
    for what, number, answers in steps:
        world.now += (number + 1) * HOUR // 4
        if what in ("change", "back"):
            for one in world.machines:
                one.outdated = what == "change"
        elif what == "scale":
            world.group = group(number, unavailable)
        elif world.machines:
            happen(what, world.machines[number % len(world.machines)])
        away = sum(
            not one.running or not one.known or one.drain is not None for one in world.machines[: world.group.replicas]
        )
        before = world.group.replicas or 0
        serving = {NAME.format(n) for n, one in enumerate(world.machines) if one.drain is None}
        begun = {NAME.format(n) for n, one in enumerate(world.machines) if one.reason == "rollout"}
        running = {NAME.format(n) for n, one in enumerate(world.machines) if one.running}
        found = world.step(answers=answers)
        taken = [one for one in found.drain if one.reason == "rollout" and one.pod in serving]
        assert not taken or away + max(0, before - len(world.machines)) + len(taken) <= unavailable
        replaced = {one["metadata"]["name"] for one in found.delete} & running
        leaving = [one for one in world.machines[:before] if one.running and one.reason == "rollout"]
        fresh = {one.pod for one in found.drain if one.reason == "rollout" and not one.quick} | replaced - begun
        assert not fresh or len(replaced) + len(leaving) <= unavailable
        assert not world.lost
    for _ in range(4 * len(world.machines) + 4):
        world.settle()
        for one in world.machines:
            one.running = True
        world.step(answers=True)
    assert len(world.machines) == world.group.replicas
    assert not [one for one in world.machines if one.outdated or one.drain]
