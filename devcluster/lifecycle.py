"""The commands that change something: up, down, purge."""

import os
import shutil

from devcluster import apt, cleanup, kind, plan, pullmode, shell
from devcluster.builtmode import BuiltCluster
from devcluster.errors import DevClusterError
from devcluster.process import run
from devcluster.progress import Progress
from devcluster.pullmode import PulledCluster
from devcluster.settings import Settings
from devcluster.state import Decision, Mode, decide, load

HOST_PROGRAMS = ("ip", "mmdebstrap", "mount", "nsenter", "openssl", "slirp4netns", "tar")


def choose_mode(wanted: str, current: Mode | None, *, can_pull: bool) -> Mode:
    """Return the mode: the one asked for, else that of the running cluster, else what the machine allows."""
    if wanted != "auto":
        return Mode(wanted)
    if current is not None:
        return current
    return Mode.PULL if can_pull else Mode.BUILD


def up(settings: Settings, progress: Progress, *, images: str, workers: int) -> None:
    """Bring the cluster up, by the cheapest way from what is there."""
    state = load(settings)
    current = state.mode if state else None
    mode = choose_mode(images, current, can_pull=images == "auto" and current is None and pullmode.daemon_can_pull())
    if current not in {None, mode}:
        raise DevClusterError(f"a cluster in {current} mode is up", fix="python3 -m devcluster down")
    cluster: BuiltCluster | PulledCluster
    if mode is Mode.BUILD:
        _require_root()
        apt.install_missing(HOST_PROGRAMS, settings.logs / "apt.log")
        cluster = BuiltCluster(settings, progress, apt.archive(), workers=workers)
    else:
        apt.install_missing(["openssl"], settings.logs / "apt.log")
        cluster = PulledCluster(settings, progress, workers=workers)
    decision = decide(cluster.observe(state), recipe=cluster.recipe, workers=workers)
    if decision is not Decision.KEEP:
        progress.say(f"images: {mode}; {decision.value}")
    plan.execute(cluster.steps(decision), progress)
    progress.say(f"cluster {settings.prefix} is up; use it: {settings.example}")


def down(settings: Settings, progress: Progress) -> None:
    """Remove the cluster and everything that was started for it; the cache and Docker's images stay."""
    state = load(settings)
    with progress.step("remove the cluster"):
        if state is not None and state.mode is Mode.PULL:
            run(
                kind.delete_command(settings),
                log=settings.logs / "kind.log",
                timeout=120,
                env=shell.environment(settings, Mode.PULL),
            )
            shutil.rmtree(settings.runtime)
        elif os.geteuid() == 0:
            cleanup.remove_everything(settings)


def purge(settings: Settings, progress: Progress) -> None:
    """Remove the cluster and the whole cache, also that of other prefixes if none of their daemons runs."""
    down(settings, progress)
    clusters = settings.cache / "clusters"
    others = sorted(path.name for path in clusters.iterdir() if path != settings.home) if clusters.is_dir() else []
    running = [name for name in others if (settings.runtime_root / f"{name}-devcluster").exists()]
    with progress.step("remove the cache"):
        shutil.rmtree(settings.home, ignore_errors=True)
        if running:
            progress.say(f"build results stay: used by {', '.join(running)}")
        else:
            shutil.rmtree(settings.cache, ignore_errors=True)


def _require_root() -> None:
    if os.geteuid() != 0:
        raise DevClusterError(
            "building a cluster needs root: namespaces, mounts, chroot",
            fix="run it as root, or provide a Docker daemon that can pull (--images pull)",
        )
