"""Which executors are gone for good, judged by Kubernetes' word alone; pure.

A run is one life of an executor's container: the startds that were born within it, at its address, hold its claims. A run has ended for
good when its kubelet says so, or when its node is gone from the cluster or declared out of service. That a node is silent, or that a pod
was deleted by force, proves nothing: the jobs may still run. Jobs of a run that is gone are given back by the submitter's pool-init, which
reads what is written here (docs/design/image-contract.md).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from .api.status import Reason
from .naming import CONDOR_CONTAINER

FILE = ".ends"
"""Key in the submitter's ConfigMap; HTCondor reads no file whose name begins with a dot."""
KEPT_SECONDS = 2400
"""For which an end is told: the jobs' leases (JOB_DEFAULT_LEASE_DURATION) are over before."""
MISSED_SECONDS = 60
"""After which a watch has brought the deletion of a pod that a list does not show, or never will."""
MOST = 1000
"""Ends that are told at a time, the newest; some 100 bytes each."""
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
"""Taint by which an administrator says that a node is down and stays so."""

GONE, LOST = "gone", "lost"

Obj = Mapping[str, Any]
PoolKey = tuple[str, str]


@dataclass(frozen=True, order=True)
class Run:
    """One life of an executor's container: pod, node and IP address, and since when (Unix seconds, the node's clock)."""

    uid: str
    since: int
    pod: str
    node: str
    address: str


@dataclass(frozen=True, order=True)
class End:
    """A run that is over: gone for good, or lost, where nothing proves that. Startds born after `last` may be another pod's."""

    run: Run
    last: int
    word: str

    def line(self) -> str:
        """Return the line that tells it, read by pool_init/lost.py."""
        run = self.run
        return f"{self.word} {run.address} {run.since} {self.last} {run.pod} {run.uid} {run.node}\n"


@dataclass(frozen=True)
class Life:
    """What one look at an executor's pod tells: the run that goes on, and the runs that the kubelet has seen end.

    Those are (since, until, exit code); `ending` is when the pod was told to end; `address` is the pod's now, which is another after its
    sandbox was made anew.
    """

    uid: str
    pod: str
    node: str
    address: str
    running: int | None
    ready: bool
    ended: tuple[tuple[int, int, int], ...]
    ending: int | None = None

    @property
    def well(self) -> bool:
        """Return whether there is no reason to doubt that the run goes on."""
        return self.ready and self.ending is None

    def run(self) -> Run | None:
        """Return the run that goes on as far as is known."""
        if self.running is None or not self.address or not self.node:
            return None
        return Run(self.uid, self.running, self.pod, self.node, self.address)


def life_of(pod: Obj) -> Life:
    """Return what an executor's pod tells of HTCondor's container."""
    meta, status = pod["metadata"], pod.get("status") or {}
    named: Mapping[str, Obj] = {one["name"]: one for one in status.get("containerStatuses") or ()}
    container = named.get(CONDOR_CONTAINER, {})
    state, last = container.get("state") or {}, container.get("lastState") or {}
    found = [_ended(one["terminated"]) for one in (last, state) if one.get("terminated")]
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in status.get("conditions") or ())
    return Life(
        uid=meta["uid"],
        pod=meta["name"],
        node=(pod.get("spec") or {}).get("nodeName") or "",
        address=status.get("podIP") or "",
        running=_seconds((state.get("running") or {}).get("startedAt")),
        ready=ready,
        ended=tuple(one for one in found if one is not None),
        ending=_told(meta),
    )


def _ended(terminated: Obj) -> tuple[int, int, int] | None:
    """Return when a container began and ended and its exit code; None where the kubelet does not know (ContainerStatusUnknown)."""
    since, until = _seconds(terminated.get("startedAt")), _seconds(terminated.get("finishedAt"))
    return None if since is None or until is None else (since, until, int(terminated["exitCode"]))


def _told(meta: Obj) -> int | None:
    """Return when a pod was told to end, which was its deletion where that was forced."""
    deadline = _seconds(meta.get("deletionTimestamp"))
    return None if deadline is None else deadline - int(meta.get("deletionGracePeriodSeconds") or 0)


def _seconds(stamp: str | None) -> int | None:
    return None if stamp is None else int(datetime.fromisoformat(stamp).timestamp())


