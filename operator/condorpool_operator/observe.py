"""The live objects of one pool, read once per reconcile."""

import asyncio
import base64
from collections.abc import Iterable, Iterator
from typing import Any

from . import labels
from .kinds import APPLIED, POD, SECRET
from .kube import Kube
from .pool import Pool


class Children:
    """The objects that carry a pool's UID, by kind and name."""

    def __init__(self, objects: Iterable[dict[str, Any]] = ()) -> None:
        self._objects = {(obj["kind"], obj["metadata"]["name"]): obj for obj in objects}

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """Return an object, or None."""
        return self._objects.get((kind, name))

    def put(self, obj: dict[str, Any]) -> None:
        """Note an object's new state."""
        self._objects[obj["kind"], obj["metadata"]["name"]] = obj

    def remove(self, kind: str, name: str) -> None:
        """Note that an object is gone."""
        self._objects.pop((kind, name), None)

    def all(self) -> Iterator[dict[str, Any]]:
        """Iterate over a snapshot of all objects."""
        return iter(list(self._objects.values()))

    def secret(self, name: str) -> dict[str, bytes]:
        """Return the decoded keys of a Secret; empty where there is none."""
        secret = self.get(SECRET.name, name) or {}
        return {key: base64.b64decode(value) for key, value in (secret.get("data") or {}).items()}

    def pods(self, component: str, group: str | None = None) -> list[dict[str, Any]]:
        """Return the pods of a component (and group), by name."""
        wanted = {labels.COMPONENT: component} | ({} if group is None else {labels.EXECUTOR_GROUP: group})
        found = [
            obj
            for (kind, _), obj in self._objects.items()
            if kind == POD.name and wanted.items() <= obj["metadata"]["labels"].items()
        ]
        return sorted(found, key=lambda pod: str(pod["metadata"]["name"]))


async def observe_children(kube: Kube, pool: Pool) -> Children:
    """Return all live objects of a pool: one list per kind, all at the same time."""
    selector = labels.of_pool(pool.uid)
    lists = await asyncio.gather(*(kube.list(kind, pool.namespace, selector) for kind in (*APPLIED, POD)))
    return Children(obj for objects in lists for obj in objects)
