"""Whether the cluster serves Calico's own policies: asked at start and again and again, as the API may come and go.

The discovery document is open to every account, so this works without any right for the whole cluster; nothing in it can be watched.
"""

import asyncio
import logging
from collections.abc import Callable

from .errors import ApiError
from .kinds import CALICO_POLICY, CONDOR_POOL
from .kube import Kube

logger = logging.getLogger(__name__)

LOOK_SECONDS = 10.0
PAUSE_SECONDS = 2.0
"""Between two looks while there is nothing to work with."""


class CalicoApi:
    """What is known about projectcalico.org/v3."""

    def __init__(self) -> None:
        self._served = asyncio.Event()

    @property
    def served(self) -> bool:
        """Whether the API is served, by the last clear answer; not before there was one."""
        return self._served.is_set()

    async def wait_served(self) -> None:
        """Wait until the API is served."""
        await self._served.wait()

    async def look(self, kube: Kube) -> bool:
        """Ask once and return whether what is known changed; an unclear answer changes nothing."""
        before = self.served
        try:
            resources = await kube.resources(CALICO_POLICY.api_version)
        except ApiError as error:
            logger.warning("asking for %s: %s", CALICO_POLICY.api_version, error)
            return False
        if CALICO_POLICY.plural in resources:
            self._served.set()
        else:
            self._served.clear()
        return self.served != before


async def wait_for_pools(kube: Kube) -> None:
    """Wait until the API server answers and serves CondorPools; say so while it does not."""
    told = ""
    while True:
        try:
            if CONDOR_POOL.plural in await kube.resources(CONDOR_POOL.api_version):
                return
            waiting = (
                f"{CONDOR_POOL.plural} of {CONDOR_POOL.api_version} are not served: install the CRD; waiting for it"
            )
        except ApiError as error:
            waiting = f"{error}; trying again"
        if waiting != told:
            logger.warning(waiting)
            told = waiting
        await asyncio.sleep(PAUSE_SECONDS)


async def watch_discovery(kube: Kube, calico: CalicoApi, changed: Callable[[], None]) -> None:
    """Look for ever; call `changed` when the API came or went."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        if await calico.look(kube):
            logger.info("%s is %s", CALICO_POLICY.api_version, "served" if calico.served else "no longer served")
            changed()
