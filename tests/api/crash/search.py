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
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from kubernetes.aio import config as client_config
from kubernetes.aio.client import ApiClient, Configuration

from condorpool_operator.kinds import CALICO_POLICY, CONDOR_POOL, POD
from condorpool_operator.minting import SCOPES

from .faults import Boundary, Call, Fault, Ledger, Plan, faults_of, nothing
from .life import KilledError, Life
from .normal import broken_rules, differences, normalised
from .scenarios import BASE, NAMES, Scenario, user_objects
from .server import Access
from .world import POOL, Admin, Obj, World

MORE_WRITES = 8
MORE_EVENTS = 3
ROUNDS = 40
"""Turns that operator and controllers take at most until nothing changes."""
PREPARATION_PAYS = 5
"""Points for which one more namespace is made."""
MOST_UNREACHED = 0.05
"""Share of the points: at the end of runs in which the operator waits for a person, and looks now and then."""
TRIES = 3
"""For a point that was not reached: what an operator asks may depend on how long something took."""
MOST_FAILURES = 5
"""After which a scenario is given up."""

PODS_ARE_OLD_SECONDS = 1.1
"""After which a changed file is newer than the pods that mount it: the API's times are full seconds."""

MADE_ONCE = frozenset({NAMES.signing_keys, NAMES.host_keys})


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


@dataclass(frozen=True)
class Reference:
    """What an undisturbed step made and cost."""

    state: Mapping[str, Any]
    calls: tuple[Call, ...]
    writes: int
    events: int
    made: int
    deleted: int
    away: int


@dataclass
class Row:
    """What came of a scenario."""

    scenario: str
    calls: dict[str, int] = field(default_factory=dict)
    """Requests of an undisturbed run, by step."""
    wanted: int = 0
    """Points to try."""
    points: int = 0
    """Points that were tried."""
    unreached: int = 0
    """Points at requests that no run had, as it was shorter."""
    indices: set[tuple[str, int]] = field(default_factory=set)
    by_fault: dict[str, int] = field(default_factory=dict)
    """Faults that came about."""
    storms: int = 0
    more_writes: int = 0
    more_events: int = 0
    failures: list[str] = field(default_factory=list)


