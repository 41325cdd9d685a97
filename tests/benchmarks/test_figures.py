"""The arithmetic and the report of `make bench`, without measuring."""

import importlib
import math
import pkgutil
from itertools import pairwise
from pathlib import Path

import pytest
from bench import scenarios
from bench.goal import at_least, at_most
from bench.goals import GOALS
from bench.load import arrivals
from bench.load.specification import LoadResult
from bench.report import page
from bench.results import ClosedLoop, Figure, Results
from bench.scenarios import gateway_alone, networks
from bench.spread import Spread, percentile, ratio
from bench.systems import compared
from bench.systems.compared import SYSTEMS


def test_a_spread_is_median_lowest_and_highest() -> None:
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


def test_arrivals_are_random_at_the_given_rate() -> None:
    moments = list(arrivals.poisson(500, 20, seed=1))
    assert moments == sorted(moments)
    assert moments[0] > 0
    assert moments[-1] < 20
    assert len(moments) == pytest.approx(10_000, rel=0.05)
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    assert sum(gap < 0.001 for gap in gaps) / len(gaps) == pytest.approx(1 - math.exp(-0.5), abs=0.03)
    assert moments == list(arrivals.poisson(500, 20, seed=1))


def _results() -> Results:
    results = Results()
    for endpoint, milliseconds in (
        (compared.ONE_PROCESS, 10.0),
        (compared.GOOD_FASTAPI, 20.0),
        (compared.LITSERVE, 40.0),
    ):
        for clients in (1, 8, 32):
            rate = round(clients * 1000 / milliseconds)
            for _ in range(2):
                one = LoadResult(1.0, [milliseconds] * rate, {200: rate}, 0.01)
                results.add_loop(endpoint, clients, one, 0.5)
    for batch, rates in ((8, [4000, 4000]), (32, [5000, 6000])):
        for rate in rates:
            results.add_upper_bound(batch, rate)
    results.add(gateway_alone.IDLE_MEMORY, 120.0)
    results.skipped["Ray Serve"] = "not installed"
    results.about["machine"] = "any"
    return results


def test_a_round_becomes_figures() -> None:
    loop = ClosedLoop()
    loop.add(LoadResult(2.0, [1.0, 2.0, 3.0, 4.0], {200: 4}, 0.001), processor_seconds=0.008)
    assert loop == ClosedLoop([2.0], [2.0], [4.0], [2.0], [0.25])


def test_goals_compare_within_the_run_and_say_what_was_not_measured() -> None:
    results, goals = _results(), {goal.name: goal for goal in GOALS}
    one = goals["one process, 1 client: images/s, of good FastAPI's"]
    assert (one.measured(results), one.reached(results)) == (2, True)
    memory = goals["gateway alone: idle memory (PSS)"]
    assert (memory.measured(results), memory.reached(results)) == (120, False)
    overload = goals["the same: goodput, of the peak"]
    assert (overload.measured(results), overload.reached(results)) == (None, None)


def test_a_bound_is_included() -> None:
    assert at_least(2).holds(2)
    assert not at_least(2).holds(1.99)
    assert at_most(2).holds(2)
    assert not at_most(2).holds(2.01)


def _figures() -> list[Figure]:
    """The figures of all scenarios."""
    modules = [
        importlib.import_module(f"{scenarios.__name__}.{found.name}")
        for found in pkgutil.iter_modules(scenarios.__path__)
    ]
    values = [value for module in modules for value in vars(module).values()]
    return [value for value in [*values, *networks.FIGURES] if isinstance(value, Figure)]


def test_no_figure_has_the_title_of_another() -> None:
    titles = [figure.title for figure in _figures()]
    assert len(titles) == len(set(titles)) == 33


def test_a_run_that_measures_everything_has_a_value_for_every_goal() -> None:
    results = Results()
    for system in SYSTEMS:
        for endpoint in system.endpoints:
            for clients in (1, 8, 32):
                results.add_loop(endpoint, clients, LoadResult(1.0, [1.0]), 0.5)
    for figure in _figures():
        results.add(figure, 1.0)
    for batch in (8, 32):
        results.add_upper_bound(batch, 1.0)
    assert len(GOALS) == 23
    assert {goal.name for goal in GOALS if goal.measured(results) is None} == set()


def test_the_page_has_every_system_and_says_what_is_missing() -> None:
    text = page.render(_results(), Path("images/performance.svg"))
    [row] = [line for line in text.splitlines() if line.startswith("| Keraserve, one process")]
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert cells[1:4] == ["100", "10.0", "10"]
    assert cells[10:] == ["59%", "2.00", "0.16", "0.04", "0.00"]
    assert "- Not measured: Ray Serve: not installed." in text
    assert "| gateway alone: idle memory (PSS) | at most 100 MB | 120.00 MB | no |" in text
    widths = {line.count("|") for line in text.split("### Images")[1].split("###")[0].splitlines() if line}
    assert len(widths) == 1


def test_figures_replace_the_earlier_ones() -> None:
    before = "# Performance\n\n<!-- figures -->\n\nold\n\n<!-- end of figures -->\n\nafter\n"
    after = page.insert(before, "new\n")
    assert after == before.replace("old", "new")
    assert page.insert(after, "new") == after
    with pytest.raises(ValueError, match="figures"):
        page.insert("# Performance\n", "new")


def test_a_peer_that_fails_in_a_later_round_is_left_out_of_all() -> None:
    results = _results()
    [litserve] = [system for system in SYSTEMS if compared.LITSERVE in system.endpoints]
    results.leave_out(litserve, "port 1 is taken")
    text = page.render(results, Path("images/performance.svg"))
    assert "| LitServe" not in text
    assert "- Not measured: LitServe, batching: port 1 is taken." in text
    assert {goal.measured(results) for goal in GOALS if "LitServe" in goal.name} == {None}


def test_results_are_written_and_read_unchanged(tmp_path: Path) -> None:
    results = _results()
    results.write(tmp_path / "results.json")
    assert Results.read(tmp_path / "results.json") == results
