"""The end of what a user still has open who may not log in any more.

In the container of sshd only: beside the schedd the shadows of his jobs run under his uid, and his jobs run to their end.
"""

import os
from collections.abc import Callable, Iterable, Mapping

from .loop import Loop
from .processes import Command, Reaper
from .users import Report, User

# a login that was let in a moment before may open its session a moment after
PERIOD = 2.0
KILL_LIMIT = 10.0


def user_ids(proc: str = "/proc") -> set[int]:
    """Real uids of all processes; the owner of /proc/<pid> does not tell, sshd hides its sessions from their users."""
    found: set[int] = set()
    for entry in os.listdir(proc):
        if entry.isdigit():
            try:
                with open(os.path.join(proc, entry, "status"), encoding="ascii", errors="replace") as status:
                    found.update(int(line.split()[1]) for line in status if line.startswith("Uid:"))
            except OSError:
                continue
    return found


def kill_command(user: User) -> tuple[str, ...]:
    """As the user himself: signal -1 reaches all that is his at once, also what forks faster than anyone looks."""
    identity = (f"--reuid={user.uid}", f"--regid={user.gid}", "--clear-groups")
    return ("setpriv", *identity, "kill", "-KILL", "--", "-1")


class Sessions:
    """Kills all processes of the users that were shut out last; a user that is merely unknown is left alone.

    The operator keeps a removed user's entry without a shell, so that a database that could not be read closes nobody's session.
    """

    def __init__(
        self,
        loop: Loop,
        reaper: Reaper,
        environ: Mapping[str, str],
        report: Report,
        find: Callable[[], set[int]] = user_ids,
    ) -> None:
        self._loop = loop
        self._reaper = reaper
        self._environ = environ
        self._report = report
        self._find = find
        self._shut_out: dict[int, User] = {}
        loop.every(PERIOD, self._look)

    def shut_out(self, users: Iterable[User]) -> None:
        """From now on."""
        self._shut_out = {user.uid: user for user in users}
        self._look()

    def _look(self) -> None:
        if self._shut_out:
            for uid in self._find() & set(self._shut_out):
                self._end(self._shut_out[uid])

    def _end(self, user: User) -> None:
        self._report(f"user {user.name!r} may not log in any more: his sessions end")

        def finished(code: int, text: str) -> None:
            if code != 0:
                self._report(f"the sessions of user {user.name!r} did not end: {text}")

        Command(self._loop, self._reaper, kill_command(user), self._environ, limit=KILL_LIMIT, finished=finished)