def look(known: Run | None, life: Life) -> tuple[Run | None, End | None]:
    """Return the run of a pod that is not known to be over, and the end of the known one where the kubelet has seen it.

    Only a run that was seen while it ran has a known address: the pod's own may be another by now. One that ended with status 0 gave its
    jobs back itself, and is worth no word.
    """
    current = life.run()
    if known is None:
        return current, None
    for since, until, code in life.ended:
        if since == known.since:
            # a successor may be born in the second in which the container ended
            return current, End(known, until - 1, GONE) if code else None
    return (current if current is not None and current.since >= known.since else known), None


def merged(told: Iterable[End], news: Iterable[End], now: int) -> list[End]:
    """Return what is to be told: each run once, an end that is proven before one that is not, none that is old, the newest of too many."""
    found: dict[tuple[str, int], End] = {}
    for end in (*told, *news):
        key = (end.run.uid, end.run.since)
        if key not in found or (found[key].word == LOST and end.word == GONE):
            found[key] = end
    fresh = [end for end in found.values() if end.last > now - KEPT_SECONDS]
    return sorted(sorted(fresh, key=lambda end: end.last)[-MOST:])


def text_of(ends: Iterable[End]) -> str:
    """Return the file that tells ends; empty for none."""
    return "".join(end.line() for end in ends)


def read(text: str) -> Iterator[End]:
    """Yield the ends that a file tells; a line that is none is passed over."""
    for line in text.splitlines():
        fields = line.split()
        if len(fields) == 7 and fields[0] in (GONE, LOST) and fields[2].isdecimal() and fields[3].isdecimal():
            word, address, since, last, pod, uid, node = fields
            yield End(Run(uid, int(since), pod, node, address), int(last), word)


def events_of(before: str, after: str) -> Iterator[tuple[str, str, str]]:
    """Yield the events (type, reason, message) that a change of what is told is worth."""
    known = set(read(before))
    fresh = [end for end in read(after) if end not in known]
    if gone := sorted({end.run.pod for end in fresh if end.word == GONE}):
        yield (
            "Warning",
            Reason.EXECUTOR_GONE,
            f"{_some(gone)}: gone for good; the jobs that ran there go back to the queue",
        )
    if lost := sorted({end.run.pod for end in fresh if end.word == LOST}):
        what = (
            "the pod vanished and nothing proves that it ended, so its jobs count as running until their lease is over"
        )
        cure = "where its machine is off for good, delete the Node object or taint it out-of-service"
        yield "Warning", Reason.EXECUTOR_LOST, f"{_some(lost)}: {what}: {cure}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def is_gone(node: Obj | None) -> bool:
    """Return whether a node's object, None where there is none, proves that nothing runs there any more."""
    if node is None:
        return True
    return any(taint["key"] == OUT_OF_SERVICE for taint in node.get("spec", {}).get("taints") or ())


@dataclass(frozen=True)
class _Known:
    """A run that goes on as far as is known.

    Its address was its pod's until `held` for sure: it may be another's as soon as the pod is deleted. One that was never ready has no
    job, and a crash loop tells nothing; of one that was told to end before anybody looked it is not known, and jobs are presumed.
    """

    run: Run
    held: int
    served: bool
    missing: int | None = None
    """When the first list was asked for that did not show its pod."""


