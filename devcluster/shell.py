"""The environment in which commands meet the cluster, and ``run``, which replaces itself by the command."""

import os
from collections.abc import Sequence
from pathlib import Path

from devcluster import docker, netns
from devcluster.errors import DevClusterError
from devcluster.settings import Settings
from devcluster.state import Mode


def environment(settings: Settings, mode: Mode) -> dict[str, str]:
    """Return the caller's environment with KUBECONFIG, PATH and, for a Docker of ours, DOCKER_HOST."""
    path = os.environ.get("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    ours = {
        "KUBECONFIG": str(settings.kubeconfig),
        "KIND_CLUSTER_NAME": settings.prefix,
        "PATH": f"{settings.bin}:{path}",
    }
    return {**os.environ, **ours, **(docker.environment(settings) if mode is Mode.BUILD else {})}


def wrap(command: Sequence[str | Path], settings: Settings, mode: Mode) -> list[str]:
    """Return the command as it must be called to reach the cluster."""
    words = [str(word) for word in command]
    return netns.enter(settings, words) if mode is Mode.BUILD else words


def replace_by(command: Sequence[str], settings: Settings, mode: Mode) -> None:
    """Become the command: its exit status, its terminal and its signals are this process's own.

    Raise DevClusterError when there is nothing to run it against.
    """
    if mode is Mode.BUILD and not netns.exists(settings):
        raise DevClusterError("the dev cluster is not up", fix="python3 -m devcluster up")
    words = wrap(command, settings, mode)
    try:
        os.execvpe(words[0], words, environment(settings, mode))
    except OSError as error:
        raise DevClusterError(f"{words[0]}: {error.strerror}") from error
