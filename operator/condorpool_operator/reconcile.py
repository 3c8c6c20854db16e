"""The one routine that brings a pool from what is to what should be; readable top to bottom.

It may be stopped between any two calls: every step starts from what the API server says, and the next run repairs the rest.
"""

import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from time import monotonic
from typing import Any

from . import naming
from .accounts import PasswordHasher
from .agentclient import AgentClient, AgentError, ConfigFinding, Target
from .api.status import ConditionType, Reason
from .apply import apply_objects, prune
from .builders.context import Context, Credentials
from .builders.desired import desired_objects
from .builders.network import policy_kind
from .configcheck import ConfigChecker, Judge
from .cordons import Cordons
from .diagnosis import diagnose
from .discovery import CalicoApi
from .drains import Plan, plan_group
from .ends import FILE, Ledger, events_of
from .errors import DOUBT_SECONDS, ApiError, PoolInvalidError
from .kinds import CONDOR_POOL, CONFIG_MAP, POD, STATEFUL_SET
from .kube import Kube
from .minting import complete_credentials
from .naming import Names
from .observe import Children, Observer
from .podhealth import refuses_configuration
from .pool import Pool, PoolKey
from .poolstate import Poller
from .problems import NAMESPACE_ENDS, reason_of, unreadable, unseen_problems
from .references import check_mounts, place_of, read_accounts, read_configs, referenced
from .refresh import refresh_pods
from .remains import end_with_namespace, hurry, namespace_ends
from .replace import Orders, replace_pods
from .seen import Problem, Sight
from .settings import Settings
from .snapshot import agent_is_ready, daemons_of, observe_pool, running_executors
from .status import compute_status, invalid_status, paused_status, transitions, unreadable_status
from .watching import ReferenceIndex
from .workqueue import RetryError

logger = logging.getLogger(__name__)

REFUSED_RETRY_SECONDS = 60.0
"""Until the next look at what waits for a person, beside the watches that notice most repairs at once."""
UNCHECKED_RETRY_SECONDS = 5.0
"""Until the next try to have a configuration checked."""
ORDER_SECONDS = 3.0
"""Until an order to the agent is given again, if by then it does not show."""


