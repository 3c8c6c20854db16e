"""The state of a pool, made of the collector's ads; pure.

A slot is a CPU on offer, as that many one-core jobs could run: `total` counts what executors offer, `claimed` what jobs have, `draining`
what belongs to executors that take no new job. Figures are as new as the ads: executors and schedd send theirs every 20 s, and at changes.

Of an executor, `drain` is whose drain it is under: "ours", "foreign", or null, also while it ends by itself because of a SIGTERM;
`drained` is whether that drain is over: nothing of it is claimed or busy, and it takes no new job. `drainReason` is what one of ours was
ordered for, null of others. `drainSince` (when the drain began) and `started` are in seconds since the epoch; a startd that starts again
has forgotten its drain. `slot` is the name by which HTCondor knows the executor, `drainRequest` what its startd calls the drain.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from .ads import Ad

STALE_SECONDS = 300
"""A daemon that said nothing for so long has missed five updates and more; the collector itself forgets it after 900 s."""
DRAIN_MARK = "condorpool:"
"""What the reason of a drain begins with that the agent has begun; any other drain is somebody else's."""
SKEW_SECONDS = 60
"""Between two clocks, from which on one counts as wrong: by an executor's own clock its drain may seem to have lasted too long."""
STALE_UPDATES = 2.5
"""A startd says how often it speaks, and the negotiator gives it no job once so many updates are missing."""

State = dict[str, Any]

_DAEMONS = ("Collector", "Negotiator", "Scheduler")
_MOVING = ("time", "negotiator", "age")
"""What changes from look to look while the pool stays as it is."""


def build_state(ads: Iterable[Ad], now: int) -> State:
    """Return the state as the interface tells it; `now` is in seconds since the epoch, ages are in seconds."""
    executors: dict[str, dict[str, Any]] = {}
    jobs = _no_jobs()
    owners: dict[str, dict[str, int]] = {}
    daemons: list[dict[str, Any]] = []
    cycle: dict[str, int] = {}
    for ad in ads:
        kind = ad.get("MyType")
        if kind == "Machine":
            _add_slot(executors.setdefault(_pod(ad), _executor(ad, now)), ad)
        elif kind == "Submitter":
            _add_jobs(owners.setdefault(str(ad.get("Name", "")).partition("@")[0], _no_jobs()), ad, "")
        elif kind in _DAEMONS:
            daemons.append({"type": kind, "name": str(ad.get("Name", "")), **_daemon(ad, now)})
        if kind == "Scheduler":
            _add_jobs(jobs, ad, "Total")
        elif kind == "Negotiator":
            cycle = _cycle(ad)
    return {
        "time": now,
        "slots": _sum(executors.values()),
        "groups": _groups(executors.values()),
        "executors": dict(sorted(executors.items())),
        "jobs": jobs | {"owners": dict(sorted(owners.items()))},
        "daemons": sorted(daemons, key=lambda one: (one["type"], one["name"])),
        "negotiator": cycle,
    }


def tag(state: Mapping[str, Any]) -> str:
    """Return a weak entity tag: the same as long as nothing but times and ages differs."""
    text = json.dumps(_without_moving(state), sort_keys=True)
    return f'W/"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def _without_moving(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_moving(one) for key, one in value.items() if key not in _MOVING}
    return [_without_moving(one) for one in value] if isinstance(value, list) else value


def _pod(ad: Ad) -> str:
    """Return the pod that an ad comes from: the first label of its host's name."""
    return str(ad.get("Machine", "")).partition(".")[0]


def _daemon(ad: Ad, now: int) -> dict[str, Any]:
    age = max(0, now - int(ad.get("LastHeardFrom", 0)))
    return {
        "pod": _pod(ad),
        "address": str(ad.get("MyAddress", "")),
        "started": int(ad.get("DaemonStartTime", _collector_start(ad))),
        "age": age,
        "stale": age > _patience(ad) and ad.get("MyType") != "Collector",
    }


def _patience(ad: Ad) -> float:
    interval = ad.get("CondorPoolUpdateInterval")
    return STALE_UPDATES * interval if isinstance(interval, int | float) else STALE_SECONDS


