"""Answers of API servers that do not behave, taken as the operator needs them."""

import json
from typing import Any, cast

import pytest
from kubernetes.aio.client import ApiClient, Configuration

from condorpool_operator.errors import ApiError
from condorpool_operator.kinds import CALICO_POLICY, CONFIG_MAP, NODE, Kind
from condorpool_operator.kube import Kube

NOT_FOUND = {"kind": "Status", "code": 404, "reason": "NotFound", "message": "not found"}


class Answer:
    """A response as aiohttp gives it."""

    def __init__(self, status: int, body: Any) -> None:
        self.status = status
        self.reason = "reason"
        self._body = json.dumps(body).encode()
        self.response = self

    async def json(self) -> Any:
        return json.loads(self._body)

    async def read(self) -> bytes:
        return self._body


class Client:
    """A client that answers from a list and notes what it was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.configuration = Configuration(host="https://api.test")
        self.answers = list(answers)
        self.asked: list[tuple[str, str]] = []

    async def update_params_for_auth(self, *_: Any) -> None:
        pass

    async def call_api(self, method: str, url: str, *_: Any, **__: Any) -> Answer:
        self.asked.append((method, url.removeprefix("https://api.test").partition("?")[0]))
        return self.answers.pop(0)


def kube(*answers: Answer) -> tuple[Kube, Client]:
    client = Client(*answers)
    return Kube(cast("ApiClient", client), 1.0), client


def obj(kind: Kind) -> dict[str, Any]:
    metadata = {"name": "demo-manager", "namespace": "physics"}
    return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata}


async def test_a_calico_that_cannot_create_by_apply_is_asked_to_create() -> None:
    mine, client = kube(Answer(404, NOT_FOUND), Answer(201, obj(CALICO_POLICY)))
    assert await mine.apply(obj(CALICO_POLICY)) == obj(CALICO_POLICY)
    collection = "/apis/projectcalico.org/v3/namespaces/physics/networkpolicies"
    assert client.asked == [("PATCH", f"{collection}/demo-manager"), ("POST", collection)]


async def test_what_any_other_kind_does_not_find_is_an_error() -> None:
    mine, client = kube(Answer(404, NOT_FOUND))
    with pytest.raises(ApiError, match="404 NotFound"):
        await mine.apply(obj(CONFIG_MAP))
    assert len(client.asked) == 1


async def test_a_restarted_server_may_send_null_for_no_items() -> None:
    mine, _ = kube(Answer(200, {"metadata": {}, "items": None}))
    assert [found async for found in mine.list(CONFIG_MAP, None, "a=b")] == []


async def test_pages_are_read_to_the_end() -> None:
    item = {"metadata": {"name": "a"}}
    pages = [
        Answer(200, {"metadata": {"continue": "more"}, "items": [item]}),
        Answer(200, {"metadata": {}, "items": [item]}),
    ]
    mine, client = kube(*pages)
    assert len([found async for found in mine.list(CONFIG_MAP, "physics", "a=b")]) == 2
    assert len(client.asked) == 2


async def test_the_end_of_a_namespace_is_known_by_its_cause() -> None:
    cause = {"reason": "NamespaceTerminating", "message": "namespace physics is being terminated"}
    body = {"code": 403, "reason": "Forbidden", "message": "forbidden", "details": {"causes": [cause]}}
    mine, _ = kube(Answer(403, body))
    with pytest.raises(ApiError) as caught:
        await mine.apply(obj(CONFIG_MAP))
    assert caught.value.reason == "NamespaceTerminating"


async def test_what_the_api_server_does_not_find_is_not_there() -> None:
    mine, _ = kube(Answer(404, NOT_FOUND | {"details": {"name": "n1", "kind": "nodes"}}))
    assert await mine.get(NODE, None, "n1") is None


@pytest.mark.parametrize(
    "body",
    [
        "404 page not found",
        [],
        {"reason": "NotFound", "details": {"name": "n1", "kind": "nodes"}},
        NOT_FOUND,
        NOT_FOUND | {"details": {"name": "n2", "kind": "nodes"}},
        NOT_FOUND | {"details": {"name": "n1", "kind": "pods"}},
        NOT_FOUND | {"reason": "Unknown", "details": {"name": "n1", "kind": "nodes"}},
    ],
)
async def test_a_404_of_anything_else_says_nothing_about_an_object(body: Any) -> None:
    mine, _ = kube(Answer(404, body))
    with pytest.raises(ApiError, match="404"):
        await mine.get(NODE, None, "n1")


async def test_an_object_that_is_gone_is_deleted() -> None:
    mine, _ = kube(Answer(404, NOT_FOUND))
    await mine.delete(CONFIG_MAP, "physics", "demo-manager", "uid")


async def test_a_deletion_that_was_refused_is_not_taken_for_done() -> None:
    mine, _ = kube(Answer(409, {"code": 409, "reason": "Conflict", "message": "precondition failed"}))
    with pytest.raises(ApiError) as caught:
        await mine.delete(CONFIG_MAP, "physics", "demo-manager", "uid")
    assert caught.value.retryable, "whoever asked for it looks again"
