"""Where everything lives. One prefix names all of it, so that two clusters on one machine never meet."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from devcluster.errors import DevClusterError

REPOSITORY = Path(__file__).resolve().parent.parent
GO_SOURCES = REPOSITORY / "devcluster" / "go"
DEFAULT_PREFIX = "condorpool"
_PREFIX = re.compile(r"[a-z][a-z0-9-]{0,19}")


@dataclass(frozen=True)
class Settings:
    """Paths and names, all derived from the prefix (``CONDORPOOL_CLUSTER``) and the cache (``CONDORPOOL_CACHE``)."""

    prefix: str
    cache: Path
    runtime_root: Path = Path("/run")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Read the two variables; raise DevClusterError for a prefix that cannot name a namespace and a cgroup."""
        prefix = environment.get("CONDORPOOL_CLUSTER") or DEFAULT_PREFIX
        if not _PREFIX.fullmatch(prefix):
            raise DevClusterError(
                f"CONDORPOOL_CLUSTER={prefix!r} is not a usable name",
                fix="use at most 20 lower-case letters, digits and dashes, beginning with a letter",
            )
        home = Path(environment.get("HOME") or "/root")
        root = environment.get("CONDORPOOL_CACHE")
        cache = Path(root) if root else home / ".cache" / "condorpool"
        return cls(prefix=prefix, cache=cache.absolute() / "devcluster")

    @property
    def example(self) -> str:
        """A command that uses this cluster, as a user would type it."""
        variable = "" if self.prefix == DEFAULT_PREFIX else f"CONDORPOOL_CLUSTER={self.prefix} "
        return f"{variable}python3 -m devcluster run -- kubectl get nodes"

    @property
    def runtime(self) -> Path:
        """Sockets, process ids and the kubeconfig of the running cluster; gone after ``down``."""
        return self.runtime_root / f"{self.prefix}-devcluster"

    @property
    def lock(self) -> Path:
        """Outside the runtime directory, which ``down`` removes while it holds the lock."""
        return self.runtime_root / f"{self.prefix}-devcluster.lock"

    @property
    def home(self) -> Path:
        """What this cluster keeps over ``down``: Docker's data, logs, links to its programs."""
        return self.cache / "clusters" / self.prefix

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def bin(self) -> Path:
        """The directory that ``run`` puts on PATH. Not below /run, which may be mounted noexec."""
        return self.home / "bin"

    @property
    def artifacts(self) -> Path:
        """Build results, keyed by content, shared by all checkouts and prefixes."""
        return self.cache / "artifacts"

    @property
    def docker_data(self) -> Path:
        """Docker's data root: images survive ``down`` here."""
        return self.home / "docker"

    @property
    def docker_socket(self) -> Path:
        return self.runtime / "docker" / "docker.sock"

    @property
    def kubeconfig(self) -> Path:
        return self.runtime / "kubeconfig"

    @property
    def netns(self) -> str:
        return f"{self.prefix}-devcluster"

    @property
    def netns_path(self) -> Path:
        """The place where ``ip netns`` keeps its names, whatever the runtime directory."""
        return Path("/run/netns") / self.netns

    @property
    def cgroup(self) -> str:
        """Parent of every container's cgroup: what is in it is ours, whoever its parent process is."""
        return f"{self.prefix}-devcluster"
