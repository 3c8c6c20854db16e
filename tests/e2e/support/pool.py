"""One CondorPool under test: its spec, status, objects, pods and daemons."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .jobs import Job, submit_command
from .kubectl import Kubectl, KubectlError, Object, Result
from .manifests import condor_pool
from .waiting import NotYetError, wait_for

POOL_KIND = "condorpools.condorpool.dev"
UID_LABEL = "condorpool.dev/pool-uid"
OWN_KINDS = "secrets,configmaps,persistentvolumeclaims,services,poddisruptionbudgets,deployments,statefulsets,pods"

READY_SECONDS = 240.0
"""A new pool takes half a minute; four at once on two cores that do other work have taken two."""


def is_ready(pod: Object) -> bool:
    """Return whether a pod is ready and stays."""
    conditions = pod.get("status", {}).get("conditions", [])
    ready = any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
    return ready and not is_ending(pod)


def is_ending(pod: Object) -> bool:
    """Return whether a pod was told to end."""
    return "deletionTimestamp" in pod["metadata"]


def describe(pods: list[Object]) -> str:
    """Return pods in a few words, for messages."""
    words = [
        f"{pod['metadata']['name']}={'ending' if is_ending(pod) else 'ready' if is_ready(pod) else 'not ready'}"
        for pod in pods
    ]
    return ", ".join(words) or "no pods"


@dataclass(frozen=True)
class Pool:
    """A pool by name, in the namespace that `kubectl` is bound to."""

    kubectl: Kubectl
    name: str

    @property
    def namespace(self) -> str:
        """The pool's namespace."""
        assert self.kubectl.namespace is not None
        return self.kubectl.namespace

    @property
    def trust_domain(self) -> str:
        """HTCondor's name for the pool."""
        return f"{self.name}.{self.namespace}"

    def apply(self, spec: Mapping[str, Any]) -> None:
        """Create or change the pool as `kubectl apply` does."""
        self.kubectl.apply(condor_pool(self.name, spec))

    def live(self) -> Object:
        """Return the CondorPool as it is."""
        return self.kubectl.must_get(POOL_KIND, self.name)

    def spec(self) -> dict[str, Any]:
        """Return a copy of the spec to edit and apply."""
        return dict(json.loads(json.dumps(self.live()["spec"])))

    @property
    def uid(self) -> str:
        """The pool's UID, which all its objects carry as a label."""
        return str(self.live()["metadata"]["uid"])

    def condition(self, kind: str) -> dict[str, Any]:
        """Return a condition that speaks of the present generation; NotYetError where there is none."""
        live = self.live()
        found = {item["type"]: item for item in live.get("status", {}).get("conditions", [])}
        condition = dict(found.get(kind, {}))
        if condition.get("observedGeneration") != live["metadata"]["generation"]:
            raise NotYetError(f"{kind} of generation {live['metadata']['generation']}: {condition or 'none'}")
        return condition

    def wait_condition(self, kind: str, status: str, seconds: float, reason: str | None = None) -> dict[str, Any]:
        """Wait until a condition has a status (and reason) for the present generation; return it."""

        def look() -> dict[str, Any]:
            condition = self.condition(kind)
            if condition["status"] != status or reason not in (None, condition["reason"]):
                raise NotYetError(f"{condition}; conditions: {self._conditions()}")
            return condition

        wanted = f"{kind}={status}" + (f" ({reason})" if reason else "")
        return wait_for(f"{wanted} of {self.trust_domain}", look, seconds)

    def _conditions(self) -> str:
        conditions = self.live().get("status", {}).get("conditions", [])
        return "; ".join(f"{item['type']}={item['status']} {item['message']}" for item in conditions)

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        """Wait as a user does, with `kubectl wait`."""
        target = f"{POOL_KIND}/{self.name}"
        result = self.kubectl.attempt(
            "wait", "--for=condition=Ready", target, f"--timeout={seconds:g}s", seconds=seconds + 10
        )
        assert result.code == 0, f"not Ready in {seconds:g} s: {self._conditions()}; {describe(self.pods())}"

    def objects(self, kinds: str = OWN_KINDS) -> list[Object]:
        """Return all objects that carry the pool's UID."""
        return self.kubectl.list(kinds, f"{UID_LABEL}={self.uid}")

    def policies(self) -> list[Object]:
        """Return the network policies of either kind that carry the pool's UID; none of a kind that is not served."""
        selector = f"{UID_LABEL}={self.uid}"
        found: list[Object] = []
        for group in ("networking.k8s.io", "projectcalico.org"):
            said = self.kubectl.attempt("get", f"networkpolicies.{group}", f"--selector={selector}", "--output=json")
            found += json.loads(said.out)["items"] if said.code == 0 else []
        return found

    def pods(self, component: str | None = None, group: str | None = None) -> list[Object]:
        """Return the pool's pods, of a component and a group where given, by name."""
        selector = f"condorpool.dev/pool={self.name}"
        selector += f",condorpool.dev/component={component}" if component else ""
        selector += f",condorpool.dev/group={group}" if group else ""
        return sorted(self.kubectl.list("pods", selector), key=lambda pod: str(pod["metadata"]["name"]))

    def lives(self) -> set[tuple[str, int]]:
        """Return the UID of every pod and how often its containers were restarted."""
        return {
            (pod["metadata"]["uid"], sum(status["restartCount"] for status in pod["status"]["containerStatuses"]))
            for pod in self.pods()
        }

    def logs(self, pod: str, container: str = "condor") -> str:
        """Return what a container has written to its log."""
        return self.kubectl("logs", pod, f"--container={container}")

    def warnings(self) -> list[tuple[str, str]]:
        """Return (reason, message) of the pool's Warning events, each as often as it was recorded."""
        uid = self.uid
        found = []
        for event in self.kubectl.list("events"):
            if event["involvedObject"].get("uid") == uid and event["type"] == "Warning":
                found += [(str(event["reason"]), str(event["message"]))] * int(event.get("count") or 1)
        return found

    @property
    def manager(self) -> str:
        """Name of the manager's pod."""
        (pod,) = [pod for pod in self.pods("manager") if not is_ending(pod)]
        return str(pod["metadata"]["name"])

    @property
    def submitter(self) -> str:
        """Name of the submitter's pod."""
        return f"{self.name}-submitter-0"

    def executor(self, group: str, ordinal: int = 0) -> str:
        """Name of an executor's pod."""
        return f"{self.name}-{group}-{ordinal}"

    def attempt(self, pod: str, *command: str, user: str | None = None, stdin: str | None = None) -> Result:
        """Run a command in the condor container of a pod, as root or as a user, and return how it ended."""
        prefix = () if user is None else ("runuser", "-u", user, "--")
        return self.kubectl.execute(pod, "condor", *prefix, *command, stdin=stdin)

    def run(self, pod: str, *command: str, user: str | None = None, stdin: str | None = None) -> str:
        """Run a command in the condor container of a pod; KubectlError where it fails."""
        result = self.attempt(pod, *command, user=user, stdin=stdin)
        if result.code != 0:
            raise KubectlError(("exec", pod, *command), result)
        return result.out

    def said(self, pod: str, *command: str, user: str | None = None, stdin: str | None = None) -> str:
        """Run a command that may fail in a pod and return all that it says: some tools fail with status 0."""
        return self.attempt(pod, "sh", "-c", 'exec "$@" 2>&1', "sh", *command, user=user, stdin=stdin).text

    def submit(self, description: str, user: str = "nobody") -> Job:
        """Submit one job from inside the submitter's pod, as an unprivileged user."""
        out = self.run(self.submitter, *submit_command(), user=user, stdin=description)
        ids, directory = out.split("\n")[:2]
        return Job(self, int(ids.partition(".")[0]), directory, user)

    def slots(self, constraint: str = "true") -> list[dict[str, str]]:
        """Return name, machine and state of the slots in the collector."""
        names = ("Name", "Machine", "State", "Activity", "SlotType")
        out = self.run(self.manager, "condor_status", "-constraint", constraint, "-af:t", *names)
        return [dict(zip(names, line.split("\t"), strict=True)) for line in out.splitlines() if line]

    def executors_in_collector(self) -> set[str]:
        """Return the names of the executors' pods whose slots the collector lists."""
        return {slot["Machine"].partition(".")[0] for slot in self.slots('SlotType == "Partitionable"')}

    def wait_executors(self, names: set[str], seconds: float) -> None:
        """Wait until the collector lists the slots of just these executors."""

        def look() -> None:
            found = self.executors_in_collector()
            if found != names:
                raise NotYetError(f"{sorted(found)}; {describe(self.pods('executor'))}")

        wait_for(f"slots of {sorted(names)} in the collector", look, seconds)

    def clear_queue(self) -> None:
        """Remove every job, so that no executor drains for one."""
        self.attempt(self.submitter, "condor_rm", "-all")
