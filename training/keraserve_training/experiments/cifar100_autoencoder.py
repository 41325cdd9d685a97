"""Source document 000, c: does pre-training without labels help, by autoencoders that reconstruct images?"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keraserve_training import settings as declare
from keraserve_training.data import datasets
from keraserve_training.experiment import Experiment, Figure, Servable
from keraserve_training.experiments._cifar100 import (
    NETWORK,
    Training,
    accuracies,
    convolutional_network,
    train_network,
)
from keraserve_training.learning.optimizers import optimizer as made
from keraserve_training.number_format import duration, points, value
from keraserve_training.records import evidence
from keraserve_training.records.findings import Findings

if TYPE_CHECKING:
    import keras

    from keraserve_training.data.dataset import Dataset
    from keraserve_training.learning.fit import Trained
    from keraserve_training.run import Run

_FIRST, _SECOND, _PRETRAINED = "autoencoder-1", "autoencoder-2", "cnn-pretrained"
_HIDDEN = 32  # filters of the network's first two convolutions, which the encoders become
_SHOWN = 8


@dataclass(frozen=True)
class Settings(Training):
    """Those of the network of `cifar100-cnn`, and of the autoencoders before it."""

    first_epochs: int = declare.epochs(15, "Epochs of the first autoencoder.")
    second_epochs: int = declare.epochs(10, "Epochs of the second autoencoder.")
    autoencoder_rate: float = declare.rate(1e-3, "Learning rate of both autoencoders.")
    autoencoder_optimizer: str = declare.optimizer("adam", "Optimizer of both autoencoders.")


def cifar100_autoencoder() -> Experiment:
    """A stacked convolutional autoencoder that gives the network of `cifar100-cnn` its first two layers.

    Task: autoencoder 1 (one convolution to 32 channels, one back) learns to reconstruct the training images,
        15 epochs; autoencoder 2 does so with two more convolutions between the frozen ones of the first, 10
        epochs; then the network of `cifar100-cnn` starts from both encoders and learns as it does there.
    Command: `keraserve-train run cifar100-autoencoder`
    Expected: test accuracy with and without the pre-training as in `expected_ranges.json` (ranges of full
        runs); the source document prints none.
    Hardware: two processor cores; 10,000 images took 12 minutes (the network without pre-training is taken
        from `cifar100-cnn` where that has run).
    """
    return Experiment(
        name="cifar100-autoencoder",
        source="000",
        title="CIFAR-100: pre-training without labels, by a stacked autoencoder",
        task=(
            "Two convolutional autoencoders, one inside the other, learn to reconstruct images without"
            " knowing their classes. Their encoders become the first two layers of the network of"
            " cifar100-cnn, which then learns the classes."
        ),
        data="CIFAR-100",
        weights="none",
        figures=(
            Figure("test_accuracy", "With pre-training: test accuracy", "not printed"),
            Figure("test_accuracy_alone", "Without: test accuracy", "not printed"),
            Figure("gain", "Gain of pre-training, test accuracy", "not printed", "points"),
            Figure("gain_first_epoch", "Gain after the first epoch", "not printed", "points"),
            Figure("error_1", "Autoencoder 1: mean squared error, test images", "not printed", "loss"),
            Figure("error_2", "Autoencoder 2: mean squared error, test images", "not printed", "loss"),
            Figure("seconds_of_pretraining", "Wall time of the pre-training", "not printed", "seconds"),
        ),
        parameters=4_363_396,
        run=train,
        servables=(
            Servable(
                "cifar100-autoencoder",
                _PRETRAINED,
                "Tells the hundred fine classes of CIFAR-100 apart; its first layers began in autoencoders.",
            ),
        ),
        learnt=learnt,
        phrases={"Tells the hundred fine classes of CIFAR-100 apart": "classes", "CIFAR-100": "data"},
        takes=("data", "strategy"),
        settings=Settings,
    )


def train(run: "Run", settings: Settings) -> None:
    """Train both autoencoders, the network that starts from them, and the one that starts from scratch.

    The source document leaves the autoencoders' sizes, activations and loss open. The encoders are as the
    network has them, 32 ReLU filters; the second decoder has to give what a ReLU gave, so it is one too; the
    first one gives pixels from 0 to 1, so it is a sigmoid; the loss is the mean squared error.
    """
    from keraserve_training.learning.fit import Phase

    data = run.load(datasets.cifar100, size=32).loaded(run.tell)
    shared: dict[str, Any] = {
        "train": data.train,
        "validation": data.test,
        "labels": data.classes,
        "output": "reconstruction",
        "batch": settings.batch,
    }
    make = made(settings.autoencoder_optimizer, settings.autoencoder_rate)
    first = run.fit(
        _FIRST,
        build=lambda: autoencoder(data),
        phases=[Phase("trained", settings.first_epochs, make, rate="autoencoder_rate")],
        **shared,
    )
    second = run.fit(
        _SECOND,
        build=lambda: autoencoder_inside(first.model),
        phases=[
            Phase(
                "between frozen layers",
                settings.second_epochs,
                make,
                frozen=outer,
                rate="autoencoder_rate",
            )
        ],
        **shared,
    )
    pretrained = train_network(
        run,
        data,
        settings,
        _PRETRAINED,
        lambda: started_from(convolutional_network(data, settings), first.model, second.model),
    )
    alone = train_network(run, data, settings, also_in="cifar100-cnn")
    _draw(run, data, first, second, alone, pretrained)
    found, without = (accuracies(run, trained, data.train, data.test) for trained in (pretrained, alone))
    run.finish(
        {
            **found,
            **{f"{metric}_alone": value for metric, value in without.items()},
            "gain": found["test_accuracy"] - without["test_accuracy"],
            "gain_first_epoch": pretrained.rows[0]["val_accuracy"] - alone.rows[0]["val_accuracy"],
            "error_1": first.rows[-1]["val_loss"],
            "error_2": second.rows[-1]["val_loss"],
            "seconds_of_pretraining": first.result["seconds"] + second.result["seconds"],
        }
    )


def learnt(findings: Findings) -> list[str]:
    """Say what pre-training gained in this run, and what the autoencoders had to learn."""
    metrics, networks = findings.metrics, findings.networks
    sooner = metrics["gain_first_epoch"]
    spent = metrics["seconds_of_pretraining"]
    first, second = (evidence.accuracy(networks[name]["test"]) for name in (_PRETRAINED, NETWORK))
    both = evidence.pairs(
        findings, NETWORK, findings, _PRETRAINED, words=("from scratch", "with pre-training")
    )
    return [
        *findings.caveats,
        f"With pre-training without labels the network gets {first} of the test images right, from scratch"
        f" {second}: {points(metrics['gain'])}. {both} {evidence.ONE_RUN}",
        f"After the first epoch the difference is {points(sooner)}.",
        "The autoencoders reconstruct the test images with a mean squared error of"
        f" {value(metrics['error_1'], 'loss')} (the first) and {value(metrics['error_2'], 'loss')} (the"
        f" second, through two layers more). They have {_HIDDEN} numbers for the three of each pixel: enough"
        " to copy it.",
        f"The pre-training took {duration(spent)}; the network itself,"
        f" {duration(networks[_PRETRAINED]['seconds'])}.",
    ]


def autoencoder(data: "Dataset") -> "keras.Model":
    """Autoencoder 1: float32 [N, 32, 32, 3], 0 to 255, to the same from 0 to 1."""
    from keras import Input, Sequential, layers

    return Sequential(
        [
            Input(data.train.shape),
            layers.Rescaling(1 / 255),
            layers.Conv2D(_HIDDEN, 3, padding="same", activation="relu", name="encoder_1"),
            layers.Conv2D(data.train.shape[-1], 3, padding="same", activation="sigmoid", name="decoder_1"),
        ]
    )


def autoencoder_inside(first: "keras.Model") -> "keras.Model":
    """Autoencoder 2, between clones of the first one's layers, which it does not change."""
    from keras import Input, Sequential, layers

    from keraserve_training.learning import rules

    *before, after = rules.clone(first).layers
    return Sequential(
        [
            Input(first.input_shape[1:]),
            *before,
            layers.Conv2D(_HIDDEN, 3, padding="same", activation="relu", name="encoder_2"),
            layers.Conv2D(_HIDDEN, 3, padding="same", activation="relu", name="decoder_2"),
            after,
        ]
    )


