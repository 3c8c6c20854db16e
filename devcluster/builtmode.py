"""``up`` on a machine without a Docker daemon or without a registry: everything from Debian packages and Go modules."""

from collections.abc import Callable
from functools import partial

from devcluster import (
    apt,
    binaries,
    calico,
    cleanup,
    clusterimages,
    docker,
    health,
    hostlimits,
    kind,
    netns,
    nodeimage,
    rootfs,
    versions,
)
from devcluster.cache import content_key
from devcluster.plan import Step
from devcluster.progress import Progress
from devcluster.settings import Settings
from devcluster.state import Decision, Mode, Observation, State


class BuiltCluster:
    """The steps of build mode, bound to one prefix and one machine's Debian archive."""

    def __init__(self, settings: Settings, progress: Progress, archive: apt.Archive, *, workers: int) -> None:
        self._settings = settings
        self._progress = progress
        self._archive = archive
        self._workers = workers

    @property
    def recipe(self) -> str:
        """Return the content key of what a cluster of this checkout consists of."""
        settings, archive = self._settings, self._archive
        roots = [root.path(settings, archive).name for root in (rootfs.DOCKER, *rootfs.SLIM)]
        network = calico.kustomization(list(calico.MANIFESTS), "", "", Mode.BUILD)
        return content_key(nodeimage.key(settings, archive), roots, network, kind.configuration(self._workers))

    def observe(self, state: State | None) -> Observation:
        settings = self._settings
        network = netns.exists(settings) and netns.slirp_alive(settings)
        daemon = docker.alive(settings) and docker.answers(settings)
        nodes = docker.nodes(settings) if daemon else {}
        missing = not nodes or health.cluster_problems(settings, Mode.BUILD, nodes=self._workers + 1)
        recipe = state.recipe if state else ""
        return Observation(network=network, docker=daemon, nodes=nodes, healthy=not missing, recipe=recipe)

    def steps(self, decision: Decision) -> list[Step]:
        """Return the plan; cached results make their steps short, not absent."""
        settings = self._settings
        if decision is Decision.KEEP:
            return []
        first = [Step("remove what is left of an earlier run", partial(cleanup.remove_everything, settings))]
        if decision is Decision.RECREATE:
            first = [Step("remove the broken cluster", partial(cleanup.remove_cluster, settings))]
        if decision is Decision.CREATE:
            first = []
        ready = tuple(step.name for step in first)
        return [
            *first,
            Step("root for Docker", self._root(rootfs.DOCKER), ready),
            *self._go_steps(ready),
            Step("start Docker", self._start_docker, ("root for Docker",)),
            *(Step(f"debian:{root.suite}-slim", self._slim(root), ("start Docker",)) for root in rootfs.SLIM),
            Step("root for the nodes", self._root(rootfs.NODE), ("root for Docker",)),
            Step("root for the cluster's images", self._root(rootfs.CLUSTER), ("root for Docker",)),
            Step(
                "node image",
                self._images,
                ("start Docker", "Go programs", "root for the nodes", "root for the cluster's images"),
            ),
            Step("kind cluster", self._create, ("node image",)),
            Step("Calico", partial(calico.install, settings, Mode.BUILD), ("kind cluster",)),
            Step("nodes, Calico, DNS and storage ready", self._wait, ("Calico", "helm")),
        ]

    def _root(self, root: rootfs.RootFS) -> Callable[[], object]:
        return partial(root.build, self._settings, self._archive)

    def _go_steps(self, needs: tuple[str, ...]) -> list[Step]:
        """Compile one program after the other: Go uses all cores by itself. Helm comes last, no image waits for it."""
        in_images = [wanted for wanted in versions.PROGRAMS if wanted.name != "helm"]
        helpers = [name for name in versions.HOST_NAMES if name != "helm"]

        def build() -> None:
            binaries.build_all(in_images, self._settings, self._progress)
            binaries.install_links(self._settings, self._progress, helpers)

        def build_helm() -> None:
            binaries.install_links(self._settings, self._progress, ["helm"])

        return [Step("Go programs", build, needs), Step("helm", build_helm, ("Go programs",))]

    def _start_docker(self) -> None:
        State(Mode.BUILD).save(self._settings)
        if docker.alive(self._settings) and docker.answers(self._settings):
            return
        for change in hostlimits.raise_limits():
            self._progress.say(f"raised {change}")
        netns.create(self._settings)
        docker.start(rootfs.DOCKER.path(self._settings, self._archive), self._settings)
        cleanup.remove_cluster(self._settings)

    def _slim(self, root: rootfs.RootFS) -> Callable[[], None]:
        """Provide the base image of Dockerfiles under its usual name."""

        def provide() -> None:
            tree = root.build(self._settings, self._archive)
            name = f"debian:{root.suite}-slim"
            if docker.label(self._settings, name, clusterimages.KEY_LABEL) == tree.name:
                return
            changes = ['CMD ["bash"]', f"LABEL {clusterimages.KEY_LABEL}={tree.name}"]
            docker.import_trees(self._settings, name, [tree], changes, log=self._settings.logs / "images.log")

        return provide

    def _images(self) -> None:
        kubeadm = self._settings.bin / "kubeadm"
        images = clusterimages.build(self._settings, self._archive, kubeadm)
        nodeimage.build(self._settings, self._archive, images)

    def _create(self) -> None:
        State(Mode.BUILD, self.recipe).save(self._settings)
        kind.create(self._settings, Mode.BUILD, workers=self._workers, image=nodeimage.NAME)

    def _wait(self) -> None:
        health.wait_until_usable(self._settings, Mode.BUILD, nodes=self._workers + 1)
