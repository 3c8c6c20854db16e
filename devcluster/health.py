"""Looking at the cluster through its API server, and waiting until it is usable."""

import json
import time

from devcluster import shell
from devcluster.errors import CommandError, DevClusterError
from devcluster.process import output
from devcluster.settings import Settings
from devcluster.state import Mode, problems

_KINDS = "nodes,deployments,daemonsets,apiservices,storageclasses"


def cluster_problems(settings: Settings, mode: Mode, *, nodes: int) -> list[str]:
    """Return why the cluster is not usable; an API server that does not answer is a reason too."""
    command = ["kubectl", "get", _KINDS, "--all-namespaces", "--output=json", "--request-timeout=5s"]
    try:
        text = output(shell.wrap(command, settings, mode), timeout=15, env=shell.environment(settings, mode))
    except CommandError as error:
        return [str(error)]
    return problems(json.loads(text)["items"], nodes=nodes)


def wait_until_usable(settings: Settings, mode: Mode, *, nodes: int, timeout: float = 300) -> None:
    """Wait until nothing is missing; raise DevClusterError with what still is after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while missing := cluster_problems(settings, mode, nodes=nodes):
        if time.monotonic() > deadline:
            raise DevClusterError(
                f"the cluster is not usable after {timeout:.0f} s:\n" + "\n".join(f"  {line}" for line in missing),
                fix="look with `python3 -m devcluster run -- kubectl get pods --all-namespaces`; "
                "`python3 -m devcluster up` again makes the cluster anew",
            )
        time.sleep(0.5)
