"""Every event about a pool or one of its objects means one thing: look at that pool."""

from typing import Any

import kopf

from .. import labels
from ..api.v1alpha1 import GROUP, PLURAL, VERSION
from ..kinds import APPLIED, POD


@kopf.on.event(GROUP, VERSION, PLURAL)
async def pool_changed(namespace: str | None, name: str, memo: kopf.Memo, **_: Any) -> None:
    """Look at the pool."""
    memo.queue.add((namespace, name))


async def child_changed(namespace: str | None, meta: kopf.Meta, memo: kopf.Memo, **_: Any) -> None:
    """Look at the pool that a labelled object belongs to."""
    memo.queue.add((namespace, meta["labels"][labels.POOL]))


for _kind in (*APPLIED, POD):
    kopf.on.event(*_kind.group_version, _kind.plural, labels={labels.POOL: kopf.PRESENT})(child_changed)
