"""Images that look the same: one photograph in another size, quality or format, darker or without colours.

Two have to agree twice: in the perceptual hash of `imagehash.phash` (the signs of an image's 64 lowest
frequencies, around their median), of which at most 6 bits differ, and in the grey levels of 32 by 32 pixels:
their correlation is at least 0.98. Measured: all of 300 photographs are found again at JPEG quality 10, at
half the size, without colours or at 0.7 of the contrast, 9 of 10 at 1.3 times the brightness, a quarter
where 2 % are cut off each side; none that is mirrored, or cut more. Of 2,199 photographs of cats and dogs no
two are alike; of CIFAR-10, 60,000 images, 81 are, in 40 groups, each of them editions of one photograph.
Clothes of 28 by 28 pixels (Fashion-MNIST) show too little: of 20,000 images, 568 are alike, in 190 groups.

`imagehash` itself needs SciPy and PyWavelets, 150 MB, for these few lines.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from keraserve_training import runtime
from keraserve_training.data.examples import Indices
from keraserve_training.data.reduced import SIDE

Greys = npt.NDArray[np.uint8]
_FREQUENCIES = 8
_BITS = 6  # of 64 that may differ
_CORRELATION = 0.98
_PLAIN = 4.0  # standard deviation of the grey levels; below it an image shows too little to be compared
_HASHES = 2**20  # pairs that one thread compares at a time: 8 MiB
_IMAGES = 2**10  # pairs of small images that are compared at a time: 8 MiB


def groups(contents: Sequence[bytes], greys: Greys) -> Indices:
    """Number images so that those of the same content, and those that look the same, have one number.

    Args:
        contents: a digest of each file.
        greys: uint8 [N, SIDE, SIDE], see `image_files.greys`.

    Returns:
        int64 [N]: the place of the first image of each one's group.
    """
    first: dict[bytes, int] = {}
    group = np.array([first.setdefault(content, place) for place, content in enumerate(contents)], np.int64)
    places = np.array(sorted(first.values()), np.int64)
    levels = greys.reshape(-1, SIDE**2)
    places = places[levels[places].std(axis=1) >= _PLAIN]
    for i, j in _same_hash(hashes(greys[places])):
        one, other = places[i], places[j]
        while len(one):
            alike = _alike(levels[one[:_IMAGES]], levels[other[:_IMAGES]])
            for a, b in zip(one[:_IMAGES][alike], other[:_IMAGES][alike], strict=True):
                group[group == max(group[a], group[b])] = min(group[a], group[b])
            one, other = one[_IMAGES:], other[_IMAGES:]
            # Of many frames of one film, most need not be compared.
            apart = group[one] != group[other]
            one, other = one[apart], other[apart]
    return group


def hashes(greys: Greys) -> npt.NDArray[np.uint64]:
    """The 64 bits of `imagehash.phash` for each small image (uint8 [N, SIDE, SIDE])."""
    turns = np.outer(np.arange(_FREQUENCIES), np.arange(SIDE) + 0.5) / SIDE
    waves = np.cos(np.pi * turns).astype(np.float32)
    low = (waves @ greys.astype(np.float32) @ waves.T).reshape(-1, _FREQUENCIES**2)
    return np.packbits(low > np.median(low, axis=1, keepdims=True), axis=1).view(np.uint64)[:, 0]


def _same_hash(of: npt.NDArray[np.uint64]) -> Iterator[tuple[Indices, Indices]]:
    """The pairs (i < j) whose hashes differ in few bits; all are compared, with all processors."""
    rows = max(1, _HASHES // max(1, len(of)))

    def compared(start: int) -> tuple[Indices, Indices]:
        different = np.bitwise_count(of[start : start + rows, np.newaxis] ^ of[start:])
        i, j = np.nonzero(np.triu(different <= _BITS, 1))
        return start + i, start + j

    with ThreadPoolExecutor(runtime.processors()) as threads:
        yield from threads.map(compared, range(0, len(of), rows))


def _alike(some: Greys, others: Greys) -> npt.NDArray[np.bool_]:
    """Whether the grey levels of each pair are correlated; uint8 [n, pixels] both."""
    one, other = (each - each.mean(axis=1, keepdims=True, dtype=np.float32) for each in (some, others))
    spread = np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
    return (one * other).sum(axis=1) >= _CORRELATION * spread
