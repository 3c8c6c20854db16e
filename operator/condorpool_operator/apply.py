"""Makes the cluster hold what is desired: server-side apply where something differs, and removal of what is no longer wanted."""

import asyncio
import math
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from . import naming
from .api.model import quantity
from .api.status import ConditionType, Reason
from .errors import NAMESPACE_TERMINATING, ApiError
from .kinds import CLAIM, DEPLOYMENT, DISRUPTION_BUDGET, POD, POLICIES, SECRET, STATEFUL_SET, WORKLOADS, kind_of
from .kube import Kube
from .labels import COMPONENT, POOL
from .observe import Children
from .pool import Pool
from .status import Problem

_QUANTITY = re.compile(r"^[0-9.]+([eE][0-9]+|m|[kMGTPE]i?)?$")
_MERGE_KEYS = ("mountPath", "name")
"""By which the API server merges the lists of pods that others may add to: mounts by path; containers, volumes, ports by name."""
_CONDITION_OF_COMPONENT = {
    naming.MANAGER: ConditionType.MANAGER_READY,
    naming.SUBMITTER: ConditionType.SUBMITTER_READY,
    naming.EXECUTOR: ConditionType.EXECUTORS_READY,
}
_CONDITION_OF_KIND = {
    **dict.fromkeys(POLICIES, ConditionType.NETWORK_POLICY_ENFORCED),
    **dict.fromkeys((POD, STATEFUL_SET, DISRUPTION_BUDGET), ConditionType.EXECUTORS_READY),
    DEPLOYMENT: ConditionType.MANAGER_READY,
    CLAIM: ConditionType.SUBMITTER_READY,
}
OVERLAP_SECONDS = 10.0
"""For which policies of another kind stay after the new ones are there, so that whatever enforces them has both for a while."""


def holds(desired: Any, live: Any) -> bool:
    """Return whether live says all that desired says, so that applying it would change nothing.

    Fields that the server or others added do not count; lists of named things are compared by name, other lists item by item;
    quantities by value, as the server writes 1000m as 1.
    """
    if isinstance(desired, dict):
        return isinstance(live, dict) and all(key in live and holds(value, live[key]) for key, value in desired.items())
    if isinstance(desired, list):
        return isinstance(live, list) and _list_holds(desired, live)
    if desired == live and isinstance(desired, bool) == isinstance(live, bool):
        return True
    return _same_quantity(desired, live)


def _list_holds(desired: list[Any], live: list[Any]) -> bool:
    for key in _MERGE_KEYS:
        if desired and all(isinstance(item, dict) and key in item for item in desired + live):
            by_key = {item[key]: item for item in live}
            return all(item[key] in by_key and holds(item, by_key[item[key]]) for item in desired)
    return len(desired) == len(live) and all(holds(*pair) for pair in zip(desired, live, strict=True))


def _same_quantity(desired: Any, live: Any) -> bool:
    texts = [str(value) for value in (desired, live) if isinstance(value, str | int) and not isinstance(value, bool)]
    if len(texts) != 2 or not all(_QUANTITY.match(text) for text in texts):
        return False
    return quantity(texts[0]) == quantity(texts[1])


async def apply_objects(
    kube: Kube, pool: Pool, desired: Iterable[Mapping[str, Any]], children: Children
) -> list[Problem]:
    """Apply what differs and put what came of it into `children`; return what could not be applied.

    One object's failure does not keep the others from being applied: a wrong group must not stop the right ones. Only no workload is
    created before the policies that guard it are there. Objects of a kind that could not be listed are left alone.
    """
    objects = [obj for obj in desired if kind_of(obj) not in children.unseen and _differs(obj, children)]
    policies = [obj for obj in objects if kind_of(obj) in POLICIES]
    workloads = [obj for obj in objects if kind_of(obj) in WORKLOADS]
    others = [obj for obj in objects if kind_of(obj) not in (*POLICIES, *WORKLOADS)]
    unguarded = await _apply_all(kube, pool, policies, children)
    problems = unguarded + await _apply_all(kube, pool, others, children)
    if unguarded or not children.unseen.keys().isdisjoint(POLICIES):
        workloads = [obj for obj in workloads if children.get(kind_of(obj), obj["metadata"]["name"]) is not None]
    return problems + await _apply_all(kube, pool, workloads, children)


