"""What live objects say, against what is desired; pure."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from .api.model import quantity

_QUANTITY = re.compile(r"^[0-9.]+([eE][0-9]+|m|[kMGTPE]i?)?$")
_MERGE_KEYS = ("mountPath", "name")
"""By which the API server merges the lists of pods that others may add to: mounts by path; containers, volumes, ports by name."""


def differs(desired: Mapping[str, Any], live: Mapping[str, Any] | None) -> bool:
    """Return whether an object has to be applied: it is not there, or does not say all that is desired."""
    return live is None or not all(
        key in live and holds(value, live[key]) for key, value in desired.items() if key not in ("apiVersion", "kind")
    )


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


def owned_by(uid: str, obj: Mapping[str, Any]) -> bool:
    """Return whether the pool of a UID is the controller of an object."""
    owners = obj["metadata"].get("ownerReferences", [])
    return any(owner.get("uid") == uid and owner.get("controller") for owner in owners)


def taken_over(fields: Iterable[Mapping[str, Any]], manager: str, api_version: str) -> list[dict[str, Any]]:
    """Return an object's `managedFields` with all of its spec owned by the applies of one manager; statuses and scales keep their owners.

    https://kubernetes.io/docs/reference/using-api/server-side-apply/#transferring-ownership-between-managers
    """
    whole: dict[str, Any] = {}
    kept: list[dict[str, Any]] = []
    ours: dict[str, Any] = {}
    for entry in fields:
        if entry.get("subresource") or entry.get("apiVersion") != api_version:
            kept.append(dict(entry))
            continue
        rest = dict(entry.get("fieldsV1", {}))
        whole = _united(whole, rest.pop("f:spec", {}))
        if (entry["manager"], entry["operation"]) == (manager, "Apply"):
            ours = {**entry, "fieldsV1": rest}
            kept.append(ours)
        elif rest:
            kept.append({**entry, "fieldsV1": rest})
    if not ours:
        ours = {
            "manager": manager,
            "operation": "Apply",
            "apiVersion": api_version,
            "fieldsType": "FieldsV1",
            "fieldsV1": {},
        }
        kept.append(ours)
    ours["fieldsV1"]["f:spec"] = whole
    return kept


def _united(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return the union of two sets of fields, each a tree of the names that it holds."""
    shared = {key: _united(one[key], other[key]) for key in one.keys() & other.keys()}
    return {**one, **other, **shared}
