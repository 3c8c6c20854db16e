"""Go programs built from pinned modules, and the directories of links through which they are called."""

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from devcluster.cache import build_once, content_key, tree_digest
from devcluster.errors import DevClusterError
from devcluster.process import output, run
from devcluster.progress import Progress
from devcluster.settings import GO_SOURCES, Settings
from devcluster.versions import BINARY_NAMES, ON_DEMAND, PROGRAMS, GoProgram

MINIMUM_GO = (1, 25)
"""Older Go programs download a newer toolchain by themselves if they are at least 1.21; this is what was tried."""

_GO_VERSION = re.compile(r"\bgo(\d+)\.(\d+)")


def parse_go_version(text: str) -> tuple[int, int]:
    """Return major and minor of ``go version``'s output; raise DevClusterError when it is none."""
    if found := _GO_VERSION.search(text):
        return int(found[1]), int(found[2])
    raise DevClusterError(f"not the output of `go version`: {text!r}")


def require_go() -> None:
    """Raise DevClusterError unless a usable Go is on PATH."""
    fix = f"install Go {MINIMUM_GO[0]}.{MINIMUM_GO[1]} or newer (https://go.dev/dl) and put it on PATH"
    if shutil.which("go") is None:
        raise DevClusterError("Go is needed to build the cluster's programs and is not on PATH", fix=fix)
    found = parse_go_version(output(["go", "version"]))
    if found < MINIMUM_GO:
        raise DevClusterError(f"Go {found[0]}.{found[1]} is too old", fix=fix)


def program(name: str) -> GoProgram:
    """Return the program that provides a name, its own or one of its links."""
    for candidate in (*PROGRAMS, *ON_DEMAND):
        if name == candidate.name or name in candidate.links:
            return candidate
    known = ", ".join(BINARY_NAMES)
    raise DevClusterError(f"there is no program {name!r}", fix=f"known are: {known}")


def artifact(wanted: GoProgram, settings: Settings) -> Path:
    """Return the cached directory of one program, keyed by its module's files and by what the linker sets."""
    key = content_key(wanted.package, wanted.values, tree_digest(GO_SOURCES / wanted.module))
    return settings.artifacts / f"go-{wanted.name}-{key}"


def build_command(wanted: GoProgram, target: Path) -> list[str]:
    """Return the Go call: static, stripped, and the same bytes from any checkout (``-trimpath``)."""
    linker = " ".join(["-s", "-w", *(f"-X {name}={value}" for name, value in wanted.values)])
    return [
        "go",
        "build",
        "-trimpath",
        "-buildvcs=false",
        "-mod=readonly",
        "-ldflags",
        linker,
        "-o",
        str(target),
        wanted.package,
    ]


def build(wanted: GoProgram, settings: Settings, progress: Progress) -> Path:
    """Build a program unless it is cached; return the file."""
    directory = artifact(wanted, settings)

    def compile_it(unfinished: Path) -> None:
        require_go()
        with progress.step(f"go build {wanted.name}"):
            run(
                build_command(wanted, unfinished / wanted.name),
                log=settings.logs / f"go-{wanted.name}.log",
                timeout=3600,
                cwd=GO_SOURCES / wanted.module,
                env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"},
                fix="the Go module proxy must be reachable: see `go env GOPROXY`",
            )

    build_once(directory, compile_it)
    return directory / wanted.name


def build_all(programs: Iterable[GoProgram], settings: Settings, progress: Progress) -> None:
    for wanted in programs:
        build(wanted, settings, progress)


def link_directory(names: Iterable[str], settings: Settings, progress: Progress) -> Path:
    """Return a directory that holds exactly the named programs, built if need be."""
    files = {name: build(program(name), settings, progress) for name in sorted(set(names))}
    directory = settings.artifacts / f"bin-{content_key({name: str(file) for name, file in files.items()})}"

    def link(unfinished: Path) -> None:
        for name, file in files.items():
            (unfinished / name).symlink_to(file)

    build_once(directory, link)
    return directory


def install_links(settings: Settings, progress: Progress, names: Iterable[str]) -> None:
    """Put programs into the cluster's directory for PATH, beside ``docker``."""
    settings.bin.mkdir(parents=True, exist_ok=True)
    for name in names:
        link = settings.bin / name
        unfinished = link.with_name(f".{name}.new")
        unfinished.unlink(missing_ok=True)
        unfinished.symlink_to(build(program(name), settings, progress))
        unfinished.rename(link)
