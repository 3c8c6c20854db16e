"""Many pools on an API server without nodes: time until all are reconciled, time until all were looked at again after a restart, memory.

A restart with nothing to do leaves no write behind, so its end is the moment after which the operator's process is at rest and sends
nothing: that needs no help from the operator and forgives it nothing. That every pool was indeed looked at is shown by a second
restart, before which every pool was edited.
"""

import time
from collections.abc import Iterable
from functools import partial
from typing import Any, Self

from tools.console import Console

from .audit import Request
from .bare import POOLS, Bench, bench, gather
from .process import KIB, MIB, Memory, memory, peak, processor_seconds
from .report import Figure, Results

PER_NAMESPACE = 10
SIZES = (100, 1000)
RESTARTS = 3
PODS = 1000
QUIET_SECONDS = 3.0
RECONCILE_SECONDS = 1800.0
RESTART_SECONDS = 600.0
LIMIT, AIM = 10.0, 5.0
PART = "scale"
MERGE = "application/merge-patch+json"


class Restart:
    """One start of the operator, from the start of its process to its rest."""

    def __init__(self, place: Bench) -> None:
        self._place = place

    async def run(self) -> Self:
        """Start the operator and follow it until it is at rest."""
        operator, server = self._place.operator, self._place.server
        self._place.audit.skip()
        before = server.processor_seconds
        self.began = time.time()
        operator.start()
        at_rest, self.requests = await self._place.until_rest(QUIET_SECONDS, RESTART_SECONDS)
        self.seconds = at_rest - self.began
        self.writes = [one for one in self.requests if one.is_write]
        self.processor = processor_seconds(operator.pid)
        self.server_processor = server.processor_seconds - before
        self.peak, self.idle = peak(operator.pid), memory(operator.pid)
        return self


async def run(console: Console, results: Results) -> None:
    """Measure without pools, with some and with many, and with many executors."""
    restarts = results.repeats(RESTARTS)
    async with bench() as place:
        results.add(*_starts(0, [await _restart(place) for _ in range(restarts)]))
        pools = 0
        for size in SIZES:
            results.add(*await _grow(console, place, pools, size))
            pools = size
            console.say(f"{restarts} restarts with {size} pools")
            results.add(*_starts(size, [await _restart(place) for _ in range(restarts)]))
        results.add(*await _edited_meanwhile(console, place))
    async with bench() as place:
        results.add(*await _executors(console, place, restarts))


async def _restart(place: Bench) -> Restart:
    place.operator.stop()
    return await Restart(place).run()


async def _grow(console: Console, place: Bench, there: int, size: int) -> list[Figure]:
    """Create pools up to a number while the operator runs; tell how long it took until it had reported on all."""
    names = [(f"many-{number // PER_NAMESPACE}", f"pool-{number}") for number in range(there, size)]
    await place.admin.create_namespaces(sorted({namespace for namespace, _ in names}))
    place.audit.skip()
    console.say(f"creating {len(names)} pools")
    before, server = processor_seconds(place.operator.pid), place.server.processor_seconds
    began = time.time()
    await gather(4, [partial(place.admin.create_pool, *name) for name in names])
    created = time.time() - began
    _, requests = await place.until_rest(QUIET_SECONDS, RECONCILE_SECONDS)
    await place.admin.settle(size)
    seconds = max(one.answered for one in requests if one.is_write) - began
    console.say(f"{len(names)} pools: {_verbs(requests)}")
    what = f"{len(names)} new pools"
    return [
        Figure(PART, f"{what}: until all are reconciled", "s", (seconds,), note=f"creating them took {created:.1f} s"),
        Figure(PART, f"{what}: operator's processor time", "s", (processor_seconds(place.operator.pid) - before,)),
        Figure(PART, f"{what}: processor time of API server and etcd", "s", (place.server.processor_seconds - server,)),
        Figure(PART, f"{what}: reads per pool", "", (sum(not one.is_write for one in requests) / len(names),)),
        Figure(PART, f"{what}: writes per pool", "", (sum(one.is_write for one in requests) / len(names),)),
        *_memory(f"{size} pools, since their creation", [memory(place.operator.pid)]),
        Figure(PART, f"{size} pools: peak while they were created", "MiB", (peak(place.operator.pid) / MIB,)),
    ]


def _verbs(requests: Iterable[Request]) -> str:
    counts: dict[str, int] = {}
    for one in requests:
        counts[one.verb] = counts.get(one.verb, 0) + 1
    return ", ".join(f"{count} {verb}" for verb, count in sorted(counts.items()))


def _starts(size: int, starts: list[Restart]) -> list[Figure]:
    bounds: dict[str, Any] = {"limit": LIMIT, "aim": AIM} if size == max(SIZES) else {}
    what = f"restart with {size} pools"
    looks = [sum(one.resource == "condorpools" and one.verb == "get" for one in start.requests) for start in starts]
    return [
        Figure(PART, f"{what}: until at rest", "s", tuple(start.seconds for start in starts), **bounds),
        Figure(PART, f"{what}: writes", "", tuple(len(start.writes) for start in starts), limit=0),
        Figure(PART, f"{what}: reads", "", tuple(len(start.requests) - len(start.writes) for start in starts)),
        Figure(PART, f"{what}: of these, reads of one CondorPool", "", tuple(looks)),
        Figure(PART, f"{what}: operator's processor time", "s", tuple(start.processor for start in starts)),
        Figure(
            PART, f"{what}: processor time of API server and etcd", "s", tuple(one.server_processor for one in starts)
        ),
        *_memory(f"restart with {size} pools, then at rest", [start.idle for start in starts], limit=80),
        Figure(PART, f"{what}: peak", "MiB", tuple(start.peak / MIB for start in starts)),
    ]


