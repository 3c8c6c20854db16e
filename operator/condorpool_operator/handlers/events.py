"""Every event about a pool means one thing: look at it. What pools consist of is watched in `watching`, metadata only."""

from typing import Any

import kopf

from ..api.v1alpha1 import GROUP, PLURAL, VERSION


@kopf.on.event(GROUP, VERSION, PLURAL)
async def pool_changed(namespace: str | None, name: str, memo: kopf.Memo, **_: Any) -> None:
    """Look at the pool."""
    memo.queue.add((namespace, name))