class Lane:
    """One namespace in which a scenario is played again and again."""

    def __init__(self, search: "Search", scenario: Scenario) -> None:
        self._search = search
        self.scenario = scenario
        self.world = World(search.admin, search.namespace())
        self.ledger = Ledger()
        self.life: Life
        self._late: list[Boundary] = []

    async def prepare(self) -> None:
        """Make the namespace, what users have there, and the pool."""
        await self.world.begin()
        for kind, obj in user_objects():
            await self.world.create(kind, obj)
        self.life = await self._live(nothing, None)
        if self.scenario.pool:
            await self.world.spec(BASE)
            await self._tell({}, None)
            await self._settle(nothing, None)
            await asyncio.sleep(PODS_ARE_OLD_SECONDS)

    async def close(self) -> None:
        """End the operator's life here."""
        await self.life.end()

    async def _live(self, plan: Plan, chance: random.Random | None, aged: Obj | None = None) -> Life:
        """Begin a life of the operator; it is shown the pool as it is, or as it was and then as it is."""
        boundary = Boundary(self._search.client, self._search.canned, self.world.views, self.ledger, plan, chance)
        life = Life(boundary, self.world)
        listed = await self.world.get(CONDOR_POOL, POOL)
        left = False
        if not listed:
            found = [*await self.world.all(POD), *await self.world.all(CALICO_POLICY)]
            left = any("condorpool.dev/pool" in obj["metadata"].get("labels", {}) for obj in found)
        await life.start(aged or listed or None, remains=left)
        if aged is not None:
            await life.tell("MODIFIED" if listed else "DELETED", listed or aged)
        return life

    async def _tell(self, before: Obj, chance: random.Random | None) -> None:
        """Tell the operator what the watches of the pool and of its objects show."""
        after = await self.world.get(CONDOR_POOL, POOL)
        told: list[tuple[str, Obj]] = []
        if before and (not after or after["metadata"]["uid"] != before["metadata"]["uid"]):
            told.append(("DELETED", before))
        if after:
            told.append(("MODIFIED" if before and not told else "ADDED", after))
        if chance is not None:
            told = [*told, *chance.choices(told, k=2)] if told else told
            chance.shuffle(told)
            if after:
                told.append(("MODIFIED", after))
        for kind, obj in told:
            await self.life.tell(kind, obj)
            if chance is not None:
                await asyncio.sleep(chance.random() * 0.05)
        self.life.look()

    async def play(self, step: str, point: Point | None) -> list[str]:
        """Play a step with or without a disturbance; return why it did not come to rest, if it did not."""
        plan = nothing if point is None else point.plan()
        chance = random.Random(point.number) if point is not None and point.fault is None else None
        if chance is not None:
            self.world.views.trust(yes=False)
        self.ledger.open()
        self.world.made, self.world.most_away = 0, 0
        before = await self.world.get(CONDOR_POOL, POOL)
        self.life.boundary.disturb(plan, chance)
        await self.scenario.steps[step](self.world)
        try:
            await self._tell(before, chance)
            await self._settle(plan, chance, before)
        except TimeoutError:
            return ["the operator does not come to rest"]
        finally:
            self.life.boundary.disturb(nothing, None)
            if chance is not None:
                self.world.views.trust(yes=True)
        return [f"an exception that nobody expected: {bug}" for bug in self.life.bugs]

    async def _settle(self, plan: Plan, chance: random.Random | None, before: Obj | None = None) -> None:
        """Let the operator, its successors and the controllers take turns until nothing changes."""
        seen = 0
        for _ in range(ROUNDS):
            try:
                await self.life.rest()
            except KilledError:
                await self._succeed(plan, chance, before)
                continue
            late, self._late = self._late, []
            for boundary in late:
                await boundary.deliver()
            aged = sum(fault is Fault.AGED for _, fault in self.ledger.hits)
            if late or aged > seen:
                seen = aged
                self.life.look()
            elif await self.world.step():
                self.life.look()
            elif not await self.life.ask_agent():
                return
        raise TimeoutError

    async def _succeed(self, plan: Plan, chance: random.Random | None, before: Obj | None) -> None:
        """Bury a life and begin the next one, before or after the controllers went on."""
        if self.life.boundary.held is not None:
            self._late.append(self.life.boundary)
        await self.life.end()
        if len(self.ledger.calls) % 2:
            await self.world.step()
        aged = before if chance is not None and chance.random() < 0.5 else None
        self.life = await self._live(plan, chance, aged or None)

    async def findings(self, row: Row, wanted: Reference) -> list[str]:
        """Return what is not as the property says, and note in the row how near the bounds came."""
        objects = await self.world.objects()
        told = differences(normalised(objects, self.world.namespace), dict(wanted.state))
        told += broken_rules(objects, self.world.namespace) + await self.world.touched() + self._replaced()
        hits = max(1, len(self.ledger.hits))
        writes, events = self.ledger.writes - wanted.writes, self.ledger.events - wanted.events
        row.more_writes, row.more_events = max(row.more_writes, writes), max(row.more_events, events)
        if writes > MORE_WRITES * hits:
            told.append(f"{writes} writes more than undisturbed")
        if events > MORE_EVENTS * hits:
            told.append(f"{events} events more than undisturbed")
        if self.world.made > wanted.made:
            told.append(f"{self.world.made} pods were made instead of {wanted.made}")
        if len(self.ledger.deleted_pods) > wanted.deleted:
            told.append(f"{len(self.ledger.deleted_pods)} pods were deleted instead of {wanted.deleted}")
        if self.world.most_away > wanted.away:
            told.append(f"{self.world.most_away} executors were away at once instead of {wanted.away}")
        return told

    def _replaced(self) -> list[str]:
        """Return which Secrets were given a second content; a token may be, where its key was lost or it arrives late: both are good."""
        late = any(fault is Fault.LATE for _, fault in self.ledger.hits)
        tokens = set() if late or self.scenario.remints else {NAMES.agent, *map(NAMES.token, SCOPES)}
        return [
            f"what Secret {name} holds was made {len(contents)} times"
            for (name, _), contents in self.ledger.secrets.items()
            if name in MADE_ONCE | tokens and len(contents) > 1
        ]

    async def reference(self) -> Reference:
        """Return what the step that was just played made and cost."""
        return Reference(
            state=normalised(await self.world.objects(), self.world.namespace),
            calls=tuple(self.ledger.calls),
            writes=self.ledger.writes,
            events=self.ledger.events,
            made=self.world.made,
            deleted=len(self.ledger.deleted_pods),
            away=self.world.most_away,
        )


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

    def __init__(self, admin: Admin, client: ApiClient, canned: Mapping[str, bytes], first: int) -> None:
        self.admin = admin
        self.client = client
        self.canned = canned
        self._numbers = itertools.count(first)

    def namespace(self) -> str:
        """Return the name of a new namespace."""
        return f"crash-{next(self._numbers)}"

    async def run(
        self,
        scenario: Scenario,
        choose: "Choice",
        lanes: int,
        said: Callable[[Row], None] | None = None,
        rounds: int = 3,
    ) -> Row:
        """Play a scenario undisturbed, then with the disturbances that are chosen; `said` is called after each."""
        row, lane = Row(scenario.name), Lane(self, scenario)
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

    async def references(self, lane: "Lane", row: Row, rounds_undisturbed: int = 3) -> dict[str, Reference]:
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

    async def _lane(self, work: "_Work", lane: Lane | None) -> None:
        while work.goes_on:
            if lane is None:
                lane = Lane(self, work.scenario)
                await lane.prepare()
                for step in work.scenario.steps:
                    await lane.play(step, None)
            await self._rounds(work, lane)
            await lane.close()
            lane = None

    async def _rounds(self, work: "_Work", lane: Lane) -> None:
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
            yield Search(admin, client, canned, first)
    finally:
        await client.close()
