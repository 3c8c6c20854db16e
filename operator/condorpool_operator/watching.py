"""Which pools refer to which of the users' objects, and the watches that turn a change of one into work on the other."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping

from .errors import ApiError
from .kinds import BY_NAME, CONFIG_MAP, SECRET, Kind
from .kube import Kube

logger = logging.getLogger(__name__)

PoolKey = tuple[str, str]
"""Namespace and name of a CondorPool."""

PAUSE_SECONDS = 2.0
"""Between two watches of a kind."""


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


async def watch_references(
    kube: Kube, namespaces: Iterable[str], references: ReferenceIndex, add: Callable[[PoolKey], None]
) -> None:
    """Watch names and versions of all ConfigMaps and Secrets, for ever, and ask for work on the pools that refer to them."""
    scopes: list[str | None] = list(namespaces) or [None]
    async with asyncio.TaskGroup() as group:
        for scope in scopes:
            for kind in (CONFIG_MAP, SECRET):
                group.create_task(_watch(kube, kind, scope, references, add))


async def _watch(
    kube: Kube, kind: Kind, scope: str | None, references: ReferenceIndex, add: Callable[[PoolKey], None]
) -> None:
    while True:
        try:
            async for namespace, name in kube.watch_names(BY_NAME[kind.name], scope):
                for pool in references.pools(kind.name, namespace, name):
                    add(pool)
        except ApiError as error:
            logger.warning("watching %s: %s; trying again", kind.plural, error)
        await asyncio.sleep(PAUSE_SECONDS)
