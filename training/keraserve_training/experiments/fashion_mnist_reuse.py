"""Source document 002: does a network that knows eight kinds of clothes help to tell the other two apart?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keraserve_training import settings as declare
from keraserve_training.data import datasets
from keraserve_training.data.datasets import FASHION_MNIST_CLASSES
from keraserve_training.errors import UnknownVariantError
from keraserve_training.experiment import Comparison, Experiment, Figure, Servable, Study
from keraserve_training.experiments._fashion_mnist import PAIR, Dense, set_aside
from keraserve_training.learning.optimizers import optimizer as made
from keraserve_training.number_format import percent, points
from keraserve_training.records import evidence
from keraserve_training.records.findings import Findings

if TYPE_CHECKING:
    import keras

    from keraserve_training.run import Run

_ON_A, _ALONE = "model-b-on-a", "model-b-alone-document-schedule"
_ON_A_CONSTANT, _ALONE_CONSTANT = "model-b-on-a-constant-rate", "model-b-alone-constant-rate"
_DOCUMENT, _CONSTANT = "document_schedule", "constant_rate"
COMPARISONS = (
    Comparison(
        "On the document's schedule",
        f"gain_{_DOCUMENT}",
        ("test_accuracy_b_on_a", f"test_accuracy_b_alone_{_DOCUMENT}"),
    ),
    Comparison(
        "All epochs at the higher rate",
        f"gain_{_CONSTANT}",
        (f"test_accuracy_b_on_a_{_CONSTANT}", f"test_accuracy_b_alone_{_CONSTANT}"),
    ),
)


@dataclass(frozen=True)
class Settings(Dense):
    """Those of the dense network, A and B, and of B's two phases."""

    optimizer: str = declare.optimizer("sgd")
    frozen_epochs: int = declare.epochs(4, "Epochs of B, the layers from A frozen.")
    unfrozen_epochs: int = declare.epochs(16, "Epochs of B, then with all layers.")
    unfrozen_rate: float = declare.rate(1e-4, "Rate of B with all layers.", below="learning_rate")
    images_b: int = declare.setting(200, "Images that B learns from.", low=10, high=11_000)
    pair: tuple[int, ...] = declare.setting(PAIR, "The two classes of B.", of_study=True)


def fashion_mnist_reuse() -> Experiment:
    """Reuse of a dense network between two tasks cut out of Fashion-MNIST.

    Task: A tells eight classes apart (43,986 images, without sandals and shirts); B tells sandals from
        shirts (200 images). B is trained on a clone of A on the document's schedule: 4 epochs at 1e-3 with
        A's layers frozen, then 16 at 1e-4 with all of them.
    Ours: the document trains no network on B alone, so it compares with nothing. Here the same network is
        trained on B alone on the same schedule; and once more both, with all layers and all 20 epochs at
        1e-3. In each of the two pairs nothing differs but what the hidden layers start from.
    Command: `keraserve-train run fashion-mnist-reuse`
    Expected: the ranges of `keraserve-train list`, from the runs made so far. One run shows no more than
        these networks; the study repeats it over seeds and pairs of classes.
    Hardware: two processor cores; about a minute.
    """
    return Experiment(
        name="fashion-mnist-reuse",
        source="002",
        title="Fashion-MNIST: a dense network reused for two other classes",
        task=(
            "Model A tells eight kinds of clothes apart. Its clone, with a new last layer, learns to tell"
            " sandals from shirts from 200 images, on the source document's schedule. Ours: the same"
            " network learns that from scratch on the same schedule, and both learn it once more at one rate."
        ),
        data="Fashion-MNIST",
        weights="none",
        minutes=1,
        figures=(
            Figure("test_accuracy_a", "A: test accuracy, 8 classes", "not printed"),
            Figure("test_accuracy_b_on_a", "Document's schedule, B on a clone of A", "not printed"),
            Figure(f"test_accuracy_b_alone_{_DOCUMENT}", "Document's schedule, B alone", "not done"),
            Figure(
                f"gain_{_DOCUMENT}",
                "Document's schedule, gain of reuse",
                "“a great improvement”, over what is not said; with other classes or seeds less, none or the"
                " opposite",
                "points",
            ),
            Figure(f"test_accuracy_b_on_a_{_CONSTANT}", "At the higher rate, B on a clone of A", "not done"),
            Figure(f"test_accuracy_b_alone_{_CONSTANT}", "At the higher rate, B alone", "not done"),
            Figure(f"gain_{_CONSTANT}", "At the higher rate, gain of reuse", "not done", "points"),
        ),
        parameters=276_158,
        run=train,
        servables=(
            Servable("fashion-mnist-reuse-a", "model-a", "Tells eight kinds of clothes apart."),
            Servable("fashion-mnist-reuse-b", _ON_A, "Tells sandals from shirts."),
        ),
        learnt=learnt,
        settings=Settings,
        study=Study(
            title="Does reuse help?",
            variants=("5-6", "2-4", "7-9"),
            meaning=lambda variant: " or ".join(_names(_pair(variant))),
            settings=lambda variant: {"pair": _pair(variant)},
            comparisons=COMPARISONS,
            explanation=(
                "Each piece leaves another pair of classes to B, trains A on the other eight, and then B on a"
                " clone of A and B alone, on the document's schedule (4 epochs at 0.001 with the hidden"
                " layers frozen, 16 at 0.0001 with all), and both again with all layers at 0.001 for all 20"
                " epochs. Reused and alone on one schedule differ in nothing but the hidden layers' initial"
                " weights. The seed changes the initial weights and the order of the images; the images"
                " themselves stay the same. The networks on B alone and the second schedule are ours: the"
                " source document has neither."
            ),
        ),
    )


