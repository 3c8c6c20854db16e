"""The search: whatever happens to the operator, and whenever, the pool comes out as if nothing had happened.

Held for every scenario, for every request that the operator makes in it, and for everything that can happen at that request
(`faults.Fault`: the process is killed before, or after, or its last request arrives late; the request is refused, is not answered, or is
answered after it took effect; a list is old):

- **the same end**: when the operator, the next one where it was killed, and the controllers have come to rest, the namespace holds the same
  objects as after an undisturbed run, and the pool's status says the same; no resync, no second event and no person was needed;
- **nothing lost**: keys, certificates and host keys that were made once are never made again while their Secret is there, and every token
  verifies with its key; no executor is replaced that need not be, nor more at once; objects of others are not touched; every object has the
  pool as its one owner, and nothing is left of a pool that is gone;
- **bounded**: writes and events exceed those of the undisturbed run by `MORE_WRITES` and `MORE_EVENTS` for each fault at most.

Requests are sent one at a time, so that a point is a state of the cluster that can be reached again; `storm`s give that up: several faults
in one run, requests in an order of chance, a listing that is old, events of watches that come late, twice or not at all.
"""

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson
from kubernetes.aio import config as client_config
from kubernetes.aio.client import ApiClient, Configuration

from condorpool_operator.kinds import CALICO_POLICY, CONDOR_POOL

from .faults import Ledger
from .lane import Ground, Lane, Reference
from .normal import differences
from .points import Choice, Point
from .row import Row
from .scenarios import Scenario
from .server import Access
from .world import Admin

PREPARATION_PAYS = 5
"""Points for which one more namespace is made."""
MOST_UNREACHED = 0.15
"""Share of the points: at the end of runs in which the operator waits, and looks now and then, as often as time allows."""
TRIES = 3
"""For a point that was not reached: what an operator asks may depend on how long something took."""
MOST_FAILURES = 5
"""After which a scenario is given up."""


@dataclass(frozen=True)
class _Work:
    """What the lanes of a scenario share."""

    scenario: Scenario
    references: Mapping[str, Reference]
    waiting: Mapping[str, deque[Point]]
    row: Row
    said: Callable[[Row], None]
    tries: dict[Point, int] = field(default_factory=dict)

    @property
    def goes_on(self) -> bool:
        """Whether something is left to try, and not too much came out wrong."""
        return any(self.waiting.values()) and len(self.row.failures) < MOST_FAILURES


class Search:
    """Plays scenarios against one API server, several namespaces at a time."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground

    async def run(
        self,
        scenario: Scenario,
        choose: Choice,
        lanes: int,
        said: Callable[[Row], None] | None = None,
        rounds: int = 3,
    ) -> Row:
        """Play a scenario undisturbed, then with the disturbances that are chosen; `said` is called after each."""
        row, lane = Row(scenario.name), Lane(self.ground, scenario)
        references = await self.references(lane, row, rounds)
        row.calls = {step: len(reference.calls) for step, reference in references.items()}
        waiting = {step: deque(choose(scenario, step, reference.calls)) for step, reference in references.items()}
        row.wanted = sum(map(len, waiting.values()))
        work = _Work(scenario, references, waiting, row, said or (lambda _row: None))
        async with asyncio.TaskGroup() as group:
            group.create_task(self._lane(work, lane))
            for _ in range(min(lanes - 1, row.wanted // PREPARATION_PAYS)):
                group.create_task(self._lane(work, None))
        return row

    async def references(self, lane: Lane, row: Row, rounds_undisturbed: int = 3) -> dict[str, Reference]:
        """Return what the steps make when nothing is disturbed: twice the same, from the second time round."""
        await lane.prepare()
        rounds: list[dict[str, Reference]] = []
        for _ in range(rounds_undisturbed):
            rounds.append({})
            for step in lane.scenario.steps:
                row.failures += [f"{step}, undisturbed: {one}" for one in await lane.play(step, None)]
                rounds[-1][step] = await lane.reference()
        for step, reference in rounds[-1].items() if rounds_undisturbed > 2 else ():
            told = differences(dict(rounds[-2][step].state), dict(reference.state))
            row.failures += [f"{step}, undisturbed, differs from itself: {one}" for one in told]
        # how often something is asked for while it is waited for may vary
        return {step: min((one[step] for one in rounds[1:]), key=lambda one: len(one.calls)) for step in rounds[0]}

    async def _lane(self, work: _Work, lane: Lane | None) -> None:
        while work.goes_on:
            if lane is None:
                lane = Lane(self.ground, work.scenario)
                await lane.prepare()
                for step in work.scenario.steps:
                    await lane.play(step, None)
            await self._rounds(work, lane)
            await lane.close()
            lane = None

    async def _rounds(self, work: _Work, lane: Lane) -> None:
        """Play the ring until nothing is left to try, or something came out wrong: what follows would start wrong."""
        for step in itertools.cycle(work.scenario.steps):
            if not work.goes_on:
                return
            point = work.waiting[step].popleft() if work.waiting[step] else None
            problems = await lane.play(step, point) or await lane.findings(work.row, work.references[step])
            if problems:
                work.row.failures.append(f"{point or step}: " + "; ".join(problems))
                return
            if point is not None and not self._count(work.row, point, lane.ledger, work.tries):
                work.waiting[step].append(point)
            work.said(work.row)

    def _count(self, row: Row, point: Point, ledger: Ledger, tries: dict[Point, int]) -> bool:
        """Note a point that was reached; return whether it is done with."""
        if not ledger.hits:
            tries[point] = tries.get(point, 0) + 1
            if point.fault is None:
                return True
            if tries[point] < TRIES:
                return False
            row.unreached += 1
            if row.unreached > max(3, MOST_UNREACHED * row.wanted):
                row.failures.append(f"{point}: never reached, as {row.unreached - 1} before it")
            return True
        row.points += 1
        row.storms += point.fault is None
        if point.fault is not None:
            row.indices.add((point.step, point.number))
        for _, fault in ledger.hits:
            row.by_fault[fault] = row.by_fault.get(fault, 0) + 1
        return True


@asynccontextmanager
async def searching(server: Access, first: int = 1) -> AsyncIterator[Search]:
    """Connect to a server that has the CRD, the rights and the cluster's objects of the scenarios; `first` numbers the namespaces."""
    configuration = Configuration()
    await client_config.load_kube_config(config_file=server.kubeconfig, client_configuration=configuration)
    configuration.client_session_kwargs = {"trust_env": False}
    client = ApiClient(configuration)
    try:
        async with Admin(server.url, server.token) as admin:
            paths = [f"/apis/{kind.api_version}" for kind in (CONDOR_POOL, CALICO_POLICY)]
            canned = {path: orjson.dumps(await admin.send("GET", path)) for path in paths}
            yield Search(Ground(admin, client, canned, itertools.count(first)))
    finally:
        await client.close()