class Reconciler:
    """Reconciles one pool at a time per call; holds nothing about pools but what can be read again."""

    def __init__(
        self,
        kube: Kube,
        settings: Settings,
        references: ReferenceIndex,
        ledger: Ledger,
        calico: CalicoApi,
        agents: AgentClient,
        poller: Poller,
        cordons: Cordons,
    ) -> None:
        self._kube = kube
        self._settings = settings
        self._references = references
        self._ledger = ledger
        self._calico = calico
        self._agents = agents
        self._orders = Orders(agents)
        self._poller = poller
        self._cordons = cordons
        self._checker = ConfigChecker()
        self._observer = Observer(kube, calico, settings.namespaces)
        self._hasher = PasswordHasher()
        self._doubts: dict[str, float] = {}
        self._listed: dict[PoolKey, Mapping[str, Any]] = {}
        self._looked_at: set[PoolKey] = set()

    def noticed(self, key: PoolKey, listed: Mapping[str, Any] | None) -> None:
        """Take a pool as a listing shows it (None: as anything later than a listing), for its first look by this process.

        Later looks read the pool anew: what was listed may be older than the status that this process has written since.
        """
        self._listed.pop(key, None)
        if listed is not None and key not in self._looked_at:
            self._listed[key] = listed

    def close(self) -> None:
        """Stop what is under way; nobody waits for it any more."""
        self._observer.close()

    async def __call__(self, key: PoolKey) -> float | None:
        """Reconcile the pool of this namespace and name; return seconds until the next look, or None where it is gone."""
        try:
            return await self._reconcile(*key)
        except ApiError as error:
            if error.status != 404:  # the pool went while it was looked at
                logger.warning("%s/%s: %s; trying again", *key, error)
            raise RetryError from error

    async def _reconcile(self, namespace: str, name: str) -> float | None:
        self._looked_at.add((namespace, name))
        obj = self._listed.pop((namespace, name), None) or await self._kube.get(CONDOR_POOL, namespace, name)
        if obj is None or "deletionTimestamp" in obj["metadata"]:
            self._looked_at.discard((namespace, name))
            self._references.forget((namespace, name))
            self._ledger.forget((namespace, name))
            self._poller.forget((namespace, name))
            self._orders.forget((namespace, name))
            await hurry(self._kube, await self._observer.remains((namespace, name)))
            return None
        generation, previous, now = obj["metadata"]["generation"], obj.get("status") or {}, _now()
        try:
            pool = Pool.parse(obj)
        except PoolInvalidError as error:
            self._poller.forget((namespace, name))
            await self._report(obj, invalid_status(generation, str(error), previous, now))
            return math.inf
        self._references.note((namespace, name), referenced(pool))
        if pool.spec.paused:
            self._poller.forget((namespace, name))
            await self._report(obj, paused_status(generation, previous, now))
            return math.inf
        children = await self._observer.children(pool)
        if POD not in children.unseen:
            lives = [pod["life"] for pod in children.pods(naming.EXECUTOR)]
            self._ledger.listed((namespace, name), lives, int(children.asked_at))
        await hurry(self._kube, children.strays)
        if children.some_pod_ends() and await namespace_ends(self._kube, namespace):
            await end_with_namespace(self._kube, pool, children)
            return await self._conclude(
                obj, unreadable_status(NAMESPACE_ENDS, generation, previous, now), [NAMESPACE_ENDS], math.inf
            )
        try:
            context, problems = await self._context(pool, children)
        except ApiError as error:
            problem = unreadable(error)
            return await self._conclude(obj, unreadable_status(problem, generation, previous, now), [problem], math.inf)
        problems += unseen_problems(children.unseen)
        sight = self._sight(context, children)
        plans = _plans(context, children, sight, self._cordons.nodes)
        sizes = {name: plan.replicas for name, plan in plans.items()}
        context = replace(context, replicas=sizes)
        more, later = await self._converge(context, children, plans, complete=not problems)
        problems += more
        later = min(later, await self._order(context, sight, plans))
        told = self._told(context.names, children)
        for kind, reason, message in events_of(self._ledger.announced((namespace, name)), told):
            await self._tell(obj, kind, reason, message)
        self._ledger.announce((namespace, name), told)
        if any(problem.condition is ConditionType.NETWORK_POLICY_ENFORCED for problem in problems):
            await self._look_at_calico()
        problems += self._not_as_asked(pool)
        findings, again = await diagnose(self._kube, context, children)
        seen = observe_pool(context, children, problems, sight, findings, plans)
        status = compute_status(generation, seen, previous, now)
        return await self._conclude(obj, status, problems, min(later, again, sight.look_again))

    async def _conclude(
        self, obj: Mapping[str, Any], status: Mapping[str, Any], problems: Iterable[Problem], later: float
    ) -> float:
        """Report, and return seconds until the next look; RetryError where the API server may answer otherwise soon."""
        reasons = {problem.reason for problem in problems}
        if Reason.FORBIDDEN not in reasons:
            self._doubts.pop(obj["metadata"]["uid"], None)
        else:
            since = self._doubts.setdefault(obj["metadata"]["uid"], monotonic())
            if (doubt := since + DOUBT_SECONDS - monotonic()) > 0:
                return doubt
        await self._report(obj, status)
        if Reason.API_UNAVAILABLE in reasons:
            raise RetryError
        if Reason.CONFIG_UNCHECKED in reasons:
            later = min(later, UNCHECKED_RETRY_SECONDS)
        return min(later, REFUSED_RETRY_SECONDS) if reasons else later

    def _sight(self, context: Context, children: Children) -> Sight:
        """Return what the pool's agent told; it is asked by the poller, and never waited for."""
        target = _target(context.names, context.credentials) if agent_is_ready(children) else None
        key, running = (context.pool.namespace, context.pool.name), running_executors(children)
        return self._poller.sight(key, target, daemons_of(context, children), running)

    async def _context(self, pool: Pool, children: Children) -> tuple[Context, list[Problem]]:
        names = Names(pool.name, pool.namespace, self._settings.cluster_domain)
        readable, problems = await read_configs(self._kube, pool, names, children)
        accounts, user_problems = await read_accounts(self._kube, pool, names, children, self._hasher)
        mount_problems = await check_mounts(self._kube, pool)
        credentials = complete_credentials(names, children, ssh=pool.spec.submitter.ssh is not None)
        judge = self._judge(names, credentials, children)
        user_config, refusals = await self._checker.approve(names, children, readable, judge, partial(place_of, pool))
        policies = policy_kind(pool.spec.network_policy.mode, served=self._calico.served)
        told = self._told(names, children)
        ends = self._ledger.due((pool.namespace, pool.name), told, int(datetime.now(UTC).timestamp()))
        context = Context(pool, names, self._settings, user_config, credentials, accounts, policies, ends=ends)
        return context, problems + refusals + user_problems + mount_problems

    @staticmethod
    def _told(names: Names, children: Children) -> str:
        """Return what the submitter is told of executors that are gone."""
        config = children.get(CONFIG_MAP, names.config(naming.SUBMITTER)) or {}
        return str((config.get("data") or {}).get(FILE, ""))

    def _judge(self, names: Names, credentials: Credentials, children: Children) -> Judge:
        """Return who judges a changed configuration: the pool's HTCondor, through its agent.

        A manager that does not start because of its configuration cannot judge the correction: pool-init will.
        """
        refused = any(refuses_configuration(pod) for pod in children.pods(naming.MANAGER))

        async def judge(role: str, files: Mapping[str, str]) -> list[ConfigFinding]:
            if refused:
                return []
            if not agent_is_ready(children):
                raise AgentError("the agent in the manager's pod is not ready")
            return await self._agents.check(_target(names, credentials), role, files)

        return judge

    async def _converge(
        self, context: Context, children: Children, plans: Mapping[str, Plan], *, complete: bool
    ) -> tuple[list[Problem], float]:
        """Apply, let pods see new files, remove what is no longer wanted if nothing failed, then replace executors.

        Return what went wrong, and after how many seconds there is more to do.
        """
        desired, later = desired_objects(context), math.inf
        problems = await apply_objects(self._kube, context.pool, desired, children)
        try:
            await refresh_pods(self._kube, context.pool, context.names, children)
        except ApiError as error:
            what = f"pods cannot be annotated, so changed files reach them only within two minutes: {error.message}"
            problems.append(Problem(ConditionType.CONFIG_VALID, reason_of(error), what))
        try:
            if complete and not problems:
                later = await prune(self._kube, context.pool, desired, children, datetime.now(UTC))
            await replace_pods(self._kube, context.pool, context.names, children, plans)
        except ApiError as error:
            what = f"an object could not be deleted: {error.message}"
            problems.append(Problem(ConditionType.EXECUTORS_READY, reason_of(error), what))
        return problems, later

    async def _order(self, context: Context, sight: Sight, plans: Mapping[str, Plan]) -> float:
        """Tell the agent what is planned, and have the poller look soon at what comes of it.

        Return seconds until the orders are given again: one that did not arrive changes nothing that anybody would notice. An agent that
        does not answer would keep the worker; the poller tells when it does again.
        """
        if sight.failing or not any(plan.under_way for plan in plans.values()):
            return math.inf
        key = (context.pool.namespace, context.pool.name)
        await self._orders.give(key, _target(context.names, context.credentials), plans.values())
        self._poller.hurry(key)
        return ORDER_SECONDS

    async def _look_at_calico(self) -> None:
        """Begin anew, with the other kind, where policies failed because Calico's API has just come or gone."""
        if await self._calico.look(self._kube):
            raise RetryError

    def _not_as_asked(self, pool: Pool) -> list[Problem]:
        if pool.spec.network_policy.mode != "Calico" or self._calico.served:
            return []
        message = (
            "spec.networkPolicy.mode is Calico, and the cluster does not serve projectcalico.org/v3: install Calico's API server, "
            "or choose Auto; Kubernetes policies stand in until then"
        )
        return [Problem(ConditionType.NETWORK_POLICY_ENFORCED, Reason.CALICO_NOT_SERVED, message)]

    async def _report(self, obj: Mapping[str, Any], status: Mapping[str, Any]) -> None:
        """Record the events that a change is worth and write the status, where it differs from what is there."""
        previous = obj.get("status") or {}
        if status == previous:
            return
        for kind, reason, message in transitions(previous, status):
            logger.info(
                "%s/%s: %s %s: %s", obj["metadata"]["namespace"], obj["metadata"]["name"], kind, reason, message
            )
            await self._tell(obj, kind, reason, message)
        await self._kube.apply_status(CONDOR_POOL, obj["metadata"]["namespace"], obj["metadata"]["name"], status)

    async def _tell(self, obj: Mapping[str, Any], kind: str, reason: str, message: str) -> None:
        """Record an event; a refusal (a namespace that is being deleted, a quota) must not keep the status from being written."""
        try:
            await self._kube.event(obj, kind, reason, message)
        except ApiError as error:
            if error.retryable:
                raise
            logger.warning("%s/%s: no event: %s", obj["metadata"]["namespace"], obj["metadata"]["name"], error)


def _target(names: Names, credentials: Credentials) -> Target:
    """Return where and how a pool's agent is asked."""
    return Target.of(names.manager_host, credentials.agent.certificate, credentials.agent.token)


def _plans(context: Context, children: Children, sight: Sight, cordoned: frozenset[str] | None) -> dict[str, Plan]:
    """Return by group what is to be done about its executors."""
    now = datetime.now(UTC).timestamp()
    plans = {}
    for group in context.pool.spec.groups:
        stateful_set = children.get(STATEFUL_SET, context.names.group(group.name))
        pods = None if POD in children.unseen else children.pods(naming.EXECUTOR, group.name)
        plans[group.name] = plan_group(group, stateful_set, pods, sight.state, sight.unheard, cordoned, now)
    return plans


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
