"""The end of shadows and starters that their daemon left behind when it died.

condor_master kills what a daemon leaves, but finds a process younger than its last look only with rights that an unprivileged container
lacks. A shadow that stays fights with the one that the next schedd starts for the same job, until the job dies of it.
"""

import os
import signal
from collections.abc import Callable

from .processes import process_name

# a daemon comes back after ten seconds
PERIOD = 2.0
# a starter gives its job back to the queue
SIGNALS = {"condor_shadow": signal.SIGKILL, "condor_starter": signal.SIGQUIT}


def strays(parent: int) -> dict[int, str]:
    """Names of the shadows and starters among the children of `parent`, by pid: pid 1 inherits those without a parent."""
    try:
        with open(f"/proc/{parent}/task/{parent}/children", encoding="ascii") as file:
            named = {int(pid): process_name(int(pid)) for pid in file.read().split()}
    except OSError:
        return {}
    return {pid: name for pid, name in named.items() if name in SIGNALS}


def end_strays(report: Callable[[str], None], parent: int | None = None) -> None:
    """Costs one small file per call while there are none."""
    for pid, name in strays(parent or os.getpid()).items():
        report(f"{name} (pid {pid}) has lost its daemon and ends")
        os.kill(pid, SIGNALS[name])
