"""The state in Prometheus' text format, version 0.0.4; pure.

Labels are bounded: no label for an executor or a job, and of groups and owners so many as a spec can have; the rest goes under `other`.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MOST_GROUPS = 32
MOST_OWNERS = 200

Labels = tuple[tuple[str, str], ...]
Sample = tuple[Labels, float]


@dataclass(frozen=True)
class Health:
    """What the agent knows of itself: queries of the collector, and what its process and its children cost."""

    queries: int
    failures: int
    query_seconds: float
    cpu_seconds: float
    resident_bytes: int


def render(state: Mapping[str, Any] | None, health: Health) -> str:
    """Return the metrics of a pool, of the agent alone where the collector did not answer."""
    lines: list[str] = []
    for name, kind, text, samples in (*_of_agent(health, up=state is not None), *(_of_pool(state) if state else ())):
        lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
        lines += [f"{name}{_labels(labels)} {value:.17g}" for labels, value in samples]
    return "\n".join(lines) + "\n"


Metric = tuple[str, str, str, Iterable[Sample]]


def _of_agent(health: Health, *, up: bool) -> Iterator[Metric]:
    yield _gauge("condorpool_collector_up", "Whether the collector answered the agent's last query.", up)
    yield _counter(
        "condorpool_agent_queries_total", "Queries of the collector for the state of the pool.", health.queries
    )
    yield _counter("condorpool_agent_query_failures_total", "Queries that failed or took too long.", health.failures)
    yield _gauge("condorpool_agent_query_seconds", "How long the last query took.", health.query_seconds)
    cpu = "CPU time of the agent and the tools that it ran."
    yield _counter("condorpool_agent_cpu_seconds_total", cpu, health.cpu_seconds)
    yield _gauge("condorpool_agent_resident_memory_bytes", "Resident memory of the agent.", health.resident_bytes)


def _of_pool(state: Mapping[str, Any]) -> Iterator[Metric]:
    groups = _bounded(state["groups"], MOST_GROUPS)
    for name, key, text in (
        ("condorpool_executors", "executors", "Executors in the collector."),
        ("condorpool_slots", "total", "Slots on offer: one per CPU."),
        ("condorpool_slots_claimed", "claimed", "Slots that jobs have."),
        ("condorpool_slots_draining", "draining", "Slots of executors that take no new job."),
    ):
        yield name, "gauge", text, [((("group", group),), values[key]) for group, values in groups.items()]
    jobs = state["jobs"]
    yield "condorpool_jobs", "gauge", "Jobs in the queue.", [((("state", one),), jobs[one]) for one in _STATES]
    owners = _bounded(jobs["owners"], MOST_OWNERS)
    by_owner = [
        ((("owner", owner), ("state", one)), values[one]) for owner, values in owners.items() for one in _STATES
    ]
    yield "condorpool_owner_jobs", "gauge", "Jobs in the queue by owner.", by_owner
    yield from _of_daemons(state)
    for name, text in _CYCLE.items():
        if name in state["negotiator"]:
            yield _gauge(f"condorpool_negotiation_cycle_{_UNITS.get(name, name)}", text, state["negotiator"][name])


_STATES = ("idle", "running", "held")
_UNITS = {"end": "end_timestamp_seconds", "seconds": "duration_seconds", "idleJobs": "idle_jobs"}
_CYCLE = {
    "end": "When the negotiator's last cycle ended.",
    "seconds": "How long that cycle took.",
    "idleJobs": "Idle jobs that the cycle saw.",
    "matches": "Matches that the cycle made.",
    "rejections": "Jobs that the cycle could not match.",
}


def _of_daemons(state: Mapping[str, Any]) -> Iterator[Metric]:
    kinds: dict[str, list[Mapping[str, Any]]] = {"Startd": list(state["executors"].values())}
    for daemon in state["daemons"]:
        kinds.setdefault(daemon["type"], []).append(daemon)
    listed = [((("type", kind),), found) for kind, found in sorted(kinds.items())]
    count = [(labels, len(found)) for labels, found in listed]
    stale = [(labels, sum(bool(one["stale"]) for one in found)) for labels, found in listed]
    oldest = [(labels, max(one["age"] for one in found)) for labels, found in listed if found]
    yield "condorpool_daemons", "gauge", "Daemons in the collector.", count
    yield "condorpool_daemons_stale", "gauge", "Daemons that have been silent for too long.", stale
    yield "condorpool_daemons_oldest_ad_seconds", "gauge", "Age of the oldest ad.", oldest


def _bounded(values: Mapping[str, Mapping[str, Any]], most: int) -> dict[str, dict[str, int]]:
    """Return the first so many by name, and the sum of the others under `other`."""
    result: dict[str, dict[str, int]] = {}
    for position, (name, figures) in enumerate(values.items()):
        into = result.setdefault(name if position < most else "other", {})
        for key, value in figures.items():
            into[key] = into.get(key, 0) + int(value)
    return result


def _gauge(name: str, text: str, value: float) -> Metric:
    return name, "gauge", text, [((), value)]


def _counter(name: str, text: str, value: float) -> Metric:
    return name, "counter", text, [((), value)]


def _labels(labels: Labels) -> str:
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in labels) + "}" if labels else ""


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
