"""Rules of the house that no import checker sees."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_the_source_root_is_never_a_package() -> None:
    """`operator` is a module of the standard library: a package of that name would shadow it or be shadowed."""
    assert not (ROOT / "operator" / "__init__.py").exists()


def test_no_kopf_handler_that_writes_to_the_pool() -> None:
    handlers = "".join(path.read_text() for path in (ROOT / "operator/condorpool_operator/handlers").glob("*.py"))
    for writing in ("on.create", "on.update", "on.resume", "on.delete", "on.field", "timer(", "daemon(", "kopf.index"):
        assert writing not in handlers
