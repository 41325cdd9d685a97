"""Source document 002: what do faster optimizers change?"""

from typing import TYPE_CHECKING, Any

from keraserve_training.data import datasets
from keraserve_training.experiment import Experiment, Figure, Servable
from keraserve_training.experiments._fashion_mnist import PAIR, Dense, set_aside
from keraserve_training.learning.optimizers import optimizer
from keraserve_training.number_format import duration, percent, value
from keraserve_training.records import evidence
from keraserve_training.records.findings import Findings

if TYPE_CHECKING:
    import keras

    from keraserve_training.run import Run

_TITLES = {
    "sgd": "SGD, the baseline",
    "momentum": "momentum",
    "nesterov": "Nesterov",
    "adagrad": "AdaGrad",
    "rmsprop": "RMSProp",
    "adam": "Adam",
    "adamax": "AdaMax",
    "nadam": "Nadam",
}
_EXPORTED = "adam"


def fashion_mnist_optimizers() -> Experiment:
    """Seven optimizers on the same dense network, beside plain gradient descent.

    Task: the eight classes of model A (see `fashion-mnist-reuse`), 20 epochs with each optimizer, from the
        same initial weights and with the images in the same order.
    Command: `keraserve-train run fashion-mnist-optimizers`
    Expected: the ranges of `keraserve-train list`, from the runs made so far.
    Hardware: two processor cores; six minutes.
    """
    return Experiment(
        name="fashion-mnist-optimizers",
        source="002",
        title="Fashion-MNIST: seven optimizers on the same network",
        task=(
            "Model A tells eight kinds of clothes apart. Trained anew with momentum, Nesterov, AdaGrad,"
            " RMSProp, Adam, AdaMax and Nadam, all at a rate of 0.001, it shows what the optimizer alone"
            " changes."
        ),
        data="Fashion-MNIST",
        weights="none",
        minutes=6,
        figures=(
            Figure("test_accuracy_adam", "Adam: test accuracy, 8 classes", "not printed"),
            *(
                Figure(f"test_accuracy_{name}", f"{title}: test accuracy", "not printed")
                for name, title in _TITLES.items()
                if name != "adam"
            ),
            Figure("gain", "Highest of the seven in a run against plain SGD", "not printed", "points"),
        ),
        parameters=276_158,
        run=train,
        servables=(Servable("fashion-mnist-optimizers", _EXPORTED, "Tells eight kinds of clothes apart."),),
        learnt=learnt,
        settings=Dense,
    )


def train(run: "Run", settings: Dense) -> None:
    """Train the same network with every optimizer and test each on the whole test set."""
    from keras import Input, Sequential, initializers, layers

    from keraserve_training.drawing import comparisons, curves
    from keraserve_training.learning.fit import Phase

    data = run.load(datasets.fashion_mnist)
    images, validation = set_aside(data)

    def network() -> "keras.Model":
        # Layers with fixed seeds, so that every optimizer starts from the same weights.
        hidden = [
            layers.Dense(
                units,
                activation="selu",
                kernel_initializer=initializers.LecunNormal(run.seed + number),  # pyright: ignore
            )
            for number, units in enumerate(settings.hidden)
        ]
        last = layers.Dense(
            8,
            activation="softmax",
            kernel_initializer=initializers.GlorotUniform(run.seed + len(settings.hidden)),  # pyright: ignore
        )
        return Sequential([Input((28, 28, 1)), layers.Rescaling(1 / 255), layers.Flatten(), *hidden, last])

    trained = {
        name: run.fit(
            name,
            build=network,
            train=images.without(PAIR),
            validation=validation.without(PAIR),
            phases=[Phase("trained", settings.epochs, optimizer(name, settings.learning_rate))],
            labels=[label for number, label in enumerate(data.classes) if number not in PAIR],
            output="softmax",
            batch=settings.batch,
        )
        for name in _TITLES
    }
    tests = {name: run.test(network, data.test.without(PAIR)) for name, network in trained.items()}
    accuracies = {_TITLES[name]: test.accuracy for name, test in tests.items()}
    run.plot(
        "optimizers.png",
        "The optimizers' curves",
        lambda path: curves.all_curves(
            path, "Model A, eight optimizers", {_TITLES[name]: each.rows for name, each in trained.items()}
        ),
        "The same initial weights and the same order of images for all.",
    )
    run.plot(
        "comparison.png",
        "Test accuracy",
        lambda path: comparisons.accuracies(
            path,
            "Test accuracy",
            accuracies,
            images=len(data.test.without(PAIR)),
            baseline=_TITLES["sgd"],
        ),
    )
    run.table(
        "The optimizers",
        ("optimizer", "training loss", "validation accuracy", "test accuracy", "test loss", "time"),
        [
            (
                _TITLES[name],
                value(each.rows[-1]["loss"], "loss"),
                percent(each.rows[-1]["val_accuracy"]),
                percent(tests[name].accuracy),
                value(tests[name].loss, "loss"),
                duration(each.result["seconds"]),
            )
            for name, each in trained.items()
        ],
        "After the last epoch.",
    )
    best = max(test.accuracy for name, test in tests.items() if name != "sgd")
    run.finish(
        {
            **{f"test_accuracy_{name}": test.accuracy for name, test in tests.items()},
            **{f"training_loss_{name}": each.rows[-1]["loss"] for name, each in trained.items()},
            **{
                f"epochs_to_sgd_{name}": _epochs_to(each.rows, trained["sgd"].rows)
                for name, each in trained.items()
            },
            "gain": best - tests["sgd"].accuracy,
        }
    )


def _epochs_to(rows: list[dict[str, Any]], baseline: list[dict[str, Any]]) -> int:
    """The first epoch whose validation loss is as low as the baseline's last one; 0: none."""
    goal = baseline[-1]["val_loss"]
    return next((int(row["epoch"]) for row in rows if row["val_loss"] <= goal), 0)


def learnt(findings: Findings) -> list[str]:
    """List what each reaches in this run, and after how many epochs it is where plain SGD ends."""
    metrics = findings.metrics
    faster = [name for name in _TITLES if name != "sgd"]
    order = sorted(faster, key=lambda name: -metrics[f"test_accuracy_{name}"])
    first, second = order[:2]
    each = ", ".join(f"{_TITLES[name]} {percent(metrics[f'test_accuracy_{name}'])}" for name in order)
    epochs = {name: int(metrics[f"epochs_to_sgd_{name}"]) for name in faster}
    soon = [
        f"{_TITLES[name]} {epochs[name]}" for name in sorted(faster, key=epochs.__getitem__) if epochs[name]
    ]
    never = [_TITLES[name] for name in faster if not epochs[name]]
    total = len(findings.history("sgd"))
    beside = evidence.pairs(
        findings, second, findings, first, words=(f"with {_TITLES[second]}", f"with {_TITLES[first]}")
    )
    sentences = [
        *findings.caveats,
        f"Test accuracy: {each}; plain SGD {evidence.accuracy(findings.networks['sgd']['test'])}."
        f" {evidence.ONE_RUN}",
        f"The two highest, {_TITLES[first]} and {_TITLES[second]}: {beside}",
    ]
    if soon:
        sentences.append(
            f"Epochs until the validation loss is where plain SGD's is after {total}: {', '.join(soon)}"
            + (f"; not within {total}: {', '.join(never)}." if never else ".")
        )
    elif never:
        sentences.append(f"None reaches plain SGD's validation loss within {total} epochs.")
    return sentences
