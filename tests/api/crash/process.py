"""The same property for the operator as a process, with kopf and real watches: it is killed at moments of chance."""

import asyncio
import random
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from condorpool_operator.api.status import ConditionType
from condorpool_operator.kinds import CONDOR_POOL

from ..cluster import Operator
from ..server import ApiServer, free_ports
from .faults import NoViews
from .lane import Reference
from .life import DNS_SERVER
from .normal import broken_rules, differences, normalised
from .scenarios import BASE, Scenario, user_objects
from .world import POOL, Admin, Obj, World

LONGEST_LIFE_SECONDS = 3.0
"""Of an operator that is to be killed, from the moment at which it serves."""
SETTLING_SECONDS = 90.0
LOOK_SECONDS = 0.3


async def killed_by_chance(
    admin: Admin,
    server: ApiServer,
    namespace: str,
    scenario: Scenario,
    wanted: Mapping[str, Reference],
    seed: int,
    log: Path,
) -> list[str]:
    """Play a scenario's steps; kill the operator once in each, start it again, and return where it does not come out as it should."""
    chance = random.Random(seed)
    world = World(admin, namespace, NoViews())
    await world.begin()
    for kind, obj in user_objects():
        await world.create(kind, obj)
    operator = Operator(
        server, log, namespaces=namespace, dns_servers=DNS_SERVER, liveness_port=str(free_ports(1)[0]), workers="1"
    )
    await asyncio.to_thread(operator.start)
    try:
        if scenario.pool:
            await world.spec(BASE)
            await _until(world, wanted[list(scenario.steps)[-1]], SETTLING_SECONDS)
        told: list[str] = []
        for name, step in scenario.steps.items():
            await step(world)
            await _go_on(world, chance.random() * LONGEST_LIFE_SECONDS)
            await asyncio.to_thread(operator.stop, signal.SIGKILL)
            if chance.random() < 0.5:
                await world.step()
            await asyncio.to_thread(operator.start)
            found = await _until(world, wanted[name], SETTLING_SECONDS)
            told += [f"seed {seed}, {name}: {one}" for one in found]
    finally:
        await asyncio.to_thread(operator.stop)
        if await world.get(CONDOR_POOL, POOL):
            await world.end_pool()
    return told


async def _go_on(world: World, seconds: float) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        await world.step()
        await asyncio.sleep(min(LOOK_SECONDS, left))


async def _until(world: World, wanted: Reference, seconds: float) -> list[str]:
    """Let the controllers go on until all is as wanted; return what is not after so many seconds."""
    end = time.monotonic() + seconds
    while True:
        changed = await world.step()
        objects = await world.objects()
        told = differences(_by_itself(normalised(objects, world.namespace)), _by_itself(wanted.state))
        told += broken_rules(objects, world.namespace) + await world.touched()
        if (not told and not changed) or time.monotonic() > end:
            return told
        await asyncio.sleep(LOOK_SECONDS)


def _by_itself(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a normalised namespace without what only the pool's agent tells: no agent is there that a process could ask."""
    return {name: _without_agent(obj) if obj["kind"] == CONDOR_POOL.name else obj for name, obj in state.items()}


def _without_agent(pool: Obj) -> Obj:
    status = {key: value for key, value in pool["status"].items() if key not in ("slots", "jobs")}
    conditions = {key: value for key, value in status["conditions"].items() if key != ConditionType.STATE_KNOWN}
    groups = [{key: value for key, value in group.items() if key != "slots"} for group in status["executors"]]
    return {**pool, "status": {**status, "conditions": conditions, "executors": groups}}
