"""Start and end of the operator's process."""

import asyncio
import logging
from collections.abc import Set
from typing import Any

import kopf

from ..agentclient import AgentClient
from ..cordons import Cordons
from ..discovery import CalicoApi, wait_for_pools, watch_discovery
from ..ends import Ledger
from ..kube import Kube
from ..nodes import NodeWatch
from ..pool import PoolKey
from ..poolstate import Poller
from ..reconcile import Reconciler
from ..settings import Settings
from ..watching import ReferenceIndex, Watches
from ..workqueue import WorkQueue

logger = logging.getLogger(__name__)


@kopf.on.startup()
async def start(settings: kopf.OperatorSettings, memo: kopf.Memo, **_: Any) -> None:
    """Configure kopf to write nothing of its own, and start the workers."""
    own: Settings = memo.settings
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = bool(own.namespaces)
    settings.networking.request_timeout = own.request_timeout_seconds
    settings.networking.enforce_retry_after = True
    settings.queueing.exit_timeout = 2.0
    queue: WorkQueue[PoolKey] = WorkQueue(own.resync_seconds)
    references, ledger = ReferenceIndex(), Ledger()
    kube = await Kube.connect(own.request_timeout_seconds)
    memo.kube, memo.tasks = kube, []
    await wait_for_pools(kube)
    calico = CalicoApi()
    await calico.look(kube)
    watches = Watches(kube, references, ledger, calico, queue.add, queue.resync)
    memo.agents = AgentClient()
    poller = Poller(memo.agents, queue.add)

    def look(nodes: Set[str] | None) -> None:
        """Look at the pools with executors on these nodes; what is not running yet is looked at when it does."""
        if nodes is None:
            queue.resync()
        for pool in ledger.pools_on(nodes or frozenset()):
            queue.add(pool)

    cordons = Cordons(kube, look)
    reconciler = Reconciler(kube, own, references, ledger, calico, memo.agents, poller, cordons)
    memo.queue, memo.reconciler = queue, reconciler
    work = {f"worker {number}": queue.work(reconciler) for number in range(own.workers)}
    work["watches"] = watches.run(own.namespaces)
    work["agents"] = poller.run()
    work["discovery"] = watch_discovery(kube, calico, queue.resync)
    if not own.namespaces:
        work["cordons"] = cordons.run()
        work["nodes"] = NodeWatch(kube, ledger, queue.add).run()
    memo.tasks = [asyncio.create_task(coroutine, name=name) for name, coroutine in work.items()]
    for task in memo.tasks:
        task.add_done_callback(_tell_end)
    logger.info("serving %s", ", ".join(own.namespaces) or "all namespaces")


def _tell_end(task: asyncio.Task[None]) -> None:
    """Log what ended a task that should live as long as the process; the liveness probe then ends the process."""
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("%s ended", task.get_name(), exc_info=error)


@kopf.on.cleanup()
async def stop(memo: kopf.Memo, **_: Any) -> None:
    """Stop the workers; what is half done is done again by the next process."""
    for task in memo.tasks:
        task.cancel()
    await asyncio.gather(*memo.tasks, return_exceptions=True)
    if memo.tasks:
        memo.reconciler.close()
        await memo.agents.close()
    await memo.kube.close()
