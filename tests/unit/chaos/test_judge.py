"""Invented histories: the sound ones pass, and each clause is violated by one that differs in that alone."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tests.chaos.history import EXECUTING, TERMINATED, Event, Fault, History, Run
from tests.chaos.judge import Clause, violations

JOB, HERE, THERE = "7.0", "chaos-steady-0", "chaos-steady-1"
FIRST = Run(JOB, "a", HERE, 100.2, 110.4, ended=True)
ONCE = History(
    frozenset({JOB}),
    (FIRST,),
    (Event(JOB, "000", 98.0), Event(JOB, EXECUTING, 100.0, HERE), Event(JOB, TERMINATED, 110.0, normal=True)),
    {JOB: "a"},
)
KILLED = Fault(1, "executor killed", HERE, 104.8, 105.1, (HERE,), lasting=3.0)
DRAINED = Fault(1, "executor deleted", HERE, 94.0, 94.2, (HERE,), grace=10.0, lasting=60.0)
DEAD = Run(JOB, "a", HERE, 100.2, 104.3, ended=False)
SECOND = Run(JOB, "b", THERE, 120.1, 130.3, ended=True)
TWICE_RUN = History(
    frozenset({JOB}),
    (DEAD, SECOND),
    (
        *ONCE.events[:2],
        Event(JOB, "022", 105.0),
        Event(JOB, "024", 108.0),
        Event(JOB, EXECUTING, 120.0, THERE),
        Event(JOB, TERMINATED, 130.0, normal=True),
    ),
    {JOB: "b"},
    (KILLED,),
)


def clauses(history: History) -> set[Clause]:
    """Return the clauses that do not hold."""
    return {found.clause for found in violations(history)}


def test_one_run_to_its_end_is_right() -> None:
    assert violations(ONCE) == []


def test_a_run_on_a_killed_executor_and_one_to_its_end_are_right() -> None:
    assert violations(TWICE_RUN) == []


def test_a_job_that_never_completed_is_lost() -> None:
    assert clauses(replace(ONCE, events=ONCE.events[:2])) == {Clause.LOST}


def test_a_job_of_which_nothing_is_known_is_lost() -> None:
    assert clauses(replace(ONCE, runs=(), events=(), outputs={})) == {Clause.LOST}


def test_a_job_that_was_put_on_hold_or_removed_is_lost() -> None:
    for code in ("009", "012"):
        assert clauses(replace(ONCE, events=(*ONCE.events[:2], Event(JOB, code, 105.0)))) == {Clause.LOST}


def test_a_job_that_died_is_lost() -> None:
    ended = replace(ONCE.events[-1], normal=False)
    assert clauses(replace(ONCE, events=(*ONCE.events[:-1], ended))) == {Clause.LOST}


def test_a_job_without_its_output_is_lost() -> None:
    assert clauses(replace(ONCE, outputs={})) == {Clause.LOST}


def test_output_of_a_run_that_did_not_end_is_no_completion() -> None:
    assert clauses(replace(TWICE_RUN, outputs={JOB: "a"})) == {Clause.LOST}


def test_two_ends_in_the_log_are_one_too_many() -> None:
    assert clauses(replace(ONCE, events=(*ONCE.events, ONCE.events[-1]))) == {Clause.TWICE}


def test_a_run_after_the_completion_is_one_too_many() -> None:
    orphan = Run(JOB, "z", THERE, 115.0, 118.0, ended=False)
    found = clauses(replace(ONCE, runs=(FIRST, orphan), faults=(KILLED,)))
    assert Clause.TWICE in found


def test_an_orphan_whose_log_says_nothing_of_it_is_seen() -> None:
    """Its executor was taken for dead, and was alive: the second run began while it still told the ledger so."""
    orphan = replace(DEAD, last=121.5)
    assert clauses(replace(TWICE_RUN, runs=(orphan, SECOND), faults=(replace(KILLED, ended=122.0),))) == {
        Clause.OVERLAP
    }


def test_a_run_inside_a_longer_one_hides_no_later_one() -> None:
    long, short, third = (
        Run(JOB, "a", HERE, 100.0, 200.0, ended=True),
        Run(JOB, "b", THERE, 110.0, 115.0, ended=True),
        Run(JOB, "c", THERE, 150.0, 155.0, ended=True),
    )
    found = [one for one in violations(replace(ONCE, runs=(long, short, third))) if one.clause is Clause.OVERLAP]
    assert len(found) == 2


def test_an_interruption_without_a_fault_is_needless() -> None:
    assert clauses(replace(TWICE_RUN, faults=())) == {Clause.NEEDLESS}


def test_a_fault_elsewhere_is_no_cause() -> None:
    assert clauses(replace(TWICE_RUN, faults=(replace(KILLED, victims=(THERE,)),))) == {Clause.NEEDLESS}


def test_a_fault_that_may_interrupt_nothing_is_no_cause() -> None:
    assert clauses(replace(TWICE_RUN, faults=(replace(KILLED, victims=()),))) == {Clause.NEEDLESS}


def test_a_fault_before_the_run_was_last_seen_is_no_cause() -> None:
    assert clauses(replace(TWICE_RUN, faults=(replace(KILLED, began=96.0, ended=96.3),))) == {Clause.NEEDLESS}


def test_a_fault_after_the_job_ran_again_is_no_cause() -> None:
    assert clauses(replace(TWICE_RUN, faults=(replace(KILLED, began=121.5, ended=122.0),))) == {Clause.NEEDLESS}


def test_a_drain_may_interrupt_after_its_deadline_only() -> None:
    assert violations(replace(TWICE_RUN, faults=(DRAINED,))) == []
    assert clauses(replace(TWICE_RUN, faults=(replace(DRAINED, grace=600.0),))) == {Clause.NEEDLESS}


def test_a_start_that_only_the_log_tells_of_counts_as_interrupted_too() -> None:
    assert clauses(replace(TWICE_RUN, runs=(SECOND,), faults=())) == {Clause.NEEDLESS}
    assert violations(replace(TWICE_RUN, runs=(SECOND,))) == []


def test_a_start_that_only_the_ledger_tells_of_counts_as_interrupted_too() -> None:
    events = (TWICE_RUN.events[0], *TWICE_RUN.events[4:])
    assert clauses(replace(TWICE_RUN, events=events, faults=())) == {Clause.NEEDLESS}


RECONNECTS = History(
    frozenset({JOB}),
    (FIRST,),
    (
        *ONCE.events[:2],
        Event(JOB, "022", 104.0),
        Event(JOB, "023", 105.0),
        Event(JOB, EXECUTING, 106.0, HERE),
        ONCE.events[-1],
    ),
    {JOB: "a"},
)


def test_a_run_that_a_new_shadow_has_found_again_is_the_same_run() -> None:
    """HTCondor writes a start behind the reconnection."""
    assert violations(RECONNECTS) == []


def test_a_start_behind_a_lost_reconnection_is_another_run() -> None:
    lost = (*RECONNECTS.events[:4], Event(JOB, "022", 105.0), *RECONNECTS.events[4:])
    assert clauses(replace(RECONNECTS, runs=(replace(FIRST, began=106.2),), events=lost)) == {Clause.NEEDLESS}


ENDED = replace(DEAD, ended=True)
SCHEDD = Fault(2, "schedd killed", "chaos-submitter-0", 104.2, 104.4, reports=True, lasting=3.0)


def test_a_run_whose_end_died_with_the_schedd_may_be_repeated() -> None:
    assert violations(replace(TWICE_RUN, runs=(ENDED, SECOND), faults=(SCHEDD,))) == []
    assert violations(replace(TWICE_RUN, runs=(ENDED, SECOND))) == []


def test_a_run_that_ended_and_is_repeated_for_nothing_is_told_of() -> None:
    early, late = replace(SCHEDD, began=90.0, ended=90.2), replace(SCHEDD, began=121.0, ended=121.2)
    silent = replace(SCHEDD, reports=False)
    for faults in ((), (early,), (late,), (silent,)):
        assert clauses(replace(TWICE_RUN, runs=(ENDED, SECOND), faults=faults)) == {Clause.REPEATED}


def test_a_killed_schedd_may_not_interrupt_a_run() -> None:
    assert clauses(replace(TWICE_RUN, faults=(SCHEDD,))) == {Clause.NEEDLESS}


def test_a_job_that_nobody_submitted_is_told_of() -> None:
    stranger = replace(FIRST, job="8.0")
    assert clauses(replace(ONCE, runs=(FIRST, stranger))) == {Clause.UNKNOWN}


@given(st.integers(0, 5), st.floats(0.1, 40.0))
def test_runs_one_behind_the_other_never_overlap_and_moved_together_do(count: int, length: float) -> None:
    apart = [Run(JOB, str(n), HERE, n * (length + 1), n * (length + 1) + length, ended=True) for n in range(count)]
    assert Clause.OVERLAP not in clauses(replace(ONCE, runs=tuple(apart)))
    together = [
        replace(run, began=run.began - n * length / 2, last=run.last - n * length / 2 + 1)
        for n, run in enumerate(apart)
    ]
    overlapping = any(b.began < a.last for a in together for b in together if b.began > a.began)
    assert (Clause.OVERLAP in clauses(replace(ONCE, runs=tuple(together)))) == overlapping
