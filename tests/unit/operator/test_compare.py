"""When an apply would change nothing, and when it would."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from condorpool_operator.compare import holds

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
