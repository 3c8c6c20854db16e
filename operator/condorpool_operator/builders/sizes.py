"""How large an executor is: what its container may use, and what of that its jobs are offered."""

from collections.abc import Mapping
from dataclasses import dataclass

from ..api.model import quantity
from ..api.placement import Resources
from ..api.v1alpha1 import ExecutorGroup

MIB = 1024 * 1024

EXECUTOR_LIMITS = {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "4Gi"}
"""Limits of an executor where its group states none."""

MEMORY_OVERHEAD_MIB = 96
MEMORY_OVERHEAD_PER_CPU_MIB = 16
"""pool-init, master, shared port and startd; a starter per running job (docs/design/htcondor.md)."""

MEMORY_OVERHEAD_PER_MOUNT_MIB = 64
"""The server of a mount; one that takes more needs a larger limit (docs/fuse.md)."""

DISK_OVERHEAD_MIB = 256
"""Logs and the container's own layer: a job that fills the rest is held before the kubelet evicts the pod."""


@dataclass(frozen=True)
class Advertised:
    """What the jobs of one executor are offered: whole CPUs, MiB of memory, MiB of disk."""

    cpus: int
    memory: int
    disk: int


def executor_resources(group: ExecutorGroup) -> dict[str, dict[str, int | str]]:
    """Return limits and requests of an executor; requests equal the limits unless stated, for the Guaranteed class."""
    given = group.resources or Resources()
    limits = {**EXECUTOR_LIMITS, **(given.limits or {})}
    return {"limits": limits, "requests": {**limits, **(given.requests or {})}}


def advertised(limits: Mapping[str, int | str], mounts: int = 0) -> Advertised:
    """Return what is left for jobs of the limits of a container with so many mounts: CPUs rounded down to at least one."""
    cpus = max(1, int(quantity(limits["cpu"])))
    overhead = MEMORY_OVERHEAD_MIB + MEMORY_OVERHEAD_PER_CPU_MIB * cpus + MEMORY_OVERHEAD_PER_MOUNT_MIB * mounts
    memory = int(quantity(limits["memory"]) / MIB) - overhead
    disk = int(quantity(limits["ephemeral-storage"]) / MIB) - DISK_OVERHEAD_MIB
    return Advertised(cpus, max(memory, 1), disk)
