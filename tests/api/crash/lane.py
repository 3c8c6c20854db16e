"""One namespace in which a scenario is played again and again: lives of the operator, the controllers, and what is held against them."""

import asyncio
import itertools
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kubernetes.aio.client import ApiClient

from condorpool_operator.kinds import CALICO_POLICY, CONDOR_POOL, POD
from condorpool_operator.minting import SCOPES

from .faults import Boundary, Call, Fault, Ledger, Plan, nothing
from .life import KilledError, Life
from .normal import broken_rules, differences, normalised
from .points import Point
from .row import MORE_EVENTS, MORE_WRITES, Row
from .scenarios import BASE, NAMES, Scenario, user_objects
from .world import POOL, Admin, Obj, World

ROUNDS = 40
"""Turns that operator and controllers take at most until nothing changes."""

PODS_ARE_OLD_SECONDS = 1.1
"""After which a changed file is newer than the pods that mount it: the API's times are full seconds."""

MADE_ONCE = frozenset({NAMES.signing_keys, NAMES.host_keys})


@dataclass(frozen=True)
class Ground:
    """One API server with the CRD, the rights and the cluster's objects of the scenarios, and the namespaces to come."""

    admin: Admin
    client: ApiClient
    canned: Mapping[str, bytes]
    """Answers to what a process asks once when it begins."""
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def namespace(self) -> str:
        """Return the name of a new namespace."""
        return f"crash-{next(self.numbers)}"


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


class Lane:
    """One namespace in which a scenario is played again and again."""

    def __init__(self, ground: Ground, scenario: Scenario) -> None:
        self._ground = ground
        self.scenario = scenario
        self.world = World(ground.admin, ground.namespace())
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
        boundary = Boundary(self._ground.client, self._ground.canned, self.world.views, self.ledger, plan, chance)
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
