"""Everything that a pool should consist of, in the order of application."""

import hashlib
from typing import Any

import orjson

from .. import kinds, labels, naming
from .context import Context
from .credentials import build_credentials
from .executors import build_beacon, build_group
from .manager import build_manager
from .network import build_policies
from .submitter import build_submitter

_ORDER = {kind: position for position, kind in enumerate(kinds.APPLIED)}


def desired_objects(context: Context) -> list[dict[str, Any]]:
    """Return all objects of a pool, each with the hash of what is applied.

    A component whose configuration could not be read even once is left out: it starts when it can start right.
    """
    objects = [*build_credentials(context), *build_policies(context), build_beacon(context)]
    if naming.MANAGER in context.user_config:
        objects += build_manager(context)
    if naming.SUBMITTER in context.user_config:
        objects += build_submitter(context)
    for group in context.pool.spec.groups:
        if group.name in context.user_config:
            objects += build_group(context, group)
    ordered = sorted(objects, key=lambda obj: (_ORDER[kinds.kind_of(obj)], obj["metadata"]["name"]))
    return [_with_hash(obj) for obj in ordered]


def _with_hash(obj: dict[str, Any]) -> dict[str, Any]:
    digest = hashlib.sha256(orjson.dumps(obj, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
    metadata = obj["metadata"]
    annotations = {**metadata.get("annotations", {}), labels.APPLIED_HASH: digest}
    return {**obj, "metadata": {**metadata, "annotations": annotations}}
