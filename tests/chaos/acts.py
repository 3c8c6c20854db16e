"""What can be done to a pool and its operator: to whom, how, how it is undone, and whose runs it may interrupt."""

import copy
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from tests.e2e.support.container import signal_container
from tests.e2e.support.kubectl import Kubectl, KubectlError, Object
from tests.e2e.support.operator import DEPLOYMENT, NAMESPACE
from tests.e2e.support.pool import Pool, is_ending
from tests.e2e.support.waiting import NotYetError

from .pool import DRAIN_SECONDS, REPLICAS, groups, knobs, spec

KILL_LASTING = 3.0
"""Seconds after a kill in which a run may still show signs of life: condor_master kills the starters of a dead startd."""
DELETE_LASTING = 60.0
ORDER_LASTING = 300.0
"""From the order to the last executor that is replaced or drained for it."""

DAEMONS = {"startd": "executor", "schedd": "submitter", "collector": "manager", "negotiator": "manager"}


@dataclass(frozen=True)
class Act:
    """Something to do; `key` is what nobody else may touch meanwhile."""

    key: str
    do: Callable[[], object]
    undo: Callable[[], object] | None = None
    victims: tuple[str, ...] = ()
    grace: float = 0.0
    lasting: float = 0.0
    reports: bool = False


Maker = Callable[[int], Act]
"""Makes an act of a number that chooses its target; NotYetError where there is none."""


@dataclass
class Scene:
    """The pool, its groups as they are asked for at the moment, and what is under a fault."""

    kubectl: Kubectl
    pool: Pool
    ledger: tuple[str, int]
    _groups: dict[str, Object] = field(default_factory=groups)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _taken: set[str] = field(default_factory=set)
    _edits: int = 0

    def apply(self) -> None:
        """Ask for the pool as it is meant to be at the moment."""
        with self._lock:
            self.pool.apply(spec(self._groups, self.ledger))

    def change(self, name: str, **fields: object) -> None:
        """Change fields of a group."""
        with self._lock:
            self._groups[name] = {**copy.deepcopy(self._groups[name]), **fields}
        self.apply()

    def edit_knob(self) -> None:
        """Change the configuration of all roles."""
        with self._lock:
            self._edits += 1
            self.pool.kubectl.apply(knobs(self._edits))

    @contextmanager
    def alone(self, key: str) -> Iterator[None]:
        """Keep others from a target; NotYetError where another one has it."""
        with self._lock:
            if key in self._taken:
                raise NotYetError(f"{key} is under another fault")
            self._taken.add(key)
        try:
            yield
        finally:
            with self._lock:
                self._taken.discard(key)

    def pod(self, role: str, pick: int) -> Object:
        """Choose a running pod of a role that stays."""
        return choose([pod for pod in self.pool.pods(role) if running(pod)], pick)

    def operator(self) -> Object:
        """Return the operator's pod."""
        pods = self.kubectl.in_namespace(NAMESPACE).list("pods", f"app.kubernetes.io/name={DEPLOYMENT}")
        return choose([pod for pod in pods if running(pod, "operator")], 0)


def choose(found: Sequence[Object], pick: int) -> Object:
    """Return one of what there is; NotYetError where there is nothing."""
    if not found:
        raise NotYetError("nothing of that kind is there")
    return found[pick % len(found)]


def running(pod: Object, container: str = "condor") -> bool:
    """Return whether a container of a pod that stays runs."""
    states = {one["name"]: one["state"] for one in pod.get("status", {}).get("containerStatuses", ())}
    return "running" in states.get(container, {}) and not is_ending(pod)


def acts(scene: Scene) -> dict[str, Maker]:
    """Return how each kind of fault is made that touches the pool and the operator alone."""
    makers: dict[str, Maker] = {}

    def add(name: str, role: str, make: Callable[[Object], Act]) -> None:
        makers[name] = lambda pick: make(scene.pod(role, pick))

    for role in ("executor", "manager", "submitter"):
        add(f"{role} deleted", role, partial(_deleted, scene))
        add(f"{role} killed", role, _killed)
        add(f"{role} frozen", role, partial(_frozen, scene))
    for daemon, role in DAEMONS.items():
        add(f"{daemon} killed", role, partial(_daemon_killed, scene, daemon))
        add(f"{daemon} stopped", role, partial(_daemon_stopped, scene, daemon))
    makers["group scaled out and in"] = lambda pick: _scaled(scene, pick, 1)
    makers["group scaled in and out"] = lambda pick: _scaled(scene, pick, -1)
    makers["group rolled out"] = lambda pick: _rolled_out(scene, pick)
    makers["knob edited"] = lambda _: Act("knobs", scene.edit_knob)
    makers["operator deleted"] = lambda _: _deleted(scene, scene.operator())
    makers["operator killed"] = lambda _: _operator_killed(scene.operator())
    return makers


