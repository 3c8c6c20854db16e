"""What is done to the cluster, and when, by a seed alone; what it is done to is chosen among what is there by then."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random

LONG_HOLD_SECONDS = 25.0
"""Less than the job lease, the 40 s after which a silent node is tainted, and the minute after which pool-init kills a hung daemon."""
SHORT_HOLD_SECONDS = 3.0
GAP_SECONDS = (2.0, 30.0)
"""Between the end of a fault and the beginning of the next one of the same tormentor: jobs have to get somewhere meanwhile."""

GENTLE: dict[str, int] = {
    "executor deleted": 3,
    "manager deleted": 1,
    "submitter deleted": 2,
    "operator deleted": 1,
    "executor killed": 3,
    "manager killed": 1,
    "submitter killed": 2,
    "executor frozen": 3,
    "manager frozen": 2,
    "submitter frozen": 2,
    "startd killed": 2,
    "schedd killed": 2,
    "collector killed": 1,
    "negotiator killed": 1,
    "startd stopped": 2,
    "schedd stopped": 2,
    "group scaled out and in": 2,
    "group scaled in and out": 2,
    "group rolled out": 1,
    "knob edited": 2,
}
"""Weights of the faults that touch one namespace and the operator."""

MACHINES: dict[str, int] = {
    "operator killed": 1,
    "kubelet stopped": 2,
    "node frozen": 2,
    "node cut off": 2,
    "node cordoned": 2,
    "API server stopped": 2,
    "API server killed": 1,
}
"""Those that touch the whole cluster."""


@dataclass(frozen=True)
class Planned:
    """One fault to come."""

    gap: float
    """Seconds to wait before."""
    kind: str
    hold: float
    """Seconds until it is undone, where there is something to undo."""
    pick: int
    """Chooses among targets: of n in the order of their names, the one at pick modulo n."""


def plan(seed: int, tormentor: int, weights: Mapping[str, int]) -> Iterator[Planned]:
    """Yield the faults of one of several tormentors, without end."""
    random = Random(f"{seed}/{tormentor}")
    kinds, chances = list(weights), list(weights.values())
    while True:
        (kind,) = random.choices(kinds, chances)
        gap, hold = random.uniform(*GAP_SECONDS), random.uniform(SHORT_HOLD_SECONDS, LONG_HOLD_SECONDS)
        yield Planned(round(gap, 1), kind, round(hold, 1), random.randrange(1 << 16))


LENGTHS = ((6, 1.0, 5.0), (3, 5.0, 20.0), (1, 20.0, 60.0))
"""Weight, least and most seconds of short, middling and long jobs: 9 s on average."""


def lengths(seed: int, count: int, most: float) -> list[float]:
    """Return the seconds of so many jobs, cut at the most."""
    random = Random(f"{seed}/lengths")
    classes = random.choices(LENGTHS, [weight for weight, _, _ in LENGTHS], k=count)
    return [min(most, round(random.uniform(least, longest), 1)) for _, least, longest in classes]
