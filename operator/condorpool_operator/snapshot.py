"""Live objects read as the few facts that status and replacement need; pure."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from . import naming
from .api.status import ConditionType, Reason
from .api.v1alpha1 import ExecutorGroup
from .builders.context import Context
from .builders.executors import replicas
from .builders.pods import AGENT
from .drains import Plan
from .kinds import CALICO_POLICY, CLAIM, DEPLOYMENT, NETWORK_POLICY, SERVICE, STATEFUL_SET
from .observe import Children
from .podhealth import Finding, is_outdated, is_ready, is_terminating, name_of, ordinal, runs, works
from .seen import Fault, Group, Observation, Problem, Sight, Workload

Obj = Mapping[str, Any]

MODE_OF_KIND = {CALICO_POLICY: "Calico", NETWORK_POLICY: "Kubernetes", None: "Disabled"}
"""The mode of network policies in status, by the kind in effect."""


def agent_is_ready(children: Children) -> bool:
    """Return whether the agent beside the manager's daemons can be asked."""
    staying = [pod for pod in children.pods(naming.MANAGER) if not is_terminating(pod)]
    return any(_container_is_ready(pod, AGENT) for pod in staying)


def _container_is_ready(pod: Obj, name: str) -> bool:
    statuses = pod.get("status", {}).get("containerStatuses", ())
    return any(one["name"] == name and one["ready"] for one in statuses)


def daemons_of(context: Context, children: Children) -> frozenset[str]:
    """Return the names by which the collector ought to know the daemons of all pods that are ready."""
    workloads = (_manager(children, context), _submitter(children, context))
    names = {workload.daemon for workload in workloads if workload.ready}
    executors = {name_of(pod) for pod in children.pods(naming.EXECUTOR) if is_ready(pod) and not is_terminating(pod)}
    return frozenset(names | executors)


def running_executors(children: Children) -> frozenset[str]:
    """Return the names of the executors that run and were not told to end, whether they are ready or not."""
    return frozenset(name_of(pod) for pod in children.pods(naming.EXECUTOR) if runs(pod) and not is_terminating(pod))


def observe_pool(
    context: Context,
    children: Children,
    problems: Iterable[Problem],
    sight: Sight,
    findings: Mapping[str, Finding],
    plans: Mapping[str, Plan],
) -> Observation:
    """Return what status needs to know of a valid pool.

    `findings` are by the name of the workload whose pods they are about, `plans` by the name of the group.
    """
    names, ssh = context.names, context.pool.spec.submitter.ssh
    faults = {name: one.told for name, one in findings.items()}
    refused = {name for name, fault in faults.items() if fault.reason is Reason.CONFIG_REFUSED}
    problems = [*problems, *(_refusal(faults[name]) for name in sorted(refused))]
    faults = {name: fault for name, fault in faults.items() if name not in refused}
    return Observation(
        manager=_with(_manager(children, context), faults.get(names.manager)),
        submitter=_with(_submitter(children, context), faults.get(names.submitter)),
        groups=tuple(
            _group(children, context, group, sight, plans[group.name], faults.get(names.group(group.name)))
            for group in context.pool.spec.groups
        ),
        problems=tuple(problems),
        image=context.image,
        policy_mode=MODE_OF_KIND[context.policy_kind],
        storage=_capacity(children, names.submitter),
        manager_storage=_capacity(children, names.manager),
        collector=names.collector,
        ssh_endpoint=None if ssh is None else ssh_endpoint(context, children),
        sight=sight,
    )


def _refusal(fault: Fault) -> Problem:
    """Return a configuration that daemons refuse as what it is: the configuration's problem, not the pods'."""
    return Problem(ConditionType.CONFIG_VALID, fault.reason, fault.message)


def _with(workload: Workload, fault: Fault | None) -> Workload:
    return replace(workload, fault=fault)


