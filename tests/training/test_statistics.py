"""Student's t against a printed table (two-sided 95 %); Wilson and McNemar by hand, and at their edges."""

import math

import pytest

from keraserve_training import statistics

FREEDOM = 1, 2, 3, 4, 5, 9, 10, 29, 30, 120
TABLE = 12.706, 4.303, 3.182, 2.776, 2.571, 2.262, 2.228, 2.045, 2.042, 1.980


@pytest.mark.parametrize(("freedom", "value"), [*zip(FREEDOM, TABLE, strict=True)])
def test_quantiles_are_those_of_the_table(freedom: int, value: float) -> None:
    assert statistics.t_quantile(0.975, freedom) == pytest.approx(value, abs=6e-4)


def test_an_interval_by_hand() -> None:
    found = statistics.mean_interval([1.0, 2.0, 3.0])  # mean 2, s 1, t(2) 4.3027
    assert found.mean == 2
    assert found.high - found.mean == pytest.approx(4.3027 / math.sqrt(3), abs=1e-3)
    assert found.mean - found.low == pytest.approx(found.high - found.mean)


def test_one_value_has_no_interval() -> None:
    assert math.isnan(statistics.mean_interval([0.5]).low)


def test_an_interval_of_shares_stays_within_what_a_share_can_be() -> None:
    found = statistics.mean_interval([0.97, 1.0])
    assert found.high > 1
    cut = found.within(0, 1)
    assert (cut.high, cut.low, cut.mean) == (1, found.low, found.mean)
    assert math.isnan(statistics.mean_interval([0.5]).within(0, 1).low)


def test_wilsons_interval_by_hand() -> None:
    # 0.5 ± z √(1/80 + z²/1600) / (1 + z²/20)
    low, high = statistics.wilson(10, 20)
    assert (low, high) == (pytest.approx(0.2993, abs=5e-5), pytest.approx(0.7007, abs=5e-5))


@pytest.mark.parametrize("count", [1, 2, 20, 200, 10_000])
def test_wilsons_interval_at_its_edges(count: int) -> None:
    none, every = statistics.wilson(0, count), statistics.wilson(count, count)
    square = 1.959964**2
    assert none == (0.0, pytest.approx(square / (count + square)))
    assert every == (pytest.approx(count / (count + square)), 1.0)
    for right in range(0, count + 1, max(1, count // 20)):
        low, high = statistics.wilson(right, count)
        assert 0 <= low <= right / count <= high <= 1


def test_mcnemar_by_hand() -> None:
    assert statistics.mcnemar(0, 0) == 1
    assert statistics.mcnemar(5, 5) == 1  # never more than certain
    assert statistics.mcnemar(0, 5) == pytest.approx(2 / 32)
    assert statistics.mcnemar(0, 6) == pytest.approx(2 / 64)
    assert statistics.mcnemar(2, 10) == statistics.mcnemar(10, 2) == pytest.approx(2 * (1 + 12 + 66) / 4096)
    # 66.0 to 72.5 % of 200 images: unpaired it looks like chance, in pairs it does not
    assert statistics.mcnemar(17, 4) == pytest.approx(0.0072, abs=5e-5)
    assert statistics.mcnemar(0, 5_000) == 0  # smaller than any number
    assert statistics.mcnemar(2_400, 2_600) == pytest.approx(0.0049, abs=5e-4)
