"""The machine's own Debian mirror, and the programs this needs from it."""

import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from devcluster.errors import DevClusterError
from devcluster.process import output, run

REQUIRED_PROGRAMS = {
    "ip": "iproute2",
    "mmdebstrap": "mmdebstrap",
    "mount": "mount",
    "nsenter": "util-linux",
    "openssl": "openssl",
    "slirp4netns": "slirp4netns",
    "tar": "tar",
}
"""Program -> Debian package."""

_FORMAT = "$(REPO_URI) $(ORIGIN) $(LABEL)"
_TRANSPORT = re.compile(r'Acquire::(Check-(Valid-Until|Date)|Retries|https?::(Proxy|CAInfo|Verify-\w+)\S*) "[^"]+"')


@dataclass(frozen=True)
class Archive:
    """The Debian archive as this machine reaches it: its address, and apt options that a root must share."""

    uri: str
    options: tuple[str, ...] = ()


def find_mirror(targets: str) -> str:
    """Return the first Debian main archive in the output of ``apt-get indextargets``; raise when there is none."""
    for line in targets.splitlines():
        uri, *names = line.split()
        if names == ["Debian", "Debian"]:
            return uri.rstrip("/")
    raise DevClusterError(
        "apt knows no Debian mirror on this machine",
        fix="add one to /etc/apt/sources.list.d and run `apt-get update`",
    )


def transport_options(dump: str) -> tuple[str, ...]:
    """Return the options of ``apt-config dump`` that decide whether and how an archive is reached.

    Proxies, certificates, and ``Check-Valid-Until``, whose check a machine with a frozen mirror has switched off.
    """
    return tuple(sorted(line.rstrip(";") for line in dump.splitlines() if _TRANSPORT.match(line)))


def archive() -> Archive:
    """Return the machine's Debian archive, so that the caches and proxies of its administrator are used."""
    uri = find_mirror(output(["apt-get", "indextargets", "--format", _FORMAT]))
    return Archive(uri, transport_options(output(["apt-config", "dump"])))


def missing_packages(programs: Iterable[str]) -> list[str]:
    """Return the packages of those programs that are not on PATH."""
    return sorted({REQUIRED_PROGRAMS[name] for name in programs if shutil.which(name) is None})


def install_missing(programs: Iterable[str], log: Path) -> None:
    """Install what is missing by apt-get; raise with the command to run by hand when that fails."""
    packages = missing_packages(programs)
    if not packages:
        return
    fix = f"install them by hand: apt-get install {' '.join(packages)}"
    if shutil.which("apt-get") is None:
        raise DevClusterError(f"missing on this machine: {', '.join(packages)}; and it has no apt-get", fix=fix)
    run(["apt-get", "update"], log=log, timeout=300, fix=fix)
    run(["apt-get", "install", "--yes", "--no-install-recommends", *packages], log=log, timeout=600, fix=fix)
