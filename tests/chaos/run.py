"""A run of chaos from the empty namespace to the history; everything that is known of it is kept in one folder."""

import json
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.neighbourhood import nodes
from tests.e2e.support.pool import Pool
from tests.e2e.support.waiting import NotYetError, wait_for

from . import machines
from .acts import Scene, acts
from .history import History, read_events, read_outputs, read_runs
from .ledger import Ledger, ledger
from .plan import MACHINES, lengths
from .pool import LEASE_SECONDS, USERS, objects
from .torment import TROUBLE, Record, read_faults, torment
from .users import User

CLUSTER_JOBS = 20
JOBS_PER_SECOND = 4.0
"""Of all users together; more than two cores start for long."""
TAIL = 10
"""Jobs left at which the faults end."""
SILENT_SECONDS = 300.0
"""Without the end of any job, after which no more is waited for."""
LOOK_SECONDS = 5.0
SETTLE_SECONDS = LEASE_SECONDS + 180.0
HEALTHY_SECONDS = 300.0
LEDGER, FAULTS, LOG, OUTPUT, SUBMITTED = "ledger.jsonl", "faults.jsonl", "users.log", "output.jsonl", "submitted.json"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Chaos:
    """What to run."""

    jobs: int
    seed: int
    longest: float
    """Seconds of the longest jobs."""
    kinds: Mapping[str, int]
    """Faults and their weights."""
    tormentors: int
    folder: Path

    def play(self, kubectl: Kubectl, pool: Pool, say: Say) -> History:
        """Run it with a pool that is not there yet, in an empty namespace; return what is known when the pool is ready again."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with ledger(next(iter(nodes(kubectl).values())), self.folder / LEDGER) as book:
            scene = Scene(kubectl, pool, book.place)
            with tempfile.TemporaryDirectory() as keys:
                pool.kubectl.apply(*objects(Path(keys)))
            scene.apply()
            pool.wait_ready()
            say(f"seed {self.seed}: {self.jobs} jobs in {pool.trust_domain}, evidence in {self.folder}")
            users = self._users(pool, book)
            self._torment(scene, users, book, say)
            self._settle(kubectl, pool, say)
            self._collect(pool, users)
        return read_history(self.folder)

    def _users(self, pool: Pool, book: Ledger) -> list[User]:
        seconds = lengths(self.seed, self.jobs, self.longest)
        clusters = [seconds[n : n + CLUSTER_JOBS] for n in range(0, self.jobs, CLUSTER_JOBS)]
        pause = CLUSTER_JOBS * len(USERS) / JOBS_PER_SECOND
        stopping = threading.Event()
        return [
            User(pool, name, clusters[n :: len(USERS)], pause, book.place, stopping) for n, name in enumerate(USERS)
        ]

    def _torment(self, scene: Scene, users: Sequence[User], book: Ledger, say: Say) -> None:
        makers = acts(scene)
        if self.kinds.keys() & MACHINES.keys():
            makers |= machines.makers(scene.kubectl)
        record = Record(self.folder / FAULTS)
        for user in users:
            user.start()
        try:
            with torment(scene, makers, self.seed, self.kinds, self.tormentors, record) as tormentors:
                self._watch(users, book, lambda: any(one.error for one in tormentors), record, say)
        finally:
            users[0].stopping.set()
            for user in users:
                user.join()
            say(f"{len(book.ended())} jobs have ended, {len(record.faults())} faults; the faults are over")

    def _watch(
        self, users: Sequence[User], book: Ledger, trouble: Callable[[], bool], record: Record, say: Say
    ) -> None:
        """Wait until but a few jobs are left, or none ends any more."""
        ended, since, told = 0, time.monotonic(), 0.0
        while any(user.is_alive() for user in users) or ended < self.jobs - TAIL:
            time.sleep(LOOK_SECONDS)
            now = len(book.ended())
            since = time.monotonic() if now > ended else since
            ended = now
            if time.monotonic() - told >= 30:
                told = time.monotonic()
                submitted = sum(len(user.acknowledged) for user in users)
                say(f"{submitted} of {self.jobs} jobs submitted, {ended} ended, {len(record.faults())} faults")
            if trouble() or time.monotonic() - since > SILENT_SECONDS or any(user.error for user in users):
                say(
                    "stopped early: "
                    + ("; ".join(user.error for user in users if user.error) or "no job ends any more")
                )
                return

    def _settle(self, kubectl: Kubectl, pool: Pool, say: Say) -> None:
        """Wait for the cluster, the pool and the last jobs; a queue that is not empty in the end is for the judge."""
        if self.kinds.keys() & MACHINES.keys():
            machines.heal(kubectl)
        try:
            wait_for("the queue to be empty", lambda: _empty(pool), SETTLE_SECONDS)
        except AssertionError as error:
            say(str(error))
        pool.wait_condition("Ready", "True", HEALTHY_SECONDS)
        say("the pool is ready again")

    def _collect(self, pool: Pool, users: Sequence[User]) -> None:
        submitted = {job for user in users for job in user.acknowledged | user.found()}
        (self.folder / SUBMITTED).write_text(json.dumps(sorted(submitted)))
        (self.folder / LOG).write_text("".join(user.files("job.log") for user in users))
        (self.folder / OUTPUT).write_text("".join(user.files("out.*") for user in users))


def _empty(pool: Pool) -> None:
    try:
        left = pool.run(pool.submitter, "condor_q", "-allusers", "-af:j", "JobStatus", "RemoteHost", "HoldReason")
    except TROUBLE as error:
        raise NotYetError(str(error)) from error
    if left.strip():
        raise NotYetError(left)


def read_history(folder: Path) -> History:
    """Return what the folder of a run knows; what came back as output is part of the ledger."""
    output = (folder / OUTPUT).read_text().splitlines()
    with (folder / LEDGER).open() as file:
        lines = [*file, *output]
    return History(
        frozenset(json.loads((folder / SUBMITTED).read_text())),
        tuple(read_runs(lines)),
        tuple(read_events((folder / LOG).read_text())),
        read_outputs(output),
        tuple(read_faults(folder / FAULTS)),
    )
