"""The live objects of pools, read once per reconcile: for many pools at once where many are looked at."""

import asyncio
import base64
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from . import labels
from .discovery import CalicoApi
from .ends import life_of
from .errors import ApiError
from .kinds import APPLIED, CALICO_POLICY, CLAIM, CONFIG_MAP, POD, SECRET, Kind, kind_of
from .kube import Kube
from .naming import EXECUTOR
from .pool import Pool, PoolKey

MOST_POOLS = 50
"""Pools in one look: bounds memory, and the length of a selector."""
FEW_NAMESPACES = 4
"""Up to so many namespaces are listed one by one; for more, one list of the whole cluster costs less."""

TELLING_CONDITIONS = ("Ready", "PodScheduled", "PodReadyToStartContainers")
TELLING_FIELDS = ("name", "image", "ready", "restartCount", "state", "lastState")
"""What is kept of a pod that is not ready."""

Obj = dict[str, Any]


class Children:
    """The objects of one pool by kind and name, and what stands in its place from a former pool of the same name."""

    def __init__(
        self,
        objects: Iterable[Obj] = (),
        strays: Iterable[Obj] = (),
        unseen: Mapping[Kind, ApiError] | None = None,
        asked_at: float = 0.0,
    ) -> None:
        self._objects = {(kind_of(obj), obj["metadata"]["name"]): obj for obj in objects}
        self.strays = tuple(strays)
        self.unseen = dict(unseen or {})
        """Kinds that could not be listed; nothing is known about objects of them."""
        self.asked_at = asked_at
        """When the API server was asked, Unix seconds: what is here was there then, or came later."""

    def get(self, kind: Kind, name: str) -> Obj | None:
        """Return an object, or None."""
        return self._objects.get((kind, name))

    def put(self, obj: Obj) -> None:
        """Note an object's new state."""
        self._objects[kind_of(obj), obj["metadata"]["name"]] = obj

    def remove(self, kind: Kind, name: str) -> None:
        """Note that an object is gone."""
        self._objects.pop((kind, name), None)

    def all(self) -> Iterator[Obj]:
        """Iterate over a snapshot of all objects."""
        return iter(list(self._objects.values()))

    def secret(self, name: str) -> dict[str, bytes]:
        """Return the decoded keys of a Secret; empty where there is none."""
        secret = self.get(SECRET, name) or {}
        return {key: base64.b64decode(value) for key, value in (secret.get("data") or {}).items()}

    def some_pod_ends(self) -> bool:
        """Return whether one of the pods was told to end."""
        return any(kind == POD and "deletionTimestamp" in obj["metadata"] for (kind, _), obj in self._objects.items())

    def pods(self, component: str, group: str | None = None) -> list[Obj]:
        """Return the pods of a component (and group), by name."""
        wanted = {labels.COMPONENT: component} | ({} if group is None else {labels.EXECUTOR_GROUP: group})
        found = [
            obj
            for (kind, _), obj in self._objects.items()
            if kind == POD and wanted.items() <= obj["metadata"]["labels"].items()
        ]
        return sorted(found, key=lambda pod: str(pod["metadata"]["name"]))


def belongs(pool: Pool, obj: Obj) -> bool:
    """Return whether an object that carries a pool's name is its own, or a claim that a former pool left to it."""
    meta = obj["metadata"]
    if meta["labels"].get(labels.POOL_UID) == pool.uid:
        return True
    return kind_of(obj) == CLAIM and not meta.get("ownerReferences") and "deletionTimestamp" not in meta


@dataclass
class _Seen:
    """What lists showed: objects by pool, and by kind why it could not be listed in a namespace (None: in the whole cluster)."""

    asked_at: float
    objects: dict[PoolKey, list[Obj]] = field(default_factory=dict)
    refused: dict[Kind, dict[str | None, ApiError]] = field(default_factory=dict)

    def unseen(self, namespace: str) -> dict[Kind, ApiError]:
        """Return the kinds of which nothing is known in a namespace; what is refused in another is nobody's business here."""
        found = {kind: scopes.get(namespace) or scopes.get(None) for kind, scopes in self.refused.items()}
        return {kind: error for kind, error in found.items() if error is not None}


@dataclass
class _Batch:
    """Pools that share a look."""

    keys: set[PoolKey] = field(default_factory=set)
    task: asyncio.Task[_Seen] | None = None


