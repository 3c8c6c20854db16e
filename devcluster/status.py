"""What ``status`` prints: a few lines for a human, first what is up, then how to use it."""

from devcluster import docker, health, netns, shell, state, versions
from devcluster.errors import CommandError
from devcluster.process import output
from devcluster.settings import Settings
from devcluster.state import Mode, State


def report(settings: Settings) -> str:
    current = state.load(settings)
    lines = [f"cluster     {settings.prefix}"]
    if current is None:
        lines += ["state       down", "start it    python3 -m devcluster up"]
    else:
        lines += _running(settings, current)
    return "\n".join([*lines, f"cache       {settings.cache}", f"logs        {settings.logs}"])


def _running(settings: Settings, current: State) -> list[str]:
    lines = [f"images      {current.mode}"]
    if current.mode is Mode.BUILD:
        network = "up" if netns.exists(settings) and netns.slirp_alive(settings) else "down"
        daemon = "up" if docker.alive(settings) and docker.answers(settings) else "down"
        lines.append(f"network     {network}: namespace {settings.netns}")
        lines.append(f"docker      {daemon}: unix://{settings.docker_socket}")
    nodes = _nodes(settings, current.mode)
    missing = health.cluster_problems(settings, current.mode, nodes=len(nodes)) if nodes else ["there is no cluster"]
    lines.append("state       " + ("healthy" if not missing else "; ".join(missing)))
    lines += [f"node        {node}" for node in nodes]
    lines.append(f"versions    Kubernetes {versions.KUBERNETES}, Calico {versions.CALICO}, kind {versions.KIND}")
    lines.append(f"kubeconfig  {settings.kubeconfig} (reachable inside the cluster's network: use `run`)")
    lines.append(f"use it      {settings.example}")
    return lines


def _nodes(settings: Settings, mode: Mode) -> list[str]:
    """Return name, state and address of every node; empty when Docker does not answer."""
    selector = f"label=io.x-k8s.kind.cluster={settings.prefix}"
    environment = shell.environment(settings, mode)
    try:
        names = output(
            ["docker", "ps", "--all", "--filter", selector, "--format", "{{.Names}}"], env=environment
        ).split()
        template = "{{.Name}} {{.State.Status}} {{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        text = output(["docker", "inspect", "--format", template, *sorted(names)], env=environment) if names else ""
    except CommandError:
        return []
    return [line.removeprefix("/") for line in text.splitlines()]
