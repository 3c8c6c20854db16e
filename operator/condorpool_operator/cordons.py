"""Which nodes are cordoned; followed by an operator of the whole cluster only, as nodes are nobody's namespace.

A field selector leaves all other nodes out, so nothing of their heartbeats is ever sent here.
"""

import asyncio
import logging
from collections.abc import Callable, Set
from time import monotonic

from .errors import DOUBT_SECONDS, ApiError
from .kinds import NODE
from .kube import Kube

logger = logging.getLogger(__name__)

CORDONED = "spec.unschedulable=true"
PAUSE_SECONDS = 1.0
"""Between two watches, doubled with each failure."""
LONGEST_PAUSE_SECONDS = 60.0


class Cordons:
    """The cordoned nodes by the last clear answer."""

    def __init__(self, kube: Kube, changed: Callable[[Set[str] | None], None]) -> None:
        """Take what is called with the nodes that were cordoned or uncordoned, None where it is not known which."""
        self._kube = kube
        self._changed = changed
        self.nodes: frozenset[str] | None = frozenset()
        """Names of the nodes; None while they are to be followed and not known yet."""
        self._forbidden_since: float | None = None

    async def run(self) -> None:
        """Follow the nodes for ever; where the right to do so stays away none counts as cordoned."""
        self.nodes = None
        failures = 0
        while True:
            try:
                await self._follow()
                failures = 0
            except ApiError as error:
                failures += 1
                if failures == 1:
                    logger.warning("cordons are not followed: %s; trying again", error)
                self._doubt(error)
            await asyncio.sleep(min(PAUSE_SECONDS * 2**failures, LONGEST_PAUSE_SECONDS))

    def _doubt(self, error: ApiError) -> None:
        """Keep what is known through a failure, unless it is that the right is missing, and has been for a while."""
        if error.status != 403:
            self._forbidden_since = None
        elif self._forbidden_since is None:
            self._forbidden_since = monotonic()
        elif monotonic() >= self._forbidden_since + DOUBT_SECONDS:
            self._take(frozenset())

    async def _follow(self) -> None:
        """List, and again at each change, until a watch ends."""
        version = await self._kube.version(NODE, None)
        await self._list()
        async for meta in self._kube.watch_metadata(NODE, None, "", version, CORDONED):
            if meta.get("name"):  # no bookmark
                await self._list()

    async def _list(self) -> None:
        nodes = frozenset([meta["name"] async for meta in self._kube.list_metadata(NODE, None, "", CORDONED)])
        self._forbidden_since = None
        self._take(nodes)

    def _take(self, cordoned: frozenset[str]) -> None:
        if cordoned != self.nodes:
            changed = None if self.nodes is None else cordoned ^ self.nodes
            self.nodes = cordoned
            self._changed(changed)
