"""`make chaos`: thousands of jobs while everything fails; tells how far it is, judges, and writes docs/design/chaos.md.

A run that broke the promise says so with its seed, and keeps all that is known of it under build/chaos; `--judge FOLDER` judges that again.
"""

import argparse
import subprocess
import sys
import time
import uuid
from pathlib import Path

from tests.e2e.support import evidence, operator
from tests.e2e.support.cluster import connect
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.manifests import namespace
from tests.e2e.support.pool import Pool
from tools.console import ROOT, Console, relative

from . import machines
from .judge import violations
from .plan import GENTLE, MACHINES
from .pool import NAME
from .report import Figures, document
from .run import Chaos, read_history

TABLE = ROOT / "docs" / "design" / "chaos.md"
JOBS, LONGEST_SECONDS, TORMENTORS = 10_000, 60.0, 2
SHOWN = 20


def main() -> int:
    """Run or judge; return 1 where the promise was broken."""
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--gentle", action="store_true", help="leave nodes and the API server alone")
    parser.add_argument("--only", action="append", default=[], help="a kind of fault; all where absent")
    parser.add_argument("--deployed", action="store_true", help="with the operator that is there")
    parser.add_argument("--keep", action="store_true", help="leave the namespace where it is")
    parser.add_argument("--judge", type=Path, metavar="FOLDER")
    arguments = parser.parse_args()
    console = Console()
    if arguments.judge:
        return _tell(console, arguments.judge)
    kinds = GENTLE if arguments.gentle else GENTLE | MACHINES
    kinds = {kind: weight for kind, weight in kinds.items() if kind in (arguments.only or kinds)}
    folder = ROOT / "build" / "chaos" / f"{arguments.seed}-{time.strftime('%H%M%S')}"
    kubectl = Kubectl(connect(ROOT))
    machines.heal(kubectl)
    if not arguments.deployed:
        operator.install(kubectl, ROOT)
    chaos = Chaos(arguments.jobs, arguments.seed, LONGEST_SECONDS, kinds, TORMENTORS, folder)
    pool = Pool(kubectl.in_namespace(f"e2e-chaos-{uuid.uuid4().hex[:5]}"), NAME)
    kubectl.apply(namespace(pool.namespace))
    commit = _commit()
    history = chaos.play(kubectl, pool, console.say)
    found = violations(history)
    if found:
        console.say(f"daemons' logs in {evidence.collect(f'chaos-{arguments.seed}', kubectl, [pool.namespace])}")
    if not arguments.keep:
        operator.remove_namespace(kubectl, pool.namespace)
    command = f"make chaos JOBS={arguments.jobs} SEED={arguments.seed}"
    if kinds == GENTLE | MACHINES:
        TABLE.write_text(document(Figures(command, commit, arguments.seed, console.elapsed / 60), history, found))
        console.say(f"wrote {relative(TABLE)}")
    if found:
        console.say(f"seed {arguments.seed}: to see it again: {command}")
    return _tell(console, folder)


def _tell(console: Console, folder: Path) -> int:
    """Judge a folder and say what is wrong."""
    history = read_history(folder)
    found = violations(history)
    for violation in found[:SHOWN]:
        console.say(str(violation))
    console.say(f"{len(history.submitted)} jobs, {len(history.runs)} runs, {len(found)} violations: {folder}")
    return 1 if found else 0


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
