"""Makes the cluster hold what is desired: server-side apply where something differs, and removal of what is no longer wanted."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from . import naming
from .api.model import quantity
from .api.status import ConditionType, Reason
from .errors import ApiError
from .kinds import BY_NAME, CLAIM, POD, SECRET
from .kube import Kube
from .labels import COMPONENT
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


def holds(desired: Any, live: Any) -> bool:
    """Return whether live says all that desired says, so that applying it would change nothing.

    Fields that the server or others added do not count; lists of named things are compared by name, other lists item by item;
    quantities by value, as the server writes 1000m as 1.
    """
    if isinstance(desired, Mapping):
        return isinstance(live, Mapping) and all(
            key in live and holds(value, live[key]) for key, value in desired.items()
        )
    if isinstance(desired, list):
        return isinstance(live, list) and _list_holds(desired, live)
    if desired == live and isinstance(desired, bool) == isinstance(live, bool):
        return True
    return _same_quantity(desired, live)


def _list_holds(desired: list[Any], live: list[Any]) -> bool:
    for key in _MERGE_KEYS:
        if desired and all(isinstance(item, Mapping) and key in item for item in desired + live):
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
    """Apply what differs, one object after the other, and put what came of it into `children`; return what could not be applied.

    One object's failure does not keep the others from being applied: a wrong group must not stop the right ones.
    """
    problems = []
    for obj in desired:
        live = children.get(obj["kind"], obj["metadata"]["name"])
        if live is not None and holds(_comparable(obj), live):
            continue
        try:
            if live is None:
                await _refuse_foreign(kube, pool, obj)
            children.put(await kube.apply(obj))
        except ApiError as error:
            problems.append(_problem(obj, error))
    return problems


def _comparable(obj: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in obj.items() if key not in ("apiVersion", "kind")}


def owned_by(pool: Pool, obj: Mapping[str, Any]) -> bool:
    """Return whether the pool is the controller of an object."""
    owners = obj["metadata"].get("ownerReferences", [])
    return any(owner.get("uid") == pool.uid and owner.get("controller") for owner in owners)


class _ForeignObjectError(ApiError):
    """An object of the wanted name is somebody else's."""


async def _refuse_foreign(kube: Kube, pool: Pool, obj: Mapping[str, Any]) -> None:
    meta = obj["metadata"]
    live = await kube.get(BY_NAME[obj["kind"]], meta["namespace"], meta["name"])
    if live is None:
        return
    if not owned_by(pool, live):
        raise _ForeignObjectError(
            409, "NameConflict", "exists and is not this pool's: delete or rename it, or choose another name"
        )


def _problem(obj: Mapping[str, Any], error: ApiError) -> Problem:
    meta = obj["metadata"]
    condition = _CONDITION_OF_COMPONENT.get(meta["labels"].get(COMPONENT, ""), ConditionType.ACCEPTED)
    what = f"{obj['kind']} {meta['name']}"
    if isinstance(error, _ForeignObjectError):
        return Problem(condition, Reason.NAME_CONFLICT, f"{what} {error.message}")
    message = error.reason if obj["kind"] == SECRET.name else error.message
    if error.retryable:
        return Problem(condition, Reason.API_UNAVAILABLE, f"{what} could not be applied, trying again: {message}")
    return Problem(condition, Reason.API_REFUSED, f"{what} was refused by the API server: {message}")


async def prune(kube: Kube, pool: Pool, desired: Iterable[Mapping[str, Any]], children: Children) -> None:
    """Delete the pool's objects that are not desired; ApiError where one cannot be. Pods follow their StatefulSets."""
    wanted = {(obj["kind"], obj["metadata"]["name"]) for obj in desired}
    for obj in children.all():
        meta = obj["metadata"]
        kept = obj["kind"] in (POD.name, CLAIM.name) or (obj["kind"], meta["name"]) in wanted
        if kept or "deletionTimestamp" in meta or not owned_by(pool, obj):
            continue
        await kube.delete(BY_NAME[obj["kind"]], pool.namespace, meta["name"], meta["uid"])
        children.remove(obj["kind"], meta["name"])
