"""What is asked of the collector, and its answer read ad by ad; pure."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Ad = Mapping[str, Any]

_ATTRIBUTES = (
    *(
        "MyType",
        "Name",
        "Machine",
        "LastHeardFrom",
        "MyCurrentTime",
        "DaemonStartTime",
        "MyAddress",
        "CondorPoolUpdateInterval",
    ),
    *("StatsLastUpdateTime", "StatsLifetime"),
    *("CondorPoolGroup", "TotalSlotCpus", "Cpus", "State", "Activity", "Draining", "PartitionableSlot"),
    "CondorPoolBrokenMounts",
    *("DrainReason", "DrainingRequestId", "LastDrainStartTime"),
    *("ChildState", "ChildActivity", "ChildCpus"),
    *("TotalIdleJobs", "TotalRunningJobs", "TotalHeldJobs", "IdleJobs", "RunningJobs", "HeldJobs"),
    *("TotalSchedulerJobsIdle", "TotalSchedulerJobsRunning", "TotalLocalJobsIdle", "TotalLocalJobsRunning"),
    *("SchedulerJobsIdle", "SchedulerJobsRunning", "LocalJobsIdle", "LocalJobsRunning"),
    *("LastNegotiationCycleEnd0", "LastNegotiationCycleDuration0", "LastNegotiationCycleNumIdleJobs0"),
    *("LastNegotiationCycleMatches0", "LastNegotiationCycleRejections0"),
)
_TYPES = ("Machine", "Scheduler", "Submitter", "Negotiator", "Collector")
_CONSTRAINT = "DynamicSlot =!= true && (" + " || ".join(f'MyType == "{name}"' for name in _TYPES) + ")"
"""Partitionable slots tell of their dynamic ones (ChildState and so on); masters say nothing that their daemons do not."""


def query(collector: str, pod: str | None = None) -> list[str]:
    """Return the command that asks a collector (host:port) for all that the state is made of, in one connection.

    With a pod, only for what its startd says; its name must be one, as it becomes part of an expression.
    """
    which = _CONSTRAINT if pod is None else f'{_CONSTRAINT} && MyType == "Machine" && regexp("^{pod}([.]|$)", Machine)'
    what = ["-any", "-json", "-sort", "no", "-constraint", which, "-attributes", ",".join(_ATTRIBUTES)]
    return ["condor_status", "-pool", collector, *what]


def read_ads(lines: Iterable[str]) -> Iterator[Ad]:
    """Yield the ads of `-json` output one at a time: a pool of thousands of slots never lies in memory as a whole.

    condor_status writes each ad's braces on lines of their own; ValueError where an ad is no JSON.
    """
    ad: list[str] = []
    for line in lines:
        mark = line.rstrip("\n")
        if mark == "{":
            ad = []
        if ad or mark == "{":
            ad.append(line)
        if mark == "}":
            yield json.loads("".join(ad))
            ad = []
