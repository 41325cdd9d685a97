"""The recorded steps are the experiments' own, and the pool times them; TensorFlow is the backend here."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from accelerator import chart, networks, recording, results, steps
from accelerator.measuring import Timed
from accelerator.steps import Step
from accelerator.workers import Case, Failed, Pool

from keraserve_training import experiments


@pytest.fixture(scope="module")
def recorded() -> list[Step]:
    """The steps of two experiments, of which one runs twice."""
    names = ("fashion-mnist-reuse", "fashion-mnist-reuse", "cifar100-autoencoder")
    return list(recording.recorded([experiments.find(name) for name in names]))


def test_every_phase_of_an_experiment_is_recorded_once(
    recorded: list[Step],
) -> None:
    reuse = [step for step in recorded if step.experiment == "fashion-mnist-reuse"]
    assert [(step.name, step.batch, step.learning) for step in reuse] == [
        ("model-a, trained", 32, 276158),
        ("model-b-on-a, frozen", 32, 51),
        ("model-b-on-a, unfrozen", 32, 275801),
        ("model-b-on-a-constant-rate, trained", 32, 275801),
    ]
    losses = {step.name: step.loss and step.loss["class_name"] for step in recorded}
    assert losses["model-b-on-a-constant-rate, trained"] == "BinaryCrossentropy"
    assert losses["autoencoder-1, trained"] == "MeanSquaredError"


def test_a_step_that_was_read_from_the_file_can_be_trained(recorded: list[Step], tmp_path: Path) -> None:
    """Its loss falls, and its frozen layers do not change."""
    import keras

    restored: Any = keras.saving.deserialize_keras_object
    steps.write(tmp_path / "steps.json", recorded)
    for step in steps.read(tmp_path / "steps.json"):
        model = networks.build(step, "float32")
        inputs, targets = networks.examples(step, model, step.batch)
        assert inputs.shape == (step.batch, *model.input_shape[1:])
        weights = {weight.path: np.array(weight) for weight in model.weights}
        model.compile(restored(step.optimizer), restored(step.loss))
        before = model.test_on_batch(inputs, targets)
        for _ in range(8):
            model.train_on_batch(inputs, targets)
        assert model.test_on_batch(inputs, targets) < before, step.label
        changed = {
            weight.path.partition("/")[0]
            for weight in model.weights
            if not np.array_equal(weight, weights[weight.path])
        }
        if step.name == "model-b-on-a, frozen":
            assert changed == {"first_or_second"}
        if step.name == "model-b-on-a, unfrozen":
            assert len(changed) == 6


def test_in_bfloat16_a_network_has_nearly_the_same_outputs(recorded: list[Step]) -> None:
    for step in recorded:
        exact, rounded = networks.build(step, "float32"), networks.build(step, "bfloat16")
        inputs, _ = networks.examples(step, exact, 8)
        one, other = (np.asarray(model(inputs, training=False)) for model in (exact, rounded))
        assert other.dtype == np.float32
        distance = np.linalg.norm(one - other) / np.linalg.norm(one)
        assert 0 < distance < 0.05, step.label


def test_a_network_without_a_loss_has_its_weights_in_bfloat16() -> None:
    import keras

    layers = [keras.Input((8, 8, 3)), keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(4, 3)]
    step = Step("an experiment", "features", 2, keras.Sequential(layers).to_json(), None, None, 0)
    network = networks.build(step, "bfloat16")
    assert [weight.dtype for weight in network.weights] == ["bfloat16", "bfloat16"]
    assert network.layers[0].compute_dtype == "float32"
    inputs, _ = networks.examples(step, network, 5)
    assert (inputs.shape, inputs.dtype) == ((5, 8, 8, 3), np.float32)
    assert network(inputs).shape == (5, 6, 6, 4)


def test_a_network_with_another_number_of_trainable_weights_is_rejected(recorded: list[Step]) -> None:
    with pytest.raises(ValueError, match="276158 trainable numbers, not 7"):
        networks.build(replace(recorded[0], learning=7), "float32")


def test_the_page_has_the_shares_of_a_matrix_product(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="run `measure` first"):
        results.render(tmp_path, "an image")
    timed = {"step": "one: step", "batch": 32, "documented": True, "preparing": 1.0}
    found = {
        "device": "a device",
        "versions": "some",
        "reachable": {"float32": 1e12, "bfloat16": 4e12},
        "timed": [
            timed | {"precision": "float32", "seconds": [0.1, 0.2, 0.4], "values": [3.0, 4.0]},
            timed | {"precision": "bfloat16", "seconds": [0.1, 0.1, 0.1], "values": [3.0, 4.5]},
        ],
        "failed": {
            "one: step, 32 in tf32": "it is too large",
            "two: steps, 32 in tf32": "it is too large",
            "two: steps, 256 in tf32": "it is too large",
        },
    }
    (tmp_path / "jax.json").write_text(json.dumps(found))
    (tmp_path / "flop.json").write_text(json.dumps({"one: step, 32": 1e11}))
    page = results.render(tmp_path, "images/a.svg")
    assert "| one: step | 32 | JAX | 160 ±75% · 50% |  | 320 ±0% · 25% |" in page
    assert "JAX, bfloat16: outputs for the same examples differ by at most 0.1 of their length" in page
    assert "Not measured with JAX, or not in every precision and size of batch (it is too large):" in page
    assert "one: step; two: steps." in page
    assert "(images/a.svg)" in page
    chart.draw(results.rows(tmp_path), tmp_path / "a.svg")
    assert ">one: step<" in (tmp_path / "a.svg").read_text()


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int, float], Pool]]:
    """Makes pools of processes with a backend of this folder."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    with ExitStack() as stack:
        yield lambda size, limit: stack.enter_context(closing(Pool("by_tensorflow", size, limit)))


