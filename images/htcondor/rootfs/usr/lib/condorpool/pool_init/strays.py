"""The end of shadows and starters that their daemon left behind when it died.

condor_master kills what a daemon leaves, but finds a process younger than its last look only with rights that an unprivileged container
lacks. A shadow that stays takes its job's output and tells the executor that all is well, but can record it nowhere, so that the job runs
again; and it fights with the shadow that the next schedd starts for the same job, until the job dies of it.
"""

import os
import signal
from collections.abc import Callable, Container

from .loop import Loop
from .processes import process_name

# a daemon comes back after ten seconds
PERIOD = 2.0
# a starter gives its job back to the queue
SIGNALS = {"condor_shadow": signal.SIGKILL, "condor_starter": signal.SIGQUIT}
PARENTS = frozenset({"condor_schedd", "condor_startd"})


class StrayWatch:
    """Ends strays when the daemon that left them ends, and looks for more now and then; `master` is the parent of the daemons."""

    def __init__(self, loop: Loop, master: int, report: Callable[[str], None], init: int | None = None) -> None:
        self._loop = loop
        self._master = master
        self._report = report
        self._init = init or os.getpid()
        self._watched: set[int] = set()

    def start(self) -> None:
        self._look()
        self._loop.every(PERIOD, self._look)

    def _look(self) -> None:
        end_strays(self._report, self._init)
        for pid in children_named(self._master, PARENTS).keys() - self._watched:
            self._watch(pid)

    def _watch(self, pid: int) -> None:
        try:
            descriptor = os.pidfd_open(pid)
        except OSError:  # ended meanwhile, or a kernel without it: the next look serves too
            return

        def ended() -> None:
            self._loop.forget(descriptor)
            os.close(descriptor)
            self._watched.discard(pid)
            end_strays(self._report, self._init)

        self._watched.add(pid)
        self._loop.on_readable(descriptor, ended)


def end_strays(report: Callable[[str], None], init: int) -> None:
    """End the strays that process `init` has inherited; costs one small file while there are none."""
    for pid, name in children_named(init, SIGNALS).items():
        report(f"{name} (pid {pid}) has lost its daemon and ends")
        os.kill(pid, SIGNALS[name])


def children_named(parent: int, names: Container[str]) -> dict[int, str]:
    """Names of those children of a process that have one of the names, by pid."""
    try:
        with open(f"/proc/{parent}/task/{parent}/children", encoding="ascii") as file:
            named = {int(pid): process_name(int(pid)) for pid in file.read().split()}
    except OSError:
        return {}
    return {pid: name for pid, name in named.items() if name in names}