class Observer:
    """Reads the objects of pools; those that are asked for while a look is under way share the next one."""

    def __init__(self, kube: Kube, calico: CalicoApi, namespaces: Iterable[str]) -> None:
        self._kube = kube
        self._calico = calico
        self._namespaces = tuple(namespaces)
        self._open: _Batch | None = None
        self._looking = asyncio.Lock()
        self._tasks: set[asyncio.Task[_Seen]] = set()

    def close(self) -> None:
        """Stop looking."""
        for task in self._tasks:
            task.cancel()

    async def children(self, pool: Pool) -> Children:
        """Return the objects of a pool; a kind that cannot be listed is noted as unseen."""
        key = (pool.namespace, pool.name)
        seen = await self._ask(key)
        mine: list[Obj] = []
        strays: list[Obj] = []
        for obj in seen.objects.get(key, ()):
            (mine if belongs(pool, obj) else strays).append(obj)
        return Children(mine, strays, seen.unseen(pool.namespace), seen.asked_at)

    async def remains(self, key: PoolKey) -> list[Obj]:
        """Return the objects that carry the name of a pool that is gone; ApiError where those that need a hand cannot be listed.

        Nobody else asks for a look at them: pods that were told to end may drain for a day without a change.
        """
        seen = await self._ask(key)
        unseen = seen.unseen(key[0])
        for kind in (POD, CALICO_POLICY):
            if kind in unseen:
                raise unseen[kind]
        return seen.objects.get(key, [])

    async def _ask(self, key: PoolKey) -> _Seen:
        batch = self._open
        if batch is None or batch.task is None or len(batch.keys) >= MOST_POOLS:
            batch = self._open = _Batch()
            batch.task = asyncio.create_task(self._look(batch))
            self._tasks.add(batch.task)
            batch.task.add_done_callback(self._tasks.discard)
        batch.keys.add(key)
        return await asyncio.shield(batch.task)

    async def _look(self, batch: _Batch) -> _Seen:
        async with self._looking:
            if self._open is batch:
                self._open = None
            kinds = [kind for kind in (*APPLIED, POD) if kind != CALICO_POLICY or self._calico.served]
            seen = _Seen(time.time())
            await asyncio.gather(*(self._list(kind, batch.keys, seen) for kind in kinds))
            return seen

    async def _list(self, kind: Kind, batch: Set[PoolKey], seen: _Seen) -> None:
        selector = labels.of_pools({name for _, name in batch})
        for namespace in self._scopes({namespace for namespace, _ in batch}):
            try:
                found = [_slim(kind, obj) async for obj in self._kube.list(kind, namespace, selector)]
            except ApiError as error:
                seen.refused.setdefault(kind, {})[namespace] = error
                continue
            for obj in found:
                meta = obj["metadata"]
                seen.objects.setdefault((meta["namespace"], meta["labels"][labels.POOL]), []).append(obj)

    def _scopes(self, namespaces: Set[str]) -> Sequence[str | None]:
        if self._namespaces or len(namespaces) <= FEW_NAMESPACES:
            return sorted(namespaces)
        return [None]


def _slim(kind: Kind, obj: Obj) -> Obj:
    """Return an object without what nobody here reads: pods come by the thousand."""
    meta = obj["metadata"]
    fields = meta.pop("managedFields", ())
    if kind in (CONFIG_MAP, SECRET):  # what was written when
        meta["managedFields"] = [{key: one.get(key) for key in ("manager", "operation", "time")} for one in fields]
    if kind == CALICO_POLICY:  # Calico 3.29.0 to 3.29.3 put the name of their tier in front
        meta["name"] = meta["name"].removeprefix("default.")
    if kind != POD:
        return obj
    kept = (
        *("name", "namespace", "uid", "labels", "annotations"),
        *("creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"),
    )
    return {
        "apiVersion": obj["apiVersion"],
        "kind": obj["kind"],
        "metadata": {key: meta[key] for key in kept if key in meta},
        "spec": {"nodeName": sys.intern(obj.get("spec", {}).get("nodeName", ""))},
        "status": _slim_status(obj.get("status", {})),
        **({"life": life_of(obj)} if meta["labels"].get(labels.COMPONENT) == EXECUTOR else {}),
    }


def _slim_status(status: Obj) -> Obj:
    """Return what is needed of a pod's status: of one that is ready, which containers it has; of another, what may say why it is not.

    Executors have one container and come by the thousand, so of a ready pod with a single one it is not noted.
    """
    statuses = status.get("containerStatuses") or ()
    conditions = {one["type"]: one for one in status.get("conditions", ())}
    ready = conditions.get("Ready")
    addresses: Obj = {key: status[key] for key in ("hostIP", "podIP") if key in status}
    if ready is not None and ready["status"] == "True":
        kept = {key: ready[key] for key in ("type", "status", "lastTransitionTime") if key in ready}
        names = [{"name": one["name"], "ready": one["ready"]} for one in statuses]
        several = {"containerStatuses": names} if len(names) > 1 else {}
        return {"conditions": [kept], **addresses, **several}
    return {
        "conditions": [conditions[kind] for kind in TELLING_CONDITIONS if kind in conditions],
        **addresses,
        "phase": status.get("phase"),
        "containerStatuses": [{key: one[key] for key in TELLING_FIELDS if key in one} for one in statuses],
    }
