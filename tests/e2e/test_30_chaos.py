"""No job is lost while pods, containers, daemons and the operator die under it: a small `make chaos`, with a seed."""

import time
from collections.abc import Callable

from tests.chaos.judge import violations
from tests.chaos.plan import GENTLE
from tests.chaos.pool import NAME
from tests.chaos.run import Chaos
from tests.e2e.support.evidence import FOLDER
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.pool import Pool
from tools.console import Console

SEED = 1
JOBS = 160
LONGEST_SECONDS = 20.0
LEAST_FAULTS = 5


def test_no_job_is_lost_or_run_twice(kubectl: Kubectl, new_namespace: Callable[[str], Kubectl]) -> None:
    folder = FOLDER / f"chaos-{SEED}-{time.strftime('%H%M%S')}"
    chaos = Chaos(JOBS, SEED, LONGEST_SECONDS, GENTLE, tormentors=2, folder=folder)
    history = chaos.play(kubectl, Pool(new_namespace("chaos"), NAME), Console().say)
    assert [str(one) for one in violations(history)] == []
    assert len(history.submitted) >= JOBS
    assert sum(not fault.failed for fault in history.faults) >= LEAST_FAULTS
