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
from functools import partial
from pathlib import Path
from typing import Any

from tools.console import Console

from .audit import Request, most_in_flight
from .bare import APPLY, Bench, Client, bench, gather
from .report import Figure, Results, ratios

REPEATS = 15
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
    async with bench() as place, Client(place.server, "operator", 64) as plain:
        place.operator.start()
        template = await record(place)
        console.say(
            f"a pool is {len(template)} objects; {REPEATS} times one pool: operator, plain loop, kubectl in turn"
        )
        results.add(*await _one_by_one(place, plain, template))
        console.say(f"{BATCHES} times {POOLS} pools at once: operator and plain loop in turn")
        results.add(*await _at_once(console, place, plain, template))


async def _one_by_one(place: Bench, plain: Client, template: Template) -> list[Figure]:
    operator, loop, kubectl, whole, first = [], [], [], [], []
    for turn in range(-1, REPEATS):
        names = {who: f"{who}-{turn + 1}-n" for who in ("operator", "plain", "kubectl")}
        await place.admin.create_namespaces(names.values())
        await place.admin.create_pool(names["operator"], "demo")
        await place.admin.settle(1, names["operator"])
        await apply_plainly(plain, in_namespace(template, names["plain"]))
        manifest = place.server.directory / "objects.json"
        _write(manifest, in_namespace(template, names["kubectl"]))
        place.cluster.kubectl("version")
        place.cluster.kubectl("apply", "--server-side", "--namespace", names["kubectl"], "-f", str(manifest))
        await place.admin.mark(f"turn-{turn}")
        requests = place.audit.read_until(f"turn-{turn}")
        if turn < 0:
            continue
        operator.append(seconds_of_operator(requests, names["operator"]))
        loop.append(seconds_of(applies(requests, names["plain"])))
        kubectl.append(seconds_of(applies(requests, names["kubectl"])))
        whole.append(_whole(requests, names["kubectl"]))
        mine = [one for one in requests if one.user == "operator" and one.namespace == names["operator"]]
        created = min(one.received for one in requests if one.namespace == names["operator"] and one.is_creation)
        first.append(min(one.received for one in mine if one.applies_object) - created)
    part = "overhead"
    return [
        _milliseconds("one pool: operator", operator),
        _milliseconds("… of which until its first apply", first),
        _milliseconds("one pool: plain loop", loop),
        _milliseconds("one pool: kubectl apply --server-side, its applies", kubectl),
        _milliseconds("one pool: kubectl apply --server-side, all its requests", whole),
        Figure(part, "one pool: operator / plain loop", "", ratios(operator, loop), LIMIT, AIM, "the reference"),
        Figure(part, "one pool: operator / kubectl's applies", "", ratios(operator, kubectl)),
        Figure(part, "one pool: operator / kubectl's requests", "", ratios(operator, whole)),
    ]


def _milliseconds(name: str, seconds: list[float]) -> Figure:
    return Figure("overhead", name, "ms", tuple(1000 * value for value in seconds))


def _whole(requests: list[Request], namespace: str) -> float:
    """Return the time of kubectl's requests, its look-ups included: those of its user agent, by their nearness."""
    own = applies(requests, namespace)
    begin = min(one.received for one in own)
    agent = {one.agent for one in own}
    return max(one.answered for one in own) - min(
        one.received
        for one in requests
        if one.agent in agent and begin - 3 < one.received and "/version" not in one.uri
    )


def _write(path: Path, objects: Template) -> None:
    items = [body for _, body in objects]
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))


async def _at_once(console: Console, place: Bench, plain: Client, template: Template) -> list[Figure]:
    operator, loop, kept = [], [], []
    for turn in range(BATCHES):
        mine, theirs = ([f"{who}-{turn}-{number}" for number in range(POOLS)] for who in ("many", "bare"))
        await place.admin.create_namespaces(mine + theirs)
        place.audit.skip()
        await gather(4, [partial(place.admin.create_pool, name, "demo") for name in mine])
        await place.admin.settle(POOLS * (turn + 1) + 1 + REPEATS + 1, seconds=300)
        await place.admin.mark(f"many-{turn}")
        requests = place.audit.read_until(f"many-{turn}")
        connections = most_in_flight(applies(requests, f"many-{turn}-"))
        objects = [in_namespace(template, name) for name in theirs]
        await gather(connections, [partial(apply_plainly, plain, one) for one in objects])
        await place.admin.mark(f"bare-{turn}")
        others = place.audit.read_until(f"bare-{turn}")
        operator.append(seconds_of_operator(requests, f"many-{turn}-"))
        loop.append(seconds_of(applies(others, f"bare-{turn}-")))
        kept.append(float(connections))
        console.say(
            f"{POOLS} pools: operator {operator[-1]:.1f} s, plain loop on {connections} connections {loop[-1]:.1f} s"
        )
    part = "overhead"
    note = f"over {int(max(kept))} connections, as many as the operator used at once"
    return [
        Figure(part, f"{POOLS} pools at once: operator", "s", tuple(operator)),
        Figure(part, f"{POOLS} pools at once: plain loops", "s", tuple(loop), note=note),
        Figure(
            part,
            f"{POOLS} pools at once: operator / plain loops",
            "",
            ratios(operator, loop),
            LIMIT,
            AIM,
            "the reference",
        ),
    ]
