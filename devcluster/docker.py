"""Docker without an installed Docker: a Debian root, its own mount and network namespace, and a client for outside.

dockerd runs in a mount namespace of its own after pivot_root (after a mere chroot, containers would see the host's
root), so none of its mounts are ever visible outside: they vanish with its last process.
"""

import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from devcluster import daemons, netns
from devcluster.cache import write_atomically
from devcluster.errors import CommandError
from devcluster.process import TAIL_LINES, Command, output, run, shell_words, succeeds, tail, wait_until
from devcluster.settings import Settings

_DOCKERD = "dockerd"

_ENTER_ROOT = """
set -eu
root=$1 data=$2 sockets=$3 dns=$4
shift 4
mount --make-rprivate /
mount --bind "$root" "$root"
cd "$root"
for directory in dev proc sys; do mount --rbind "/$directory" "$directory"; done
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
mkdir -p run/devcluster var/lib/docker host
mount --bind "$data" var/lib/docker
mount --bind "$sockets" run/devcluster
printf 'nameserver %s\\n' "$dns" > run/resolv.conf
mount --bind run/resolv.conf etc/resolv.conf
pivot_root . host
cd /
umount -l /host
exec "$@"
"""

_CLIENT = """#!/bin/sh
# The docker client of the dev cluster's Debian root, run by that root's own C library.
root='{root}'
exec "$root/{loader}" --library-path "$root/usr/lib/{triplet}" "$root/usr/bin/docker" "$@"
"""

_LOADERS = {
    "x86_64": ("lib64/ld-linux-x86-64.so.2", "x86_64-linux-gnu"),
    "aarch64": ("lib/ld-linux-aarch64.so.1", "aarch64-linux-gnu"),
}


