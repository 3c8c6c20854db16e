"""Makes the cluster hold what is desired: server-side apply where something differs, and removal of what is no longer wanted."""

import asyncio
import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from . import naming
from .builders.credentials import token_place
from .compare import differs, owned_by, taken_over
from .errors import ApiError
from .kinds import CALICO_POLICY, CLAIM, POD, POLICIES, SECRET, WORKLOADS, kind_of
from .kube import Kube
from .labels import FIELD_MANAGER, POOL
from .naming import Names
from .observe import Children
from .pool import Pool
from .problems import ForeignObjectError, FormerObjectError, object_problem
from .seen import Problem

OVERLAP_SECONDS = 10.0
"""For which policies of another kind stay after the new ones are there, so that whatever enforces them has both for a while."""


async def apply_objects(
    kube: Kube, pool: Pool, desired: Iterable[Mapping[str, Any]], children: Children
) -> list[Problem]:
    """Apply what differs and put what came of it into `children`; return what could not be applied.

    One object's failure does not keep the others from being applied: a wrong group must not stop the right ones. Only no workload is
    created before the policies that guard it are there, and no token is stored whose key is not: the next look would make other keys.
    Objects of a kind that could not be listed are left alone.
    """
    seen = [obj for obj in desired if kind_of(obj) not in children.unseen]
    objects = [obj for obj in seen if differs(obj, children.get(kind_of(obj), obj["metadata"]["name"]))]
    names = Names(pool.name, pool.namespace)
    policies = [obj for obj in objects if kind_of(obj) in POLICIES]
    keys = [obj for obj in objects if kind_of(obj) == SECRET and obj["metadata"]["name"] == names.signing_keys]
    workloads = [obj for obj in objects if kind_of(obj) in WORKLOADS]
    others = [obj for obj in objects if obj not in keys and kind_of(obj) not in (*POLICIES, *WORKLOADS)]
    unguarded = await _apply_all(kube, pool, policies, children)
    keyless = await _apply_all(kube, pool, keys, children)
    if keyless:
        tokens = {token_place(names, role)[0] for role in naming.TOKEN_ROLES}
        others = [obj for obj in others if kind_of(obj) != SECRET or obj["metadata"]["name"] not in tokens]
    problems = unguarded + keyless + await _apply_all(kube, pool, others, children)
    if unguarded or not children.unseen.keys().isdisjoint(POLICIES):
        workloads = [obj for obj in workloads if children.get(kind_of(obj), obj["metadata"]["name"]) is not None]
    return problems + await _apply_all(kube, pool, workloads, children)


async def _apply_all(kube: Kube, pool: Pool, objects: Iterable[Mapping[str, Any]], children: Children) -> list[Problem]:
    results = await asyncio.gather(*(_apply(kube, pool, obj, children) for obj in objects))
    return [problem for problem in results if problem is not None]


async def _apply(kube: Kube, pool: Pool, obj: Mapping[str, Any], children: Children) -> Problem | None:
    live = children.get(kind_of(obj), obj["metadata"]["name"])
    try:
        children.put(await _create(kube, pool, obj) if live is None else await _apply_over(kube, obj, live))
    except ApiError as error:
        return object_problem(obj, error)
    return None


async def _create(kube: Kube, pool: Pool, obj: Mapping[str, Any]) -> dict[str, Any]:
    """Create an object, or say whose the one is that has its name.

    Nothing is applied over what was not listed, be it the pool's own: it may be keys that pods have read by now, made by a request of
    this process, or of its predecessor, that was given up and took effect later. The next look sees them.
    """
    if kind_of(obj) == CALICO_POLICY:
        await _refuse_foreign(kube, pool, obj)
        return await kube.apply(obj)
    try:
        return await kube.create(obj)
    except ApiError as error:
        if error.status == 409:
            await _refuse_foreign(kube, pool, obj)
        raise


async def _apply_over(kube: Kube, obj: Mapping[str, Any], live: Mapping[str, Any]) -> dict[str, Any]:
    """Apply an object; where what somebody added by hand makes it invalid, own that first, so that the apply takes it out.

    Server-side apply leaves what others own: a second port of the same name, the parameters of another strategy. A Secret is changed
    only as it was seen: a request that takes effect late must not bring former keys back.
    """
    if kind_of(obj) == SECRET:
        version = live["metadata"]["resourceVersion"]
        return await kube.apply({**obj, "metadata": {**obj["metadata"], "resourceVersion": version}})
    try:
        return await kube.apply(obj)
    except ApiError as error:
        if error.status != 422 or kind_of(obj) == CLAIM or "spec" not in obj:
            raise
    await _take_over(kube, obj, live["metadata"]["uid"])
    return await kube.apply(obj)


async def _take_over(kube: Kube, obj: Mapping[str, Any], uid: str) -> None:
    """Own what others own of an object's spec: to write it by anything but an apply would leave an owner that no apply can drop."""
    live = await kube.get(kind_of(obj), obj["metadata"]["namespace"], obj["metadata"]["name"])
    if live is not None and live["metadata"]["uid"] == uid:
        fields = live["metadata"].get("managedFields", [])
        if (taken := taken_over(fields, FIELD_MANAGER, obj["apiVersion"])) != fields:
            await kube.write_managed_fields({**live, "apiVersion": obj["apiVersion"], "kind": obj["kind"]}, taken)


async def _refuse_foreign(kube: Kube, pool: Pool, obj: Mapping[str, Any]) -> None:
    meta = obj["metadata"]
    live = await kube.get(kind_of(obj), meta["namespace"], meta["name"])
    if live is None or owned_by(pool.uid, live):
        return
    ending = "deletionTimestamp" in live["metadata"] or live["metadata"].get("ownerReferences")
    if live["metadata"].get("labels", {}).get(POOL) == pool.name and ending:
        raise FormerObjectError(409, "FormerPool", "of the former pool of this name is still there: it goes by itself")
    raise ForeignObjectError(
        409, "NameConflict", "exists and is not this pool's: delete or rename it, or choose another name"
    )


async def prune(
    kube: Kube, pool: Pool, desired: Iterable[Mapping[str, Any]], children: Children, now: datetime
) -> float:
    """Delete the pool's objects that are not desired; ApiError where one cannot be. Pods follow their StatefulSets.

    Return after how many seconds there is more to delete, infinity where there is not.
    """
    wanted = {(kind_of(obj), obj["metadata"]["name"]) for obj in desired}
    overlap = _overlap([children.get(*key) for key in wanted if key[0] in POLICIES], now)
    later = math.inf
    for obj in children.all():
        kind, meta = kind_of(obj), obj["metadata"]
        kept = kind in (POD, CLAIM) or (kind, meta["name"]) in wanted
        if kept or "deletionTimestamp" in meta or not owned_by(pool.uid, obj):
            continue
        if kind in POLICIES and overlap > 0:
            later = overlap
            continue
        await kube.delete(kind, pool.namespace, meta["name"], meta["uid"])
        children.remove(kind, meta["name"])
    return later


def _overlap(policies: Iterable[Mapping[str, Any] | None], now: datetime) -> float:
    """Return for how many seconds the policies have to be there before others may go."""
    made = [datetime.fromisoformat(one["metadata"]["creationTimestamp"]) for one in policies if one is not None]
    return max((OVERLAP_SECONDS - (now - time).total_seconds() for time in made), default=0.0)
