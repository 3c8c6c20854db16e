"""Start and end of the operator's process."""

import asyncio
import logging
from typing import Any

import kopf

from ..kinds import APPLIED, POD
from ..kube import Kube
from ..labels import KNOWN
from ..reconcile import Reconciler
from ..settings import Settings
from ..watching import PoolKey, ReferenceIndex, watch_references
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
    for kind in (*APPLIED, POD):
        settings.watching.label_selectors[*kind.group_version, kind.plural] = KNOWN
    queue: WorkQueue[PoolKey] = WorkQueue(own.resync_seconds)
    references = ReferenceIndex()
    kube = await Kube.connect(own.request_timeout_seconds)
    reconciler = Reconciler(kube, own, references)
    memo.queue, memo.kube = queue, kube
    work = {f"worker {number}": queue.work(reconciler) for number in range(own.workers)}
    work["references"] = watch_references(kube, own.namespaces, references, queue.add)
    memo.tasks = [asyncio.create_task(coroutine, name=name) for name, coroutine in work.items()]
    for task in memo.tasks:
        task.add_done_callback(_tell_end)
    logger.info("watching %s", ", ".join(own.namespaces) or "all namespaces")


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
    await memo.kube.close()
