"""Runs the benchmarks: `make bench`, or some of them, as in `make bench PART="writes scale"`."""

import argparse
import asyncio
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from tools.console import BUILD, ROOT, CommandFailedError, Console, exit_status, in_cluster, relative
from tools.deploy import install_operator
from tools.images import build_images

from . import agent, failover, firstjob, jobs, live, overhead, scale, sizes, writes
from .report import Results, document, figures_of, table

Part = Callable[[Console, Results], Coroutine[Any, Any, None]]

BARE: dict[str, Part] = {"overhead": overhead.run, "writes": writes.run, "scale": scale.run}
"""Parts that run an API server of their own."""
CLUSTER: dict[str, Part] = {
    "firstjob": firstjob.run,
    "failover": failover.run,
    "live": live.run,
    "jobs": jobs.run,
    "agent": agent.run,
    "sizes": sizes.run,
}
"""Parts that need the dev cluster."""

RESULT = BUILD / "bench.json"
INSIDE = BUILD / "bench-cluster.json"


def circumstances() -> dict[str, Any]:
    """Return what the figures depend on."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "commit": commit.stdout.strip(),
        "cores": os.cpu_count(),
        "memory GiB": round(memory, 1),
        "python": platform.python_version(),
        "load": [round(one, 2) for one in os.getloadavg()],
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def prepare(console: Console) -> None:
    """Bring up the dev cluster with this working tree's images and operator."""
    console.run([sys.executable, "-m", "devcluster", "up"])
    build_images(console, load=True)
    install_operator(console)


def measure(console: Console, chosen: Sequence[str], results: Results) -> None:
    """Run parts."""
    for name in chosen:
        console.say(f"{name} (load {os.getloadavg()[0]:.1f})")
        asyncio.run({**BARE, **CLUSTER}[name](console, results))


def in_the_cluster(console: Console, chosen: Sequence[str], repeats: int | None, results: Results) -> None:
    """Run parts in a process inside the cluster's network."""
    INSIDE.unlink(missing_ok=True)
    options = [] if repeats is None else [f"--repeats={repeats}"]
    try:
        console.run(in_cluster(sys.executable, "-m", "benchmarks", "--inside", *options, *chosen))
    finally:
        if INSIDE.exists():
            results.figures += figures_of(INSIDE.read_text())


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "parts", nargs="*", metavar="part", help=f"of {', '.join((*BARE, *CLUSTER))}; all where none is named"
    )
    parser.add_argument(
        "--as-is", action="store_true", help="measure what runs in the dev cluster, build and install nothing"
    )
    parser.add_argument("--repeats", type=int, help="how often each is measured, in place of each part's own number")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    chosen = arguments.parts or [*BARE, *CLUSTER]
    if unknown := set(chosen) - {*BARE, *CLUSTER}:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    # an end by a signal takes the servers along
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    console = Console()
    results = Results(console.say, arguments.repeats)
    before = circumstances()
    bare, cluster = [name for name in chosen if name in BARE], [name for name in chosen if name in CLUSTER]
    try:
        if arguments.inside:
            measure(console, chosen, results)
            return 0
        measure(console, bare, results)
        if cluster and not arguments.as_is:
            prepare(console)
        if cluster:
            in_the_cluster(console, cluster, arguments.repeats, results)
    except CommandFailedError as error:
        return exit_status(console, error)
    finally:
        BUILD.mkdir(exist_ok=True)
        target = INSIDE if arguments.inside else RESULT
        target.write_text(document({"before": before, "after": circumstances()}, results.figures))
        if not arguments.inside:
            sys.stdout.write("\n" + table(results.figures) + "\n")
            after = circumstances()
            console.say(f"commit {after['commit']}, load {before['load'][0]} before and {after['load'][0]} after")
            console.say(f"every value is in {relative(target)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
