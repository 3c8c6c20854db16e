"""Build results keyed by content and published atomically: a result that exists is whole."""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def content_key(*parts: object) -> str:
    """Return twelve hex digits over JSON-able values; the same inputs give the same key in every checkout."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:12]


def tree_digest(directory: Path) -> str:
    """Return a digest over the names and contents of all files below a directory."""
    digest = hashlib.sha256()
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(directory)}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


@contextmanager
def locked(path: Path, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold an exclusive file lock; ``on_wait`` is called once if somebody else holds it. The kernel frees it at exit."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def build_once(target: Path, build: Callable[[Path], None]) -> bool:
    """Build the directory ``target`` unless it exists; return whether it was built.

    The builder fills a directory beside it, which is renamed when it is whole, so that a killed build leaves
    nothing that looks like a result. A lock keeps a second checkout from building the same thing twice.
    """
    if target.exists():
        return False
    with locked(target.parent / f".{target.name}.lock"):
        if target.exists():
            return False
        unfinished = target.parent / f".{target.name}.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o755)
        build(unfinished)
        unfinished.rename(target)
    return True


def write_atomically(path: Path, text: str, mode: int = 0o644) -> None:
    """Replace a file in one step; readers see the old or the new text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.chmod(mode)
    unfinished.rename(path)
