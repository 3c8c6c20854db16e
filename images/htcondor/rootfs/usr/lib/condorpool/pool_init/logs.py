"""One line on stdout per line of any daemon's log, tagged with its daemon."""

import os
from collections.abc import Callable, Mapping

Write = Callable[[bytes], None]
Edit = Callable[[bytes], bytes]

READ_SIZE = 16384
LONGEST_LINE = 65536
UNKNOWN_USER = b"nvalid user "
TAGS = {"SchedLog": "schedd", "StartLog": "startd", "SharedPortLog": "shared_port", "ProcLog": "procd"}


def write_stdout(data: bytes) -> None:
    """Write all of it; a closed log pipe must never end pid 1, so the lines are dropped then."""
    try:
        while data:
            data = data[os.write(1, data) :]
    except OSError:
        return


def say(text: str) -> None:
    """One line of pool-init's own."""
    write_stdout(b"[pool-init] " + text.encode("utf-8", "replace").replace(b"\n", b" ") + b"\n")


def leave_message(path: str, text: str) -> None:
    """The last words of a container, for the kubelet's file at `path`; a container without one says them in its log only."""
    if os.path.exists(path):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)


def conceal_unknown_users(line: bytes) -> bytes:
    """A line of sshd without the name of a user who does not exist: now and then a password is typed in its place."""
    before, mark, after = line.partition(UNKNOWN_USER)
    if not mark:
        return line
    rest, port, number = after.rpartition(b" port ")
    return before + mark + b"(name not shown) " + (rest.rpartition(b" ")[2] + port + number if port else b"")


def tag_of(name: str) -> str | None:
    """The daemon that writes a file of LOG, None for what is no live log.

    StarterLog.slot1_1 -> starter.slot1_1; rotated files end in .old or in a time stamp.
    """
    stem, _, suffix = name.partition(".")
    if not stem.endswith("Log") or suffix == "old" or suffix.endswith(".old") or suffix[:1].isdigit():
        return None
    tag = TAGS.get(stem, stem.removesuffix("Log").lower())
    return f"{tag}.{suffix}" if suffix else tag


class Tagger:
    """Turns chunks of bytes into tagged lines; keeps an unfinished line until its end arrives."""

    def __init__(self, tag: str, write: Write, edit: Edit | None = None) -> None:
        self._prefix = f"[{tag}] ".encode()
        self._write = write
        self._edit = edit
        self._rest = b""

    def feed(self, chunk: bytes) -> None:
        data = self._rest + chunk
        complete, newline, self._rest = data.rpartition(b"\n")
        if newline:
            self._pass_on(complete)
        if len(self._rest) > LONGEST_LINE:
            self.flush()

    def flush(self) -> None:
        """End the unfinished line: nothing more will come."""
        if self._rest:
            self._pass_on(self._rest)
            self._rest = b""

    def _pass_on(self, text: bytes) -> None:
        if self._edit is not None:
            text = b"\n".join(map(self._edit, text.split(b"\n")))
        self._write(self._prefix + text.replace(b"\n", b"\n" + self._prefix) + b"\n")


class Tail:
    """One log file, followed through rotation by keeping it open."""

    __slots__ = ("_file", "_tagger", "inode", "offset")

    def __init__(self, path: str, tagger: Tagger) -> None:
        self._tagger = tagger
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        self.inode = os.fstat(self._file).st_ino
        self.offset = 0

    def read(self) -> None:
        """Everything up to the end of the file as it is now."""
        while chunk := os.pread(self._file, READ_SIZE, self.offset):
            self.offset += len(chunk)
            self._tagger.feed(chunk)

    def close(self) -> None:
        os.close(self._file)


class LogDirectory:
    """All logs of a directory. HTCondor rotates by renaming X to X.old, so a new inode follows an old one.

    `edits` sees each line of a daemon's log before it is passed on, by the daemon's tag.
    """

    def __init__(self, path: str, write: Write = write_stdout, edits: Mapping[str, Edit] | None = None) -> None:
        self._path = path
        self._write = write
        self._edits = edits or {}
        self._taggers: dict[str, Tagger] = {}
        self._tails: dict[str, Tail] = {}

    def poll(self) -> bool:
        """Pass on what was written since the last call; True if there was anything. Costs one stat per file."""
        busy = False
        try:
            entries = list(os.scandir(self._path))
        except FileNotFoundError:
            return False
        for entry in entries:
            tag = tag_of(entry.name)
            if tag is not None and entry.is_file(follow_symlinks=False):
                busy = self._follow(entry, tag) or busy
        return busy

    def finish(self) -> None:
        """Pass on the rest, unfinished lines included."""
        self.poll()
        for tail in self._tails.values():
            tail.read()
        for tagger in self._taggers.values():
            tagger.flush()

    def _follow(self, entry: "os.DirEntry[str]", tag: str) -> bool:
        try:
            found = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return False
        tail = self._tails.get(entry.name)
        if tail is not None and tail.inode == found.st_ino and tail.offset == found.st_size:
            return False
        if tail is None or tail.inode != found.st_ino:
            tail = self._replace(entry, tag, tail)
        if tail is None:
            return False
        if found.st_size < tail.offset:
            tail.offset = 0
        tail.read()
        return True

    def _replace(self, entry: "os.DirEntry[str]", tag: str, old: Tail | None) -> Tail | None:
        """Finish the rotated file before the first line of its successor."""
        if old is not None:
            old.read()
            old.close()
            del self._tails[entry.name]
        tagger = self._taggers.setdefault(entry.name, Tagger(tag, self._write, self._edits.get(tag)))
        try:
            tail = Tail(entry.path, tagger)
        except FileNotFoundError:
            return None
        self._tails[entry.name] = tail
        return tail
