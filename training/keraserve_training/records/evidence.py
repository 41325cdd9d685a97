"""Sentences about figures with their statistical evidence: intervals, chance level, McNemar's test, times."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keraserve_protocol.evaluation import wilson
from keraserve_training.errors import NotComparableError
from keraserve_training.number_format import percent
from keraserve_training.records import predictions

if TYPE_CHECKING:
    from keraserve_training.records.findings import Findings

Test = Mapping[str, Any]
"""A network's entry `test` in `metrics.json`: `accuracy`, `images`, `confusion`."""

ONE_RUN = "This is one run; another seed gives other figures."
_QUIET = 0.1  # share of the processors' time of other programs; below it, training times can be compared
_RARE = 0.05  # level of significance


def span(test: Test) -> tuple[float, float]:
    """Wilson's 95 % interval of a test accuracy."""
    count = test["images"]
    return wilson(round(test["accuracy"] * count), count)


def accuracy(test: Test) -> str:
    """A test accuracy with its interval: `95.00 % (95 % interval 91.0 % to 97.3 %)`."""
    low, high = (f"{100 * end:.1f} %" for end in span(test))
    return f"{percent(test['accuracy'])} (95 % interval {low} to {high})"


def largest_class(test: Test) -> tuple[int, float]:
    """The most frequent class of the test images, and its share: the accuracy of always predicting it."""
    counts = np.asarray(test["confusion"]).sum(axis=1)
    return int(counts.argmax()), float(counts.max() / counts.sum())


def guessing(test: Test, labels: Sequence[str]) -> str:
    """The accuracy without a network: `guessing would give 10.00 %`, or the largest class's share."""
    place, share = largest_class(test)
    if share * len(labels) <= 1:  # all are equally frequent
        return f"guessing would give {percent(share)}"
    return f"always saying “{labels[place]}” would give {percent(share)}"


def at_chance(test: Test) -> bool:
    """Whether the accuracy's interval reaches down to the share of the most frequent class."""
    return span(test)[0] <= largest_class(test)[1]


def warnings(network: Mapping[str, Any]) -> list[str]:
    """A warning if a network of `metrics.json` is at chance level or below it."""
    test = network.get("test")
    if not test or not test["images"] or not at_chance(test):
        return []
    place, share = largest_class(test)
    where = "Below" if span(test)[1] < share else "At"
    return [
        f"{where} chance level: {accuracy(test)} of {test['images']:,} test images right, where always saying"
        f" “{network['labels'][place]}” gets {percent(share)}."
    ]


def pairs(
    findings: "Findings", network: str, others: "Findings", other: str, *, words: tuple[str, str]
) -> str:
    """Compare two networks on the same test images, or say why that can't be done.

    Args:
        findings: of the run with the baseline `network`.
        network: the baseline.
        others: of the run with the network `other`; may be the same run.
        other: the network that is compared.
        words: for each network, what follows "right only": `("alone", "with reuse")`.
    """
    try:
        paired = findings.paired(network, others, other)
    except NotComparableError as error:
        return str(error)
    return verdict(paired, *words)


def verdict(paired: predictions.Paired, first: str, second: str) -> str:
    """Whether one of two networks is significantly better, by the images that only one of them gets right."""
    if not paired.gained + paired.lost:
        return f"Both get the same of the {paired.count:,} test images right."
    p = f"p = {paired.p:.2g}" if paired.p >= 0.001 else "p < 0.001"
    more = "more" if paired.p < _RARE else "no more"
    return (
        f"Of the same {paired.count:,} test images {paired.gained:,} are right only {second} and"
        f" {paired.lost:,} only {first}: {more} than the choice of test images makes (exact McNemar test,"
        f" {p})."
    )


def quiet(*networks: Mapping[str, Any]) -> bool:
    """Whether these networks of `metrics.json` learnt on a machine that did hardly anything else.

    False if that is not known: only Linux says it.
    """
    return all((share := network.get("others_share")) is not None and share < _QUIET for network in networks)


def meanwhile(*networks: Mapping[str, Any]) -> str:
    """A remark that follows training times; empty if the machine was quiet."""
    if quiet(*networks):
        return ""
    shares = [share for network in networks if (share := network.get("others_share")) is not None]
    if len(shares) < len(networks):
        return " (What else the machine did meanwhile is not known, so these times are not compared.)"
    return (
        f" (Other programs took up to {100 * max(shares):.0f} % of the processors' time meanwhile, so these"
        " times are upper bounds and not compared.)"
    )
