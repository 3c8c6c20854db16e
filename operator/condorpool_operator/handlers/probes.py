"""What the kubelet asks: whether the workers still live."""

from typing import Any

import kopf


@kopf.on.probe(id="workers")
async def workers(memo: kopf.Memo, **_: Any) -> int:
    """Return the number of live tasks; raise where one ended, which fails the liveness probe and restarts the process.

    There are none, and the probe fails, until the API server has answered and serves CondorPools.
    """
    if not memo.tasks:
        raise RuntimeError("the API server has not answered yet, or does not serve CondorPools")
    ended = [task.get_name() for task in memo.tasks if task.done()]
    if ended:
        raise RuntimeError(f"ended: {', '.join(ended)}")
    return len(memo.tasks)
