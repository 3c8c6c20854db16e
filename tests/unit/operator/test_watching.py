"""Changes of users' objects find the pools that refer to them, and only those."""

from condorpool_operator.watching import ReferenceIndex


def test_pools_are_found_by_what_they_refer_to() -> None:
    index = ReferenceIndex()
    index.note(("x", "one"), {"Secret": {"john"}, "ConfigMap": {"knobs"}})
    index.note(("x", "two"), {"Secret": {"john"}})
    index.note(("y", "one"), {"Secret": {"john"}})
    assert index.pools("Secret", "x", "john") == {("x", "one"), ("x", "two")}
    assert index.pools("ConfigMap", "x", "john") == frozenset()


def test_dropped_references_are_forgotten() -> None:
    index = ReferenceIndex()
    index.note(("x", "one"), {"Secret": {"john"}})
    index.note(("x", "one"), {"Secret": {"jane"}})
    assert index.pools("Secret", "x", "john") == frozenset()
    index.forget(("x", "one"))
    assert index.pools("Secret", "x", "jane") == frozenset()
