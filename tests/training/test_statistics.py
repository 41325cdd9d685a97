"""Student's t against a printed table (two-sided 95 %)."""

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
