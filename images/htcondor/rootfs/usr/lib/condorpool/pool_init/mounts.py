"""The file systems that a group declares: mounted before the first job, watched, mounted again after a failure.

Each is the work of a FUSE server in the foreground. Whatever could wait for a server that hangs runs in a child that is killed and never
waited for: pid 1 itself touches no mounted path.
"""

import os
import signal
from collections.abc import Callable, Mapping, Sequence

from .layout import Layout
from .logs import Tagger, say, write_stdout
from .loop import Loop, Timer
from .processes import TIME_OVER, Command, Output, Reaper, spawn
from .settings import Mount

# seconds
LOOK = 4.0
LOOK_AT_START = 0.2
ANSWER_LIMIT = 4.0
COMMAND_LIMIT = 5.0
# a server that has not mounted by then is ended
START_LIMIT = 60.0
# a server that answers nothing is not killed at once: that breaks the files that running jobs have open
HANG_LIMIT = 30.0
LONGEST_PAUSE = 60.0
# a mount that stood this long begins with the shortest pause again
STEADY = 60.0
# for a server to write back what it holds
END_LIMIT = 5.0

MOUNT_INFO = "/proc/self/mountinfo"


def has_fuse(path: str, mount_info: str) -> bool:
    """Whether a FUSE file system is mounted at a path, by the text of mountinfo: reading that asks no file system."""
    for line in mount_info.splitlines():
        place, _, source = line.partition(" - ")
        kind = source.partition(" ")[0]
        if place.split(" ")[4] == path and kind.startswith("fuse") and kind != "fusectl":
            return True
    return False


def machine_ad(health: Mapping[str, bool]) -> str:
    """What the machine ad says of the mounts; the last line has the startd tell the collector at once."""
    lines = [f"HasMount_{name} = {healthy}" for name, healthy in health.items()]
    broken = ",".join(name for name, healthy in health.items() if not healthy)
    return "\n".join([*lines, f'CondorPoolBrokenMounts = "{broken}"', "- update:true", ""])


