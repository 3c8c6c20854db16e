"""What is left of pools that go: Kubernetes collects it, and would wait for every running job of theirs."""

from collections.abc import Iterable
from typing import Any

from .compare import owned_by
from .errors import ApiError
from .kinds import CALICO_POLICY, NAMESPACE, POD, SERVICE, kind_of
from .kube import Kube
from .labels import POOL_UID
from .naming import Names
from .observe import Children
from .pool import Pool

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


async def namespace_ends(kube: Kube, namespace: str) -> bool:
    """Return whether a namespace is being deleted; where that cannot be read, it is taken not to be."""
    try:
        found = await kube.get(NAMESPACE, None, namespace)
    except ApiError:
        return False
    return found is not None and found.get("status", {}).get("phase") == "Terminating"


async def end_with_namespace(kube: Kube, pool: Pool, children: Children) -> None:
    """Tell draining executors that their pool is gone, by taking their beacon away.

    Kubernetes deletes a namespace's pods first and everything else when they are gone, the pool included: it would wait for the drain.
    """
    beacon = children.get(SERVICE, Names(pool.name, pool.namespace).beacon(pool.uid))
    if beacon is not None and "deletionTimestamp" not in beacon["metadata"]:
        await kube.delete(SERVICE, pool.namespace, beacon["metadata"]["name"], beacon["metadata"]["uid"])
