"""Each rule of transfer learning, with what happens to a network that breaks it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from keraserve_training.data import procedural
from keraserve_training.data.images import Images
from keraserve_training.errors import FineTuningTooFastError, FrozenWeightsChangedError, NotCompiledError
from keraserve_training.learning import rules
from keraserve_training.learning.fit import Phase, Plan, Trained, fit
from keraserve_training.profiles import FULL
from keraserve_training.progress import SILENT, Show

pytestmark = pytest.mark.usefixtures("tensorflow")
SIZE = (8, 8)


def images() -> Images:
    return procedural.images(40, classes=2, size=SIZE, channels=1, seed=1)


def backbone() -> keras.Model:
    """Two levels deep, with BatchNormalization inside."""
    inner = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(4), keras.layers.BatchNormalization()], name="inner"
    )
    outer = keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), keras.layers.Dense(4), inner
    return keras.Sequential([keras.Input((*SIZE, 1)), *outer])


def network() -> keras.Model:
    base = backbone()
    base.name = "backbone"
    return keras.Sequential([keras.Input((*SIZE, 1)), base, keras.layers.Dense(1, activation="sigmoid")])


def only_backbone(model: keras.Model) -> Sequence[keras.Layer]:
    return model.layers[:-1]


def train(folder: Path, build: Callable[[], Any], *phases: Phase, show: Show = SILENT) -> Trained:
    plan = Plan("net", build, images(), images(), phases, ("a", "b"), "sigmoid", batch=8)
    return fit(folder, plan, seed=1, profile=FULL, show=show)


class Changing(Show):
    """Builds a network; subclasses change it while it learns."""

    model: Any = None

    def build(self) -> Any:
        self.model = network()
        return self.model


def sgd(rate: float) -> Callable[[], Any]:
    return lambda: keras.optimizers.SGD(rate)


def inside(model: Any) -> Any:
    return model.get_layer("backbone")


def norm(model: Any) -> Any:
    return inside(model).get_layer("inner").layers[-1]


def test_freezing_reaches_every_nested_layer() -> None:
    model = network()
    rules.set_trainable(model, frozen=only_backbone(model))
    assert [weight.path for weight in model.trainable_weights] == [
        weight.path for weight in model.layers[-1].weights
    ]
    dense = inside(model).get_layer("inner").layers[0]
    assert not dense.trainable
    rules.set_trainable(model, frozen=())
    assert dense.trainable


def test_frozen_weights_are_bit_identical_after_training(tmp_path: Path) -> None:
    built: list[Any] = []
    before: list[Any] = []

    def build() -> Any:
        built.append(network())
        before.extend(weight.numpy().copy() for weight in inside(built[0]).weights)
        return built[0]

    trained = train(tmp_path, build, Phase("frozen", 1, sgd(0.1), only_backbone))
    for old, new in zip(before, inside(trained.model).weights, strict=True):
        np.testing.assert_array_equal(old, new.numpy())
    assert trained.result["phases"][0]["trainable_parameters"] == 5


def test_a_frozen_weight_that_changes_is_noticed() -> None:
    model = network()
    rules.set_trainable(model, frozen=only_backbone(model))
    guard = rules.Guard(model)
    guard.check_frozen()
    moving: Any = norm(model).moving_mean
    moving.assign(moving + 1e-7)
    with pytest.raises(FrozenWeightsChangedError):
        guard.check_frozen()


def test_a_change_after_compile_is_rejected(tmp_path: Path) -> None:
    class Freezing(Changing):
        def epoch(self, row: dict[str, Any]) -> None:  # noqa: ARG002
            self.model.layers[-1].trainable = False

    show = Freezing()
    with pytest.raises(NotCompiledError, match="after compile"):
        train(tmp_path, show.build, Phase("p", 2, sgd(0.1)), show=show)


def test_thawed_layers_learn_but_batch_normalization_stays_in_inference(tmp_path: Path) -> None:
    phases = Phase("frozen", 1, sgd(0.1), only_backbone), Phase("unfrozen", 1, sgd(0.01))
    trained = train(tmp_path, network, *phases)
    frozen, unfrozen = trained.result["phases"]
    # Compile follows every change: a phase that was not compiled anew would train what the first one did.
    assert frozen["trainable_parameters"] == 5
    assert unfrozen["trainable_parameters"] == 5 + (64 * 4 + 4) + (4 * 4 + 4)
    layer = norm(trained.model)
    np.testing.assert_array_equal(layer.moving_mean.numpy(), np.zeros(4))
    np.testing.assert_array_equal(layer.moving_variance.numpy(), np.ones(4))
    np.testing.assert_array_equal(layer.gamma.numpy(), np.ones(4))
    bias = inside(trained.model).layers[2].bias.numpy()  # begins as zeros
    assert np.abs(bias).max() > 0


def test_batch_normalization_of_a_new_network_does_learn(tmp_path: Path) -> None:
    trained = train(tmp_path, network, Phase("trained", 1, sgd(0.1)))
    assert np.abs(norm(trained.model).moving_mean.numpy()).max() > 0


@pytest.mark.parametrize("rate", [0.1, 0.2])
def test_fine_tuning_must_be_slower(tmp_path: Path, rate: float) -> None:
    phases = Phase("frozen", 1, sgd(0.1), only_backbone), Phase("unfrozen", 1, sgd(rate))
    with pytest.raises(FineTuningTooFastError, match="'unfrozen'"):
        train(tmp_path, network, *phases)


def test_fine_tuning_comes_after_the_head_has_learnt(tmp_path: Path) -> None:
    phases = Phase("frozen", 0, sgd(0.1), only_backbone), Phase("unfrozen", 1, sgd(0.01))
    with pytest.raises(FineTuningTooFastError, match="train it first"):
        train(tmp_path, network, *phases)


def test_a_later_phase_that_unfreezes_nothing_may_keep_its_rate(tmp_path: Path) -> None:
    phases = Phase("frozen", 1, sgd(0.1), only_backbone), Phase("u1", 1, sgd(0.01)), Phase("u2", 1, sgd(0.01))
    assert train(tmp_path, network, *phases).result["epochs"] == 3


def test_a_frozen_weight_that_changes_while_it_learns_is_noticed(tmp_path: Path) -> None:
    class Touching(Changing):
        def batch(self, share: float) -> None:  # noqa: ARG002
            weight = inside(self.model).weights[0]
            weight.assign(weight + 1e-7)

    show = Touching()
    with pytest.raises(FrozenWeightsChangedError):
        train(tmp_path, show.build, Phase("frozen", 1, sgd(0.1), only_backbone), show=show)


def test_a_clone_is_equal_and_apart() -> None:
    model = backbone()
    copy = rules.clone(model)
    assert rules.digest(copy.weights) == rules.digest(model.weights)
    before = rules.digest(model.weights)
    for weight in copy.weights:
        weight.assign(weight + 1)
    assert rules.digest(model.weights) == before
    assert rules.digest(copy.weights) != before
