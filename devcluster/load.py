"""Docker images into all nodes: only what a node lacks, read from Docker once, imported by all nodes side by side."""

import io
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import IO, Any

from devcluster import shell, state
from devcluster.errors import CommandError, DevClusterError
from devcluster.process import output, shell_words, tail
from devcluster.progress import Progress
from devcluster.settings import Settings

TIMEOUT = 600
"""Seconds for a transfer as a whole."""

_CHUNK = 1 << 20
_CTR = ["ctr", "--namespace=k8s.io", "images"]


def full_name(image: str) -> str:
    """Return the name containerd uses: Docker leaves out its own registry, ``library`` and ``latest``."""
    head, slash, _ = image.partition("/")
    if not slash:
        image = f"docker.io/library/{image}"
    elif "." not in head and ":" not in head and head != "localhost":
        image = f"docker.io/{image}"
    return image if ":" in image.rpartition("/")[2] else f"{image}:latest"


def parse_images(table: str) -> dict[str, str]:
    """Return name -> digest from ``ctr images list``."""
    rows = (line.split() for line in table.splitlines()[1:])
    return {row[0]: row[2] for row in rows if len(row) > 2}


def has_image(images: Mapping[str, str], name: str, image_id: str) -> bool:
    """Tell whether a node has this very image under this name: `load` leaves it under Docker's image id too, with the same digest."""
    return name in images and images.get(image_id) == images[name]


def load(images: Sequence[str], settings: Settings, progress: Progress) -> None:
    """Put the images into every node that lacks one of them; raise DevClusterError when that fails."""
    current = state.load(settings)
    if current is None:
        raise DevClusterError("the dev cluster is not up", fix="python3 -m devcluster up")
    loader = _Loader(shell.environment(settings, current.mode))
    ids = loader.image_ids(images)
    nodes = loader.nodes(settings.prefix)
    with ThreadPoolExecutor(max_workers=len(nodes)) as pool:
        present = dict(zip(nodes, pool.map(loader.node_images, nodes), strict=True))
    lacking = {
        name: [node for node in nodes if not has_image(present[node], full_name(name), image_id)]
        for name, image_id in ids.items()
    }
    wanted = [name for name, where in lacking.items() if where]
    targets = [node for node in nodes if any(node in where for where in lacking.values())]
    if not wanted:
        progress.say(f"{', '.join(images)}: already on all {len(nodes)} nodes")
        return
    with progress.step(f"load {', '.join(wanted)} into {', '.join(targets)}"):
        loader.stream(wanted, targets)
        loader.mark({name: ids[name] for name in wanted}, targets)


class FanOut(io.RawIOBase):
    """One output that writes to several; one that is closed by its reader is passed over."""

    def __init__(self, sinks: Sequence[IO[bytes]]) -> None:
        self._sinks = sinks

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        for sink in self._sinks:
            with suppress(BrokenPipeError):  # the exit status of its import tells why
                sink.write(data)
        return len(data)


def copy_archive(source: IO[bytes], target: FanOut, known: AbstractSet[str]) -> None:
    """Copy an image archive in OCI layout without the blobs that the receiver has."""
    with (
        tarfile.open(fileobj=source, mode="r|") as before,
        tarfile.open(fileobj=target, mode="w|", bufsize=_CHUNK, format=tarfile.GNU_FORMAT) as after,
    ):
        for member in before:
            folder, _, digest = member.name.rpartition("/")
            if not (folder == "blobs/sha256" and digest in known):
                after.addfile(member, before.extractfile(member) if member.isfile() else None)


class _Loader:
    """Docker commands with the environment that reaches the right daemon."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def image_ids(self, images: Sequence[str]) -> dict[str, str]:
        """Return image -> id; raise CommandError naming an image that Docker does not have."""
        command = ["docker", "image", "inspect", "--format", "{{.Id}}", *images]
        text = output(command, env=self._environment, fix="build it first: python3 -m devcluster run -- docker build")
        return dict(zip(images, text.split(), strict=True))

    def nodes(self, cluster: str) -> list[str]:
        selector = f"label=io.x-k8s.kind.cluster={cluster}"
        command = ["docker", "ps", "--filter", selector, "--format", "{{.Names}}"]
        found = sorted(output(command, env=self._environment).split())
        if not found:
            raise DevClusterError("the dev cluster has no running node", fix="python3 -m devcluster up")
        return found

    def node_images(self, node: str) -> dict[str, str]:
        return parse_images(output(["docker", "exec", node, *_CTR, "list"], env=self._environment))

    def node_blobs(self, node: str) -> set[str]:
        """Return the digests in the node's content store, without their algorithm."""
        command = ["docker", "exec", node, "ctr", "--namespace=k8s.io", "content", "list", "--quiet"]
        return {digest.partition(":")[2] for digest in output(command, env=self._environment).split()}

    def stream(self, images: Sequence[str], nodes: Sequence[str]) -> None:
        """Run one ``docker save`` and give its output to one import per node, without layers that all nodes have."""
        save_command = ["docker", "save", *images]
        import_command = [*_CTR, "import", "--all-platforms", "-"]
        commands = {node: ["docker", "exec", "--interactive", node, *import_command] for node in nodes}
        with ThreadPoolExecutor(max_workers=len(nodes)) as pool:
            known = set.intersection(*pool.map(self.node_blobs, nodes))
            imports = {node: self._start(command) for node, command in commands.items()}
            sinks = [process.stdin for process in imports.values() if process.stdin is not None]
            with subprocess.Popen(save_command, stdout=subprocess.PIPE, env=self._environment) as save:
                assert save.stdout is not None
                with suppress(tarfile.ReadError):  # the exit status of docker save tells why
                    copy_archive(save.stdout, FanOut(sinks), known)
            results = dict(zip(nodes, pool.map(_finish, imports.values()), strict=True))
        if save.returncode != 0:
            raise CommandError(shell_words(save_command), f"exit status {save.returncode}")
        for node, (status, text) in results.items():
            if status != 0:
                raise CommandError(shell_words(commands[node]), f"exit status {status}", tail=tail(text))

    def mark(self, ids: Mapping[str, str], nodes: Sequence[str]) -> None:
        """Name the images by Docker's id too, so that the next load sees that they are there."""
        tags = [[*_CTR, "tag", "--force", full_name(name), image_id] for name, image_id in ids.items()]
        script = " && ".join(shell_words(tag) for tag in tags)
        with ThreadPoolExecutor(max_workers=len(nodes)) as pool:
            commands = (["docker", "exec", node, "sh", "-c", script] for node in nodes)
            list(pool.map(lambda command: output(command, env=self._environment), commands))

    def _start(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=self._environment
        )


def _finish(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    """Close the import's input and return its exit status and output; an import that hangs is killed."""
    try:
        text, _ = process.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        text, _ = process.communicate()
    return process.returncode, text.decode(errors="replace")
