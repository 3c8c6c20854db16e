"""Notice changed files of a mounted ConfigMap or Secret."""

import os

Fingerprint = tuple[tuple[str, int, int, int], ...]


def fingerprint(directory: str) -> Fingerprint:
    """Name, inode, size and time of every file; the kubelet swaps a symlink, so each new version has new inodes."""
    found = []
    try:
        names = sorted(os.listdir(directory))
    except OSError:
        return ()
    for name in names:
        if name.startswith("."):
            continue
        try:
            status = os.stat(os.path.join(directory, name))
        except OSError:
            continue
        found.append((name, status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(found)


def _digest(directory: str, files: Fingerprint) -> tuple[tuple[str, int], ...]:
    """Names and hashes of the contents: a new version of a volume has new files for what has not changed, too."""
    found = []
    for name, *_ in files:
        try:
            with open(os.path.join(directory, name), "rb") as file:
                found.append((name, hash(file.read())))
        except OSError:
            found.append((name, 0))
    return tuple(found)


class Watch:
    """Says once per change that what a directory holds is another than at the last question; hidden files do not count."""

    __slots__ = ("_content", "_directory", "_last")

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._last = fingerprint(directory)
        self._content = _digest(directory, self._last)

    def changed(self) -> bool:
        now = fingerprint(self._directory)
        if now == self._last:
            return False
        before, self._last = self._content, now
        self._content = _digest(self._directory, now)
        return self._content != before
