"""When an apply would change nothing, and when it would."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from condorpool_operator.compare import holds, taken_over

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("desired", "live"),
    [
        ({"a": 1}, {"a": 1, "added": 2}),
        ({"cpu": "1000m"}, {"cpu": "1"}),
        ({"memory": "1024Mi"}, {"memory": "1Gi"}),
        ({"cpu": 2}, {"cpu": "2"}),
        ([{"name": "a"}], [{"name": "sidecar"}, {"name": "a", "x": 1}]),
        (
            [{"name": "s", "mountPath": "/a"}, {"name": "s", "mountPath": "/b"}],
            [{"name": "s", "mountPath": p} for p in ("/b", "/a")],
        ),
    ],
)
def test_live_says_all_that_is_desired(desired: Any, live: Any) -> None:
    assert holds(desired, live)


@pytest.mark.parametrize(
    ("desired", "live"),
    [
        ({"a": 1}, {}),
        ({"a": 1}, {"a": 2}),
        ({"a": "1"}, {"a": "x"}),
        ({"a": True}, {"a": 1}),
        ({"a": {}}, {"a": None}),
        (["a"], ["a", "b"]),
        ([{"name": "a", "x": 1}], [{"name": "a", "x": 2}]),
        ([{"name": "a"}], []),
        ({"memory": "1Gi"}, {"memory": "1G"}),
    ],
)
def test_live_lacks_something(desired: Any, live: Any) -> None:
    assert not holds(desired, live)


@given(JSON)
def test_everything_holds_itself(value: Any) -> None:
    assert holds(value, value)


@given(st.dictionaries(st.text(max_size=3), JSON, max_size=3), st.dictionaries(st.text(max_size=3), JSON, max_size=3))
def test_what_others_add_does_not_count(desired: dict[str, Any], added: dict[str, Any]) -> None:
    assert holds(desired, {**added, **desired})


def entry(manager: str, operation: str, fields: dict[str, Any], **more: str) -> dict[str, Any]:
    whose = {"manager": manager, "operation": operation, "apiVersion": "v1", "fieldsType": "FieldsV1"}
    return {**whose, "fieldsV1": fields, **more}


def test_what_others_own_of_a_spec_is_taken_over_and_nothing_else() -> None:
    ours = entry("us", "Apply", {"f:metadata": {"f:labels": {}}, "f:spec": {"f:a": {"f:b": {}}}}, time="t")
    hand = entry("kubectl", "Update", {"f:metadata": {"f:annotations": {}}, "f:spec": {"f:a": {"f:c": {}}, "f:d": {}}})
    former = entry("us", "Update", {"f:spec": {"f:e": {}}})
    status = entry("controller", "Update", {"f:spec": {"f:replicas": {}}}, subresource="status")
    other = entry("x", "Update", {"f:spec": {"f:g": {}}}) | {"apiVersion": "v2"}
    spec: dict[str, Any] = {"f:a": {"f:b": {}, "f:c": {}}, "f:d": {}, "f:e": {}}
    rest = {**hand, "fieldsV1": {"f:metadata": {"f:annotations": {}}}}
    taken = taken_over([hand, ours, status, former, other], "us", "v1")
    whole = {**ours, "fieldsV1": {"f:metadata": {"f:labels": {}}, "f:spec": spec}}
    assert taken == [rest, whole, status, other]
    assert taken_over(taken, "us", "v1") == taken, "where nothing is left to take nothing is written"


def test_an_object_that_was_never_applied_is_taken_over_too() -> None:
    hand = entry("kubectl", "Update", {"f:spec": {"f:a": {}}})
    assert taken_over([hand], "us", "v1") == [entry("us", "Apply", {"f:spec": {"f:a": {}}})]
