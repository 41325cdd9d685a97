"""Source document 000, a: the convolutional network that the document's other networks are compared with."""

from typing import TYPE_CHECKING

from keraserve_training.data import datasets
from keraserve_training.experiment import Experiment, Figure, Servable
from keraserve_training.experiments._cifar100 import (
    NETWORK,
    Training,
    accuracies,
    ahead,
    per_epoch,
    train_network,
    turning_point,
)
from keraserve_training.number_format import duration, percent
from keraserve_training.records import evidence
from keraserve_training.records.findings import Findings

if TYPE_CHECKING:
    from keraserve_training.run import Run


def cifar100_cnn() -> Experiment:
    """A small convolutional network, trained from scratch.

    Task: tells the hundred fine classes of CIFAR-100 apart (50,000 images of 32 by 32 pixels): two blocks
        of two convolutions and a pooling, 1,024 dense units, half of them dropped; SGD with momentum, 15
        epochs, tested after every one.
    Command: `keraserve-train run cifar100-cnn`
    Expected: test accuracy, gap to the training images and wall time as in `expected_ranges.json` (ranges
        of full runs); the source document prints none.
    Hardware: two processor cores; 10,000 images took 7 minutes.
    """
    return Experiment(
        name="cifar100-cnn",
        source="000",
        title="CIFAR-100: a convolutional network from scratch",
        task=(
            "A network of four convolutions and a dense layer tells the hundred fine classes of CIFAR-100"
            " apart; its loss and accuracy on training and test images are followed over 15 epochs."
        ),
        data="CIFAR-100",
        weights="none",
        figures=(
            Figure("test_accuracy", "Test accuracy", "not printed"),
            Figure("training_accuracy", "Accuracy on the training images", "not printed"),
            Figure("gap", "Training minus test accuracy", "“clearly a regulariser is needed”", "points"),
            Figure("seconds", "Wall time of the training", "not printed", "seconds"),
        ),
        parameters=4_363_396,
        run=train,
        servables=(Servable("cifar100-cnn", NETWORK, "Tells the hundred fine classes of CIFAR-100 apart."),),
        learnt=learnt,
        phrases={
            "tells the hundred fine classes of CIFAR-100 apart": "classes",
            "Tells the hundred fine classes of CIFAR-100 apart": "classes",
            "CIFAR-100": "data",
        },
        takes=("data", "strategy"),
        settings=Training,
    )


def train(run: "Run", settings: Training) -> None:
    """Train the network and test it on the training and the test images."""
    data = run.load(datasets.cifar100, size=32).loaded(run.tell)
    cnn = train_network(run, data, settings)
    found = accuracies(run, cnn, data.train, data.test)
    run.finish(found | {"classes": len(data.classes), "seconds": cnn.result["seconds"]})


def learnt(findings: Findings) -> list[str]:
    """Say how well it does, how far training and test images are apart, and how long it takes."""
    metrics, network = findings.metrics, findings.networks[NETWORK]
    return [
        *findings.caveats,
        f"After {network['epochs']} epochs the network gets {evidence.accuracy(network['test'])} of the test"
        f" images right; {evidence.guessing(network['test'], network['labels'])}.",
        f"Of the images that it learnt from it gets {percent(metrics['training_accuracy'])} right (without"
        f" dropout): {ahead(metrics['gap'])}. {turning_point(findings.history(NETWORK))}",
        f"The training took {duration(metrics['seconds'])}, {per_epoch(findings, NETWORK)} an epoch with the"
        f" test after it.{evidence.meanwhile(network)}",
    ]
