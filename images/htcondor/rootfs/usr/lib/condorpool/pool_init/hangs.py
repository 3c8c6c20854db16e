"""Restart daemons that hang: condor_master sees one that ends, but one that hangs only after long (htcondor.md, Hung daemons)."""

import os
import signal
from collections.abc import Callable

from .loop import Loop
from .processes import TIME_OVER, children

# seconds between two rounds of questions, between two that follow a silence, before the first, and for one answer
PERIOD = 20.0
RETRY = 1.0
FIRST = 10.0
PATIENCE = 20.0
TRIES = 3
# what starters need to give their jobs back to the queue
EVICTION = 5.0

MASTER = "MASTER"
DAEMONS = {"manager": ("COLLECTOR", "NEGOTIATOR"), "submitter": ("SCHEDD",), "executor": ("STARTD",)}

Ended = Callable[[int], None]


def question(daemon: str) -> tuple[str, ...]:
    """A command that ends at once with any status while the daemon serves commands, or is not there."""
    return ("condor_ping", "-quiet", "-type", daemon, "READ")


class HangWatch:
    """Kills a daemon that answers nothing TRIES times while another daemon of the container answers.

    So a machine too busy for anything, or a hung condor_shared_port, kills nobody. Nor is one killed that has never answered: it may be
    busy with what its predecessor left. A startd gets its starters stopped first: they give the jobs back to the queue at once, which
    would else wait for the end of their lease.

    `ask` puts a question and calls back with its exit status, TIME_OVER after PATIENCE; `wanted` says whether daemons shall run at all.
    """

    def __init__(
        self,
        loop: Loop,
        role: str,
        master: int,
        ask: Callable[[str, Ended], None],
        wanted: Callable[[], bool],
        report: Callable[[str], None],
        *,
        find: Callable[[int], dict[int, str]] = children,
        kill: Callable[[int, int], None] = os.kill,
    ) -> None:
        self._loop = loop
        self._daemons = DAEMONS[role]
        self._master = master
        self._ask = ask
        self._wanted = wanted
        self._report = report
        self._find = find
        self._kill = kill
        self._answers: dict[str, bool] = {}
        self._pids: dict[str, int] = {}
        # the processes that have answered before, by daemon
        self._known: dict[str, int] = {}
        self._suspect = ""
        self._misses = 0

    def start(self) -> None:
        self._loop.later(FIRST, self._round)

    def _round(self) -> None:
        if not self._wanted():
            return
        self._answers = {}
        self._pids = self._processes()
        for daemon in self._pids:
            self._put_question(daemon)

    def _put_question(self, daemon: str) -> None:
        def ended(status: int) -> None:
            self._answers[daemon] = status != TIME_OVER
            if len(self._answers) == len(self._pids):
                self._judge()

        self._ask(daemon, ended)

    def _processes(self) -> dict[str, int]:
        """The daemons that run, by name; the kernel cuts the names of processes to 15 letters."""
        running = {name: pid for pid, name in self._find(self._master).items()}
        names = {daemon: f"condor_{daemon.lower()}"[:15] for daemon in self._daemons}
        found = {daemon: running[name] for daemon, name in names.items() if name in running}
        return {**found, MASTER: self._master}

    def _judge(self) -> None:
        """The first of those that are silent is to blame: a negotiator cannot even be found without its collector."""
        self._known.update({daemon: self._pids[daemon] for daemon, answered in self._answers.items() if answered})
        silent = [daemon for daemon in (*self._daemons, MASTER) if self._answers.get(daemon) is False]
        suspect = silent[0] if silent and any(self._answers.values()) else ""
        if self._known.get(suspect) != self._pids.get(suspect):
            suspect = ""
        self._misses = self._misses + 1 if suspect and suspect == self._suspect else int(bool(suspect))
        self._suspect = suspect
        if self._misses == TRIES and self._wanted():
            self._restart(suspect, self._pids[suspect])
        self._loop.later(RETRY if suspect else PERIOD, self._round)

    def _restart(self, daemon: str, pid: int) -> None:
        self._misses = 0
        startd = self._pids.get("STARTD")
        starters = [child for child, name in self._find(startd).items() if name == "condor_starter"] if startd else []
        jobs = f", its {len(starters)} jobs go back to the queue" if starters else ""
        self._report(f"{daemon} (pid {pid}) hangs: it is killed to be started again{jobs}")
        for starter in starters:
            self._kill(starter, signal.SIGQUIT)
        if starters:
            self._loop.later(EVICTION, lambda: self._finish(daemon, pid, starters))
        else:
            self._finish(daemon, pid, starters)

    def _finish(self, daemon: str, pid: int, starters: list[int]) -> None:
        """Another process may have the number by now, and the container may have been told to end.

        A young starter waits for a word of its startd, and hears of its end first and of our signal then; meanwhile condor_master, who
        would kill it, is made to wait.
        """
        if not self._wanted() or self._processes().get(daemon) != pid:
            return
        if starters and daemon != MASTER:
            self._kill(self._master, signal.SIGSTOP)
            self._loop.later(EVICTION, lambda: self._kill(self._master, signal.SIGCONT))
        self._kill(pid, signal.SIGKILL)