def train(run: "Run", settings: Settings) -> None:
    """Train A, then B on a clone of A and alone, on two schedules; test all on the whole test set."""
    from keras import Input, Sequential, layers

    from keraserve_training.learning import rules
    from keraserve_training.learning.fit import Phase

    data = run.load(datasets.fashion_mnist)
    images, validation = set_aside(data)
    pair = settings.pair
    labels_a = [name for name in data.classes if name not in _names(pair)]
    b = {
        "train": images.only(pair).first(settings.images_b),
        "validation": validation.only(pair),
        "labels": _names(pair),
        "output": "sigmoid",
        "batch": settings.batch,
    }

    def network(last: Any) -> "keras.Model":
        hidden = [
            layers.Dense(units, activation="selu", kernel_initializer="lecun_normal")
            for units in settings.hidden
        ]
        return Sequential([Input((28, 28, 1)), layers.Rescaling(1 / 255), layers.Flatten(), *hidden, last])

    def reuse(model: "keras.Model") -> "keras.Model":
        kept = rules.clone(model).layers[:-1]
        last = layers.Dense(1, activation="sigmoid", name="first_or_second")
        return Sequential([Input((28, 28, 1)), *kept, last])

    high, low = (made(settings.optimizer, rate) for rate in (settings.learning_rate, settings.unfrozen_rate))
    model_a = run.fit(
        "model-a",
        build=lambda: network(layers.Dense(8, activation="softmax")),
        train=images.without(pair),
        validation=validation.without(pair),
        phases=[Phase("trained", settings.epochs, high)],
        labels=labels_a,
        output="softmax",
        batch=settings.batch,
    )

    def reused() -> "keras.Model":
        return reuse(model_a.model)

    def alone() -> "keras.Model":
        return network(layers.Dense(1, activation="sigmoid"))

    document = [
        Phase("frozen", settings.frozen_epochs, high, frozen=lambda model: model.layers[:-1]),
        Phase("unfrozen", settings.unfrozen_epochs, low, rate="unfrozen_rate"),
    ]
    constant = [Phase("trained", settings.frozen_epochs + settings.unfrozen_epochs, high)]
    figures = {"test_accuracy_a": run.test(model_a, data.test.without(pair)).accuracy}
    for comparison, names, phases in zip(
        COMPARISONS, ((_ON_A, _ALONE), (_ON_A_CONSTANT, _ALONE_CONSTANT)), (document, constant), strict=True
    ):
        for metric, name, build in zip(comparison.compared, names, (reused, alone), strict=True):
            trained = run.fit(name, build=build, phases=phases, **b)
            figures[metric] = run.test(trained, data.test.only(pair)).accuracy
        with_reuse, without = (figures[metric] for metric in comparison.compared)
        figures[comparison.gain] = with_reuse - without
    run.finish(figures)


def learnt(findings: Findings) -> list[str]:
    """Say what one run shows: networks of one schedule beside each other, and no verdict."""
    metrics = findings.metrics
    right = evidence.accuracy(findings.networks["model-a"]["test"])
    frozen, tuned = findings.networks[_ON_A]["phases"]
    sentences = [f"Model A gets {right} of the test images of its classes right."]
    for comparison, (reused, alone) in zip(
        COMPARISONS, ((_ON_A, _ALONE), (_ON_A_CONSTANT, _ALONE_CONSTANT)), strict=True
    ):
        on_a, without = (metrics[metric] for metric in comparison.compared)
        sentences.append(
            f"{comparison.title}: B on a clone of A gets {percent(on_a)} of the test images right, the same"
            f" network alone {percent(without)} ({points(metrics[comparison.gain])})."
            f" {evidence.pairs(findings, alone, findings, reused, words=('alone', 'with reuse'))}"
        )
    return [
        *findings.caveats,
        *sentences,
        "The document's are model A, its clone and the first schedule:"
        f" {frozen['epochs']} epochs at {frozen['learning_rate']:g} with the reused layers frozen,"
        f" {tuned['epochs']} at {tuned['learning_rate']:g}. The networks on B alone and the second schedule"
        " are ours.",
        "This is one run: the source document's author tried until he found a seed and classes with a great"
        " improvement. The study over seeds and pairs of classes says what reuse does on average.",
    ]


def _pair(variant: str) -> list[int]:
    first, _, second = variant.partition("-")
    known = [str(number) for number in range(len(FASHION_MNIST_CLASSES))]
    if first not in known or second not in known or first == second:
        raise UnknownVariantError(
            f"{variant!r} is not a pair of classes: write two different ones of 0 to 9, like 5-6."
        )
    return sorted((int(first), int(second)))


def _names(pair: Sequence[int]) -> list[str]:
    return [FASHION_MNIST_CLASSES[number] for number in pair]
