"""The experiments, in the order of their source documents, and how to find one."""

import difflib
import fnmatch
from collections.abc import Sequence

from keraserve_training.errors import UnknownExperimentError
from keraserve_training.experiment import Experiment
from keraserve_training.experiments.cats_dogs_vgg16 import cats_dogs_vgg16
from keraserve_training.experiments.cats_dogs_xception import cats_dogs_xception
from keraserve_training.experiments.cats_dogs_xception_custom_loop import cats_dogs_xception_custom_loop
from keraserve_training.experiments.cifar10_inceptionv3 import cifar10_inceptionv3
from keraserve_training.experiments.cifar10_scratch import cifar10_scratch
from keraserve_training.experiments.cifar100_autoencoder import cifar100_autoencoder
from keraserve_training.experiments.cifar100_cnn import cifar100_cnn
from keraserve_training.experiments.cifar100_cnn_dropout import cifar100_cnn_dropout
from keraserve_training.experiments.cifar100_vgg16_batchnorm import cifar100_vgg16_batchnorm
from keraserve_training.experiments.cifar100_vgg16_dense import cifar100_vgg16_dense
from keraserve_training.experiments.cifar100_vgg16_finetune import cifar100_vgg16_finetune
from keraserve_training.experiments.fashion_mnist_optimizers import fashion_mnist_optimizers
from keraserve_training.experiments.fashion_mnist_reuse import fashion_mnist_reuse
from keraserve_training.experiments.own_images import own_images

EXPERIMENTS = (
    cifar100_cnn(),
    cifar100_cnn_dropout(),
    cifar100_autoencoder(),
    cifar100_vgg16_dense(),
    cifar100_vgg16_batchnorm(),
    cifar100_vgg16_finetune(),
    cifar10_inceptionv3(),
    fashion_mnist_reuse(),
    fashion_mnist_optimizers(),
    cats_dogs_vgg16(),
    cats_dogs_xception(),
    cats_dogs_xception_custom_loop(),
)
"""Those of the source documents."""
OURS = (cifar10_scratch(),)
OWN_IMAGES = own_images()


def registry() -> dict[str, Experiment]:
    """Every experiment by its name: those of the source documents in their order, ours, and own images."""
    return {experiment.name: experiment for experiment in (*EXPERIMENTS, *OURS, OWN_IMAGES)}


def find(name: str) -> Experiment:
    """Look an experiment up.

    Raises:
        UnknownExperimentError: there is none; names the nearest ones.
    """
    known = registry()
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or sorted(known)
    raise UnknownExperimentError(f"There is no experiment {name!r}. Did you mean {' or '.join(near)}?")


def matching(patterns: Sequence[str]) -> list[Experiment]:
    """Those whose names match one of the patterns (`cifar100-*`), in the order of `registry`.

    Raises:
        UnknownExperimentError: a pattern matches none.
    """
    for pattern in patterns:
        if not fnmatch.filter(registry(), pattern):
            find(pattern)
    return [each for each in registry().values() if any(fnmatch.fnmatch(each.name, one) for one in patterns)]
