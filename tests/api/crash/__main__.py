"""`make crash`: every fault at every request of every scenario; tells how far it is, and writes the table."""

import argparse
import multiprocessing
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from tools.console import ROOT

from .part import play, say
from .report import table
from .row import Row
from .scenarios import SCENARIOS
from .server import Access, crash_server

TABLE = ROOT / "docs" / "design" / "crash-table.md"
PROCESSES = 2
STORMS = 4


def main() -> int:
    """Search everywhere; return 1 where something came out wrong."""
    parser = argparse.ArgumentParser(prog="crash", description=__doc__)
    parser.add_argument("scenarios", nargs="*", help="names of scenarios, or parts of names; all where absent")
    parser.add_argument("--storms", type=int, default=STORMS, help="runs with several faults, of each step")
    parser.add_argument("--thorough", action="store_true", help="every fault at every read too")
    parser.add_argument("--share", type=float, default=100.0, help="percent of the points to try")
    arguments = parser.parse_args()
    names = arguments.scenarios or [""]
    chosen = [n for n, one in enumerate(SCENARIOS) if any(name in one.name for name in names)]
    began = time.monotonic()
    rows: dict[int, Row] = {}
    say(began, "starting the API server")
    with tempfile.TemporaryDirectory(prefix="condorpool-crash-") as directory, crash_server(Path(directory)) as server:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(PROCESSES, mp_context=context) as pool:
            access = Access.of(server)
            parts = (
                [[n] for n in chosen] if arguments.share >= 100 else [chosen[n::PROCESSES] for n in range(PROCESSES)]
            )
            work = {
                pool.submit(
                    play, part, access, arguments.storms, arguments.thorough, arguments.share / 100, began
                ): part
                for part in parts
                if part
            }
            for done in as_completed(work):
                rows |= dict(zip(work[done], done.result(), strict=True))
                say(began, f"{len(rows)} of {len(chosen)} scenarios")
    ordered = [rows[number] for number in sorted(rows)]
    points, failures = sum(row.points for row in ordered), sum(len(row.failures) for row in ordered)
    say(began, f"{points} points, {failures} failures")
    if len(chosen) == len(SCENARIOS) and not failures:
        TABLE.write_text(table(ordered, arguments.share, time.monotonic() - began))
        say(began, f"wrote {TABLE.relative_to(ROOT)}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