def _memory(what: str, seen: list[Memory], limit: float | None = None) -> list[Figure]:
    return [
        Figure(PART, f"{what}: resident", "MiB", tuple(one.resident / MIB for one in seen)),
        Figure(PART, f"{what}: proportional share", "MiB", tuple(one.proportional / MIB for one in seen), limit=limit),
        Figure(PART, f"{what}: anonymous", "MiB", tuple(one.anonymous / MIB for one in seen)),
    ]


async def _edited_meanwhile(console: Console, place: Bench) -> list[Figure]:
    """Edit every pool while the operator is away; tell how long after its start every edit was applied."""
    pools = await place.admin.pools()
    place.operator.stop()
    console.say(f"editing {len(pools)} pools while the operator is away")
    paths = [
        f"{POOLS}/namespaces/{one['metadata']['namespace']}/condorpools/{one['metadata']['name']}" for one in pools
    ]
    patch = {"spec": {"manager": {"priorityClassName": "edited"}}}
    await gather(4, [partial(place.admin.send, "PATCH", path, patch, MERGE) for path in paths])
    start = await Restart(place).run()
    await place.admin.settle(len(pools))
    applied = [one.answered for one in start.writes if one.resource == "deployments"]
    changed = {(one.namespace, one.name) for one in start.writes if one.resource == "deployments"}
    what = f"restart with {len(pools)} pools edited meanwhile"
    return [
        Figure(PART, f"{what}: until the last edit is applied", "s", (max(applied) - start.began,)),
        Figure(PART, f"{what}: until at rest", "s", (start.seconds,)),
        Figure(PART, f"{what}: pools whose manager changed", "", (len(changed),)),
        Figure(PART, f"{what}: writes per pool", "", (len(start.writes) / len(pools),)),
    ]


async def _executors(console: Console, place: Bench, restarts: int) -> list[Figure]:
    """Give one pool a thousand executor pods; tell what each costs the operator in memory."""
    await place.admin.create_namespaces(["wide"])
    spec = {"executors": [{"name": "cpu", "replicas": PODS}]}
    await place.admin.create_pool("wide", "demo", spec)
    place.operator.start()
    await place.admin.settle(1)
    bare = [await _restart(place) for _ in range(restarts)]
    console.say(f"creating {PODS} executor pods")
    path = "/apis/apps/v1/namespaces/wide/statefulsets/demo-cpu"
    stateful_set = await place.admin.send("GET", path)
    before, began = processor_seconds(place.operator.pid), time.time()
    await gather(4, [partial(_pod, place, stateful_set, number) for number in range(PODS)])
    created = time.time() - began
    ended, _ = await place.until_rest(QUIET_SECONDS, RESTART_SECONDS)
    used, top, grown = (
        processor_seconds(place.operator.pid) - before,
        peak(place.operator.pid),
        memory(place.operator.pid),
    )
    console.say(
        f"created in {created:.1f} s, the operator was at rest after {ended - began:.1f} s and {used:.1f} s of processor"
    )
    full = [await _restart(place) for _ in range(restarts)]
    cost = [(b.idle.proportional - a.idle.proportional) / PODS / KIB for a, b in zip(bare, full, strict=True)]
    since = (grown.proportional - bare[-1].idle.proportional) / PODS / KIB
    what = f"{PODS} executor pods"
    return [
        Figure(PART, f"{what}: memory for each, after a restart", "KiB", tuple(cost), limit=20),
        Figure(PART, f"{what}: memory for each, since their creation", "KiB", (since,), limit=20),
        Figure(PART, f"{what}: peak while they were created", "MiB", (top / MIB,)),
        Figure(PART, f"{what}: restart until at rest", "s", tuple(one.seconds for one in full)),
        Figure(PART, f"{what}: peak during restart", "MiB", tuple(one.peak / MIB for one in full)),
        Figure(PART, f"{what}: operator's processor time while they came", "s", (used,)),
    ]


async def _pod(place: Bench, stateful_set: dict[str, Any], number: int) -> None:
    """Make a pod as its controller and its kubelet would: the template's content, an owner, and a status."""
    template = stateful_set["spec"]["template"]
    name = f"{stateful_set['metadata']['name']}-{number}"
    owner = {key: stateful_set["metadata"][key] for key in ("name", "uid")} | {"controller": True}
    metadata = {
        **{key: template["metadata"][key] for key in ("labels", "annotations")},
        "name": name,
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", **owner}],
    }
    metadata["labels"] = {
        **metadata["labels"],
        "apps.kubernetes.io/pod-index": str(number),
        "statefulset.kubernetes.io/pod-name": name,
    }
    spec = {**template["spec"], "nodeName": f"node-{number % 100}"}
    path = "/api/v1/namespaces/wide/pods"
    await place.admin.send("POST", path, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    now = "2026-01-01T00:00:00Z"
    kinds = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    conditions = [{"type": kind, "status": "True", "lastTransitionTime": now} for kind in kinds]
    containers = [
        {
            "name": container["name"],
            "image": container["image"],
            "imageID": f"sha256:{number:064d}",
            "containerID": f"containerd://{number:064d}",
            "ready": True,
            "started": True,
            "restartCount": 0,
            "state": {"running": {"startedAt": now}},
        }
        for container in spec["containers"]
    ]
    address = f"10.{number // 62500}.{number // 250 % 250}.{number % 250 + 1}"
    status = {
        "phase": "Running",
        "podIP": address,
        "startTime": now,
        "conditions": conditions,
        "containerStatuses": containers,
    }
    await place.admin.send("PATCH", f"{path}/{name}/status", {"status": status}, MERGE)
