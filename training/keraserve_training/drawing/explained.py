"""What decided on a network's mistakes: their images beside the maps of one or two networks."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keraserve_training.data.examples import Shown
from keraserve_training.drawing import galleries, page
from keraserve_training.learning.evaluation import Mistake
from keraserve_training.learning.maps import maps

if TYPE_CHECKING:
    from keraserve_training.learning.fit import Trained

_MOST = 5  # mistakes
_TITLE = "What decided on the most confident mistakes"


def prepare(
    mistakes: Sequence[Mistake], images: Shown, networks: "Mapping[str, Trained]"
) -> Callable[[Path], None] | None:
    """Compute the maps; gives what draws them, or None where there is no mistake, or a network without maps.

    Args:
        mistakes: the most confident one first.
        images: that they are of, of the size that the networks take.
        networks: by the words for them.
    """
    if not mistakes:
        return None
    order = np.array([mistake.image for mistake in mistakes[:_MOST]], np.int64)
    [(batch, _)] = images.batches(order, len(order))
    pixels = np.asarray(batch)
    explained: dict[str, list[tuple[galleries.Map, str]]] = {}
    for words, trained in networks.items():
        found = maps(trained, pixels)
        if found is None:
            return None
        explained[words] = [
            (values, f"{page.short(trained.labels[chosen])} ({galleries.percent(float(share))})")
            for values, chosen, share in zip(found.maps, found.classes, found.probabilities, strict=True)
        ]
    labels = next(iter(networks.values())).labels
    return partial(
        galleries.what_decided,
        title=_TITLE,
        images=list(np.round(pixels).astype(np.uint8)),
        names=[labels[mistake.true] for mistake in mistakes[:_MOST]],
        explained=explained,
    )
