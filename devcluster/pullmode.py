"""``up`` with a Docker daemon that can pull: plain kind, its stock node image, upstream's Calico manifests.

The reference machine has no registry, so tests hold the plan, the commands it would run, rather than its effect.
"""

import shutil
from functools import partial

from devcluster import binaries, calico, docker, health, kind
from devcluster.errors import DevClusterError
from devcluster.plan import Step
from devcluster.process import output, succeeds
from devcluster.progress import Progress
from devcluster.settings import Settings
from devcluster.state import Decision, Mode, Observation, State
from devcluster.versions import KIND

TOOLS = ("helm", "kind", "kubectl")
_PROBE_IMAGE = "registry.k8s.io/pause:3.10"


def daemon_can_pull() -> bool:
    """Tell whether a Docker daemon answers and reaches a registry. Asks for one small image, kubeadm's pause."""
    if shutil.which("docker") is None or not succeeds(["docker", "version"], timeout=10):
        return False
    present = succeeds(["docker", "image", "inspect", _PROBE_IMAGE], timeout=10)
    return present or succeeds(["docker", "pull", "--quiet", _PROBE_IMAGE], timeout=30)


class PulledCluster:
    """The steps of pull mode, bound to one prefix."""

    def __init__(self, settings: Settings, progress: Progress, *, workers: int) -> None:
        self._settings = settings
        self._progress = progress
        self._workers = workers

    @property
    def recipe(self) -> str:
        return f"kind-{KIND}-workers-{self._workers}"

    def observe(self, state: State | None) -> Observation:
        """Look at the machine's Docker; raise when a cluster of this name exists that is not ours."""
        selector = f"label=io.x-k8s.kind.cluster={self._settings.prefix}"
        text = output(["docker", "ps", "--all", "--filter", selector, "--format", "{{.Names}} {{.State}}"])
        nodes = docker.parse_nodes(text)
        if nodes and state is None:
            raise DevClusterError(
                f"a kind cluster {self._settings.prefix!r} exists that was not made here",
                fix="choose another name: CONDORPOOL_CLUSTER=... python3 -m devcluster up",
            )
        missing = not nodes or health.cluster_problems(self._settings, Mode.PULL, nodes=self._workers + 1)
        return Observation(
            network=True, docker=True, nodes=nodes, healthy=not missing, recipe=state.recipe if state else ""
        )

    def steps(self, decision: Decision) -> list[Step]:
        settings = self._settings
        if decision is Decision.KEEP:
            return []
        first = [Step("kind, kubectl and helm", self._provide_tools)]
        if decision is Decision.RECREATE:
            first.append(Step("remove the broken cluster", self._remove, (first[0].name,)))
        return [
            *first,
            Step("kind cluster", self._create, tuple(step.name for step in first)),
            Step("Calico", partial(calico.install, settings, Mode.PULL), ("kind cluster",)),
            Step("nodes, Calico, DNS and storage ready", self._wait, ("Calico",)),
        ]

    def _provide_tools(self) -> None:
        """Use the machine's own tools; build what it lacks."""
        for name in TOOLS:
            if shutil.which(name) is None:
                binaries.install_links(self._settings, self._progress, [name])

    def _remove(self) -> None:
        output(kind.delete_command(self._settings), timeout=120)

    def _create(self) -> None:
        State(Mode.PULL, self.recipe).save(self._settings)
        kind.create(self._settings, Mode.PULL, workers=self._workers, image=None)

    def _wait(self) -> None:
        health.wait_until_usable(self._settings, Mode.PULL, nodes=self._workers + 1)
