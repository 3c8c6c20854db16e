"""The watches that turn a change of any object into work on the pools that consist of it or refer to it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any

from . import labels
from .discovery import CalicoApi
from .ends import Ledger, life_of
from .errors import ApiError
from .kinds import APPLIED, CALICO_POLICY, CONFIG_MAP, POD, SECRET, Kind
from .kube import Kube
from .naming import EXECUTOR
from .pool import PoolKey

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 0.5
"""Between two watches of a kind, doubled with each failure."""
LONGEST_PAUSE_SECONDS = 10.0
TELLING_FAILURE = 2
"""The failure in a row that is worth a line: a watch that breaks once is normal."""


class ReferenceIndex:
    """Pools by the ConfigMaps and Secrets that they refer to."""

    def __init__(self) -> None:
        self._of_pool: dict[PoolKey, frozenset[tuple[str, str, str]]] = {}
        self._pools: dict[tuple[str, str, str], set[PoolKey]] = {}

    def note(self, pool: PoolKey, references: Mapping[str, Iterable[str]]) -> None:
        """Replace what a pool refers to: names by kind, in the pool's own namespace."""
        wanted = frozenset((kind, pool[0], name) for kind, names in references.items() for name in names)
        if wanted == self._of_pool.get(pool):
            return
        self.forget(pool)
        self._of_pool[pool] = wanted
        for reference in wanted:
            self._pools.setdefault(reference, set()).add(pool)

    def forget(self, pool: PoolKey) -> None:
        """Drop a pool."""
        for reference in self._of_pool.pop(pool, frozenset()):
            pools = self._pools[reference]
            pools.discard(pool)
            if not pools:
                del self._pools[reference]

    def pools(self, kind: str, namespace: str, name: str) -> frozenset[PoolKey]:
        """Return the pools that refer to an object."""
        return frozenset(self._pools.get((kind, namespace, name), ()))


class Watches:
    """Watches of everything that pools consist of or refer to; each change means one thing: look at that pool."""

    def __init__(
        self,
        kube: Kube,
        references: ReferenceIndex,
        ledger: Ledger,
        calico: CalicoApi,
        add: Callable[[PoolKey], None],
        resync: Callable[[], None],
    ) -> None:
        self._kube = kube
        self._references = references
        self._ledger = ledger
        self._calico = calico
        self._add = add
        self._resync = resync

    async def run(self, namespaces: Iterable[str]) -> None:
        """Watch for ever."""
        scopes: list[str | None] = list(namespaces) or [None]
        async with asyncio.TaskGroup() as group:
            for scope in scopes:
                for kind in (*APPLIED, POD):
                    group.create_task(self._watch(kind, scope))

    async def _watch(self, kind: Kind, scope: str | None) -> None:
        """Watch one kind for ever; where changes may have been missed, every pool is looked at again."""
        referenced = kind in (CONFIG_MAP, SECRET)
        version, failures = None, 0
        while True:
            if kind == CALICO_POLICY:
                await self._calico.wait_served()
            try:
                if version is None:
                    version = await self._kube.version(kind, scope)
                    self._resync()
                    await self._find_remains(kind, scope)
                async for meta in self._changes(kind, scope, "" if referenced else labels.KNOWN, version):
                    version, failures = meta["resourceVersion"], 0
                    self._notice(kind, meta)
            except ApiError as error:
                version = None if 400 <= error.status < 500 else version
                failures += 1
                if failures == TELLING_FAILURE:
                    logger.warning("watching %s %s: %s; trying again", kind.api_version, kind.plural, error)
                if kind == CALICO_POLICY and await self._calico.look(self._kube):
                    self._resync()
            await asyncio.sleep(min(PAUSE_SECONDS * 2**failures, LONGEST_PAUSE_SECONDS))

    async def _changes(
        self, kind: Kind, scope: str | None, selector: str, version: str
    ) -> AsyncIterator[Mapping[str, Any]]:
        """Yield the metadata of what changes; of pods, whose last words are worth keeping, the rest is read as well."""
        if kind != POD:
            async for meta in self._kube.watch_metadata(kind, scope, selector, version):
                yield meta
            return
        async for change, pod in self._kube.watch_objects(kind, scope, selector, version):
            self._take(change, pod)
            yield pod["metadata"]

    def _take(self, change: str, pod: Mapping[str, Any]) -> None:
        meta = pod["metadata"]
        if (meta.get("labels") or {}).get(labels.COMPONENT) != EXECUTOR:
            return
        pool, life = (meta["namespace"], meta["labels"][labels.POOL]), life_of(pod)
        if change == "DELETED":
            self._ledger.deleted(pool, life)
        else:
            self._ledger.seen(pool, life)

    async def _find_remains(self, kind: Kind, scope: str | None) -> None:
        """Ask for a look at every pool that has pods or Calico policies: one that is gone has no other way to be noticed."""
        if kind in (POD, CALICO_POLICY):
            async for meta in self._kube.list_metadata(kind, scope, labels.KNOWN):
                self._add((meta["namespace"], meta["labels"][labels.POOL]))

    def _notice(self, kind: Kind, meta: Mapping[str, Any]) -> None:
        if not meta.get("name"):  # a bookmark
            return
        pool = (meta.get("labels") or {}).get(labels.POOL)
        if pool is not None:
            self._add((meta["namespace"], pool))
        for key in self._references.pools(kind.name, meta["namespace"], meta["name"]):
            self._add(key)
