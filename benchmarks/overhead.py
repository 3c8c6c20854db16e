"""What the operator adds to the bare work of applying a pool's objects.

All times are the API server's own, from its audit log: for the operator from the arrival of the request that creates the CondorPool
to the answer to the last object's apply; for a reference from the arrival of its first apply to the answer to its last. The objects
are those that the operator itself sent, recorded once.

The reference is the plain loop: one kept connection, one apply after the other, nothing read, nothing decided. kubectl, which does
the same with the look-ups of a general tool, is shown beside it: who beats it is quick, but that is the easier bar.
"""

import copy
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tools.console import Console

from .audit import Request, most_in_flight
from .bare import APPLY, Bench, Client, bench, gather
from .process import processor_seconds
from .report import Figure, Results, ratios

PART = "overhead"
REPEATS = 15
CONNECTIONS = 128
BATCHES = 3
POOLS = 100
LIMIT, AIM = 1.3, 1.1
RECORDED = "recorded"

Template = list[tuple[str, dict[str, Any]]]
"""Path and body of every apply that a pool is made of."""


async def record(bench: Bench) -> Template:
    """Return what the operator applies for a new pool, in its order."""
    await bench.admin.create_namespaces([RECORDED])
    await bench.admin.create_pool(RECORDED, "demo")
    await bench.admin.settle(1, RECORDED)
    await bench.admin.mark("recorded")
    requests = bench.audit.read_until("recorded")
    return [(one.uri, one.body) for one in requests if one.user == "operator" and one.applies_object and one.body]


def in_namespace(template: Template, namespace: str) -> Template:
    """Return the same objects for another namespace."""
    result = []
    for uri, body in template:
        moved = copy.deepcopy(body)
        moved["metadata"]["namespace"] = namespace
        result.append((uri.replace(f"/namespaces/{RECORDED}/", f"/namespaces/{namespace}/"), moved))
    return result


async def apply_plainly(client: Client, objects: Template) -> None:
    """Apply objects one after the other."""
    for uri, body in objects:
        await client.send("PATCH", uri, body, APPLY)


def applies(requests: Iterable[Request], prefix: str) -> list[Request]:
    """Return the answered applies of pools' objects in the namespaces that begin so."""
    return [one for one in requests if one.namespace.startswith(prefix) and one.applies_object and one.code < 300]


def seconds_of(requests: list[Request]) -> float:
    """Return the time from the first arrival to the last answer."""
    return max(one.answered for one in requests) - min(one.received for one in requests)


def seconds_of_operator(requests: list[Request], prefix: str) -> float:
    """Return the time from the arrival of the first CondorPool to the answer to the last object's apply."""
    created = [one.received for one in requests if one.namespace.startswith(prefix) and one.is_creation]
    return max(one.answered for one in applies(requests, prefix)) - min(created)


async def run(console: Console, results: Results) -> None:
    """Measure one pool, again and again, and many at once."""
    async with bench() as place, Client(place.server, "operator", CONNECTIONS) as plain:
        place.operator.start()
        template = await record(place)
        repeats, batches = results.repeats(REPEATS), results.repeats(BATCHES)
        console.say(
            f"a pool is {len(template)} objects; {repeats} times one pool: operator, plain loop, kubectl in turn"
        )
        await _one(place, plain, template, 0)
        results.add(*_one_by_one([await _one(place, plain, template, turn) for turn in range(1, repeats + 1)]))
        console.say(f"{batches} times {POOLS} pools at once: operator and plain loops in turn")
        results.add(*_at_once([await _many(console, place, plain, template, turn) for turn in range(batches)]))


@dataclass(frozen=True)
class _One:
    """Seconds of one turn with one pool."""

    operator: float
    first_apply: float
    plain: float
    kubectl: float
    kubectl_in_all: float


async def _one(place: Bench, plain: Client, template: Template, turn: int) -> _One:
    names = {who: f"{who}-{turn}" for who in ("operator", "plain", "kubectl")}
    await place.admin.create_namespaces(names.values())
    await place.admin.create_pool(names["operator"], "demo")
    await place.admin.settle(1, names["operator"])
    await place.until_rest(0.5, 60)
    place.audit.rewind()
    await apply_plainly(plain, in_namespace(template, names["plain"]))
    manifest = place.server.directory / "objects.json"
    _write(manifest, in_namespace(template, names["kubectl"]))
    place.cluster.kubectl("apply", "--server-side", "--namespace", names["kubectl"], "-f", str(manifest))
    await place.admin.mark(f"turn-{turn}")
    requests = place.audit.read_until(f"turn-{turn}")
    place.audit.skip()
    mine = [one for one in requests if one.namespace == names["operator"]]
    created = min(one.received for one in mine if one.is_creation)
    by_kubectl = applies(requests, names["kubectl"])
    agent = by_kubectl[0].agent
    return _One(
        operator=seconds_of_operator(mine, names["operator"]),
        first_apply=min(one.received for one in mine if one.applies_object) - created,
        plain=seconds_of(applies(requests, names["plain"])),
        kubectl=seconds_of(by_kubectl),
        kubectl_in_all=seconds_of([one for one in requests if one.agent == agent]),
    )


