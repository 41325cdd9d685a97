"""Student's t against a printed table (two-sided 95 %), and an interval worked out by hand."""

import math

import pytest

from keraserve_training.spreading import intervals

TABLE = {
    1: 12.706,
    2: 4.303,
    3: 3.182,
    4: 2.776,
    5: 2.571,
    9: 2.262,
    10: 2.228,
    29: 2.045,
    30: 2.042,
    120: 1.980,
}


@pytest.mark.parametrize(("freedom", "value"), TABLE.items())
def test_quantiles_are_those_of_the_table(freedom: int, value: float) -> None:
    assert intervals.t_quantile(0.975, freedom) == pytest.approx(value, abs=6e-4)


def test_an_interval_by_hand() -> None:
    found = intervals.mean_interval([1.0, 2.0, 3.0])  # mean 2, s 1, t(2) 4.3027
    assert found.mean == 2
    assert found.high - found.mean == pytest.approx(4.3027 / math.sqrt(3), abs=1e-3)
    assert found.mean - found.low == pytest.approx(found.high - found.mean)


def test_one_value_has_no_interval() -> None:
    assert math.isnan(intervals.mean_interval([0.5]).low)