class Keeper:
    """Keeps one mount up; `changed` is called when `healthy` has changed.

    One step follows another, each begun by a timer or by the end of a child; only the server's own end comes on its own.
    """

    def __init__(
        self,
        loop: Loop,
        reaper: Reaper,
        environ: Mapping[str, str],
        layout: Layout,
        mount: Mount,
        changed: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._reaper = reaper
        self._environ = environ
        self._layout = layout
        self._mount = mount
        self._path = layout.path(mount.path)
        self._changed = changed
        self._tagger = Tagger(f"mount.{mount.name}", write_stdout)
        self._server: int | None = None
        self._status: int | None = None
        self._started = 0.0
        self._up_since: float | None = None
        self._silent_since: float | None = None
        self._failures = 0
        self._next_look: Timer | None = None
        self._placed = False
        self._ending = False
        self.healthy = False
        self.tried = False

    def begin(self) -> None:
        self._safely(self._clear)

    def end(self) -> None:
        """Let the server end by itself for a moment, then kill it; what is mounted goes with the container at the latest."""
        self._ending = True
        self._signal(signal.SIGTERM)
        self._loop.later(END_LIMIT, self._kill)

    @property
    def ended(self) -> bool:
        return self._server is None

    # steps

    def _clear(self) -> None:
        """Take away what the last server left: forced, which fails all that wait for it, and lazy, as jobs have it open."""
        if self._stands():
            self._run(("umount", "--no-canonicalize", "--force", "--lazy", self._path), self._place)
        else:
            self._place()

    def _place(self) -> None:
        """Make the path a shared mount of its own, so that what is mounted there later appears in jobs that run already.

        The starter makes all mounts in a job's namespace slaves of ours: nothing comes back from there.
        """
        if self._placed:
            self._start()
            return
        os.makedirs(self._path, exist_ok=True)
        bind = ("mount", "--no-canonicalize", "--bind", "--make-shared", self._path, self._path)
        self._run(bind, self._start)

    def _start(self) -> None:
        self._placed = True
        variables = {name: self._credential(key) for name, key in self._mount.variables.items()}
        output = Output(self._loop, self._tagger.feed)
        try:
            server = spawn(self._mount.argv, {**self._environ, **variables}, output.write_end, session=True)
        finally:
            output.child_started()
        self._server, self._status, self._started = server, None, self._loop.clock()
        self._reaper.watch(server, lambda code: self._exited(server, code))
        self._look_after(LOOK_AT_START)

    def _look(self) -> None:
        self._next_look = None
        if self._status is not None:
            self._failed(f"its command ended with status {self._status}")
        elif self._stands():
            # opens and reads the directory, up to its first entry
            self._ask(("find", self._path, "-maxdepth", "0", "-empty"), ANSWER_LIMIT, self._answered)
        elif self._up_since is not None:
            self._failed("it is not mounted any more")
        elif self._loop.clock() - self._started > START_LIMIT:
            self._failed(f"its command has mounted nothing within {START_LIMIT:.0f} s")
        else:
            self._look_after(LOOK_AT_START)

    def _answered(self, code: int, text: str) -> None:
        if code == TIME_OVER:
            self._silent()
        elif code != 0:
            self._failed(text)
        elif self._mount.read_only and self._up_since is None:
            # the whole file system, so that it holds in every namespace; mount(8) without a source passes options that FUSE refuses
            self._run(("mount", "-i", "-o", "remount,ro,nosuid,nodev", "none", self._path), self._up)
        else:
            self._up()

    def _silent(self) -> None:
        now = self._loop.clock()
        if self._silent_since is None:
            self._silent_since = now - ANSWER_LIMIT
            self._say("does not answer")
        self._set(healthy=False)
        if now - self._silent_since >= HANG_LIMIT:
            self._failed(f"it has not answered for {HANG_LIMIT:.0f} s")
        else:
            self._look_after(LOOK)

    def _up(self) -> None:
        now = self._loop.clock()
        if self._up_since is None:
            self._up_since = now
            self._say(f"is mounted at {self._mount.path} after {now - self._started:.1f} s")
        elif self._silent_since is not None:
            self._say("answers again")
        self._silent_since = None
        self._set(healthy=True)
        self._look_after(LOOK)

    def _failed(self, reason: str) -> None:
        """End what is left of this attempt, and begin another one after a while."""
        now = self._loop.clock()
        if self._up_since is not None and now - self._up_since > STEADY:
            self._failures = 0
        pause = min(2.0**self._failures, LONGEST_PAUSE)
        self._failures += 1
        self._say(f"{' '.join(reason.split())}; next attempt in {pause:.0f} s")
        self._up_since = self._silent_since = None
        self._set(healthy=False)
        self._kill()
        self._after(pause, self._clear)

    # means

    def _safely(self, step: Callable[..., None], *arguments: object) -> None:
        """Take a step unless it is all over; an error of the machine is a failure of this attempt, never the end of all attempts."""
        if self._ending:
            return
        try:
            step(*arguments)
        except OSError as error:
            self._failed(str(error))

    def _after(self, delay: float, step: Callable[[], None]) -> Timer:
        return self._loop.later(delay, lambda: self._safely(step))

    def _look_after(self, delay: float) -> None:
        self._next_look = self._after(delay if self._status is None else 0.0, self._look)

    def _run(self, argv: Sequence[str], then: Callable[[], None]) -> None:
        self._ask(argv, COMMAND_LIMIT, lambda code, text: then() if code == 0 else self._failed(f"{argv[0]}: {text}"))

    def _ask(self, argv: Sequence[str], limit: float, then: Callable[[int, str], None]) -> None:
        def finished(code: int, text: str) -> None:
            self._safely(then, code, text)

        Command(self._loop, self._reaper, argv, self._environ, limit=limit, finished=finished)

    def _stands(self) -> bool:
        with open(MOUNT_INFO, encoding="utf-8", errors="replace") as file:
            return has_fuse(self._path, file.read())

    def _credential(self, key: str) -> str:
        path = os.path.join(self._layout.mount_credentials, self._mount.name, key)
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            text = file.read().strip()
        if not text or "\0" in text:
            raise OSError(f"{path} is no text")
        return text

    def _exited(self, server: int, code: int) -> None:
        if server != self._server:
            return
        self._signal(signal.SIGKILL)  # what it has started
        self._server, self._status = None, code
        self._tagger.flush()
        if self._next_look is not None:
            self._next_look.due = self._loop.clock()

    def _kill(self) -> None:
        self._signal(signal.SIGKILL)
        self._server = None

    def _signal(self, number: int) -> None:
        """To the server and all that it has started and that is still in its session's first group."""
        if self._server is not None:
            try:
                os.killpg(self._server, number)
            except ProcessLookupError:
                return

    def _set(self, *, healthy: bool) -> None:
        tried, self.tried = self.tried, True
        if healthy != self.healthy or not tried:
            self.healthy = healthy
            self._changed()

    def _say(self, text: str) -> None:
        say(f"mount {self._mount.name}: {text}")


class Mounts:
    """All mounts of an executor, and the file from which its machine ad learns of them."""

    def __init__(
        self, loop: Loop, reaper: Reaper, environ: Mapping[str, str], layout: Layout, mounts: Sequence[Mount]
    ) -> None:
        self._ad = layout.mounts_ad
        self._keepers = {mount.name: Keeper(loop, reaper, environ, layout, mount, self._publish) for mount in mounts}

    def begin(self) -> None:
        """Start them all at once."""
        if self._keepers:
            os.makedirs(os.path.dirname(self._ad), exist_ok=True)
            self._publish()
        for keeper in self._keepers.values():
            keeper.begin()

    def end(self) -> None:
        for keeper in self._keepers.values():
            keeper.end()

    @property
    def tried(self) -> bool:
        """Whether each is up, or has failed once."""
        return all(keeper.tried for keeper in self._keepers.values())

    @property
    def ended(self) -> bool:
        return all(keeper.ended for keeper in self._keepers.values())

    def _publish(self) -> None:
        """Replace the file: its reader never sees half of it."""
        new = f"{self._ad}.new"
        try:
            with open(new, "w", encoding="ascii") as file:
                file.write(machine_ad({name: keeper.healthy for name, keeper in self._keepers.items()}))
            os.replace(new, self._ad)
        except OSError as error:
            say(f"the machine ad does not learn of the mounts: {error}")
