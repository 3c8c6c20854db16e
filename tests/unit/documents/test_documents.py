"""The documentation keeps up with the code: every reason has its entry, every link its target."""

import re
from pathlib import Path

import pytest

from condorpool_operator.api.status import ConditionType, Reason
from condorpool_operator.status import transitions

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("charts/*/*.md"), *ROOT.glob("manifests/**/*.md")]
)
TROUBLESHOOTING = ROOT / "docs" / "troubleshooting.md"
LINK = re.compile(r"\]\(([\w./:-]+)?(#[\w-]+)?\)")


def entries() -> dict[str, str]:
    """Return the text of every entry of the troubleshooting page by its title."""
    parts = re.split(r"^### (.+)$", TROUBLESHOOTING.read_text(), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_an_entry(reason: Reason) -> None:
    assert len(entries().get(reason.value, "").strip()) > 15


def event_reasons() -> set[str]:
    """Return the reasons of all events that the operator can record: a condition turns, for whatever reason."""
    sides = [
        {"conditions": [{"type": kind.value, "status": status, "reason": reason.value, "message": "m"}]}
        for kind in ConditionType
        for status in ("True", "False", "Unknown")
        for reason in Reason
    ]
    good = {
        "conditions": [{"type": kind.value, "status": "True", "reason": "x", "message": "m"} for kind in ConditionType]
    }
    return {reason for before in ({}, good) for after in sides for _, reason, _ in transitions(before, after)}


def test_every_event_has_an_entry() -> None:
    found = event_reasons()
    assert "Ready" in found
    assert found <= entries().keys()


def test_every_entry_is_a_reason_or_an_event() -> None:
    assert entries().keys() == {reason.value for reason in Reason} | event_reasons()


@pytest.mark.parametrize("condition", list(ConditionType))
def test_every_condition_is_explained(condition: ConditionType) -> None:
    assert f"`{condition.value}`" in (ROOT / "docs" / "concepts.md").read_text()


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_has_a_target(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text()):
        if target.startswith("https:"):
            continue
        file = page if not target else (page.parent / target).resolve()
        assert file.exists(), target
        if anchor:
            assert anchor.removeprefix("#") in anchors(file), f"{target}{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_make_target_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"(?:`|\$ )make ([a-z][a-z0-9-]*)", page.read_text())) <= targets
