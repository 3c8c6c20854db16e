"""The kind of policies changes, their objects or their API go away: the pool is never open, and never cut."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.support.jobs import EVICTED, shell_job
from tests.e2e.support.kubectl import Kubectl, Object
from tests.e2e.support.network import watching
from tests.e2e.support.pool import Pool
from tests.e2e.support.pools import walled_spec
from tests.e2e.support.waiting import NotYetError, wait_for
from tests.e2e.support.walls import MODES, Diary, Walls

SWITCH_SECONDS = 60.0
"""Two kinds overlap for ten seconds; whether Calico's API is served is asked every ten."""
EFFECT_SECONDS = 20.0

GROUPS = {"Calico": {"projectcalico.org"}, "Kubernetes": {"networking.k8s.io"}, "Disabled": set()}
"""API groups of the policies of each kind."""


def group_of(policy: Object) -> str:
    """Return the API group of an object."""
    return str(policy["apiVersion"]).partition("/")[0]


def wait_mode(pool: Pool, mode: str, groups: set[str] | None = None) -> None:
    """Wait until the status names a kind of policies, and only objects of it, or of these API groups, can be seen."""

    def look() -> None:
        status = pool.live()["status"].get("networkPolicy")
        seen = {group_of(policy) for policy in pool.policies()}
        if status != {"mode": mode} or seen != (GROUPS[mode] if groups is None else groups):
            raise NotYetError(f"status {status}, policies of {seen or 'no group'}")

    wait_for(f"mode {mode}", look, SWITCH_SECONDS)


@pytest.mark.parametrize("mode", ["calico"])
def test_switching_the_mode_has_no_open_and_no_cut_moment(edited: Walls, mode: str) -> None:
    pool, both, diary = edited.pool, edited.flows(), Diary()
    job = pool.submit(shell_job("sleep 30; echo undisturbed"))

    with watching(both.together) as watch:
        diary.note("to Kubernetes")
        pool.apply(walled_spec("Kubernetes"))
        wait_mode(pool, "Kubernetes")
        opened = diary.note("to Disabled")
        pool.apply(walled_spec("Disabled"))
        wait_mode(pool, "Disabled")
        pool.wait_condition("NetworkPolicyEnforced", "True", EFFECT_SECONDS, "Disabled")
        both.wait_open(EFFECT_SECONDS)
        diary.note("to Auto")
        pool.apply(walled_spec("Auto"))
        wait_mode(pool, "Calico")
        both.wait_enforced(EFFECT_SECONDS)
        shut = diary.note("enforced")
        assert job.wait_done(60) == "undisturbed\n"
        seen = watch.stop()

    assert EVICTED not in job.events()
    wrong = diary.judge(both, seen, (opened, shut))
    assert not wrong, "\n".join(wrong)


@contextmanager
def calico_api_taken_away(kubectl: Kubectl) -> Iterator[None]:
    """Stop the API server from serving projectcalico.org/v3; what its policies say goes on to be enforced."""
    name = "v3.projectcalico.org"
    live = kubectl.must_get("apiservice", name)
    kept = {key: live[key] for key in ("apiVersion", "kind", "spec")}
    kept["metadata"] = {"name": name} | {key: live["metadata"].get(key, {}) for key in ("labels", "annotations")}
    kubectl("delete", "apiservice", name)
    try:
        yield
    finally:
        kubectl("create", "--filename=-", stdin=json.dumps(kept))
        kubectl("wait", "--for=condition=Available", f"apiservice/{name}", "--timeout=60s", seconds=70)


@pytest.mark.parametrize("mode", ["calico"])
def test_the_calico_api_goes_and_comes(kubectl: Kubectl, edited: Walls, mode: str) -> None:
    pool, both, diary = edited.pool, edited.flows(), Diary()

    with watching(both.together) as watch:
        diary.note("without the API")
        with calico_api_taken_away(kubectl):
            wait_mode(pool, "Kubernetes")
            pool.wait_condition("NetworkPolicyEnforced", "True", EFFECT_SECONDS, "Enforced")
            diary.note("to Calico")
            pool.apply(walled_spec("Calico"))
            told = pool.wait_condition("NetworkPolicyEnforced", "False", EFFECT_SECONDS, "CalicoNotServed")
            pool.wait_condition("Ready", "False", EFFECT_SECONDS)
            assert "projectcalico.org/v3" in told["message"]
            diary.note("with the API")
        wait_mode(pool, "Calico")
        pool.wait_condition("Ready", "True", EFFECT_SECONDS)
        both.wait_enforced(EFFECT_SECONDS)
        seen = watch.stop()

    wrong = diary.judge(both, seen)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("mode", MODES)
def test_policies_edited_and_deleted_by_hand_come_back(edited: Walls, mode: str) -> None:
    pool = edited.pool
    before = contents(pool)
    assert before
    first, *others = pool.policies()
    kind = f"networkpolicies.{group_of(first)}"

    opened = json.dumps({"spec": {"ingress": None, "egress": None}})
    pool.kubectl("patch", kind, first["metadata"]["name"], "--type=merge", f"--patch={opened}")
    pool.kubectl("delete", kind, *(policy["metadata"]["name"] for policy in others))

    def look() -> None:
        if (live := contents(pool)) != before:
            raise NotYetError(f"{sorted(live)}")

    wait_for("the policies as they were", look, EFFECT_SECONDS)
    edited.flows().wait_enforced(EFFECT_SECONDS)


def contents(pool: Pool) -> dict[str, tuple[object, object]]:
    """Return labels and spec of the pool's policies by name."""
    return {policy["metadata"]["name"]: (policy["metadata"]["labels"], policy["spec"]) for policy in pool.policies()}
