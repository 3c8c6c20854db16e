"""The agent of a pool as the operator, a monitor and strangers meet it."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .kubectl import Kubectl
from .operator import DEPLOYMENT, NAMESPACE
from .pool import Pool
from .waiting import NotYetError

_ASK = """
import json, ssl, sys, urllib.error, urllib.request
asked = json.load(sys.stdin)
context = ssl.create_default_context(cadata=asked["certificate"])
headers = {"Authorization": "Bearer " + asked["token"]} if asked["token"] else {}
body = json.dumps(asked["body"]).encode() if asked["body"] else None
request = urllib.request.Request(asked["url"], body, headers)
try:
    with urllib.request.urlopen(request, context=context, timeout=10) as answer:
        said = [answer.status, answer.read().decode()]
except urllib.error.HTTPError as error:
    said = [error.code, error.read().decode()]
except OSError as error:
    said = [0, str(error)]
print(json.dumps(said))
"""


@dataclass(frozen=True)
class Place:
    """A container with Python in it."""

    kubectl: Kubectl
    pod: str
    container: str


def operators_place(kubectl: Kubectl) -> Place:
    """Return the operator's own pod."""
    return Place(kubectl.in_namespace(NAMESPACE), f"deployment/{DEPLOYMENT}", "operator")


@dataclass(frozen=True)
class Agent:
    """The agent of a pool, with what its Secret says."""

    pool: Pool

    def secret(self, key: str) -> str:
        """Return what a monitor copies out of the agent's Secret."""
        data = self.pool.kubectl.must_get("secret", f"{self.pool.name}-agent")["data"]
        return base64.b64decode(data[key]).decode()

    def ask(self, place: Place, path: str, token: str | None, body: Mapping[str, Any] | None = None) -> tuple[int, str]:
        """Return status and body of an answer to somebody who trusts the pool's certificate alone; 0 where nobody answers.

        What has a body is a POST.
        """
        url = f"https://{self.pool.name}-manager.{self.pool.namespace}.svc.cluster.local:9619{path}"
        request = json.dumps({"url": url, "token": token, "certificate": self.secret("tls.crt"), "body": body})
        said = place.kubectl.execute(place.pod, place.container, "python3", "-c", _ASK, stdin=request)
        assert said.code == 0, said.text
        status, answer = json.loads(said.out)
        return status, answer

    def state(self, place: Place) -> dict[str, Any]:
        """Return the state."""
        status, body = self.ask(place, "/v1/state", self.secret("token"))
        assert status == 200, body
        return dict(json.loads(body))

    def container(self, name: str) -> dict[str, Any]:
        """Return the status of one container of the manager's pod."""
        statuses = self.pool.kubectl.must_get("pod", self.pool.manager)["status"]["containerStatuses"]
        return next(one for one in statuses if one["name"] == name)

    def shown(self) -> dict[str, Any]:
        """Return slots and jobs as the pool's status shows them; NotYetError where it does not."""
        status = self.pool.live().get("status", {})
        if "slots" not in status:
            raise NotYetError(f"no slots in {status}")
        return {"slots": status["slots"], "jobs": status["jobs"]}
