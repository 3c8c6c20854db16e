"""Crash safety, a seeded sample of what `make crash` tries everywhere; the property is in `crash.search`."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import pytest_asyncio
import yaml

from condorpool_operator import apply

from ..cluster import ROOT
from ..server import ApiServer
from .faults import Call, Fault
from .lane import Lane
from .life import faster_time
from .points import Point, sample
from .process import killed_by_chance
from .row import Row
from .scenarios import BASE, SCENARIOS, Scenario
from .search import Search, searching
from .server import Access, crash_server

SEED = 1
POINTS = 1
"""Of each step; as many writes again, and a storm."""
AT_A_TIME = 6
FIXED = {"submitter.storage.storageClassName"}
"""Fields that cannot be edited."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """Run a server of this module's own: Calico's API is served there, and is not elsewhere."""
    with crash_server(tmp_path_factory.mktemp("crash")) as server:
        yield server


@pytest_asyncio.fixture(scope="module")
async def search(server: ApiServer) -> AsyncIterator[Search]:
    with faster_time():
        async with searching(Access.of(server)) as search:
            yield search


@pytest_asyncio.fixture(scope="module")
async def rows(search: Search) -> dict[str, Row]:
    """Play all scenarios, several at a time, as each waits much."""
    gate = asyncio.Semaphore(AT_A_TIME)

    async def play(scenario: Scenario) -> Row:
        async with gate:
            return await search.run(scenario, sample(SEED, POINTS), 1, rounds=2)

    played = await asyncio.gather(*map(play, SCENARIOS))
    return {row.scenario: row for row in played}


@pytest.mark.parametrize("scenario", [scenario.name for scenario in SCENARIOS])
def test_the_pool_comes_out_as_if_nothing_had_happened(rows: dict[str, Row], scenario: str) -> None:
    row = rows[scenario]
    assert row.failures == []
    assert row.points >= 2 * len(row.calls), "every point was reached"


async def test_the_search_finds_an_operator_that_applies_over_what_it_did_not_see(search: Search) -> None:
    """The write of a killed operator arrives late, over the keys that the next one made."""

    async def careless(kube: Any, pool: Any, obj: Any) -> Any:
        return await kube.apply(obj)

    def late(_scenario: Scenario, step: str, calls: tuple[Call, ...]) -> Iterable[Point]:
        return [Point(step, Fault.LATE, number) for number, call in enumerate(calls) if "signing-keys" in call.path]

    (scenario,) = [one for one in SCENARIOS if one.name == "keys lost"]
    with mock.patch.object(apply, "_create", careless):
        row = await search.run(scenario, late, 1)
    assert "what Secret demo-signing-keys holds was made 2 times" in " ".join(row.failures)


async def test_a_process_that_is_killed_by_chance(search: Search, server: ApiServer, tmp_path: Path) -> None:
    (scenario,) = [one for one in SCENARIOS if one.name == "a pool comes and goes"]
    lane, row = Lane(search.ground, scenario), Row(scenario.name)
    wanted = await search.references(lane, row, 2)
    await lane.close()
    log = tmp_path / "operator.log"
    told = await killed_by_chance(search.ground.admin, server, search.ground.namespace(), scenario, wanted, SEED, log)
    assert (row.failures, told) == ([], [])


def test_every_field_of_a_pool_is_edited_in_some_scenario() -> None:
    (crd,) = yaml.safe_load_all((ROOT / "crds" / "condorpools.condorpool.dev.yaml").read_text())
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    edited = {path for scenario in SCENARIOS for spec in scenario.specs for path in differing(BASE, spec)}
    assert set(fields(schema)) - edited - FIXED == set()


def fields(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Yield the paths of all fields that hold no others; items of lists are not told apart."""
    if "items" in schema:
        yield from fields(schema["items"], path)
    elif "properties" in schema:
        for name, inner in schema["properties"].items():
            yield from fields(inner, f"{path}.{name}".lstrip("."))
    else:
        yield path


def differing(first: Any, second: Any, path: str = "") -> Iterator[str]:
    """Yield the paths of fields that two specs differ in, and those above them."""
    if first == second:
        return
    yield path
    one, other = inner(first), inner(second)
    for key in one.keys() | other.keys():
        deeper = path if isinstance(key, int) else f"{path}.{key}".lstrip(".")
        yield from differing(one.get(key), other.get(key), deeper)


def inner(value: Any) -> dict[Any, Any]:
    """Return what a part of a spec consists of."""
    if isinstance(value, dict):
        return value
    return dict(enumerate(value)) if isinstance(value, list) else {}