def outer(model: "keras.Model") -> list[Any]:
    """The layers of autoencoder 2 that come from the first."""
    return [model.get_layer(name) for name in ("encoder_1", "decoder_1")]


def started_from(network: "keras.Model", first: "keras.Model", second: "keras.Model") -> "keras.Model":
    """Copy the encoders' weights into the network's first two convolutions; returns the network."""
    network.get_layer("block1_conv1").set_weights(first.get_layer("encoder_1").get_weights())
    network.get_layer("block1_conv2").set_weights(second.get_layer("encoder_2").get_weights())
    return network


def _draw(
    run: "Run", data: "Dataset", first: "Trained", second: "Trained", alone: "Trained", pretrained: "Trained"
) -> None:
    """Some images as the autoencoders reconstruct them, and the convergence of both networks."""
    import numpy as np

    from keraserve_training.drawing import curves, galleries

    # Spread over all, as a user's images come class by class
    some = np.linspace(0, len(data.test) - 1, min(_SHOWN, len(data.test))).astype(np.int64)
    ((inputs, _),) = data.test.batches(some, _SHOWN)
    reconstructed = {
        trained.name: list(np.rint(255 * np.asarray(trained.model(inputs))).astype(np.uint8))
        for trained in (first, second)
    }
    run.plot(
        "reconstructions.png",
        "Reconstructed test images",
        lambda path: galleries.reconstructions(
            path, "Test images, and their reconstructions", data.test.show(some), reconstructed
        ),
    )
    run.plot(
        "pretraining-curves.png",
        "Convergence with and without pre-training",
        lambda path: curves.all_curves(
            path,
            "With and without pre-training: accuracy and loss on the test images",
            {trained.name: trained.rows for trained in (alone, pretrained)},
            on="test",
        ),
    )
