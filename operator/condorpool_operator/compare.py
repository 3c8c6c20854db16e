"""What live objects say, against what is desired; pure."""

import re
from collections.abc import Mapping
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
