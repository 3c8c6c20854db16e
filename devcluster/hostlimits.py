"""Limits of the machine that are too small for several nodes on one kernel."""

from pathlib import Path

MINIMUM = {"fs/inotify/max_user_instances": 8192, "fs/inotify/max_user_watches": 1_048_576}
"""Every node is root to the kernel and shares one budget. At the default of 128 instances the second cluster's
kube-proxy dies with ``too many open files`` and its nodes never become ready."""


def raise_limits(root: Path = Path("/proc/sys")) -> list[str]:
    """Raise what is below the minimum, never lower anything; return what was changed, as sysctl would write it."""
    changed = []
    for name, minimum in MINIMUM.items():
        path = root / name
        if int(path.read_text(encoding="ascii")) < minimum:
            path.write_text(f"{minimum}\n", encoding="ascii")
            changed.append(f"{name.replace('/', '.')} = {minimum}")
    return changed
