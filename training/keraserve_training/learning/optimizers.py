"""The optimizers that the settings of an experiment name, with the parameters of the source documents."""

from collections.abc import Callable
from functools import partial
from typing import Any


def optimizer(name: str, rate: Any) -> Callable[[], Any]:
    """A function that makes a new optimizer: `name` is one of `settings.OPTIMIZERS`.

    `rate` is the learning rate, or a schedule of them.
    """
    from keras import optimizers

    made: dict[str, Callable[..., Any]] = {
        "sgd": optimizers.SGD,
        "momentum": partial(optimizers.SGD, momentum=0.9),
        "nesterov": partial(optimizers.SGD, momentum=0.9, nesterov=True),
        "adagrad": optimizers.Adagrad,
        "rmsprop": partial(optimizers.RMSprop, rho=0.9),
        "adam": partial(optimizers.Adam, beta_1=0.9, beta_2=0.999),
        "adamw": optimizers.AdamW,
        "adamax": partial(optimizers.Adamax, beta_1=0.9, beta_2=0.999),
        "nadam": partial(optimizers.Nadam, beta_1=0.9, beta_2=0.999),
    }
    return partial(made[name], rate)