def test_a_case_or_process_that_fails_does_not_affect_the_others(
    recorded: list[Step], pool: Callable[[int, float], Pool]
) -> None:
    """The second case can't be built; the third ends its process; each process is replaced."""
    step = next(step for step in recorded if step.name == "model-b-on-a, frozen")
    cases = [
        Case(step, 32, "float32"),
        Case(replace(step, learning=7), 32, "float32"),
        Case(step, 16, "ends"),
        Case(step, 16, "float32"),
    ]
    figures = list(pool(2, 120).figures(cases, 0.01))
    assert [isinstance(figure, Failed) for figure in figures] == [True, False, True, False]
    wrong, first, ended, last = figures
    assert wrong == Failed(cases[1], f"{step.label}: 51 trainable numbers, not 7")
    assert ended == Failed(cases[2], "its process ended")
    assert isinstance(first, Timed)
    assert isinstance(last, Timed)
    assert (first.batch, first.documented, len(first.values), len(first.seconds)) == (32, True, 8, 3)
    assert (last.batch, last.documented, last.values) == (16, False, [])


def test_no_case_is_built_after_the_limit(recorded: list[Step], pool: Callable[[int, float], Pool]) -> None:
    cases = [Case(step, 32, "float32") for step in recorded[:3]]
    figures = list(pool(1, 0.0).figures(cases, 0.01))
    assert figures == [Failed(case, "no time was left") for case in cases]


def test_results_of_other_steps_or_another_device_are_not_kept(tmp_path: Path) -> None:
    from accelerator import __main__ as program

    now = {"steps": "a digest", "device": "a device", "versions": "some"}
    file = tmp_path / "jax.json"
    assert program.found_before(file, now) == now | {"timed": [], "failed": {}}
    before = now | {"timed": ["a figure"], "failed": {"another": "why"}}
    file.write_text(json.dumps(before))
    assert program.found_before(file, now) == before
    for name in now:
        assert program.found_before(file, now | {name: "another"})["timed"] == []
