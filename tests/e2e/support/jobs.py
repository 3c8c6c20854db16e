"""Jobs: submitted inside the submitter's pod, followed by queue and job log."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .waiting import NotYetError, wait_for

if TYPE_CHECKING:
    from .pool import Pool

IDLE, RUNNING, REMOVED, COMPLETED, HELD = 1, 2, 3, 4, 5
"""JobStatus."""

SUBMITTED, EXECUTING, EVICTED, TERMINATED, ABORTED, WAS_HELD = "000", "001", "004", "005", "009", "012"
"""Codes of the events in a job's log."""

START_SECONDS = 60.0
"""From submit to running on an idle pool: two seconds, more on two busy cores."""

_SUBMIT = """
home=$(getent passwd "$(id -un)" | cut -d: -f6)
[ -w "$home" ] || home=/tmp
directory=$(mktemp -d "$home/job.XXXXXX") && cd "$directory" && cat >job.sub || exit
condor_submit -terse job.sub && pwd
"""
_EVENT = re.compile(r"^(\d{3}) \(\d+\.\d+\.\d+\) ", re.MULTILINE)


def submit_command() -> tuple[str, ...]:
    """Return the command that submits the description on its standard input; it prints the job's ids and directory."""
    return ("sh", "-c", _SUBMIT)


def shell_job(script: str, **commands: str | int) -> str:
    """Return the description of a job that runs a script in the executor's shell; commands add to or replace the usual ones."""
    quoted = script.replace('"', '""').replace("'", "''").replace("$", "$(DOLLAR)")
    lines: dict[str, str | int] = {
        "executable": "/bin/sh",
        "transfer_executable": "false",
        "arguments": f"\"-c '{quoted}'\"",
        "log": "job.log",
        "output": "job.out",
        "error": "job.err",
        "should_transfer_files": "YES",
        "when_to_transfer_output": "ON_EXIT",
        "request_cpus": 1,
        "request_memory": "32M",
        "request_disk": "16M",
        **commands,
    }
    return "".join(f"{name} = {value}\n" for name, value in lines.items()) + "queue\n"


@dataclass(frozen=True)
class Job:
    """One submitted job, with the directory on the submitter that holds its log and its output."""

    pool: "Pool"
    cluster: int
    directory: str
    user: str

    def attribute(self, name: str) -> str:
        """Return an attribute from the queue; empty where the job has left it."""
        return self.pool.run(self.pool.submitter, "condor_q", str(self.cluster), "-af", name).strip()

    def attribute_of_history(self, name: str) -> str:
        """Return an attribute of a job that has left the queue."""
        return self.pool.run(self.pool.submitter, "condor_history", str(self.cluster), "-af", name).strip()

    @property
    def host(self) -> str:
        """Name of the executor's pod that the job runs on; NotYetError where it runs nowhere."""
        host = self.attribute("RemoteHost")
        if "@" not in host:
            raise NotYetError(f"job {self.cluster} runs nowhere: {host!r}")
        return host.partition("@")[2].partition(".")[0]

    def file(self, name: str) -> str:
        """Return the text of a file in the job's directory."""
        return self.pool.run(self.pool.submitter, "cat", f"{self.directory}/{name}")

    def events(self) -> list[str]:
        """Return the codes of the events in the job's log, in order."""
        return _EVENT.findall(self.file("job.log"))

    def wait_status(self, status: int, seconds: float) -> None:
        """Wait until the queue shows the job with a JobStatus."""

        def look() -> None:
            seen = self.attribute("JobStatus")
            if seen != str(status):
                raise NotYetError(f"JobStatus {seen or 'none'}, {self._state()}")

        wait_for(f"JobStatus {status} of job {self.cluster}", look, seconds)

    def wait_running(self, seconds: float = START_SECONDS) -> str:
        """Wait until the job runs; return the name of the executor's pod."""

        def look() -> str:
            if EXECUTING not in self.events():
                raise NotYetError(self._state())
            return self.host

        return wait_for(f"job {self.cluster} to run", look, seconds)

    def wait_event(self, code: str, seconds: float) -> list[str]:
        """Wait for an event in the job's log; return all codes."""

        def look() -> list[str]:
            events = self.events()
            if code not in events:
                raise NotYetError(self._state())
            return events

        return wait_for(f"event {code} of job {self.cluster}", look, seconds)

    def wait_done(self, seconds: float) -> str:
        """Wait until the job has ended by itself with status 0; return its output."""
        self.wait_event(TERMINATED, seconds)
        log = self.file("job.log")
        assert "Normal termination (return value 0)" in log, log
        return self.file("job.out")

    def _state(self) -> str:
        log = self.file("job.log").strip()
        reason = self.attribute("HoldReason")
        return f"hold reason: {reason or 'none'}; end of its log:\n{log[-1500:]}"
