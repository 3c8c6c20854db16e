"""The users: they submit clusters of jobs while everything around them fails, and read logs and outputs at the end."""

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.support.pool import Pool

from . import job
from .torment import TROUBLE

SUBMIT_SECONDS = 40
AGAIN_SECONDS = 3.0
PATIENCE = 60
"""Attempts for one cluster."""

_SUBMIT = f"""
cd "$(getent passwd "$(id -un)" | cut -d: -f6)" && mkdir -p "chaos/$1" && cd "chaos/$1" || exit
printf '%s' "$2" >job.py && cat >job.sub && exec timeout {SUBMIT_SECONDS} condor_submit -terse job.sub
"""
_COLLECT = (
    'cd "$(getent passwd "$(id -un)" | cut -d: -f6)/chaos" && find . -name "$1" -print0 | sort -z | xargs -0r cat'
)


@dataclass(eq=False)
class User(threading.Thread):
    """Submits all of his jobs, a cluster at a time, with a pause in between, and submits again what was not acknowledged."""

    pool: Pool
    user: str
    clusters: Sequence[Sequence[float]]
    """The seconds of the jobs of each cluster."""
    pause: float
    ledger: tuple[str, int]
    stopping: threading.Event
    acknowledged: set[str] = field(default_factory=set)
    doubtful: list[str] = field(default_factory=list)
    """Names of clusters whose submission gave no answer: there may be jobs of them, or not."""
    error: str = ""

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    def run(self) -> None:
        """Submit them all, until told to stop."""
        for number, lengths in enumerate(self.clusters):
            if not self._submit(f"{self.user}-{number}", lengths) or self.stopping.wait(self.pause):
                return

    def _submit(self, name: str, lengths: Sequence[float]) -> bool:
        said = ""
        for attempt in range(PATIENCE):
            unique = f"{name}-{attempt}"
            try:
                out = self._run(
                    "sh", "-c", _SUBMIT, "sh", unique, Path(job.__file__).read_text(), stdin=self._text(unique, lengths)
                )
                self.acknowledged |= ids(out)
            except TROUBLE as error:
                said = str(error)
                self.doubtful.append(unique)
            else:
                return True
            if self.stopping.wait(AGAIN_SECONDS):
                return False
        self.error = f"{name} was never taken: {said}"
        return False

    def _text(self, name: str, lengths: Sequence[float]) -> str:
        address, port = self.ledger
        lines = {
            "executable": "/usr/bin/python3",
            "transfer_executable": "false",
            "transfer_input_files": "job.py",
            "arguments": f"-I -S job.py $(seconds) {address} {port}",
            "log": "job.log",
            "output": "out.$(Process)",
            "error": "err.$(Process)",
            "should_transfer_files": "YES",
            "when_to_transfer_output": "ON_EXIT",
            "request_cpus": 1,
            "request_memory": "64M",
            "request_disk": "16M",
            "+ChaosCluster": f'"{name}"',
        }
        return (
            "".join(f"{key} = {value}\n" for key, value in lines.items())
            + f"queue seconds in ({', '.join(map(str, lengths))})\n"
        )

    def found(self) -> set[str]:
        """Return the jobs of doubtful clusters that are there all the same, in the queue or in the history."""
        if not self.doubtful:
            return set()
        names = ",".join(self.doubtful)
        constraint = ("-constraint", f'stringListMember(ChaosCluster, "{names}")', "-af", "ClusterId", "ProcId")
        said = self._run("condor_q", "-allusers", *constraint) + self._run("condor_history", *constraint)
        return {".".join(line.split()) for line in said.splitlines() if re.fullmatch(r"\d+ \d+", line)}

    def files(self, pattern: str) -> str:
        """Return the text of all files of a name that the user has."""
        return self._run("sh", "-c", _COLLECT, "sh", pattern)

    def _run(self, *command: str, stdin: str | None = None) -> str:
        return self.pool.run(self.pool.submitter, *command, user=self.user, stdin=stdin)


def ids(terse: str) -> set[str]:
    """Return the jobs of what condor_submit -terse says: `12.0 - 12.19`."""
    match = re.search(r"^(\d+)\.(\d+) - (\d+)\.(\d+)$", terse, re.MULTILINE)
    assert match is not None, f"condor_submit said {terse!r}"
    cluster, first, _, last = map(int, match.groups())
    return {f"{cluster}.{proc}" for proc in range(first, last + 1)}
