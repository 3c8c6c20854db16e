"""Which disturbances are tried: everything at every request, a share, or a sample; and what a storm does to each request."""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .faults import Call, Fault, Plan, faults_of
from .scenarios import Scenario


@dataclass(frozen=True)
class Point:
    """One disturbance: a fault at the request of a number, or a storm of chance."""

    step: str
    fault: Fault | None
    number: int
    """Of the request, or seed of the storm."""

    def plan(self) -> Plan:
        """Return what happens to the requests."""
        if self.fault is None:
            return storm(self.number)
        fault, number = self.fault, self.number
        return lambda index, _call: fault if index == number else None

    def __str__(self) -> str:
        return f"{self.step}: " + (f"storm {self.number}" if self.fault is None else f"{self.fault} at {self.number}")


STORM_FAULTS = 6


def storm(seed: int) -> Plan:
    """Return a plan by which up to six requests of a run fail, in ways of chance."""
    chance, left = random.Random(seed), STORM_FAULTS

    def plan(_index: int, call: Call) -> Fault | None:
        nonlocal left
        if left == 0 or chance.random() > 0.07:
            return None
        left -= 1
        return chance.choice(faults_of(call))

    return plan


Choice = Callable[[Scenario, str, tuple[Call, ...]], Iterable[Point]]
"""From a scenario, a step of it and the requests of its undisturbed run to the disturbances to try."""


def everything(storms: int, *, thorough: bool = False, share: float = 1.0) -> Choice:
    """Return the choice of all faults at all requests, or a share of them, and so many storms for each step.

    Where it is not thorough, requests that read take turns with faults that the operator cannot tell apart.
    """

    def choose(scenario: Scenario, step: str, calls: tuple[Call, ...]) -> Iterable[Point]:
        chance = random.Random(f"{scenario.name} {step}")
        for number, call in enumerate(calls):
            for fault in faults_of(call, None if thorough else number):
                if chance.random() < share:
                    yield Point(step, fault, number)
        for seed in range(storms):
            yield Point(step, None, seed)

    return choose


def sample(seed: int, points: int) -> Choice:
    """Return the choice of a few points of each step: among them writes, which matter more; of the first a storm too."""

    def choose(scenario: Scenario, step: str, calls: tuple[Call, ...]) -> Iterable[Point]:
        chance = random.Random(f"{seed} {scenario.name} {step}")
        all_points = list(everything(0)(scenario, step, calls))
        writes = [point for point in all_points if calls[point.number].writes]
        chosen = {*chance.sample(writes, min(points, len(writes))), *chance.sample(all_points, points)}
        yield from sorted(chosen, key=str)
        if step == next(iter(scenario.steps)):
            yield Point(step, None, seed)

    return choose