def _capacity(children: Children, name: str) -> str | None:
    claim = children.get(CLAIM, name) or {}
    size: str | None = claim.get("status", {}).get("capacity", {}).get("storage")
    return size


def _manager(children: Children, context: Context) -> Workload:
    """Return the manager's state by its daemons' container alone: whatever the agent beside it does, the pool works."""
    name = context.names.manager
    live = children.get(DEPLOYMENT, name)
    if live is None:
        return Workload(ready=False, message="the manager does not exist yet", daemon=name)
    status = live.get("status", {})
    seen = status.get("observedGeneration") == live["metadata"]["generation"]
    current = status.get("updatedReplicas", 0) == 1 and status.get("replicas", 0) == 1
    staying = [pod for pod in children.pods(naming.MANAGER) if not is_terminating(pod)]
    if seen and current and any(works(pod) for pod in staying):
        return Workload(ready=True, message="collector and negotiator are up", daemon=name)
    message = "the manager's pod is not ready: see its events and its log"
    return Workload(ready=False, message=message, daemon=name)


def _submitter(children: Children, context: Context) -> Workload:
    live, pod = children.get(STATEFUL_SET, context.names.submitter), context.names.submitter_pod
    if live is None:
        return Workload(ready=False, message="the submitter does not exist yet", daemon=pod)
    status = live.get("status", {})
    seen = status.get("observedGeneration") == live["metadata"]["generation"]
    current = status.get("currentRevision") == status.get("updateRevision") and status.get("updatedReplicas", 0) == 1
    if seen and current and status.get("readyReplicas", 0) == 1:
        return Workload(ready=True, message="the schedd is up", daemon=pod)
    message = "the submitter's pod is not ready: see its events and its log"
    return Workload(ready=False, message=message, daemon=pod)


def _group(
    children: Children, context: Context, group: ExecutorGroup, sight: Sight, plan: Plan, fault: Fault | None
) -> Group:
    live = children.get(STATEFUL_SET, context.names.group(group.name))
    pods = children.pods(naming.EXECUTOR, group.name)
    staying = [pod for pod in pods if not is_terminating(pod)]
    wanted = [pod for pod in staying if ordinal(pod) < replicas(group)]
    outdated = [pod for pod in wanted if live is not None and is_outdated(pod, live)]
    old = {name_of(pod) for pod in outdated}
    ready = [pod for pod in wanted if is_ready(pod) and name_of(pod) not in old]
    executors = {} if sight.state is None else sight.state.executors
    drained = {name for name, executor in executors.items() if executor.drain is not None}
    serving = [pod for pod in ready if name_of(pod) not in drained]
    return Group(
        name=group.name,
        desired=replicas(group),
        ready=len(serving),
        draining=len(pods) - len(staying) + sum(name_of(pod) in drained for pod in staying),
        outdated=len(outdated),
        pods=frozenset(name_of(pod) for pod in ready),
        fault=fault,
        held_back=len(ready) - len(serving),
        leaving=len(plan.leaving),
        foreign=plan.foreign,
    )


def ssh_endpoint(context: Context, children: Children) -> str | None:
    """Return host:port by which ssh is reached, or None while Kubernetes has not given one."""
    service = children.get(SERVICE, context.names.ssh)
    if service is None:
        return None
    spec = service["spec"]
    port = spec["ports"][0]
    if spec["type"] == "LoadBalancer":
        ingress = service.get("status", {}).get("loadBalancer", {}).get("ingress") or [{}]
        host = ingress[0].get("ip") or ingress[0].get("hostname")
        return f"{host}:{port['port']}" if host else None
    if spec["type"] == "ClusterIP":
        return f"{context.names.ssh}.{context.pool.namespace}.svc.{context.settings.cluster_domain}:{port['port']}"
    hosts = [pod.get("status", {}).get("hostIP") for pod in children.pods(naming.SUBMITTER)]
    return f"{hosts[0]}:{port['nodePort']}" if hosts and hosts[0] and port.get("nodePort") else None
