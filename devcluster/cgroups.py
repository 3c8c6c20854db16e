"""The cgroups below which Docker puts our containers: who is in them, and their removal."""

from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


def ours(name: str, root: Path = ROOT) -> list[Path]:
    """Return the group ``name`` in the unified hierarchy or in every controller's (cgroup v1)."""
    candidates = [root / name, *(path / name for path in sorted(root.iterdir()))] if root.is_dir() else []
    return [path for path in candidates if path.is_dir()]


def members(name: str, root: Path = ROOT) -> set[int]:
    """Return every process in our groups, in any depth: all processes of all nodes and their pods."""
    found: set[int] = set()
    for group in ours(name, root):
        for procs in group.rglob("cgroup.procs"):
            try:
                found.update(int(word) for word in procs.read_text(encoding="ascii").split())
            except OSError:
                continue
    return found - {0}


def remove(name: str, root: Path = ROOT) -> bool:
    """Remove our groups, deepest first; return whether none is left. Groups with processes stay."""
    for group in ours(name, root):
        below = [path for path in group.rglob("*") if path.is_dir()]
        for path in [*sorted(below, key=lambda path: len(path.parts), reverse=True), group]:
            try:
                path.rmdir()
            except OSError:
                continue
    return not ours(name, root)
