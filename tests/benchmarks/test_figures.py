"""The arithmetic of the benchmarks. What they time is nobody's test."""

import math
from itertools import pairwise
from pathlib import Path

import pytest
from bench import page, schedule
from bench.figures import Spread, percentile, ratio
from bench.goals import goals
from bench.plan import Round
from bench.results import Load, Results
from bench.systems import systems


def test_a_spread_is_middle_lowest_and_highest() -> None:
    assert Spread.of([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0)
    assert Spread.of([1303.4, 1250.0, 1402.0]).text() == "1,303 (1,250 to 1,402)"
    assert Spread.of([0.125]).text(2) == "0.12"


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(value) for value in range(1, 101)]
    assert percentile(values, 50) == 50
    assert percentile(values, 99) == 99
    assert percentile([7.0], 99) == 7.0
    assert percentile([2.0, 1.0], 99) == 2.0
    assert math.isnan(percentile([], 50))


def test_a_ratio_is_taken_within_each_round() -> None:
    # The machine was half as fast in the second round: neither round's ratio shows it.
    assert ratio([1000, 500, 1200], [500, 250, 600]) == 2
    with pytest.raises(ValueError, match="zip"):
        ratio([1.0, 2.0], [1.0])


def test_arrivals_have_the_rate_that_was_asked_for_and_no_rhythm() -> None:
    moments = list(schedule.arrivals(500, 20, seed=1))
    assert moments == sorted(moments)
    assert moments[0] > 0
    assert moments[-1] < 20
    assert len(moments) == pytest.approx(10_000, rel=0.05)
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    assert sum(gap < 0.001 for gap in gaps) / len(gaps) == pytest.approx(1 - math.exp(-0.5), abs=0.03)
    assert moments == list(schedule.arrivals(500, 20, seed=1))


def _results() -> Results:
    results = Results()
    for name, milliseconds in (("in-process", 10.0), ("good-fastapi", 20.0), ("litserve", 40.0)):
        for clients in (1, 8, 32):
            rate = round(clients * 1000 / milliseconds)
            for _ in range(2):
                one = Round(1.0, [milliseconds] * rate, {200: rate}, 0.01)
                results.doors[name][str(clients)].add(one, 0.5)
    results.limit["8"] += [4000, 4000]
    results.limit["32"] += [5000, 6000]
    results.facts["gateway alone: idle, MB"].append(120.0)
    results.skipped["Ray Serve"] = "not installed"
    results.about["machine"] = "any"
    return results


def test_a_round_becomes_figures() -> None:
    load = Load()
    load.add(Round(2.0, [1.0, 2.0, 3.0, 4.0], {200: 4}, 0.001), processor_seconds=0.008)
    assert load == Load([2.0], [2.0], [4.0], [2.0], [0.25])


def test_goals_compare_within_the_run_and_say_what_was_not_measured() -> None:
    found = {goal.what: goal for goal in goals(_results())}
    one = found["one process, 1 client: images/s, of good FastAPI's"]
    assert (one.value, one.reached) == (2, True)
    memory = found["gateway alone: idle memory (PSS)"]
    assert (memory.value, memory.reached) == (120, False)
    overload = found["the same: goodput, of the peak"]
    assert (overload.value, overload.reached) == (None, None)


def test_the_page_has_every_system_and_says_what_is_missing() -> None:
    text = page.render(_results(), Path("images/performance.svg"))
    [row] = [line for line in text.splitlines() if line.startswith("| Keraserve, one process")]
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert cells[1:4] == ["100", "10.0", "10"]
    assert cells[10:] == ["59%", "2.00", "0.16", "0.00"]
    assert "- Not measured: Ray Serve: not installed." in text
    assert "| gateway alone: idle memory (PSS) | at most 100 MB | 120.00 MB | no |" in text
    widths = {line.count("|") for line in text.split("### Pictures")[1].split("###")[0].splitlines() if line}
    assert len(widths) == 1


def test_figures_replace_those_that_were_there() -> None:
    before = "# Performance\n\n<!-- figures -->\n\nold\n\n<!-- end of figures -->\n\nafter\n"
    after = page.insert(before, "new\n")
    assert after == before.replace("old", "new")
    assert page.insert(after, "new") == after
    with pytest.raises(ValueError, match="figures"):
        page.insert("# Performance\n", "new")


def test_a_peer_that_fails_in_a_later_round_is_left_out_of_all() -> None:
    results = _results()
    [litserve] = [system for system in systems("m") if system.name == "litserve"]
    results.leave_out(litserve, "port 1 is taken")
    text = page.render(results, Path("images/performance.svg"))
    assert "| LitServe" not in text
    assert "- Not measured: LitServe, batching: port 1 is taken." in text
    assert {goal.value for goal in goals(results) if "LitServe" in goal.what} == {None}


def test_a_run_is_kept_whole(tmp_path: Path) -> None:
    results = _results()
    results.write(tmp_path / "results.json")
    assert Results.read(tmp_path / "results.json") == results
