"""What the routine makes of what it could not see, and of an agent that does not answer."""

from dataclasses import replace
from typing import Any, cast

import pytest

from condorpool_operator.agentclient import AgentClient, Target
from condorpool_operator.builders.context import AgentCredentials
from condorpool_operator.cordons import Cordons
from condorpool_operator.discovery import CalicoApi
from condorpool_operator.drains import Drain, Plan
from condorpool_operator.ends import Ledger
from condorpool_operator.errors import ApiError
from condorpool_operator.kinds import POD
from condorpool_operator.kube import Kube
from condorpool_operator.minting import new_certificate
from condorpool_operator.observe import Children
from condorpool_operator.poolstate import Poller
from condorpool_operator.reconcile import Reconciler, _plans
from condorpool_operator.seen import Jobs, Sight, State
from condorpool_operator.watching import ReferenceIndex

from .factories import CREDENTIALS, SETTINGS, make_context


def test_a_list_of_pods_that_fails_takes_no_executor_away() -> None:
    context = make_context({"executors": [{"name": "cpu", "replicas": 1}]})
    live = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": context.names.group("cpu")},
        "spec": {"replicas": 3, "template": {"metadata": {"annotations": {}}}},
    }
    sight = Sight(State({}, Jobs(0, 0, 0), frozenset()), silent=False)
    unseen = Children([live], unseen={POD: ApiError(500, "InternalError", "no")})
    assert _plans(context, unseen, sight, frozenset()) == {"cpu": Plan(3)}
    assert _plans(context, Children([live]), sight, frozenset()) == {"cpu": Plan(1)}


@pytest.mark.parametrize("failing", [False, True])
async def test_an_agent_that_does_not_answer_gets_no_orders(failing: bool) -> None:
    ordered: list[str] = []

    class Agents:
        async def drain(self, _target: Target, pod: str, _reason: str, **_: Any) -> None:
            ordered.append(pod)

    agents = cast("AgentClient", Agents())
    certificate, key = new_certificate("demo-manager")
    credentials = replace(CREDENTIALS, agent=AgentCredentials(certificate, key, b"t", b"m"))
    kube, calico = cast("Kube", None), cast("CalicoApi", None)
    reconciler = Reconciler(
        kube,
        SETTINGS,
        ReferenceIndex(),
        Ledger(),
        calico,
        agents,
        Poller(agents, lambda _: None),
        cast("Cordons", None),
    )
    sight = Sight(State({}, Jobs(0, 0, 0), frozenset()), silent=False, failing=failing)
    plans = {"cpu": Plan(1, drain=(Drain("demo-cpu-0", "rollout"),))}
    await reconciler._order(make_context(credentials=credentials), sight, plans)
    assert ordered == ([] if failing else ["demo-cpu-0"])
