"""Source document 004: the first stage of `cats-dogs-xception` with a custom training loop."""

import functools
from collections.abc import Callable, Mapping
from statistics import median
from typing import TYPE_CHECKING, Any

from keraserve_training.data import datasets
from keraserve_training.experiment import Experiment, Figure, Servable
from keraserve_training.experiments._cats_dogs import FROZEN, SIZE, Frozen, fit_frozen, parts
from keraserve_training.learning import outputs
from keraserve_training.number_format import duration, percent, points
from keraserve_training.records import evidence
from keraserve_training.records.findings import Findings

if TYPE_CHECKING:
    import keras

    from keraserve_training.learning.fit import Loop
    from keraserve_training.run import Run


def cats_dogs_xception_custom_loop() -> Experiment:
    """A custom loop that computes the gradients of the weights that are not frozen, and applies them.

    Task: the first stage of `cats-dogs-xception`, the network frozen below a new last layer, for 20 epochs
        from the same start on the same batches, with `tf.GradientTape` in place of `model.fit`.
    Command: `keraserve-train run cats-dogs-xception-custom-loop`
    Expected: test accuracy as in `expected_ranges.json` (ranges of full runs), and within chance that of the
        first stage of `cats-dogs-xception`. The source document prints none.
    Hardware: two processor cores; not measured with Xception. With `--backbone mobilenet --alpha 0.25` and
        2,199 images an epoch took 18 seconds.
    """
    return Experiment(
        name="cats-dogs-xception-custom-loop",
        source="004",
        title="Cats and dogs: the frozen Xception with a custom training loop",
        task=(
            "The first stage of cats-dogs-xception, with gradients computed by a tape and applied to the"
            " weights that learn, in place of Keras' own loop."
        ),
        data="cats vs dogs",
        weights="imagenet",
        figures=(
            Figure("test_accuracy", "Test accuracy", "not printed"),
            Figure("validation_accuracy", "Validation accuracy", "not printed"),
            Figure("epoch_seconds", "Time of an epoch", "not printed", "seconds"),
        ),
        parameters=20_863_529,
        run=train,
        servables=(Servable("cats-dogs-xception-custom-loop", FROZEN, "Tells cats from dogs."),),
        learnt=learnt,
        phrases={"Xception": "network", "Tells cats from dogs": "classes", "Cats and dogs": "data"},
        takes=("data", "backbone", "alpha", "weights", "image_size"),
        settings=Frozen,
    )


def train(run: "Run", settings: Frozen) -> None:
    """Train the last layer with the custom loop and test the network."""
    backbone = run.backbone("xception", size=SIZE)
    data = run.load(datasets.cats_dogs).sized(backbone.size)
    _, output = outputs.classifier(len(data.classes))
    frozen = fit_frozen(run, backbone.model, data, settings, loop=custom_loop(output))
    *_, test = parts(data, run.seed)
    tested = run.test(frozen, test)
    run.finish(
        {
            "test_accuracy": tested.accuracy,
            "test_loss": tested.loss,
            "test_images": len(test),
            "validation_accuracy": frozen.rows[-1]["val_accuracy"],
            "epoch_seconds": median(row["seconds"] for row in frozen.rows),
        }
    )


def learnt(findings: Findings) -> list[str]:
    """Say how well the loop does, beside `model.fit` from the same start on the same batches."""
    metrics, network = findings.metrics, findings.networks[FROZEN]
    own = (
        f"With a custom loop, {evidence.accuracy(network['test'])} of the"
        f" {network['test']['images']:,} test images are right;"
        f" {evidence.guessing(network['test'], network['labels'])}. An epoch took"
        f" {duration(metrics['epoch_seconds'])}."
    )
    other = findings.of("cats-dogs-xception")
    if other is None:
        return [
            *findings.caveats,
            own,
            "Run cats-dogs-xception with the same options to see model.fit beside it.",
        ]
    theirs = other.metrics["test_accuracy_frozen"]
    words = "with model.fit", "with the custom loop"
    both = evidence.pairs(other, FROZEN, findings, FROZEN, words=words)
    return [
        *findings.caveats,
        own,
        # Its time is not compared: that was another run, with another load of the machine.
        f"model.fit, from the same start on the same batches, gets {percent(theirs)} right after that"
        f" stage, {points(metrics['test_accuracy'] - theirs)}. {both}",
    ]


def custom_loop(output: outputs.Output) -> "Loop":
    """A loop that returns what `model.fit` returns: loss and accuracy, averaged during the epoch."""
    # One graph for every compile, which makes a new optimizer, and not for every epoch.
    step_of = functools.cache(_step)

    def epoch(model: "keras.Model", batches: Any, tell: Callable[[int], None]) -> Mapping[str, float]:
        step, measures = step_of(model, model.optimizer, output, batches.element_spec)
        for measure in measures:
            measure.reset_state()
        for done, (inputs, targets) in enumerate(batches, 1):
            step(inputs, targets)
            tell(done)
        return {measure.name: float(measure.result()) for measure in measures}

    return epoch


def _step(
    model: Any, optimizer: Any, output: outputs.Output, spec: Any
) -> tuple[Callable[[Any, Any], None], list[Any]]:
    """The training step for one batch of inputs and targets as in `spec`, and its metrics."""
    import tensorflow as tf
    from keras import metrics

    average = metrics.Mean("loss")
    (accuracy,) = outputs.metrics(output)

    @tf.function(input_signature=spec)
    def step(inputs: Any, targets: Any) -> None:
        with tf.GradientTape() as tape:
            predictions = model(inputs, training=True)
            loss = model.loss(targets, predictions)
        weights = model.trainable_weights  # and no others: what is frozen gets no gradient
        optimizer.apply(tape.gradient(loss, weights), weights)
        average.update_state(loss, sample_weight=tf.shape(inputs)[0])
        accuracy.update_state(targets, predictions)

    return step, [accuracy, average]
