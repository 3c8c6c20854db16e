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


class Watch:
    """Says once per change that a directory has changed since the last question."""

    __slots__ = ("_directory", "_last")

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._last = fingerprint(directory)

    def changed(self) -> bool:
        now = fingerprint(self._directory)
        if now == self._last:
            return False
        self._last = now
        return True
