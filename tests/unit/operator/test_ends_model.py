"""An executor is never called gone while it could run, whatever is seen of it and in whatever order."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from condorpool_operator.ends import (
    GONE,
    Ledger,
    Life,
    life_of,
    read,
)

from .test_ends import NOW, POOL, stamp


class Container:
    """What really happens: one container of one pod, its address, and the startds that were born in it."""

    def __init__(self, uid: str, node: str, address: str, now: int) -> None:
        self.uid, self.node, self.address = uid, node, address
        self.since, self.until, self.code = now, 0, 0
        self.births = [now]

    @property
    def state(self) -> dict[str, Any]:
        if not self.until:
            return {"running": {"startedAt": stamp(self.since)}}
        times = {"startedAt": stamp(self.since), "finishedAt": stamp(self.until)}
        return {"terminated": times | {"exitCode": self.code}}


class World(RuleBasedStateMachine):
    """Nodes, pods and an operator that sees some of it: late, twice, out of order, or not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.nodes = {"n1", "n2"}
        self.pods: dict[str, list[Container]] = {}
        self.leaked: list[Container] = []
        self.ending: dict[str, int] = {}
        self.count = 0
        self.ledger = Ledger()
        self.told = ""
        self.old: list[tuple[str, Life]] = []
        self.snapshots: list[tuple[int, list[Life]]] = []

    def running(self) -> list[Container]:
        """Return the containers that may run, as far as the rules go: a node that is gone has none."""
        last = [containers[-1] for containers in self.pods.values()]
        return [one for one in (*last, *self.leaked) if not one.until and one.node in self.nodes]

    def life(self, uid: str) -> Life:
        containers = self.pods[uid]
        status: dict[str, Any] = {"name": "condor", "state": containers[-1].state}
        if len(containers) > 1:
            status["lastState"] = containers[-2].state
        ready = [{"type": "Ready", "status": "True"}]
        meta: dict[str, Any] = {"uid": uid, "name": "demo-cpu-0"}
        if uid in self.ending:
            meta |= {"deletionTimestamp": stamp(self.ending[uid] + 30), "deletionGracePeriodSeconds": 30}
        return life_of(
            {
                "metadata": meta,
                "spec": {"nodeName": containers[-1].node},
                "status": {"podIP": containers[-1].address, "containerStatuses": [status], "conditions": ready},
            }
        )

    def changed(self, data: st.DataObject, uid: str) -> None:
        """Note a state of a pod, which the operator may see."""
        life = self.life(uid)
        self.old.append((uid, life))
        if data.draw(st.booleans()):
            self.ledger.seen(POOL, life)

    def some_pod(self, data: st.DataObject) -> str | None:
        return data.draw(st.sampled_from(sorted(self.pods))) if self.pods else None

    @rule(data=st.data(), seconds=st.integers(0, 3))
    def time_passes(self, data: st.DataObject, seconds: int) -> None:
        self.now += seconds

    @rule(data=st.data())
    def pod_starts(self, data: st.DataObject) -> None:
        if not self.nodes:
            return
        self.count += 1
        uid = f"u{self.count}"
        # addresses of pods that were deleted by force are given away again, although they may run
        taken = {containers[-1].address for containers in self.pods.values()}
        free = sorted({"10.0.0.1", "10.0.0.2", "10.0.0.3"} - taken)
        if not free:
            return
        node = data.draw(st.sampled_from(sorted(self.nodes)))
        self.now += 1
        self.pods[uid] = [Container(uid, node, data.draw(st.sampled_from(free)), self.now)]
        self.changed(data, uid)

    @rule(data=st.data(), code=st.sampled_from([0, 137]))
    def container_ends(self, data: st.DataObject, code: int) -> None:
        uid = self.some_pod(data)
        if uid is None or self.pods[uid][-1].until or self.pods[uid][-1].node not in self.nodes:
            return
        self.pods[uid][-1].until, self.pods[uid][-1].code = self.now, code
        self.changed(data, uid)

    @rule(data=st.data(), same=st.booleans())
    def container_starts_again(self, data: st.DataObject, same: bool) -> None:
        """In the same second, perhaps; with another address where the sandbox had to be made anew."""
        uid = self.some_pod(data)
        if uid is None or not self.pods[uid][-1].until or uid in self.ending:
            return
        last = self.pods[uid][-1]
        taken = {containers[-1].address for other, containers in self.pods.items() if other != uid}
        free = sorted({"10.0.0.1", "10.0.0.2", "10.0.0.3", last.address} - taken)
        address = last.address if same else data.draw(st.sampled_from(free))
        if last.node in self.nodes:
            self.now += not same  # no address is another's within the same second
            self.pods[uid].append(Container(uid, last.node, address, self.now))
            self.changed(data, uid)

    @rule(data=st.data())
    def startd_is_born_again(self, data: st.DataObject) -> None:
        uid = self.some_pod(data)
        if uid is not None and not self.pods[uid][-1].until:
            self.pods[uid][-1].births.append(self.now)

    @rule(data=st.data())
    def pod_is_told_to_end(self, data: st.DataObject) -> None:
        uid = self.some_pod(data)
        if uid is not None:
            self.ending.setdefault(uid, self.now)
            self.changed(data, uid)

    @rule(data=st.data(), seen=st.booleans())
    def pod_is_deleted(self, data: st.DataObject, seen: bool) -> None:
        """By its kubelet if its container has ended, by force if not."""
        uid = self.some_pod(data)
        if uid is None:
            return
        life = self.life(uid)
        last = self.pods.pop(uid)[-1]
        if not last.until:
            self.leaked.append(last)
        if seen:
            self.ledger.deleted(POOL, life)

    @rule(data=st.data())
    def leaked_container_ends(self, data: st.DataObject) -> None:
        if self.leaked:
            self.leaked.remove(data.draw(st.sampled_from(self.leaked)))

    @rule(data=st.data(), seen=st.booleans())
    def node_is_gone(self, data: st.DataObject, seen: bool) -> None:
        if not self.nodes:
            return
        node = data.draw(st.sampled_from(sorted(self.nodes)))
        self.nodes.remove(node)
        if seen:
            self.ledger.node_gone(node)

    @rule(data=st.data())
    def something_old_is_seen(self, data: st.DataObject) -> None:
        if self.old:
            _, life = data.draw(st.sampled_from(self.old[-20:]))
            self.ledger.seen(POOL, life)

    @rule()
    def a_list_is_made(self) -> None:
        self.snapshots.append((self.now, [self.life(uid) for uid in self.pods]))

    @rule(data=st.data())
    def a_list_arrives(self, data: st.DataObject) -> None:
        if self.snapshots:
            at, lives = data.draw(st.sampled_from(self.snapshots[-3:]))
            self.ledger.listed(POOL, lives, at)

    @rule()
    def operator_reconciles(self) -> None:
        self.told = self.ledger.due(POOL, self.told, self.now)

    @rule()
    def operator_restarts(self) -> None:
        self.ledger = Ledger()

    @invariant()
    def nobody_who_may_run_is_called_gone(self) -> None:
        told = self.ledger.due(POOL, self.told, self.now)
        for end in read(told):
            for one in self.running() if end.word == GONE else ():
                for birth in one.births:
                    covered = end.run.address == one.address and end.run.since <= birth <= end.last
                    assert not covered, (end, one.__dict__)


World.TestCase.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
TestWorld = World.TestCase
