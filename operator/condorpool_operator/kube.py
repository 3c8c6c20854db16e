"""The one client of the Kubernetes API: asynchronous, plain dicts in and out, ApiError for every refusal and every silence."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp
import orjson
from kubernetes.aio import config as client_config
from kubernetes.aio.client import ApiClient, Configuration

from .errors import NAMESPACE_TERMINATING, ApiError
from .kinds import CALICO_POLICY, EVENT, Kind, kind_of
from .labels import FIELD_MANAGER

JSON = "application/json"
APPLY = "application/apply-patch+yaml"
MERGE_PATCH = "application/merge-patch+json"
METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
PAGE = 100
"""Objects in one answer to a list: pods are large, and come by the thousand."""
NO_VERSION = "1"
"""A resourceVersion that no object has: etcd is at it before anything is written."""
WATCH_SECONDS = 330.0
"""A watch is begun anew after this time, in case it froze."""


class Kube:
    """Requests to the API server, each bounded in time; what to do about a failure is the caller's to say."""

    def __init__(self, client: ApiClient, seconds: float) -> None:
        self._client = client
        self._seconds = seconds

    @classmethod
    async def connect(cls, seconds: float) -> Self:
        """Return a client for the cluster around, or for the one that KUBECONFIG names; `seconds` bounds each request."""
        configuration = Configuration()
        try:
            client_config.load_incluster_config(client_configuration=configuration)
        except client_config.ConfigException:
            await client_config.load_kube_config(client_configuration=configuration)
        # else aiohttp looks for ~/.netrc and proxy variables, in a thread, at every request
        configuration.client_session_kwargs = {"trust_env": False}
        return cls(ApiClient(configuration), seconds)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def get(self, kind: Kind, namespace: str | None, name: str) -> dict[str, Any] | None:
        """Return an object, or None where the API server says so of this very object.

        A 404 of anything between, or of a server that does not serve the kind for a moment, is ApiError as any refusal.
        """
        try:
            return await self._json("GET", kind.path(namespace, name))
        except ApiError as error:
            if error.status == 404 and error.reason == "NotFound" and error.about == (kind.plural, name):
                return None
            raise

    async def list(self, kind: Kind, namespace: str | None, selector: str) -> AsyncIterator[dict[str, Any]]:
        """Yield the objects that a label selector selects, read in pages."""
        async for page in self._pages(kind, namespace, {"labelSelector": selector}, JSON):
            for item in page["items"] or ():
                yield {**item, "apiVersion": kind.api_version, "kind": kind.name}

    async def resources(self, api_version: str) -> set[str]:
        """Return the plural names of what a group and version serves; none where it is not served."""
        try:
            answer = await self._json("GET", f"/apis/{api_version}")
        except ApiError as error:
            if error.status == 404:
                return set()
            raise
        return {resource["name"] for resource in answer["resources"]}

    async def create(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        """Create an object by server-side apply and return what came of it; ApiError 409 where one of its name is there.

        The API server compares the version only where there is an object, and none ever had this one. What Calico's does is not known.
        """
        return await self.apply({**obj, "metadata": {**obj["metadata"], "resourceVersion": NO_VERSION}})

    async def apply(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        """Apply an object by server-side apply, as the owner of every field in it, and return what came of it.

        ApiError 409 where it names a version (metadata.resourceVersion) and is another by now.
        """
        kind, meta = kind_of(obj), obj["metadata"]
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        path = kind.path(meta["namespace"], meta["name"])
        try:
            return await self._json("PATCH", path, query, body=obj, content_type=APPLY)
        except ApiError as error:
            if error.status != 404 or kind != CALICO_POLICY:
                raise
        # Calico 3.32.0 answers so to an apply that would create
        query = {"fieldManager": FIELD_MANAGER}
        return await self._json("POST", kind.path(meta["namespace"]), query, body=obj)

    async def write_managed_fields(self, live: Mapping[str, Any], fields: Sequence[Mapping[str, Any]]) -> None:
        """Say anew who owns which field of an object, as it was read; ApiError 409 where it is another by now."""
        kind, meta = kind_of(live), live["metadata"]
        body = {"metadata": {"resourceVersion": meta["resourceVersion"], "managedFields": list(fields)}}
        query = {"fieldManager": FIELD_MANAGER}
        await self._json(
            "PATCH", kind.path(meta["namespace"], meta["name"]), query, body=body, content_type=MERGE_PATCH
        )

    async def annotate(self, kind: Kind, namespace: str, name: str, uid: str, annotations: Mapping[str, str]) -> None:
        """Set annotations of the object of this UID; one that is gone, or is another by now, is no error."""
        body = {"metadata": {"uid": uid, "annotations": dict(annotations)}}
        try:
            await self._json("PATCH", kind.path(namespace, name), body=body, content_type=MERGE_PATCH)
        except ApiError as error:
            if error.status not in (404, 409):
                raise

    async def apply_status(self, kind: Kind, namespace: str, name: str, status: Mapping[str, Any]) -> None:
        """Apply the status of an object; fields that it no longer holds go."""
        body = {
            "apiVersion": kind.api_version,
            "kind": kind.name,
            "metadata": {"name": name, "namespace": namespace},
            "status": status,
        }
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        await self._json("PATCH", kind.path(namespace, name, "status"), query, body=body, content_type=APPLY)

    async def delete(self, kind: Kind, namespace: str, name: str, uid: str, grace_seconds: int | None = None) -> None:
        """Delete the object of this UID; one that is gone is no error, one that is another by now is ApiError 409.

        `grace_seconds` is the time that a pod gets to end, instead of its own.
        """
        body: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": uid},
        }
        if grace_seconds is not None:
            body["gracePeriodSeconds"] = grace_seconds
        try:
            await self._json("DELETE", kind.path(namespace, name), body=body)
        except ApiError as error:
            if error.status != 404:
                raise

    async def event(self, about: Mapping[str, Any], kind: str, reason: str, message: str) -> None:
        """Record an event (kind Normal or Warning) about an object."""
        meta, now = about["metadata"], datetime.now(UTC)
        stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{meta['name']}.", "namespace": meta["namespace"]},
            "involvedObject": {
                "apiVersion": about["apiVersion"],
                "kind": about["kind"],
                "name": meta["name"],
                "namespace": meta["namespace"],
                "uid": meta["uid"],
            },
            "type": kind,
            "reason": reason,
            "message": message[:1024],
            "source": {"component": FIELD_MANAGER},
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
            "count": 1,
        }
        await self._json("POST", EVENT.path(meta["namespace"]), body=body)

    async def events_about(self, namespace: str, uid: str) -> AsyncIterator[dict[str, Any]]:
        """Yield what was recorded within the last hour or so about the object of a UID."""
        async for page in self._pages(EVENT, namespace, {"fieldSelector": f"involvedObject.uid={uid}"}, JSON):
            for event in page["items"] or ():
                yield event

    async def list_metadata(
        self, kind: Kind, namespace: str | None, selector: str, fields: str = ""
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield the metadata of the objects that a label selector and a field selector select."""
        async for page in self._pages(kind, namespace, _selectors(selector, fields), METADATA_LIST):
            for item in page["items"] or ():
                yield item["metadata"]

    async def version(self, kind: Kind, namespace: str | None) -> str:
        """Return the version at which a watch of the objects of a kind can begin now."""
        listing = await self._json("GET", kind.path(namespace), {"limit": "1"}, accept=METADATA_LIST)
        return str(listing["metadata"]["resourceVersion"])

    async def watch_metadata(
        self, kind: Kind, namespace: str | None, selector: str, version: str, fields: str = ""
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield the metadata of every selected object that changes after a version, contents unread, until the server ends it.

        Bookmarks are yielded too: they have a resourceVersion and no name. ApiError 410 where the version is too old.
        """
        async for change in self._watch(kind, namespace, selector, version, METADATA_ONLY, fields):
            yield change["object"]["metadata"]

    async def watch_objects(
        self, kind: Kind, namespace: str | None, selector: str, version: str
    ) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Yield the same as `watch_metadata` with whole objects, each behind what became of it: ADDED, MODIFIED, DELETED, BOOKMARK."""
        async for change in self._watch(kind, namespace, selector, version, JSON):
            yield change["type"], change["object"]

    async def _watch(
        self, kind: Kind, namespace: str | None, selector: str, version: str, accept: str, fields: str = ""
    ) -> AsyncIterator[dict[str, Any]]:
        query = {"watch": "true", "allowWatchBookmarks": "true", "resourceVersion": version}
        query |= _selectors(selector, fields)
        response = await self._request("GET", kind.path(namespace), query, accept=accept, seconds=WATCH_SECONDS)
        try:
            async for line in _lines(response):
                change = orjson.loads(line)
                if change["type"] == "ERROR":
                    raise _status_error(change["object"])
                yield change
        except (aiohttp.ClientError, TimeoutError):
            return
        finally:
            response.close()

    async def _pages(
        self, kind: Kind, namespace: str | None, query: Mapping[str, str], accept: str
    ) -> AsyncIterator[dict[str, Any]]:
        query = {**query, "limit": str(PAGE)}
        while True:
            page = await self._json("GET", kind.path(namespace), query, accept=accept)
            yield page
            if not (token := page["metadata"].get("continue")):
                return
            query["continue"] = token

    async def _json(
        self, method: str, path: str, query: Mapping[str, str] | None = None, **request: Any
    ) -> dict[str, Any]:
        """Return the JSON that a request is answered with; `request` goes to `_request`."""
        response = await self._request(method, path, query, **request)
        try:
            answer: dict[str, Any] = orjson.loads(await response.read())
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise ApiError(0, "Unreadable", f"the API server's answer broke off: {type(error).__name__}") from None
        return answer

    async def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        content_type: str = JSON,
        accept: str = JSON,
        seconds: float | None = None,
    ) -> aiohttp.ClientResponse:
        headers = {"Accept": accept, "Content-Type": content_type}
        await self._client.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
        url = f"{self._client.configuration.host}{path}" + (f"?{urlencode(query)}" if query else "")
        try:
            answer = await self._client.call_api(method, url, headers, body, _request_timeout=seconds or self._seconds)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiError(0, "Unreachable", f"the API server did not answer: {type(error).__name__}") from None
        response: aiohttp.ClientResponse = answer.response
        if response.status >= 400:
            raise await _refusal(response)
        return response


def _selectors(labels: str, fields: str) -> dict[str, str]:
    given = {"labelSelector": labels, "fieldSelector": fields}
    return {key: text for key, text in given.items() if text}


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Yield lines of any length: metadata alone can be larger than what aiohttp takes for a line."""
    rest = b""
    async for chunk in response.content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line


async def _refusal(response: aiohttp.ClientResponse) -> ApiError:
    try:
        status = orjson.loads(await asyncio.wait_for(response.read(), 5))
    except (aiohttp.ClientError, TimeoutError, ValueError):
        status = {}
    known = status if isinstance(status, dict) else {}
    return _status_error({"reason": response.reason, **known, "code": response.status})


def _status_error(status: Mapping[str, Any]) -> ApiError:
    details = status.get("details") or {}
    causes = details.get("causes") or ()
    ending = any(cause.get("reason") == NAMESPACE_TERMINATING for cause in causes)
    reason = NAMESPACE_TERMINATING if ending else str(status.get("reason"))
    about = (str(details.get("kind")), str(details.get("name"))) if status.get("kind") == "Status" else ("", "")
    return ApiError(int(status["code"]), reason, str(status.get("message") or reason), about)
