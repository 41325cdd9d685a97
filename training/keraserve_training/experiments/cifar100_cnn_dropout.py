"""Source document 000, b: where should dropout be put in a convolutional network?"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from keraserve_training import settings as declare
from keraserve_training.data import datasets
from keraserve_training.experiment import Experiment, Figure, Servable
from keraserve_training.experiments._cifar100 import (
    NETWORK,
    PLACES,
    Training,
    accuracies,
    convolutional_network,
    train_network,
)
from keraserve_training.number_format import duration, percent, points
from keraserve_training.records import evidence
from keraserve_training.records.findings import Findings, Metrics

if TYPE_CHECKING:
    from keraserve_training.run import Run

PLACEMENTS = {
    "after-conv-1": PLACES[:1],
    "after-conv-2": PLACES[1:2],
    "after-pooling": PLACES[2:],
    "everywhere": PLACES,
}
_BASELINE = "none"


@dataclass(frozen=True)
class Settings(Training):
    """Those of the network of `cifar100-cnn`, and how much is dropped in its blocks."""

    block_dropout: float = declare.dropout(0.25, "Share of the activations that is dropped in the blocks.")


def cifar100_cnn_dropout() -> Experiment:
    """Dropout at four places of the network of `cifar100-cnn`, compared with none.

    Task: the network of `cifar100-cnn` with a quarter of the activations dropped after the first convolution,
        the second, the pooling, or all three, of both of its blocks; each trained as that network is.
    Command: `keraserve-train run cifar100-cnn-dropout`
    Expected: test accuracy with each placement as in `expected_ranges.json` (ranges of full runs); the source
        document prints none and leaves the choice open.
    Hardware: two processor cores; five times as long as `cifar100-cnn`, four times where that has run, as the
        network without dropout is taken from there.
    """
    return Experiment(
        name="cifar100-cnn-dropout",
        source="000",
        title="CIFAR-100: where to put dropout",
        task=(
            "The network of cifar100-cnn with a quarter of the activations dropped in both blocks, after the"
            " first convolution, after the second, after the pooling, or after all three, compared with the"
            " network that drops none there."
        ),
        data="CIFAR-100",
        weights="none",
        figures=(
            Figure("test_accuracy_after_pooling", "Dropout after the pooling: test accuracy", "not printed"),
            Figure("test_accuracy_after_conv_1", "Dropout after conv 1: test accuracy", "not printed"),
            Figure("test_accuracy_after_conv_2", "Dropout after conv 2: test accuracy", "not printed"),
            Figure("test_accuracy_everywhere", "Dropout everywhere: test accuracy", "not printed"),
            Figure("test_accuracy_none", "No dropout: test accuracy", "not printed"),
            Figure("gain_after_pooling", "Gain of dropout after the pooling", "not printed", "points"),
        ),
        parameters=4_363_396,
        run=train,
        servables=(
            Servable(
                "cifar100-cnn-dropout",
                "after-pooling",  # the usual place: chosen before any result, not by the test images
                "Tells the hundred fine classes of CIFAR-100 apart; learnt with dropout after each pooling.",
            ),
        ),
        learnt=learnt,
        phrases={"Tells the hundred fine classes of CIFAR-100 apart": "classes", "CIFAR-100": "data"},
        takes=("data", "strategy"),
        settings=Settings,
    )


def train(run: "Run", settings: Settings) -> None:
    """Train the network without dropout and with each placement; compare them."""
    from keraserve_training.drawing import comparisons, curves

    data = run.load(datasets.cifar100, size=32).loaded(run.tell)
    networks = {_BASELINE: train_network(run, data, settings, also_in="cifar100-cnn")}
    for name, places in PLACEMENTS.items():
        networks[_words(name)] = train_network(
            run,
            data,
            settings,
            name,
            lambda places=places: convolutional_network(data, settings, places, settings.block_dropout),
        )
    found = {words: accuracies(run, trained, data.train, data.test) for words, trained in networks.items()}
    for each in found.values():
        each["gain"] = each["test_accuracy"] - found[_BASELINE]["test_accuracy"]
    run.table(
        f"Dropout of {settings.block_dropout:g} in the convolutional blocks",
        ["placement", "test accuracy", "gain", "training accuracy", "gap", "time"],
        [
            [
                words,
                percent(each["test_accuracy"]),
                "" if words == _BASELINE else points(each["gain"]),
                percent(each["training_accuracy"]),
                points(each["gap"]),
                duration(networks[words].result["seconds"]),
            ]
            for words, each in found.items()
        ],
        "Training accuracy: of the finished network, which drops nothing. Gap: training minus test accuracy.",
    )
    run.plot(
        "placements.png",
        "Test accuracy by placement",
        lambda path: comparisons.accuracies(
            path,
            "Where to put dropout: test accuracy",
            {words: each["test_accuracy"] for words, each in found.items()},
            images=len(data.test),
            baseline=_BASELINE,
        ),
    )
    run.plot(
        "placements-curves.png",
        "Convergence by placement",
        lambda path: curves.all_curves(
            path,
            "Where to put dropout: accuracy and loss on the test images",
            {words: trained.rows for words, trained in networks.items()},
            on="test",
        ),
    )
    run.finish(
        {f"{metric}_{_key(words)}": value for words, each in found.items() for metric, value in each.items()}
    )


def learnt(findings: Findings) -> list[str]:
    """List the placements by their gain, each beside none on the same test images, and the gaps."""
    metrics = findings.metrics
    gains = {name: metrics[f"gain_{_key(name)}"] for name in PLACEMENTS}
    order = sorted(gains, key=lambda name: -gains[name])
    alone = evidence.accuracy(findings.networks[NETWORK]["test"])
    each = ", ".join(
        f"{_words(name)} {percent(metrics[f'test_accuracy_{_key(name)}'])} ({points(gains[name])})"
        for name in order
    )
    return [
        *findings.caveats,
        f"Without dropout in the blocks {alone} of the test images are right. With it: {each}."
        f" {evidence.ONE_RUN}",
        *(
            f"Dropout {_words(name)}: "
            + evidence.pairs(findings, NETWORK, findings, name, words=("without", "with it"))
            for name in order
        ),
        _gaps(metrics),
    ]


def _gaps(metrics: Metrics) -> str:
    """How far training and test images are apart, which is what dropout is for."""
    each = ", ".join(f"{points(metrics[f'gap_{_key(name)}'])} {_words(name)}" for name in PLACEMENTS)
    learnt = ", ".join(
        f"{percent(metrics[f'training_accuracy_{_key(name)}'])} {_words(name)}" for name in PLACEMENTS
    )
    return (
        "Training minus test accuracy, which dropout is meant to bring down, is"
        f" {points(metrics['gap_none'])} without it; {each}. Of the training images"
        f" {percent(metrics['training_accuracy_none'])} are right without it; {learnt}."
    )


def _words(name: str) -> str:
    return name.replace("-", " ")


def _key(name: str) -> str:
    return name.replace("-", "_").replace(" ", "_")
