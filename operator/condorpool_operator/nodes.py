"""The nodes on which executors run, watched for their end: a right that only an operator of the whole cluster has."""

import asyncio
import logging
from collections.abc import Callable

from .ends import Ledger, is_gone
from .errors import ApiError
from .kinds import NODE
from .kube import Kube
from .pool import PoolKey

logger = logging.getLogger(__name__)

PERIOD_SECONDS = 5.0
"""Between two looks for nodes that have come into doubt; nothing is asked while none has."""
PAUSE_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 60.0


class NodeWatch:
    """Asks for a node when an executor on it is not well, or vanished, and again whenever the node changes or goes."""

    def __init__(self, kube: Kube, ledger: Ledger, add: Callable[[PoolKey], None]) -> None:
        self._kube = kube
        self._ledger = ledger
        self._add = add
        self._asked: set[str] = set()

    async def run(self) -> None:
        """Watch for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch())
            group.create_task(self._look())

    async def _watch(self) -> None:
        version, failures = None, 0
        while True:
            try:
                if version is None:
                    version = await self._kube.version(NODE, None)
                    self._asked.clear()
                async for meta in self._kube.watch_metadata(NODE, None, "", version):
                    version, failures = meta["resourceVersion"], 0
                    if self._ledger.hosts(meta.get("name", "")):
                        await self._ask(meta["name"])
            except ApiError as error:
                version = None if 400 <= error.status < 500 else version
                failures += 1
                if failures == 2:
                    logger.warning("watching nodes: %s; trying again", error)
            await asyncio.sleep(min(PAUSE_SECONDS * 2**failures, LONGEST_PAUSE_SECONDS))

    async def _look(self) -> None:
        while True:
            doubtful = self._ledger.doubtful()
            self._asked &= doubtful
            for node in sorted(doubtful - self._asked):
                await self._ask(node)
            await asyncio.sleep(PERIOD_SECONDS)

    async def _ask(self, name: str) -> None:
        """Ask the API server itself, whatever a watch or a list may have shown, and tell the pools of a node that is gone."""
        try:
            node = await self._kube.get(NODE, None, name)
        except ApiError:
            self._asked.discard(name)
            return
        self._asked.add(name)
        if is_gone(node):
            for pool in self._ledger.node_gone(name):
                logger.info("%s/%s: node %s is gone, and its executors with it", *pool, name)
                self._add(pool)
