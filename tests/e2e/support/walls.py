"""Two pools of one name behind their policies, and everybody around them."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from .kubectl import Kubectl
from .neighbourhood import (
    CONDOR_PORT,
    Members,
    cluster_targets,
    node_sources,
    nodes,
    operator_source,
    place,
    pod_target,
    stranger,
)
from .network import Flow, Plan, Source, Target, outside, wait_outcomes
from .pool import Pool
from .prober import BLOCKED, OPEN

MODES = {"calico": "Calico", "kubernetes": "Kubernetes"}
"""The two pools, and the kind of policies that each has."""
SPEC_MODES = {"calico": "Auto", "kubernetes": "Kubernetes"}
"""What their specs say."""


@dataclass(frozen=True)
class Both:
    """Flows that the policies allow, and flows that they forbid."""

    allowed: Plan
    forbidden: Plan

    @property
    def together(self) -> Plan:
        """All of them, by source."""
        sources = {**self.allowed, **self.forbidden}
        return {one: [*self.allowed.get(one, ()), *self.forbidden.get(one, ())] for one in sources}

    def wait_enforced(self, seconds: float) -> None:
        """Wait until the one flow and the others do not."""
        wait_outcomes(
            {
                source: {target: OPEN if target in self.allowed.get(source, ()) else BLOCKED for target in targets}
                for source, targets in self.together.items()
            },
            seconds,
        )

    def wait_open(self, seconds: float) -> None:
        """Wait until all of them flow."""
        wait_outcomes({one: dict.fromkeys(targets, OPEN) for one, targets in self.together.items()}, seconds)


@dataclass(frozen=True)
class Walls:
    """One pool and everybody around it: who tries, and what is tried."""

    pool: Pool
    members: Members
    neighbour: Source
    impostor: Source
    sources: list[Source]
    targets: list[Target]

    def target(self, column: str) -> Target:
        """Return the first target of a column."""
        return next(one for one in self.targets if one.column == column)

    def stranger(self, source: Source) -> Target:
        """Return the daemons' port of a stranger that is a source too."""
        return next(one for one in self.targets if one.column == "stranger" and one.pod == source.pod)

    def flows(self) -> Both:
        """Return flows of every kind: between roles and nodes, from and to strangers, to DNS and to the outside."""
        members = self.members
        daemons = {target.pod: target for target in reversed(members.daemons())}
        manager, submitter = daemons[members.manager.pod], daemons[members.submitter.pod]
        first, second = members.executors
        near, far = daemons[first.pod], daemons[second.pod]
        return Both(
            allowed={
                first: [manager, submitter, self.target("dns")],
                second: [manager, submitter],
                members.submitter: [manager, near, far],
                members.manager: [submitter, near, far],
            },
            forbidden={
                first: [far, self.stranger(self.neighbour), self.target("outside")],
                members.manager: [self.target("api")],
                self.impostor: [manager, submitter, near, self.target("agent")],
                self.neighbour: [manager, submitter, far],
            },
        )


def build(kubectl: Kubectl, pools: Mapping[str, Pool], elsewhere: Kubectl, shut_out: list[Target]) -> dict[str, Walls]:
    """Place strangers around the pools, which become ready meanwhile."""
    addresses = nodes(kubectl)
    first, second = list(addresses)[:2]
    everywhere = [*node_sources(elsewhere, list(addresses)), operator_source(kubectl), outside()]
    for pool in pools.values():
        pool.wait_ready()
    members = {mode: Members(pool, addresses) for mode, pool in pools.items()}
    result = {}
    for (mode, mine), other in zip(members.items(), reversed(members.values()), strict=True):
        labels = mine.pods[mine.pool.executor("cpu")]["metadata"]["labels"]
        ports = (CONDOR_PORT,)
        neighbour, near = place(
            mine.pool.kubectl, "neighbour", stranger("neighbour", first, {"e2e": "neighbour"}, ports)
        )[0]
        impostor, far = place(elsewhere, "impostor", stranger(f"impostor-{mode}", second, labels, ports))[0]
        around = [pod_target("stranger", pod) for pod in (near, far)]
        twin = [*other.daemons("twin"), *other.ssh("twin")[:2]]
        own = [*mine.daemons(), *mine.agent(), *mine.ssh(), *mine.others()]
        result[mode] = Walls(
            mine.pool,
            mine,
            neighbour,
            impostor,
            [*mine.sources, neighbour, impostor, *everywhere],
            [*own, *around, *twin, *cluster_targets(kubectl, addresses), *shut_out],
        )
    return result


@dataclass
class Diary:
    """What a watch is judged by: what was done when (seconds since the epoch)."""

    entries: list[tuple[float, str]] = field(default_factory=list)

    def note(self, what: str) -> float:
        """Note that something happened now; return the moment."""
        now = time.time()
        self.entries.append((now, what))
        return now

    def judge(self, both: Both, seen: list[Flow], open_between: tuple[float, float] = (0.0, 0.0)) -> list[str]:
        """Return the allowed flows that were cut, and the forbidden ones that were open outside a span of time, among what was done."""
        wrong = []
        for flow in seen:
            if flow.target in both.allowed.get(flow.source, ()):
                wrong += flow.other_than(OPEN)
            else:
                wrong += flow.other_than(BLOCKED, open_between)
        return [f"{moment:.2f} {what}" for moment, what in sorted([*wrong, *self.entries])] if wrong else []
