"""Ending everything of ours, however it was left: processes, namespaces, mounts, cgroups."""

import shutil
from contextlib import suppress

from devcluster import cgroups, daemons, docker, netns
from devcluster.errors import CommandError, DevClusterError
from devcluster.process import wait_until
from devcluster.settings import Settings


def remove_cluster(settings: Settings) -> None:
    """Remove the nodes of our kind cluster with their volumes, and its kubeconfig."""
    docker.remove_containers(settings, list(docker.nodes(settings)))
    settings.kubeconfig.unlink(missing_ok=True)


def remove_everything(settings: Settings) -> None:
    """End our Docker with all it runs and free what it used. Images stay in the data root.

    Works on any remains: a process counts as ours if it is in our cgroups or carries our marker. Mounts of ours are
    in mount namespaces that end with these processes.
    """
    if docker.alive(settings) and docker.answers(settings):
        with suppress(CommandError):  # what remains is killed below
            remove_cluster(settings)
    docker.stop(settings)
    netns.remove(settings)
    if not wait_until(lambda: _kill_remains(settings), timeout=20):
        left = sorted({*daemons.marked(settings.runtime), *cgroups.members(settings.cgroup)})
        raise DevClusterError(f"processes that do not end: {left}", fix="look at them with `ps -fp PID`")
    wait_until(lambda: cgroups.remove(settings.cgroup), timeout=5)
    shutil.rmtree(settings.runtime, ignore_errors=True)


def _kill_remains(settings: Settings) -> bool:
    """Kill what is left; return whether nothing was."""
    pids = {*daemons.marked(settings.runtime), *cgroups.members(settings.cgroup)}
    daemons.kill_all(pids)
    return not pids
