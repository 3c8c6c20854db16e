"""How long an edit waits that is made at the moment the operator goes: killed, its pod deleted, or restarted as planned.

Which moment is the worst is not guessed: from before the operator is told to go until its successor has caught up, the pool is edited
ten times a second, and the longest wait of any of these edits counts. The edit is a number that goes up, maxUnavailable of a group, its
effect the number in the group's PodDisruptionBudget: an edit is applied once the budget shows its number or a later one.

The pool's pods fit no node: only the operator is measured. Each kill finds a fresh pod, as a kubelet waits longer before each further
restart of the same one.
"""

import json
import threading
import time
from collections.abc import Callable
from typing import Any

from tools.console import RELEASE, SYSTEM_NAMESPACE, Console

from .nodes import Api, is_ready, kubectl, on_node, process_of, proxy, remove_namespace, until
from .report import Figure, Results

PART = "failover"
TURNS = 4
EDIT_SECONDS = 0.1
NAMESPACE = "bench-failover"
NOWHERE = {"nodeSelector": {"benchmark": "nowhere"}}
POOL = f"/apis/condorpool.dev/v1alpha1/namespaces/{NAMESPACE}/condorpools/pool"
BUDGET = f"/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets/pool-cpu"
SELECTOR = "app.kubernetes.io/name=condorpool-operator"
PODS = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/pods?labelSelector={SELECTOR}"


def spec(number: int) -> dict[str, Any]:
    """Return the spec of the pool with a number in it."""
    group = {"name": "cpu", "replicas": 0, "maxUnavailable": number, **NOWHERE}
    return {"manager": NOWHERE, "submitter": NOWHERE, "executors": [group]}


def operator_pod(api: Api) -> Any:
    """Return the operator's one pod that runs and is ready, None where there is none or more than one."""
    pods = api.get(PODS)["items"]
    return pods[0] if len(pods) == 1 and is_ready(pods[0]) and "deletionTimestamp" not in pods[0]["metadata"] else None


def kill(pod: Any) -> None:
    """Kill the operator's process."""
    on_node(pod["spec"]["nodeName"], "kill", "-KILL", str(process_of(pod, "operator")))


def delete(pod: Any) -> None:
    """Delete the operator's pod."""
    kubectl("delete", "pod", "-n", SYSTEM_NAMESPACE, pod["metadata"]["name"], "--wait=false")


def restart(_pod: Any) -> None:
    """Restart the operator as an administrator does."""
    kubectl("rollout", "restart", "-n", SYSTEM_NAMESPACE, f"deployment/{RELEASE}")


WAYS: dict[str, tuple[Callable[[Any], None], float, float | None]] = {
    "operator's pod deleted": (delete, 15.0, None),
    "operator killed by SIGKILL": (kill, 15.0, None),
    "planned restart": (restart, 5.0, None),
}
"""What is done to the operator, the limit and the aim; a kill comes after a deletion, which leaves a fresh pod."""


async def run(console: Console, results: Results) -> None:
    """Measure."""
    with proxy() as connect:
        api = connect()
        remove_namespace(api, NAMESPACE)
        kubectl("create", "namespace", NAMESPACE)
        pool = {
            "apiVersion": "condorpool.dev/v1alpha1",
            "kind": "CondorPool",
            "metadata": {"name": "pool"},
            "spec": spec(1),
        }
        kubectl("apply", "-n", NAMESPACE, "-f", "-", stdin=json.dumps(pool))
        try:
            until(lambda: api.get(BUDGET), "the pool's PodDisruptionBudget")
            turns = results.repeats(TURNS)
            alive = [Turn(connect).run(None) for _ in range(turns)]
            results.add(Figure(PART, "nothing happens to the operator: longest wait of an edit", "s", tuple(alive)))
            seconds: dict[str, list[float]] = {way: [] for way in WAYS}
            for _turn in range(turns):
                for way, (act, _limit, _aim) in WAYS.items():
                    seconds[way].append(Turn(connect).run(act))
                    console.say(f"{way}: {seconds[way][-1]:.1f} s")
            for way, (_act, limit, aim) in WAYS.items():
                results.add(Figure(PART, f"{way}: longest wait of an edit", "s", tuple(seconds[way]), limit, aim))
        finally:
            remove_namespace(api, NAMESPACE)


class Turn:
    """Edits all the while, and how long each waited."""

    def __init__(self, connect: Callable[[], Api]) -> None:
        self._api, self._editing = connect(), connect()
        self._enough = threading.Event()
        self._number = self._shown()
        self._made: dict[int, float] = {}

    def _shown(self) -> int:
        return int(self._api.get(BUDGET)["spec"]["maxUnavailable"])

    def _edit(self) -> None:
        """Edit until it is enough."""
        while not self._enough.wait(EDIT_SECONDS):
            self._number += 1
            self._editing.merge(POOL, {"spec": spec(self._number)})
            self._made[self._number] = time.monotonic()

    def run(self, act: Callable[[Any], None] | None) -> float:
        """Do something to the operator, or nothing, while the pool is edited; return the longest wait of an edit."""
        pod = until(lambda: operator_pod(self._api), "one ready operator")
        edits = threading.Thread(target=self._edit)
        edits.start()
        seen: list[tuple[float, int]] = []

        def shown_after(moment: float) -> bool | None:
            shown = self._shown()
            seen.append((time.monotonic(), shown))
            return True if self._made.get(shown, 0.0) > moment else None

        try:
            until(lambda: shown_after(0.0), "the effect of an edit")
            caught_up = time.monotonic()
            if act is not None:
                act(pod)
                caught_up = self._successor(pod, lambda: shown_after(0.0))
            until(lambda: shown_after(caught_up), "the effect of an edit after all")
        finally:
            self._enough.set()
            edits.join()
        last = max(number for _, number in seen)
        return max(
            min(at for at, shown in seen if shown >= number) - made
            for number, made in self._made.items()
            if number <= last
        )

    def _successor(self, pod: Any, look: Callable[[], Any]) -> float:
        """Go on looking until another operator is ready; return the moment."""

        def another() -> float | None:
            look()
            now = operator_pod(self._api)
            return None if now is None or _identity(now) == _identity(pod) else time.monotonic()

        return until(another, "the operator's successor")


def _identity(pod: Any) -> tuple[str, int]:
    return pod["metadata"]["uid"], pod["status"]["containerStatuses"][0]["restartCount"]