async def _apply_all(kube: Kube, pool: Pool, objects: Iterable[Mapping[str, Any]], children: Children) -> list[Problem]:
    results = await asyncio.gather(*(_apply(kube, pool, obj, children) for obj in objects))
    return [problem for problem in results if problem is not None]


async def _apply(kube: Kube, pool: Pool, obj: Mapping[str, Any], children: Children) -> Problem | None:
    try:
        if children.get(kind_of(obj), obj["metadata"]["name"]) is None:
            await _refuse_foreign(kube, pool, obj)
        children.put(await kube.apply(obj))
    except ApiError as error:
        return _problem(obj, error)
    return None


def _differs(obj: Mapping[str, Any], children: Children) -> bool:
    live = children.get(kind_of(obj), obj["metadata"]["name"])
    return live is None or not all(
        key in live and holds(value, live[key]) for key, value in obj.items() if key not in ("apiVersion", "kind")
    )


def owned_by(uid: str, obj: Mapping[str, Any]) -> bool:
    """Return whether the pool of a UID is the controller of an object."""
    owners = obj["metadata"].get("ownerReferences", [])
    return any(owner.get("uid") == uid and owner.get("controller") for owner in owners)


class _ForeignObjectError(ApiError):
    """An object of the wanted name is somebody else's."""


class _FormerObjectError(ApiError):
    """An object of the wanted name belongs to a pool of the same name that is gone, and goes as well."""


async def _refuse_foreign(kube: Kube, pool: Pool, obj: Mapping[str, Any]) -> None:
    meta = obj["metadata"]
    live = await kube.get(kind_of(obj), meta["namespace"], meta["name"])
    if live is None or owned_by(pool.uid, live):
        return
    ending = "deletionTimestamp" in live["metadata"] or live["metadata"].get("ownerReferences")
    if live["metadata"].get("labels", {}).get(POOL) == pool.name and ending:
        raise _FormerObjectError(409, "FormerPool", "of the former pool of this name is still there: it goes by itself")
    raise _ForeignObjectError(
        409, "NameConflict", "exists and is not this pool's: delete or rename it, or choose another name"
    )


def _problem(obj: Mapping[str, Any], error: ApiError) -> Problem:
    condition, what = condition_of(obj), f"{obj['kind']} {obj['metadata']['name']}"
    if isinstance(error, _ForeignObjectError):
        return Problem(condition, Reason.NAME_CONFLICT, f"{what} {error.message}")
    if isinstance(error, _FormerObjectError):
        return Problem(condition, Reason.FORMER_POOL, f"{what} {error.message}")
    reason = reason_of(error)
    message = error.reason if kind_of(obj) == SECRET and not error.forbidden else error.message
    if reason is Reason.NAMESPACE_TERMINATING:
        return Problem(condition, reason, "the namespace is being deleted, and the pool with it")
    if reason is Reason.API_UNAVAILABLE:
        return Problem(condition, reason, f"{what} could not be applied, trying again: {message}")
    return Problem(condition, reason, f"{what} was refused by the API server: {message}")


def reason_of(error: ApiError) -> Reason:
    """Return the reason by which a failed request is told."""
    if error.reason == NAMESPACE_TERMINATING:
        return Reason.NAMESPACE_TERMINATING
    if error.forbidden:
        return Reason.FORBIDDEN
    return Reason.API_UNAVAILABLE if error.retryable else Reason.API_REFUSED


def condition_of(obj: Mapping[str, Any]) -> ConditionType:
    """Return the condition that an object's failure is told by."""
    if kind_of(obj) in POLICIES:
        return ConditionType.NETWORK_POLICY_ENFORCED
    return _CONDITION_OF_COMPONENT.get(obj["metadata"]["labels"].get(COMPONENT, ""), ConditionType.ACCEPTED)


def unseen_problems(children: Children) -> list[Problem]:
    """Return a problem for every kind that could not be listed: its objects are neither applied nor removed."""
    problems = []
    for kind, error in children.unseen.items():
        condition = _CONDITION_OF_KIND.get(kind, ConditionType.ACCEPTED)
        what = f"{kind.plural} of {kind.api_version} cannot be listed, so none is changed: {error.message}"
        problems.append(Problem(condition, reason_of(error), what))
    return problems


def unreadable(error: ApiError) -> Problem:
    """Return the problem of a pool whose references cannot be read."""
    return Problem(ConditionType.ACCEPTED, reason_of(error), f"the pool's references cannot be read: {error.message}")


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
