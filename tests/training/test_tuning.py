"""A setting varied over seeds, and the learning rate range test: what they run, and what they dare to say."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from keraserve_training import profiles
from keraserve_training.errors import OptionError, StudyError
from keraserve_training.experiments import find
from keraserve_training.progress import SILENT
from keraserve_training.run import RunSpec
from keraserve_training.studies import find_rate, vary
from keraserve_training.studies.vary import Varied
from keraserve_training.workers.work import Done, Work, attempt, packed

CNN = find("cifar100-cnn")
FIGURE = {"metric": "test_accuracy", "title": "Test accuracy", "source": "", "unit": "share"}


class Here:
    """Workers that are this process."""

    def do(self, work: Sequence[Work], tell: Any) -> list[Done]:  # noqa: ARG002
        return [attempt(packed(each)) for each in work]


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("learning_rat=1e-3,1e-2", "Did you mean learning_rate"),
        ("learning_rate=1e-3,fast", "can't be 'fast'"),
        ("learning_rate=1e-3", "write several different ones"),
        ("learning_rate=1e-3,0.001", "write several different ones"),
        ("epochs=1,2", "can't be varied and set at once"),
    ],
)
def test_what_can_not_be_varied_is_rejected(word: str, sentence: str) -> None:
    with pytest.raises(OptionError, match=sentence):
        Varied.read(CNN, word, {"epochs": 1})


@pytest.mark.usefixtures("tensorflow")
def test_every_value_is_run_with_every_seed(tmp_path: Path) -> None:
    given = {"units": 2, "epochs": 1}
    varied = Varied.read(CNN, "learning_rate=1e-2,1e-4", given)
    spec = RunSpec(profiles.SAMPLE, 0, settings=given)
    how = {"figure": None, "spec": spec, "workers": Here(), "tell": lambda *_: None}
    there, summary = vary.do(CNN, tmp_path, varied, seeds=1, **how)
    assert there == tmp_path / "cifar100-cnn/vary/sample+epochs-1-units-2/learning_rate"
    assert list(summary["measured"]) == ["0.0001", "0.01"]  # numbers in their order
    assert "0.01" in vary.words(summary)[0].partition("own")[0]
    assert "too few to say" in vary.words(summary)[1]
    with Image.open(there / vary.PLOT) as drawn:
        assert drawn.width > 500
    assert vary.read(tmp_path, CNN.name) == [(there, summary)]
    with pytest.raises(StudyError, match=r"larger study already: 1 seeds of learning_rate=0\.0001,0\.01"):
        vary.do(CNN, tmp_path, Varied("learning_rate", (1e-3, 1e-4)), seeds=1, **how)


@pytest.mark.parametrize(
    ("means", "said"),
    [
        ((0.5, 0.501), "can't be told from that of any other value with 5 seeds"),
        ((0.5, 0.9), "differs from that of every other value by more than chance"),
        ((0.5, 0.899, 0.9), "differs from that of 0 by more than chance, and not from that of 2 ("),
    ],
)
def test_a_difference_is_claimed_only_where_the_intervals_bear_it(
    means: tuple[float, ...], said: str
) -> None:
    random = np.random.default_rng(1)
    measured = {str(name): (mean + random.normal(0, 0.01, 5)).tolist() for name, mean in enumerate(means)}
    summary = {"setting": "s", "figure": FIGURE, "measured": measured, "seeds": 5, "default": "0"}
    assert said in vary.words(summary)[1]
    assert ("at the edge" in vary.words(summary)[1]) == (means == (0.5, 0.9))


@pytest.mark.usefixtures("tensorflow")
def test_a_rate_is_found_in_a_later_phase_and_nothing_is_kept(tmp_path: Path) -> None:
    reuse = find("fashion-mnist-reuse")
    spec = RunSpec(profiles.SAMPLE, 1, settings={"images_b": 64, "hidden": [20]})
    found = find_rate.find(reuse, tmp_path, spec, "unfrozen_rate", SILENT)
    assert (found.network, found.phase, found.optimizer) == ("model-b-on-a", "unfrozen", "SGD")
    assert found.rate == pytest.approx(1e-4)
    assert list(found.test.rates) == sorted(found.test.rates)
    assert found.test.rates[0] == pytest.approx(1e-7)
    assert not list((tmp_path / reuse.name).iterdir())
    with pytest.raises(OptionError, match="no learning rate 'x': it has learning_rate, unfrozen_rate"):
        find_rate.find(reuse, tmp_path, spec, "x", SILENT)


def test_the_advice_follows_its_rules() -> None:
    from keraserve_training.learning.range_test import HIGHEST, LOWEST, STEPS, RangeTest

    rates = (LOWEST * (HIGHEST / LOWEST) ** (np.arange(STEPS) / (STEPS - 1))).tolist()
    falls = [2 - 1 / (1 + (1e-3 / rate) ** 2) + (rate / 3) ** 2 for rate in rates]  # steepest at 1e-3
    test = RangeTest(rates, falls, falls)
    assert test.steepest == pytest.approx(1e-3, rel=0.3)
    assert test.advice == min(test.steepest, test.lowest / 10)
    flat = [1 + rate for rate in rates]
    assert RangeTest(rates, flat, flat).advice is None  # and no rate that means nothing