class Ledger:
    """What is known of the executors' runs, by pool; in memory only, for what it forgets is told by the pods and by what was written.

    Jobs whose executor vanished while nobody looked wait for their lease.
    """

    def __init__(self) -> None:
        self._runs: dict[PoolKey, dict[str, _Known]] = {}
        self._news: dict[PoolKey, dict[tuple[str, int], End]] = {}
        self._lost: dict[PoolKey, tuple[End, ...]] = {}
        self._unwell: dict[str, str] = {}
        self._announced: dict[PoolKey, str] = {}

    def seen(self, pool: PoolKey, life: Life, at: int = 0) -> None:
        """Take what a look at a pod tells, which saw it at that time or later (0: some time, or when it was told to end)."""
        runs = self._runs.setdefault(pool, {})
        known = runs.pop(life.uid, None)
        self._unwell.pop(life.uid, None)
        current, end = look(None if known is None else known.run, life)
        if end is not None and known is not None and known.served:
            self._tell(pool, end)
        if current is None:
            return
        if known is None or known.run != current:
            known = _Known(current, current.since, served=known is None and life.ending is not None)
        known = replace(known, missing=None)
        if current == life.run():
            known = _Known(current, max(known.held, at, life.ending or 0), known.served or life.ready)
        runs[life.uid] = known
        if known.served and not life.well:
            self._unwell[life.uid] = current.node

    def deleted(self, pool: PoolKey, life: Life) -> None:
        """Take a pod's last state: a run that nobody saw end is lost."""
        self.seen(pool, life)
        known = self._runs[pool].pop(life.uid, None)
        self._unwell.pop(life.uid, None)
        if known is not None and known.served:
            self._tell(pool, End(known.run, known.held, LOST))

    def listed(self, pool: PoolKey, lives: Iterable[Life], at: int) -> None:
        """Take a list of a pool's pods that was asked for at that time.

        A list may overtake the watch, whose last words of a pod are worth waiting for. Runs of pods that a list a minute later does not
        show either are forgotten, as their deletion was missed.
        """
        present = {life.uid: life for life in lives}
        runs = self._runs.setdefault(pool, {})
        for uid in runs.keys() - present.keys():
            missing = runs[uid].missing
            if missing is None:
                runs[uid] = replace(runs[uid], missing=at)
            elif at >= missing + MISSED_SECONDS:
                del runs[uid]
                self._unwell.pop(uid, None)
        for life in present.values():
            self.seen(pool, life, at)

    def due(self, pool: PoolKey, told: str, now: int) -> str:
        """Return the file that ought to be told where this one is."""
        known = list(read(told))
        self._announced.setdefault(pool, text_of(end for end in known if end.word == GONE))
        news = self._news.setdefault(pool, {})
        for key, end in list(news.items()):
            if end in known or end.last <= now - KEPT_SECONDS:
                del news[key]
        ends = merged(known, news.values(), now)
        self._lost[pool] = tuple(end for end in ends if end.word == LOST)
        return text_of(ends)

    def announced(self, pool: PoolKey) -> str:
        """Return of which ends events were recorded; a new process takes a loss, which asks for a person, for one that was not."""
        return self._announced.get(pool, "")

    def announce(self, pool: PoolKey, told: str) -> None:
        """Note that events were recorded of all that is told."""
        self._announced[pool] = told

    def forget(self, pool: PoolKey) -> None:
        """Drop a pool."""
        self._announced.pop(pool, None)
        for uid in self._runs.pop(pool, {}):
            self._unwell.pop(uid, None)
        self._news.pop(pool, None)
        self._lost.pop(pool, None)

    def doubtful(self) -> set[str]:
        """Return the nodes whose end would prove something: of pods that are not well, and of lost runs."""
        return {*self._unwell.values(), *(end.run.node for pool in self._pools() for end in self._losses(pool))}

    def hosts(self, node: str) -> bool:
        """Return whether a run, or a lost one, is on a node."""
        return node in self.doubtful() or any(
            known.run.node == node for runs in self._runs.values() for known in runs.values()
        )

    def pools_on(self, nodes: Set[str]) -> set[PoolKey]:
        """Return the pools with a run on one of these nodes."""
        return {pool for pool, runs in self._runs.items() if any(one.run.node in nodes for one in runs.values())}

    def node_gone(self, node: str) -> set[PoolKey]:
        """Take the end of a node; return the pools whose runs it takes along."""
        pools = set()
        for pool in self._pools():
            runs = self._runs.get(pool, {})
            ends = [End(one.run, one.held, GONE) for one in runs.values() if one.served and one.run.node == node]
            ends += [replace(end, word=GONE) for end in self._losses(pool) if end.run.node == node]
            for end in ends:
                runs.pop(end.run.uid, None)
                self._unwell.pop(end.run.uid, None)
                self._tell(pool, end)
                pools.add(pool)
        return pools

    def _pools(self) -> set[PoolKey]:
        return {*self._runs, *self._news, *self._lost}

    def _losses(self, pool: PoolKey) -> set[End]:
        news = self._news.get(pool, {})
        written = {end for end in self._lost.get(pool, ()) if (end.run.uid, end.run.since) not in news}
        return written | {end for end in news.values() if end.word == LOST}

    def _tell(self, pool: PoolKey, end: End) -> None:
        news = self._news.setdefault(pool, {})
        key = (end.run.uid, end.run.since)
        if key not in news or news[key].word == LOST:
            news[key] = end
