"""The models refuse what must never reach a configuration, a passwd line or a shell, and say where."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from condorpool_operator.api.model import duration_seconds, quantity
from condorpool_operator.api.v1alpha1 import CondorPoolSpec
from condorpool_operator.errors import PoolInvalidError

from .factories import JOHN, make_pool

MOUNT = {"name": "a", "path": "/a", "command": ["x"]}
ONECLIENT: dict[str, Any] = {"provider": "p", "tokenSecretRef": {"name": "t"}}


def users(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"submitter": {"ssh": {"users": list(entries)}}}


def group(**fields: Any) -> dict[str, Any]:
    return {"executors": [{"name": "cpu", **fields}]}


@pytest.mark.parametrize(
    ("spec", "where"),
    [
        ({"exectors": []}, "spec.exectors"),
        (group(replica=1), "spec.executors[0].replica"),
        (group(replicas=-1), "spec.executors[0].replicas"),
        (group(drainTimeout="soon"), "spec.executors[0].drainTimeout"),
        (group(drainTimeout="0s"), "spec.executors[0].drainTimeout"),
        (group(drainTimeout="9000h"), "spec.executors[0].drainTimeout"),
        (group(maxUnavailable=0), "spec.executors[0].maxUnavailable"),
        (group(maxUnavailable="0%"), "spec.executors[0].maxUnavailable"),
        (group(resources={"limits": {"memory": "lots"}}), "spec.executors[0].resources.limits.memory"),
        (group(resources={"limits": {"memory": "-1Gi"}}), "spec.executors[0].resources.limits.memory"),
        ({"executors": [{"name": "manager"}]}, "spec.executors[0]"),
        ({"executors": [{"name": "a\nb"}]}, "spec.executors[0].name"),
        ({"executors": [{"name": "x" * 21}]}, "spec.executors[0].name"),
        (users({**JOHN, "name": "root"}), "spec.submitter.ssh.users[0]"),
        (users({**JOHN, "name": "a;rm"}), "spec.submitter.ssh.users[0].name"),
        (users({**JOHN, "name": "john\n"}), "spec.submitter.ssh.users[0].name"),
        (users({**JOHN, "name": "john:x"}), "spec.submitter.ssh.users[0].name"),
        (users(), "spec.submitter.ssh.users"),
        (group(mounts=[MOUNT], privileged=False), "spec.executors[0]"),
        (group(mounts=[MOUNT, MOUNT | {"name": "b", "path": "/a/b"}]), "spec.executors[0]"),
        (group(mounts=[MOUNT | {"path": "/etc/x"}]), "spec.executors[0].mounts[0]"),
        (group(mounts=[MOUNT | {"command": ["a\nmount b"]}]), "spec.executors[0].mounts[0].command[0]"),
        (group(mounts=[MOUNT | {"oneclient": ONECLIENT}]), "spec.executors[0].mounts[0]"),
        (group(mounts=[{"name": "a", "path": "/a"}]), "spec.executors[0].mounts[0]"),
        (
            group(mounts=[{"name": "a", "path": "/a", "oneclient": ONECLIENT, "secretRef": {"name": "b"}}]),
            "spec.executors[0].mounts[0]",
        ),
        (
            group(mounts=[{"name": "a", "path": "/a", "oneclient": ONECLIENT | {"options": ["--toke=x"]}}]),
            "spec.executors[0].mounts[0].oneclient",
        ),
        ({"image": {"tag": "a b"}}, "spec.image.tag"),
        ({"config": {"configMapRefs": [{"name": "../x"}]}}, "spec.config.configMapRefs[0].name"),
    ],
)
def test_wrong_fields_are_named(spec: dict[str, Any], where: str) -> None:
    with pytest.raises(PoolInvalidError) as caught:
        make_pool(spec)
    assert any(finding.partition(": ")[0].startswith(where) for finding in str(caught.value).split("; ")), caught.value


def test_findings_do_not_quote_values() -> None:
    with pytest.raises(PoolInvalidError) as caught:
        make_pool(users({**JOHN, "name": "Hunter2!"}))
    assert "Hunter2" not in str(caught.value)


def test_an_empty_spec_is_one_executor() -> None:
    (only,) = CondorPoolSpec().groups
    assert (only.name, only.replicas, only.privileged) == ("executor", None, True)


def test_an_empty_list_is_no_executor() -> None:
    assert CondorPoolSpec.model_validate({"executors": []}).groups == ()


def test_the_order_of_groups_makes_no_difference() -> None:
    one = CondorPoolSpec.model_validate({"executors": [{"name": "b"}, {"name": "a"}]})
    other = CondorPoolSpec.model_validate({"executors": [{"name": "a"}, {"name": "b"}]})
    assert one.groups == other.groups


@pytest.mark.parametrize(("text", "seconds"), [("24h", 86400), ("1h30m", 5400), ("90s", 90), ("1h1m1s", 3661)])
def test_durations(text: str, seconds: int) -> None:
    assert duration_seconds(text) == seconds


@pytest.mark.parametrize(("text", "value"), [("500m", 0.5), (4, 4), ("1Ki", 1024), ("2e3", 2000)])
def test_quantities(text: int | str, value: float) -> None:
    assert float(quantity(text)) == value


@given(st.text(max_size=40))
def test_no_user_name_can_leave_its_place_in_a_passwd_line(name: str) -> None:
    try:
        spec = CondorPoolSpec.model_validate(users({**JOHN, "name": name}))
    except ValidationError:
        return
    assert spec.submitter.ssh is not None
    accepted = spec.submitter.ssh.users[0].name
    assert accepted.isascii()
    assert not set(accepted) & set(":\n/$(); \"'\\")
    assert accepted[0].isalpha()


@given(st.text(max_size=30))
def test_no_group_name_can_leave_its_place_in_a_configuration_line(name: str) -> None:
    try:
        spec = CondorPoolSpec.model_validate({"executors": [{"name": name}]})
    except ValidationError:
        return
    assert set(spec.groups[0].name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