def _collector_start(ad: Ad) -> int:
    """Return when a collector started: its ad is the one without DaemonStartTime, and the one that it renews every hours only."""
    return int(ad.get("StatsLastUpdateTime", 0)) - int(ad.get("StatsLifetime", 0))


def _executor(ad: Ad, now: int) -> dict[str, Any]:
    daemon = _daemon(ad, now)
    del daemon["pod"]
    broken = [name for name in str(ad.get("CondorPoolBrokenMounts", "")).split(",") if name]
    group = str(ad.get("CondorPoolGroup", ""))
    figures = {"group": group, "total": 0, "claimed": 0, "draining": 0, "brokenMounts": broken}
    return figures | _drain(ad) | {"slot": str(ad.get("Name", "")), **daemon}


def _drain(ad: Ad) -> dict[str, Any]:
    """Return what a slot tells of its startd's drain."""
    if not ad.get("Draining"):
        return {"drain": None, "drained": False, "drainReason": None, "drainSince": None, "drainRequest": None}
    reason = str(ad.get("DrainReason", ""))
    ours = reason.startswith(DRAIN_MARK)
    since, request = ad.get("LastDrainStartTime"), ad.get("DrainingRequestId")
    fast = _clock_error(ad)
    return {
        "drain": "ours" if ours else "foreign",
        "drained": True,
        "drainReason": reason.removeprefix(DRAIN_MARK).strip() if ours else None,
        "drainSince": since - fast if isinstance(since, int) else None,
        "drainRequest": str(request) if request is not None else None,
    }


def _clock_error(ad: Ad) -> int:
    """Return the seconds by which a startd's clock is ahead of the collector's; none where it is no more than an ad may be under way."""
    ahead = int(ad.get("MyCurrentTime", 0)) - int(ad.get("LastHeardFrom", 0)) if "MyCurrentTime" in ad else 0
    return ahead if abs(ahead) > SKEW_SECONDS else 0


def _add_slot(executor: dict[str, Any], ad: Ad) -> None:
    """Add a partitionable slot with its children, or a static slot, which is claimed or not as a whole."""
    total = int(ad.get("TotalSlotCpus", ad.get("Cpus", 0)))
    if ad.get("PartitionableSlot"):
        children = zip(ad.get("ChildState") or (), ad.get("ChildCpus") or (), strict=False)
        claimed = sum(int(cpus) for state, cpus in children if state == "Claimed")
        activities = ad.get("ChildActivity") or ()
    else:
        claimed = total if ad.get("State") == "Claimed" else 0
        activities = (ad.get("Activity"),)
    executor["total"] += total
    executor["drained"] = executor["drained"] and ad.get("State") == "Drained" and not ad.get("ChildState")
    executor["claimed"] += claimed
    # condor_drain says Draining; a startd that was told to end lets its slots retire and says nothing else
    if ad.get("Draining") or ad.get("State") == "Drained" or "Retiring" in activities:
        executor["draining"] += total


def _sum(executors: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    listed = list(executors)
    return {name: sum(int(one[name]) for one in listed) for name in ("total", "claimed", "draining")}


def _groups(executors: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    members: dict[str, list[Mapping[str, Any]]] = {}
    for one in executors:
        members.setdefault(one["group"], []).append(one)
    return {group: {"executors": len(found), **_sum(found)} for group, found in sorted(members.items())}


def _no_jobs() -> dict[str, int]:
    return {"idle": 0, "running": 0, "held": 0}


def _add_jobs(jobs: dict[str, int], ad: Ad, prefix: str) -> None:
    """Add the jobs of an ad, those of the scheduler and local universes among them, as condor_q counts them."""
    for name, attribute in (("idle", "Idle"), ("running", "Running")):
        jobs[name] += int(ad.get(f"{prefix}{attribute}Jobs", 0))
        jobs[name] += sum(int(ad.get(f"{prefix}{universe}Jobs{attribute}", 0)) for universe in ("Scheduler", "Local"))
    jobs["held"] += int(ad.get(f"{prefix}HeldJobs", 0))


def _cycle(ad: Ad) -> dict[str, int]:
    names = {"end": "End", "seconds": "Duration", "idleJobs": "NumIdleJobs", "matches": "Matches"}
    names["rejections"] = "Rejections"
    return {name: int(ad.get(f"LastNegotiationCycle{attribute}0", 0)) for name, attribute in names.items()}
