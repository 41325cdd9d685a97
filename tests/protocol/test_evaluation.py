"""Figures of a classification, by hand and at their edges: intervals, classes, calibration, paired test."""

import dataclasses
import math

import pytest

from keraserve_protocol import evaluation
from keraserve_protocol.evaluation import ClassFigures, Comparison, Confusion, Evaluation


@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    [(8, 10, 0.4902, 0.9433), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662)],
)
def test_the_interval_is_wilsons(right: int, count: int, low: float, high: float) -> None:
    one = Evaluation(["a"] * count, ["a"] * right + ["b"] * (count - right), [1.0] * count)
    assert one.interval == pytest.approx((low, high), abs=5e-5)


def test_classes_and_confusions() -> None:
    one = Evaluation(list("aaabbc"), list("aabbcb"), [0.9, 0.9, 0.5, 0.4, 0.5, 0.9])
    assert (one.right, one.accuracy) == (3, 0.5)
    assert one.classes == [
        ClassFigures("a", 3, 2, 2), ClassFigures("b", 2, 1, 3), ClassFigures("c", 1, 0, 1)
    ]  # fmt: skip
    assert [(each.recall, each.precision) for each in one.classes][0] == (2 / 3, 1.0)  # noqa: RUF015
    assert [each.f1 for each in one.classes] == [0.8, 0.4, 0.0]
    assert one.balanced_accuracy == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert one.macro_f1 == pytest.approx(0.4)
    other = Evaluation(["a"], ["b"], [1.0])
    assert (other.classes[1].recall, other.balanced_accuracy) == (None, 0.0)
    assert one.confusions == [Confusion("a", "b", 1), Confusion("b", "c", 1), Confusion("c", "b", 1)]


def test_calibration() -> None:
    one = Evaluation(["a"] * 8, list("aaabaabb"), [0.95, 0.97, 1.0, 1.0, 0.61, 0.65, 0.65, 0.61], 6)
    assert [dataclasses.astuple(each) for each in one.reliability] == [
        (4, pytest.approx(0.63), 0.5), (4, pytest.approx(0.98), 0.75)
    ]  # fmt: skip
    assert one.calibration_error == pytest.approx((0.13 + 0.23) / 2)
    assert one.top5_accuracy == 0.75


def test_probabilities_of_a_network_that_diverged_have_no_calibration() -> None:
    one = Evaluation(["a", "b"], ["a", "a"], [math.nan, math.nan])
    assert (one.reliability, one.accuracy) == ([], 0.5)
    assert math.isnan(one.calibration_error)


def test_better_is_more_than_chance() -> None:
    assert Comparison(1, 9).worse
    assert not Comparison(9, 1).worse
    assert not Comparison(0, 5).worse


@pytest.mark.parametrize(
    ("first", "second", "p_value"),
    [(1, 9, 22 / 1024), (9, 1, 22 / 1024), (0, 0, 1.0), (5, 5, 1.0), (0, 5, 1 / 16)],
)
def test_the_paired_test_is_mcnemars(first: int, second: int, p_value: float) -> None:
    assert Comparison(first, second).p_value == pytest.approx(p_value)


def test_the_paired_test_of_many_images() -> None:
    truths = ["a"] * 40_000
    sure = [1.0] * 40_000
    one = Evaluation(truths, ["a"] * 20_000 + ["b"] * 20_000, sure)
    other = Evaluation(truths, ["b"] * 20_100 + ["a"] * 19_900, sure)
    found = Comparison.of(one, other)
    assert (found.only_first, found.only_second) == (20_000, 19_900)
    assert found.p_value == pytest.approx(0.620, abs=0.001)  # as 2 * Phi(-99 / sqrt(39900))


def test_wilsons_interval_by_hand() -> None:
    # 0.5 ± z √(1/80 + z²/1600) / (1 + z²/20)
    low, high = evaluation.wilson(10, 20)
    assert (low, high) == (pytest.approx(0.2993, abs=5e-5), pytest.approx(0.7007, abs=5e-5))


@pytest.mark.parametrize("count", [1, 2, 20, 200, 10_000])
def test_wilsons_interval_at_its_edges(count: int) -> None:
    none, every = evaluation.wilson(0, count), evaluation.wilson(count, count)
    square = 1.959964**2
    assert none == (0.0, pytest.approx(square / (count + square)))
    assert every == (pytest.approx(count / (count + square)), 1.0)
    for right in range(0, count + 1, max(1, count // 20)):
        low, high = evaluation.wilson(right, count)
        assert 0 <= low <= right / count <= high <= 1


def test_mcnemar_by_hand() -> None:
    assert evaluation.mcnemar(0, 0) == 1
    assert evaluation.mcnemar(5, 5) == 1  # never more than certain
    assert evaluation.mcnemar(0, 5) == pytest.approx(2 / 32)
    assert evaluation.mcnemar(0, 6) == pytest.approx(2 / 64)
    assert evaluation.mcnemar(2, 10) == evaluation.mcnemar(10, 2) == pytest.approx(2 * (1 + 12 + 66) / 4096)
    # 66.0 to 72.5 % of 200 images: unpaired it looks like chance, in pairs it does not
    assert evaluation.mcnemar(17, 4) == pytest.approx(0.0072, abs=5e-5)
    assert evaluation.mcnemar(0, 5_000) == 0  # smaller than any number
    assert evaluation.mcnemar(2_400, 2_600) == pytest.approx(0.0049, abs=5e-4)