def daemon_command(root: Path, settings: Settings) -> list[str]:
    """Return the command that starts dockerd in its namespaces."""
    dockerd = [
        "/usr/sbin/dockerd",
        "--host=unix:///run/devcluster/docker.sock",
        "--storage-driver=overlay2",
        "--exec-opt=native.cgroupdriver=cgroupfs",
        f"--cgroup-parent=/{settings.cgroup}",
    ]
    environment = [f"{daemons.MARKER}={settings.runtime}", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"]
    arguments = [str(root), str(settings.docker_data), str(settings.docker_socket.parent), netns.DNS_ADDRESS]
    enter = ["unshare", "--mount", "--propagation=private", "sh", "-c", _ENTER_ROOT, "enter-root", *arguments]
    return netns.enter(settings, [*enter, "env", "-i", *environment, *dockerd])


def start(root: Path, settings: Settings) -> None:
    """Start dockerd and wait until it answers; raise CommandError with the end of its log."""
    for directory in (settings.docker_data, settings.docker_socket.parent):
        directory.mkdir(parents=True, exist_ok=True)
    for name in ("var/lib/docker", "host"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "etc/resolv.conf").touch()
    settings.docker_socket.unlink(missing_ok=True)
    log = settings.logs / "dockerd.log"
    command = daemon_command(root, settings)
    daemon = daemons.start(_DOCKERD, command, runtime=settings.runtime, log=log)
    install_client(root, settings)
    if not wait_until(lambda: not daemon.alive() or answers(settings), timeout=60) or not daemon.alive():
        text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
        raise CommandError(shell_words(command[-6:]), "dockerd did not come up", tail=tail(text, TAIL_LINES), log=log)


def install_client(root: Path, settings: Settings) -> None:
    """Write a ``docker`` program for outside: Debian's client needs Debian's newer C library, which the root has."""
    loader, triplet = _LOADERS[platform.machine()]
    script = _CLIENT.format(root=root, loader=loader, triplet=triplet)
    write_atomically(client(settings), script, mode=0o755)


def client(settings: Settings) -> Path:
    return settings.bin / "docker"


def environment(settings: Settings) -> dict[str, str]:
    """Return what leads a docker client to our daemon; BuildKit's client part is not in Debian's package."""
    return {
        "DOCKER_HOST": f"unix://{settings.docker_socket}",
        "DOCKER_BUILDKIT": "0",
        "DOCKER_CONFIG": str(settings.runtime / "docker-config"),
    }


def alive(settings: Settings) -> bool:
    return daemons.find(_DOCKERD, settings.runtime) is not None


def answers(settings: Settings) -> bool:
    command: Command = [client(settings), "version", "--format", "{{.Server.Version}}"]
    return settings.docker_socket.exists() and succeeds(command, timeout=5, env={**os.environ, **environment(settings)})


def stop(settings: Settings) -> None:
    daemons.stop(_DOCKERD, settings.runtime, grace=20)


def query(settings: Settings, *arguments: str, timeout: float = 30, stdin: str | None = None) -> str:
    """Return the output of a docker command."""
    return output(
        [client(settings), *arguments], timeout=timeout, env={**os.environ, **environment(settings)}, stdin=stdin
    ).strip()


def label(settings: Settings, image: str, name: str) -> str:
    """Return a label of an image; empty when the image or the label is missing."""
    template = f'{{{{index .Config.Labels "{name}"}}}}'
    try:
        return query(settings, "image", "inspect", "--format", template, image)
    except CommandError:
        return ""


@contextmanager
def replacing(settings: Settings, image: str) -> Iterator[None]:
    """Remove the image that loses its name in this context, unless something is made from it."""
    before = query(settings, "image", "ls", "--quiet", "--no-trunc", image)
    yield
    if before and before != query(settings, "image", "ls", "--quiet", "--no-trunc", image):
        with suppress(CommandError):
            query(settings, "image", "rm", before)


def import_trees(
    settings: Settings, image: str, trees: Sequence[Path], changes: Sequence[str], *, log: Path, timeout: float = 300
) -> None:
    """Make an image of one layer from directories laid over each other; earlier ones win.

    They are merged by overlayfs in a mount namespace that ends with the archive. Overlays must name real directories
    (``usr/bin``, not ``bin``): a directory would hide the link of that name below it.
    """
    merged = settings.runtime / "merged"
    merged.mkdir(parents=True, exist_ok=True)
    archive = ["tar", "--create", "--numeric-owner", "--directory"]
    if len(trees) == 1:
        pack = shell_words([*archive, trees[0], "."])
    else:
        layers = "lowerdir=" + ":".join(map(str, trees))
        mount = shell_words(["mount", "-t", "overlay", "-o", layers, "overlay", merged])
        script = f"{mount} && exec {shell_words([*archive, merged, '.'])}"
        pack = shell_words(["unshare", "--mount", "--propagation=private", "sh", "-c", script])
    flags = [word for change in changes for word in ("--change", change)]
    unpack = shell_words([client(settings), "import", *flags, "-", image])
    env = {**os.environ, **environment(settings)}
    with replacing(settings, image):
        run(["bash", "-o", "pipefail", "-ec", f"{pack} | {unpack}"], log=log, timeout=timeout, env=env)


def remove_containers(settings: Settings, names: Sequence[str]) -> None:
    """Remove containers with their anonymous volumes; those that do not exist are fine."""
    if names:
        query(settings, "rm", "--force", "--volumes", *names, timeout=120)


def nodes(settings: Settings) -> dict[str, str]:
    """Return the node containers of our kind cluster and their states."""
    selector = f"label=io.x-k8s.kind.cluster={settings.prefix}"
    text = query(settings, "ps", "--all", "--filter", selector, "--format", "{{.Names}} {{.State}}")
    return parse_nodes(text)


def parse_nodes(text: str) -> dict[str, str]:
    """Return name -> state from lines of ``docker ps`` with these two columns."""
    pairs = (line.split() for line in text.splitlines())
    return {name: state.lower() for name, state in pairs}
