"""What is applied in which order, and over what nothing is applied."""

from typing import Any, cast

import pytest

from condorpool_operator.api.status import Reason
from condorpool_operator.apply import apply_objects
from condorpool_operator.builders.desired import desired_objects
from condorpool_operator.errors import ApiError
from condorpool_operator.kinds import Kind, kind_of
from condorpool_operator.kube import Kube
from condorpool_operator.observe import Children

from .factories import JOHN, make_context

CONTEXT = make_context({"submitter": {"ssh": {"users": [JOHN]}}})
DESIRED = desired_objects(CONTEXT)
KEYS = "demo-signing-keys"
TOKENS = {"demo-submitter-token", "demo-executor-token", "demo-monitor-token", "demo-agent"}


class Server:
    """A stand-in for the API server: it has some objects, refuses some, and notes what it is sent."""

    def __init__(self, *objects: dict[str, Any], refused: str = "") -> None:
        self.objects = {obj["metadata"]["name"]: obj for obj in objects}
        self.refused = refused
        self.sent: list[tuple[str, str, str | None]] = []

    async def get(self, kind: Kind, namespace: str, name: str) -> dict[str, Any] | None:
        return self.objects.get(name)

    async def create(self, obj: dict[str, Any]) -> dict[str, Any]:
        if obj["metadata"]["name"] in self.objects:
            raise ApiError(409, "Conflict", "the object has been modified")
        return self._take("create", obj)

    async def apply(self, obj: dict[str, Any]) -> dict[str, Any]:
        return self._take("apply", obj)

    def _take(self, verb: str, obj: dict[str, Any]) -> dict[str, Any]:
        name = obj["metadata"]["name"]
        self.sent.append((verb, name, obj["metadata"].get("resourceVersion")))
        if name == self.refused:
            raise ApiError(500, "InternalError", "no")
        return obj


async def applied(server: Server, *live: dict[str, Any]) -> list[Reason]:
    problems = await apply_objects(cast("Kube", server), CONTEXT.pool, DESIRED, Children(live))
    return [problem.reason for problem in problems]


def one(name: str, **meta: Any) -> dict[str, Any]:
    (found,) = [obj for obj in DESIRED if obj["metadata"]["name"] == name]
    return {**found, "metadata": {**found["metadata"], **meta}}


async def test_what_is_the_pools_own_and_was_not_listed_is_not_applied_over() -> None:
    server = Server(one(KEYS))
    assert await applied(server) == [Reason.API_UNAVAILABLE], "the next look sees it"
    assert KEYS not in [name for _, name, _ in server.sent]


async def test_what_is_somebody_elses_is_told() -> None:
    assert await applied(Server(one(KEYS, ownerReferences=[], labels={}))) == [Reason.NAME_CONFLICT]


@pytest.mark.parametrize("live", [(), tuple(obj for obj in DESIRED if obj["metadata"]["name"] in TOKENS)])
async def test_no_token_is_stored_whose_key_is_not(live: tuple[dict[str, Any], ...]) -> None:
    stale = [{**obj, "data": {}, "metadata": {**obj["metadata"], "resourceVersion": "7"}} for obj in live]
    server = Server(refused=KEYS)
    await applied(server, *stale)
    names = [name for _, name, _ in server.sent]
    assert TOKENS.isdisjoint(names)
    assert {"demo-ssh-host-keys", "demo-manager", "demo-executor"} <= set(names), "the rest goes on"


async def test_keys_come_before_tokens() -> None:
    server = Server()
    assert await applied(server) == []
    names = [name for _, name, _ in server.sent]
    assert all(names.index(KEYS) < names.index(token) for token in TOKENS)


async def test_a_secret_is_changed_only_as_it_was_seen() -> None:
    live = [{**obj, "metadata": {**obj["metadata"], "resourceVersion": "7"}} for obj in DESIRED]
    outdated = [{**obj, "metadata": {**obj["metadata"], "annotations": {}}} for obj in live]
    server = Server()
    assert await applied(server, *outdated) == []
    kinds = {obj["metadata"]["name"]: kind_of(obj).name for obj in DESIRED if kind_of(obj).name == "Secret"}
    assert {version for _, name, version in server.sent if name in kinds} == {"7"}
