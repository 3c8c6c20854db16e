"""How a configuration is judged: by pool-config-check, as nobody, without privileges, bounded in time and memory.

The manager's pool-init lends it to the pool agent, which runs as an account that may read credentials and so must not judge by
itself: who connects to the socket talks to a checker of his own, JSON in and JSON out.
"""

import os
import signal
import socket

from .logs import say
from .loop import Loop
from .processes import Reaper, spawn_on

NOBODY = "65534"
# a dump takes 10 ms of processor time, and for ever where two macros refer to each other
CHECK = (
    *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs", "--"),
    *("prlimit", "--cpu=2", f"--as={512 * 1024 * 1024}", "--", "pool-config-check"),
)
# seconds of the wall clock; more than a spinning check takes on a busy machine
LIMIT = 20.0
MOST = 4
# reached only by the containers that mount its directory
SOCKET_MODE = 0o666


def check_command(role: str, directory: str) -> tuple[str, ...]:
    """The command that judges a role's mounted configuration; it says what is wrong, a line each."""
    return (*CHECK, role, directory)


class CheckServer:
    """Listens on a Unix socket; each connection is the standard input and output of one check."""

    def __init__(self, loop: Loop, reaper: Reaper, path: str, command: tuple[str, ...] = (*CHECK, "-")) -> None:
        self._loop = loop
        self._reaper = reaper
        self._path = path
        self._command = command
        self._running = 0

    def start(self) -> None:
        """Make the socket; whoever shares the directory may connect."""
        if os.path.exists(self._path):
            os.unlink(self._path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._socket.bind(self._path)
        os.chmod(self._path, SOCKET_MODE)
        self._socket.listen(MOST)
        self._loop.on_readable(self._socket.fileno(), self._accept)

    def _accept(self) -> None:
        connection, _ = self._socket.accept()
        with connection:
            if self._running >= MOST:
                say("too many configurations to check at once: one is not checked")
                return
            pid = spawn_on(self._command, {"PATH": os.environ["PATH"]}, connection.fileno())
        self._running += 1
        timer = self._loop.later(LIMIT, lambda: os.kill(pid, signal.SIGKILL))

        def ended(_code: int) -> None:
            self._running -= 1
            self._loop.cancel(timer)

        self._reaper.watch(pid, ended)
