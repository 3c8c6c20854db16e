"""kubectl as the tests use it: JSON in, parsed JSON out, errors with the program's own words."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pytest_kind import KindCluster

Object = dict[str, Any]

CALL_SECONDS = 60.0
"""Longest time of one call that waits for nothing."""


RUNTIME_FAULT = "waiting for init preliminary setup"
"""runc 1.1 loses the process that it is about to become, once in some thousand execs on a busy node."""


@dataclass(frozen=True)
class Result:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """Everything that was said, for messages and searches."""
        return f"{self.out}{self.err}"


class KubectlError(Exception):
    """kubectl, or the command that it ran in a pod, failed."""

    def __init__(self, args: Sequence[str], result: Result) -> None:
        super().__init__(f"kubectl {' '.join(args)[:400]} ended with {result.code}: {result.text.strip()[-2000:]}")
        self.result = result


@dataclass(frozen=True)
class Kubectl:
    """kubectl bound to the cluster under test and, where given, to one namespace."""

    cluster: KindCluster
    namespace: str | None = None

    def in_namespace(self, namespace: str) -> "Kubectl":
        """Return the same for another namespace."""
        return replace(self, namespace=namespace)

    def attempt(self, *args: str, stdin: str | None = None, seconds: float = CALL_SECONDS) -> Result:
        """Run kubectl and return how it ended; AssertionError where it does not end in time."""
        scope = () if self.namespace is None else ("--namespace", self.namespace)
        try:
            out = self.cluster.kubectl(*scope, *args, input=stdin or "", stderr=subprocess.PIPE, timeout=seconds)
        except subprocess.CalledProcessError as error:
            return Result(error.returncode, error.stdout or "", error.stderr or "")
        except subprocess.TimeoutExpired as error:
            said = f"{_text(error.stdout)}{_text(error.stderr)}"
            raise AssertionError(f"kubectl {' '.join(args)[:400]} did not end in {seconds:g} s: {said}") from error
        return Result(0, str(out), "")

    def __call__(self, *args: str, stdin: str | None = None, seconds: float = CALL_SECONDS) -> str:
        """Run kubectl and return its output; KubectlError where it fails."""
        result = self.attempt(*args, stdin=stdin, seconds=seconds)
        if result.code != 0:
            raise KubectlError(args, result)
        return result.out

    def get(self, kind: str, name: str) -> Object | None:
        """Return one object, or None where there is none."""
        text = self("get", kind, name, "--ignore-not-found", "--output=json")
        return dict(json.loads(text)) if text.strip() else None

    def must_get(self, kind: str, name: str) -> Object:
        """Return one object that has to be there."""
        found = self.get(kind, name)
        assert found is not None, f"there is no {kind} {name} in {self.namespace}"
        return found

    def list(self, kinds: str, selector: str = "") -> list[Object]:
        """Return the objects of a kind, or of several separated by commas, that carry the labels."""
        return list(json.loads(self("get", kinds, f"--selector={selector}", "--output=json"))["items"])

    def apply(self, *objects: Mapping[str, Any]) -> str:
        """Apply objects as a user does."""
        return self("apply", "--filename=-", stdin=_stream(objects))

    def refuse(self, obj: Mapping[str, Any]) -> str:
        """Return what the API server says when it refuses an object; AssertionError where it takes it."""
        result = self.attempt("apply", "--dry-run=server", "--filename=-", stdin=json.dumps(obj))
        assert result.code != 0, f"was accepted: {json.dumps(obj)}"
        return result.err

    def command(self, *args: str) -> tuple[str, ...]:
        """Return the command line, for a process that the caller feeds and ends."""
        scope = () if self.namespace is None else ("--namespace", self.namespace)
        return (str(self.cluster.kubectl_path), *scope, *args)

    def execute(self, pod: str, container: str, *command: str, stdin: str | None = None) -> Result:
        """Run a command in a container and return how it ended.

        A command that the container runtime could not even start is started once more: nothing under test has run by then.
        """
        line = ("exec", "--stdin", pod, f"--container={container}", "--", *command)
        result = self.attempt(*line, stdin=stdin)
        return self.attempt(*line, stdin=stdin) if RUNTIME_FAULT in result.err else result


def _stream(objects: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})


def _text(data: bytes | str | None) -> str:
    return data.decode(errors="replace") if isinstance(data, bytes) else data or ""
