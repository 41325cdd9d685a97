"""Source document 000, b: where should dropout be put in a convolutional network?"""

from typing import TYPE_CHECKING

from keraserve_training.data import datasets
from keraserve_training.experiment import Experiment, Figure, Servable
from keraserve_training.experiments.cifar100_cnn import (
    NETWORK,
    PLACES,
    accuracies,
    convolutional_network,
    train_network,
)
from keraserve_training.findings import Findings, Metrics
from keraserve_training.reporting.wording import distance, duration, percent, points
from keraserve_training.spreading.intervals import chance

if TYPE_CHECKING:
    from keraserve_training.run import Run

PLACEMENTS = {
    "after-conv-1": PLACES[:1],
    "after-conv-2": PLACES[1:2],
    "after-pooling": PLACES[2:],
    "everywhere": PLACES,
}
_BASELINE = "none"
_LITTLE = 0.03  # a gap that is not worth a regulariser


def cifar100_cnn_dropout() -> Experiment:
    """Dropout at four places of the network of `cifar100-cnn`, compared with none.

    Task: the network of `cifar100-cnn` with a quarter of the activations dropped after the first convolution,
        the second, the pooling, or all three, of both of its blocks; each trained as that network is.
    Command: `keraserve-train run cifar100-cnn-dropout`
    Expected: test accuracy with each placement as in `measured.json`, which has the ranges of full runs; the
        source document prints none and leaves the choice open.
    Hardware: two processor cores; about 2 hours (the network without dropout is taken from `cifar100-cnn`
        where that has run).
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
        minutes=130,
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
                "after-pooling",  # the usual place: chosen before any result, not by the test pictures
                "Tells the hundred fine classes of CIFAR-100 apart; learnt with dropout after each pooling.",
            ),
        ),
        learnt=learnt,
        takes=("data", "strategy"),
    )


def train(run: "Run") -> None:
    """Train the network without dropout and with each placement; compare them."""
    from keraserve_training.drawing import comparisons, curves

    data = run.load(datasets.cifar100, size=32).loaded(run.tell)
    networks = {_BASELINE: train_network(run, data, also_in="cifar100-cnn")}
    for name, places in PLACEMENTS.items():
        networks[_words(name)] = train_network(
            run, data, name, lambda places=places: convolutional_network(data, places)
        )
    found = {words: accuracies(run, trained, data.train, data.test) for words, trained in networks.items()}
    for each in found.values():
        each["gain"] = each["test_accuracy"] - found[_BASELINE]["test_accuracy"]
    run.table(
        "Dropout of 0.25 in the convolutional blocks",
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
    run.picture(
        "placements.png",
        "Test accuracy by placement",
        lambda path: comparisons.bars(
            path,
            "Where to put dropout: test accuracy",
            {words: each["test_accuracy"] for words, each in found.items()},
            baseline=_BASELINE,
        ),
    )
    run.picture(
        "placements-curves.png",
        "Convergence by placement",
        lambda path: curves.all_curves(
            path,
            "Where to put dropout: accuracy and loss on the test pictures",
            {words: trained.rows for words, trained in networks.items()},
        ),
    )
    run.finish(
        {f"{metric}_{_key(words)}": value for words, each in found.items() for metric, value in each.items()}
    )


def learnt(findings: Findings) -> list[str]:
    """Rank the placements by their gain, and look for the reason in the training pictures."""
    metrics = findings.metrics
    gains = {name: metrics[f"gain_{_key(name)}"] for name in PLACEMENTS}
    best, *others = sorted(gains, key=lambda name: -gains[name])
    pictures = findings.networks[NETWORK]["test"]["pictures"]
    alone, reached = metrics["test_accuracy_none"], metrics[f"test_accuracy_{_key(best)}"]
    least = chance(alone, reached, pictures)
    sure = [_words(name) for name, gain in gains.items() if abs(gain) > least]
    unsure = "No placement differs by more from none" if not sure else f"Beyond that: {', '.join(sure)}"
    return [
        *findings.caveats,
        f"Dropout {_words(best)} does best in this run: {percent(reached)} of the test pictures,"
        f" {points(gains[best])} against {percent(alone)} without. Then come"
        f" {', '.join(f'{_words(name)} ({points(gains[name])})' for name in others)}.",
        f"The choice of {pictures:,} test pictures alone makes differences of up to {distance(least)}."
        f" {unsure}; the seed adds its share.",
        *_why(metrics),
    ]


def _why(metrics: Metrics) -> list[str]:
    """Where the gap to the training pictures closes, and what that costs."""
    before = metrics["gap_none"]
    if before < _LITTLE:
        return [
            "Without dropout the network knows the training pictures hardly better than the test pictures"
            f" ({points(before)}): there is little to regularise yet."
        ]
    gaps = {name: metrics[f"gap_{_key(name)}"] for name in PLACEMENTS}
    narrowest = min(gaps, key=lambda name: gaps[name])
    best = max(PLACEMENTS, key=lambda name: metrics[f"test_accuracy_{_key(name)}"])
    each = ", ".join(f"{distance(gap)} {_words(name)}" for name, gap in gaps.items())
    sentences = [
        f"What dropout is for: without it in the blocks, the training accuracy is {distance(before)} above"
        f" the test accuracy. With it the gap is {each}."
    ]
    learnt_best, learnt_narrowest = (metrics[f"training_accuracy_{_key(name)}"] for name in (best, narrowest))
    if narrowest == best:
        sentences.append(
            f"The placement that closes the gap most, {_words(best)}, is also the best one: learning by heart"
            " is what limits this network, and the strongest regulariser helps most."
        )
    elif learnt_narrowest < learnt_best:
        sentences.append(
            f"The gap closes most {_words(narrowest)}, and yet that is not the best placement: it leaves"
            f" {percent(learnt_narrowest)} of the training pictures learnt, {_words(best)}"
            f" {percent(learnt_best)}. So much dropout needs more epochs."
        )
    return sentences


def _words(name: str) -> str:
    return name.replace("-", " ")


def _key(name: str) -> str:
    return name.replace("-", "_").replace(" ", "_")