def _name(pod: Object) -> str:
    return str(pod["metadata"]["name"])


def _role(pod: Object) -> str:
    return str(pod["metadata"]["labels"].get("condorpool.dev/component", ""))


def _victims(pod: Object) -> tuple[str, ...]:
    return (_name(pod),) if _role(pod) == "executor" else ()


def _deleted(scene: Scene, pod: Object) -> Act:
    kubectl = scene.kubectl.in_namespace(pod["metadata"]["namespace"])
    grace = DRAIN_SECONDS.get(pod["metadata"]["labels"].get("condorpool.dev/group", ""), 0)
    return Act(
        _name(pod),
        lambda: kubectl("delete", "pod", _name(pod), "--wait=false"),
        victims=_victims(pod),
        grace=grace,
        lasting=DELETE_LASTING,
        reports=_role(pod) == "submitter",
    )


def _killed(pod: Object) -> Act:
    return Act(
        _name(pod),
        lambda: signal_container(pod, "KILL"),
        victims=_victims(pod),
        lasting=KILL_LASTING,
        reports=_role(pod) == "submitter",
    )


def _operator_killed(pod: Object) -> Act:
    return Act(_name(pod), lambda: signal_container(pod, "KILL", "operator"))


def _frozen(scene: Scene, pod: Object) -> Act:
    return Act(_name(pod), lambda: signal_container(pod, "STOP"), lambda: _thaw(scene, pod))


def _thaw(scene: Scene, pod: Object) -> None:
    """Let a container go on, where it is still there."""
    try:
        signal_container(pod, "CONT")
    except AssertionError:
        if _condor(scene.pool.kubectl.get("pod", _name(pod))) == _condor(pod):
            raise


def _condor(pod: Object | None) -> str:
    statuses = {} if pod is None else {one["name"]: one for one in pod["status"].get("containerStatuses", ())}
    running_now = statuses.get("condor", {}).get("state", {}).get("running")
    return str(statuses["condor"]["containerID"]) if running_now else ""


def _find(daemon: str) -> str:
    return f'pgrep -o -P "$(pgrep -P 1 -x condor_master)" -f "^condor_{daemon}"'


def _daemon_killed(scene: Scene, daemon: str, pod: Object) -> Act:
    return Act(
        _name(pod),
        lambda: scene.pool.run(_name(pod), "sh", "-c", f"kill -KILL $({_find(daemon)})"),
        victims=_victims(pod),
        lasting=KILL_LASTING,
        reports=_role(pod) == "submitter",
    )


def _daemon_stopped(scene: Scene, daemon: str, pod: Object) -> Act:
    pid = scene.pool.run(_name(pod), "sh", "-c", _find(daemon)).strip()

    def undo() -> None:
        try:
            scene.pool.run(_name(pod), "sh", "-c", f"kill -CONT {pid} || ! kill -0 {pid}")
        except KubectlError:
            if _condor(scene.pool.kubectl.get("pod", _name(pod))) == _condor(pod):
                raise

    return Act(_name(pod), lambda: scene.pool.run(_name(pod), "kill", "-STOP", pid), undo)


def _group(pick: int) -> str:
    return sorted(DRAIN_SECONDS)[pick % len(DRAIN_SECONDS)]


def _scaled(scene: Scene, pick: int, by: int) -> Act:
    name = _group(pick)
    return Act(
        f"group {name}",
        lambda: scene.change(name, replicas=REPLICAS + by),
        lambda: scene.change(name, replicas=REPLICAS),
        victims=(scene.pool.executor(name, max(REPLICAS, REPLICAS + by) - 1),),
        grace=DRAIN_SECONDS[name],
        lasting=ORDER_LASTING,
    )


def _rolled_out(scene: Scene, pick: int) -> Act:
    name = _group(pick)
    return Act(
        f"group {name}",
        lambda: scene.change(name, podLabels={"chaos": f"n{pick}"}),
        victims=tuple(scene.pool.executor(name, ordinal) for ordinal in range(REPLICAS + 1)),
        grace=DRAIN_SECONDS[name],
        lasting=ORDER_LASTING,
    )
