"""What is left of pools that are gone: Kubernetes collects it, and would wait for every running job of theirs."""

from collections.abc import Iterable
from typing import Any

from .compare import owned_by
from .kinds import CALICO_POLICY, POD, kind_of
from .kube import Kube
from .labels import POOL_UID

GRACE_SECONDS = 10
"""What the pods of a deleted pool get to end, whatever their own grace is: nobody can use their jobs' results any more."""


async def hurry(kube: Kube, strays: Iterable[dict[str, Any]]) -> None:
    """End what is left of former pools: pods that Kubernetes told to end, soon; and policies, which not every Calico collects.

    A pod that nobody told to end is left alone: whoever deletes a pool with `--cascade=orphan` wants to keep it.
    """
    for obj in strays:
        kind, meta = kind_of(obj), obj["metadata"]
        slow = meta.get("deletionGracePeriodSeconds") or 0
        if kind == POD and "deletionTimestamp" in meta and slow > GRACE_SECONDS:
            await kube.delete(kind, meta["namespace"], meta["name"], meta["uid"], GRACE_SECONDS)
        elif kind == CALICO_POLICY and "deletionTimestamp" not in meta and owned_by(meta["labels"][POOL_UID], obj):
            await kube.delete(kind, meta["namespace"], meta["name"], meta["uid"])
