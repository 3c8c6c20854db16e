"""The processes of a pod's container, signalled from its node as the kernel or a failing machine would."""

import subprocess

from .kubectl import Object
from .operator import program


def signal_container(pod: Object, name: str, container: str = "condor") -> None:
    """Send a signal to every process of a running container of a pod, pid 1 included, with which the others may go."""
    (running,) = [one for one in pod["status"]["containerStatuses"] if one["name"] == container]
    identity = running["containerID"].rpartition("/")[2]
    find = f"pids=$(grep -l {identity} /proc/[0-9]*/cgroup 2>/dev/null | cut -d/ -f3)"
    script = f'{find}; [ -n "$pids" ] && {{ kill -{name} $pids || true; }}'
    command = [str(program("docker")), "exec", pod["spec"]["nodeName"], "sh", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done
