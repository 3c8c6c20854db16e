"""Debian root file systems by mmdebstrap: for Docker itself, the nodes, the cluster's images, and ``debian:*-slim``."""

from dataclasses import asdict, dataclass
from pathlib import Path

from devcluster import versions
from devcluster.apt import Archive
from devcluster.cache import build_once, content_key
from devcluster.process import run
from devcluster.settings import Settings

_SLIM_EXCLUDES = tuple(
    f"path-exclude={path}"
    for path in (
        "/usr/share/doc/*",
        "/usr/share/man/*",
        "/usr/share/info/*",
        "/usr/share/locale/*",
        "/usr/share/lintian/*",
    )
)


@dataclass(frozen=True)
class RootFS:
    """The recipe of one root: suite, packages, and shell commands run inside it at the end."""

    name: str
    suite: str
    packages: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()

    def path(self, settings: Settings, archive: Archive) -> Path:
        """Return where the finished root is cached."""
        key = content_key(self.suite, self.packages, self.commands, _SLIM_EXCLUDES, asdict(archive))
        return settings.artifacts / f"root-{self.name}-{key}"

    def build(self, settings: Settings, archive: Archive) -> Path:
        """Make the root unless it is cached; return the directory."""
        target = self.path(settings, archive)
        log = settings.logs / f"root-{self.name}.log"

        def make(unfinished: Path) -> None:
            run(self.command(unfinished, archive), log=log, timeout=900)
            unfinished.chmod(0o755)

        build_once(target, make)
        return target

    def command(self, target: Path, archive: Archive) -> list[str]:
        """Return the mmdebstrap call. apt runs as root because its sandbox user cannot read a root-only cache."""
        words = ["mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory"]
        own_options = ('APT::Sandbox::User "root"', 'Acquire::Languages "none"')
        words += [f"--aptopt={option}" for option in (*own_options, *archive.options)]
        words += [f"--dpkgopt={line}" for line in _SLIM_EXCLUDES]
        if self.packages:
            words.append("--include=" + ",".join(self.packages))
        words += [f"--customize-hook=chroot \"$1\" sh -euc '{command}'" for command in self.commands]
        return [*words, self.suite, str(target), archive.uri]


_NO_UNWANTED_UNITS = (
    "find /lib/systemd/system/sysinit.target.wants -name systemd-tmpfiles-setup.service -delete; "
    "rm -f /lib/systemd/system/multi-user.target.wants/* /lib/systemd/system/local-fs.target.wants/*; "
    "rm -f /lib/systemd/system/timers.target.wants/* /lib/systemd/system/basic.target.wants/*; "
    "rm -f /lib/systemd/system/sockets.target.wants/*udev* /lib/systemd/system/sockets.target.wants/*initctl*; "
    "rm -rf /etc/systemd/system/*.wants; "
    "echo ReadKMsg=no >> /etc/systemd/journald.conf; "
    "ln -sf /dev/null /etc/systemd/system/systemd-binfmt.service; "
    "ln -sf /dev/null /etc/systemd/system/getty.target"
)

_NODE_LAYOUT = (
    "mkdir -p /opt/cni /etc/kubernetes/manifests; "
    "cp -a /usr/lib/cni /opt/cni/bin; "
    "for name in containerd ctr containerd-shim-runc-v2; do ln -sf /usr/bin/$name /usr/local/bin/$name; done"
)

DOCKER = RootFS("docker", versions.NODE_SUITE, versions.DOCKER_PACKAGES)
NODE = RootFS("node", versions.NODE_SUITE, versions.NODE_PACKAGES, (_NO_UNWANTED_UNITS, _NODE_LAYOUT))
CLUSTER = RootFS(
    "cluster", versions.NODE_SUITE, versions.CLUSTER_PACKAGES, ("mkdir -p /opt/cni; cp -a /usr/lib/cni /opt/cni/bin",)
)
SLIM = tuple(RootFS(f"slim-{suite}", suite) for suite in versions.SLIM_SUITES)
