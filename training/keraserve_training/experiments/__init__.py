"""The experiments, in the order of their source documents."""

from keraserve_training.experiments.fashion_mnist_reuse import fashion_mnist_reuse

EXPERIMENTS = (fashion_mnist_reuse(),)
