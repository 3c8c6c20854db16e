"""Plans: the same by seed, everything in time, nothing held too long."""

from itertools import islice

from tests.chaos.plan import GAP_SECONDS, GENTLE, LONG_HOLD_SECONDS, MACHINES, SHORT_HOLD_SECONDS, lengths, plan


def test_a_seed_gives_the_same_faults_and_another_one_others() -> None:
    first, again, other = (list(islice(plan(seed, 0, GENTLE), 50)) for seed in (1, 1, 2))
    assert first == again != other


def test_two_tormentors_do_different_things() -> None:
    assert list(islice(plan(1, 0, GENTLE), 50)) != list(islice(plan(1, 1, GENTLE), 50))


def test_every_kind_comes_and_nothing_is_held_too_long() -> None:
    found = list(islice(plan(3, 0, GENTLE | MACHINES), 1000))
    assert {one.kind for one in found} == (GENTLE | MACHINES).keys()
    assert all(SHORT_HOLD_SECONDS <= one.hold <= LONG_HOLD_SECONDS for one in found)
    assert all(GAP_SECONDS[0] <= one.gap <= GAP_SECONDS[1] for one in found)


def test_lengths_are_mixed_the_same_by_seed_and_cut() -> None:
    found = lengths(5, 1000, 60.0)
    assert found == lengths(5, 1000, 60.0) != lengths(6, 1000, 60.0)
    assert 1.0 <= min(found) < 2.0
    assert 40.0 < max(found) <= 60.0
    assert max(lengths(5, 1000, 12.0)) == 12.0