def _one_by_one(turns: list[_One]) -> list[Figure]:
    operator = [one.operator for one in turns]
    plain = [one.plain for one in turns]
    kubectl = [one.kubectl for one in turns]
    in_all = [one.kubectl_in_all for one in turns]
    return [
        _milliseconds("one pool: operator", operator),
        _milliseconds("… of which until its first apply", [one.first_apply for one in turns]),
        _milliseconds("one pool: plain loop", plain),
        _milliseconds("one pool: kubectl apply --server-side, its applies", kubectl),
        _milliseconds("one pool: kubectl apply --server-side, all its requests", in_all),
        Figure(PART, "one pool: operator / plain loop", "", ratios(operator, plain), LIMIT, AIM, "the reference"),
        Figure(PART, "one pool: operator / kubectl's applies", "", ratios(operator, kubectl)),
        Figure(PART, "one pool: operator / all of kubectl's requests", "", ratios(operator, in_all)),
    ]


def _milliseconds(name: str, seconds: list[float]) -> Figure:
    return Figure(PART, name, "ms", tuple(1000 * value for value in seconds))


def _write(path: Path, objects: Template) -> None:
    items = [body for _, body in objects]
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))


@dataclass(frozen=True)
class _Many:
    """Seconds of one turn with many pools, by the clock and of processors."""

    operator: float
    plain: float
    connections: int
    operator_processor: float
    server_processor: float
    server_processor_plain: float


async def _many(console: Console, place: Bench, plain: Client, template: Template, turn: int) -> _Many:
    mine, theirs = ([f"{who}-{turn}-{number}" for number in range(POOLS)] for who in ("many", "bare"))
    await place.admin.create_namespaces(mine + theirs)
    await place.until_rest(2, 300)
    at_start, server_at_start = processor_seconds(place.operator.pid), place.server.processor_seconds
    await gather(4, [partial(place.admin.create_pool, name, "demo") for name in mine])
    _, requests = await place.until_rest(3, 600)
    place.audit.rewind()
    requests = [one for one in place.audit.read() if one.namespace.startswith(f"many-{turn}-")]
    server_between = place.server.processor_seconds
    connections = most_in_flight(applies(requests, f"many-{turn}-"))
    objects = [in_namespace(template, name) for name in theirs]
    await gather(connections, [partial(apply_plainly, plain, one) for one in objects])
    await place.admin.mark(f"bare-{turn}")
    others = place.audit.read_until(f"bare-{turn}")
    server_at_end = place.server.processor_seconds
    await place.until_rest(2, 300)
    place.audit.skip()
    result = _Many(
        operator=seconds_of_operator(requests, f"many-{turn}-"),
        plain=seconds_of(applies(others, f"bare-{turn}-")),
        connections=connections,
        operator_processor=processor_seconds(place.operator.pid) - at_start,
        server_processor=server_between - server_at_start,
        server_processor_plain=server_at_end - server_between,
    )
    console.say(f"{POOLS} pools: operator {result.operator:.1f} s, plain loops {result.plain:.1f} s")
    return result


def _at_once(turns: list[_Many]) -> list[Figure]:
    operator, plain = [one.operator for one in turns], [one.plain for one in turns]
    note = f"{max(one.connections for one in turns)} at a time, as the operator"
    server = [one.server_processor for one in turns]
    server_plain = [one.server_processor_plain for one in turns]
    what = f"{POOLS} pools at once"
    return [
        Figure(PART, f"{what}: operator", "s", tuple(operator)),
        Figure(PART, f"{what}: plain loops", "s", tuple(plain), note=note),
        Figure(PART, f"{what}: operator / plain loops", "", ratios(operator, plain), LIMIT, AIM, "the reference"),
        Figure(PART, f"{what}: operator's processor time", "s", tuple(one.operator_processor for one in turns)),
        Figure(PART, f"{what}: server's processor time, operator", "s", tuple(server)),
        Figure(PART, f"{what}: server's processor time, plain loops", "s", tuple(server_plain)),
        Figure(PART, f"{what}: server's processor time, operator / plain loops", "", ratios(server, server_plain)),
    ]
