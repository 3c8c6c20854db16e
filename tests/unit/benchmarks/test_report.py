"""Figures are told with their median, their spread and their verdict; JSON gives back what was put in."""

import json

import pytest

from benchmarks.report import Figure, Results, document, figures_of, number, ratios, table


def figure(*values: float, limit: float | None = None, aim: float | None = None, note: str = "") -> Figure:
    return Figure("writes", "new pool", "ms", values, limit, aim, note)


@pytest.mark.parametrize(
    ("median", "limit", "aim", "verdict"),
    [
        (1.4, 1.3, 1.1, "missed"),
        (1.3, 1.3, 1.1, "within the limit"),
        (1.1, 1.3, 1.1, "met"),
        (0.0, 0.0, None, "met"),
        (1.0, 0.0, None, "missed"),
        (9.0, None, None, ""),
    ],
)
def test_the_median_is_held_to_limit_and_aim(
    median: float, limit: float | None, aim: float | None, verdict: str
) -> None:
    assert figure(0.0, median, 100.0, limit=limit, aim=aim).verdict == verdict


def test_a_ratio_is_of_neighbours() -> None:
    assert ratios([2.0, 9.0], [1.0, 3.0]) == (2.0, 3.0)
    with pytest.raises(ValueError, match="shorter"):
        ratios([1.0, 2.0], [1.0])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (18.0, "18"),
        (42779.0, "42779"),
        (0.12345, "0.123"),
        (1.2345, "1.23"),
        (12.345, "12.3"),
        (123.45, "123"),
    ],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_the_table_lines_up_and_tells_the_spread_of_many() -> None:
    text = table([figure(1.0, 2.0, 4.5, limit=3.0, note="why"), figure(7.0)])
    header, rule, many, one = text.splitlines()
    assert len({len(line) for line in (header, rule, many, one)}) == 1
    assert [cell.strip() for cell in many.split("|")][1:-1] == [
        *("writes", "new pool", "2 ms", "1 … 4.50", "3", "3", "", "met", "why"),
    ]
    assert [cell.strip() for cell in one.split("|")][3:6] == ["7 ms", "", "1"]


def test_json_gives_back_the_figures() -> None:
    figures = [figure(1.0, 2.0, limit=3.0, aim=2.0, note="why"), figure(7.0)]
    text = document({"commit": "abc"}, figures)
    assert figures_of(text) == figures
    record = json.loads(text)["figures"][0]
    assert (record["median"], record["minimum"], record["maximum"], record["verdict"]) == (1.5, 1.0, 2.0, "met")
    assert json.loads(text)["circumstances"] == {"commit": "abc"}


def test_a_figure_is_told_when_it_comes() -> None:
    said: list[str] = []
    results = Results(said.append)
    results.add(figure(1.0, 2.0, 3.0, limit=1.0, note="why"))
    assert said == ["  new pool: 2 ms (1 … 3) [missed, why]"]
    assert results.figures == [figure(1.0, 2.0, 3.0, limit=1.0, note="why")]
