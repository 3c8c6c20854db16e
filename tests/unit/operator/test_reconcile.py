"""What the routine makes of what it could not see."""

from condorpool_operator.drains import Plan
from condorpool_operator.errors import ApiError
from condorpool_operator.kinds import POD
from condorpool_operator.observe import Children
from condorpool_operator.reconcile import _plans
from condorpool_operator.seen import Jobs, Sight, State

from .factories import make_context


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
