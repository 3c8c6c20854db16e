"""Every event about a pool means one thing: look at it. What pools consist of is watched in `watching`, metadata only."""

from typing import Any

import kopf

from ..api.v1alpha1 import GROUP, PLURAL, VERSION


@kopf.on.event(GROUP, VERSION, PLURAL)
async def pool_changed(event: kopf.RawEvent, memo: kopf.Memo, **_: Any) -> None:
    """Look at the pool; one that the first listing shows need not be read once more."""
    meta = event["object"]["metadata"]
    key = (meta["namespace"], meta["name"])
    memo.reconciler.noticed(key, event["object"] if event["type"] is None else None)
    memo.queue.add(key)
