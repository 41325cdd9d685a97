"""Images that look the same: one photograph in another size, quality or format, darker or without colours.

Two have to agree twice: in the perceptual hash of `imagehash.phash` (the signs of an image's 64 lowest
frequencies, around their median), of which at most 6 bits differ, and in the grey levels of 32 by 32 pixels:
their correlation is at least 0.98. Measured: all of 300 photographs are found again at JPEG quality 10, at
half the size, without colours or at 0.7 of the contrast, 9 of 10 at 1.3 times the brightness, a quarter
where 2 % are cut off each side; none that is mirrored, or cut more. Of 2,199 photographs of cats and dogs no
two are alike; of CIFAR-10, 60,000 images, 42 pairs are, each of them two editions of one photograph. Clothes
of 28 by 28 pixels (Fashion-MNIST) show too little: of 20,000 images, 434 pairs are alike.

`imagehash` itself needs SciPy and PyWavelets, 150 MB, for these few lines.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from keraserve_training import runtime
from keraserve_training.data.examples import Indices
from keraserve_training.data.reduced import SIDE

Pair = tuple[int, int]
_FREQUENCIES = 8
_BITS = 6  # of 64 that may differ
_CORRELATION = 0.98
_PLAIN = 4.0  # standard deviation of the grey levels; below it an image shows too little to be compared
_AT_ONCE = 2**20  # pairs of hashes compared at a time by one thread: 8 MiB


def pairs(greys: npt.NDArray[np.uint8]) -> list[Pair]:
    """Which of the small images (uint8 [N, SIDE, SIDE], see `image_files.greys`) look the same; i < j."""
    levels = greys.reshape(-1, SIDE**2)
    shown = np.flatnonzero(levels.std(axis=1) >= _PLAIN)
    found = [(int(shown[i]), int(shown[j])) for i, j in _same_hash(hashes(greys[shown]))]
    return [pair for pair in found if _correlation(levels[pair[0]], levels[pair[1]]) >= _CORRELATION]


def groups(contents: Sequence[bytes], greys: npt.NDArray[np.uint8]) -> Indices:
    """Number images so that those of the same content, and those that look the same, have one number.

    Args:
        contents: a digest of each file.
        greys: as for `pairs`.

    Returns:
        int64 [N]: the place of the first image of each one's group.
    """
    first: dict[bytes, int] = {}
    leader = [first.setdefault(content, place) for place, content in enumerate(contents)]

    def leading(place: int) -> int:
        while leader[place] != place:
            place = leader[place]
        return place

    kept = sorted(first.values())
    for i, j in pairs(greys[kept]):
        one, other = sorted((leading(kept[i]), leading(kept[j])))
        leader[other] = one
    return np.array([leading(place) for place in range(len(leader))], np.int64)


def hashes(greys: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """The 64 bits of `imagehash.phash` for each small image (uint8 [N, SIDE, SIDE])."""
    turns = np.outer(np.arange(_FREQUENCIES), np.arange(SIDE) + 0.5) / SIDE
    waves = np.cos(np.pi * turns).astype(np.float32)
    low = (waves @ greys.astype(np.float32) @ waves.T).reshape(-1, _FREQUENCIES**2)
    return np.packbits(low > np.median(low, axis=1, keepdims=True), axis=1).view(np.uint64)[:, 0]


def _same_hash(of: npt.NDArray[np.uint64]) -> Iterator[Pair]:
    """The pairs whose hashes differ in few bits; all are compared, with all processors."""
    rows = max(1, _AT_ONCE // max(1, len(of)))

    def compared(start: int) -> list[Pair]:
        different = np.bitwise_count(of[start : start + rows, np.newaxis] ^ of[start:])
        i, j = np.nonzero(different <= _BITS)
        return [(start + int(a), start + int(b)) for a, b in zip(i[j > i], j[j > i], strict=True)]

    with ThreadPoolExecutor(runtime.processors()) as threads:
        for found in threads.map(compared, range(0, len(of), rows)):
            yield from found


def _correlation(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> float:
    return float(np.corrcoef(one, other)[0, 1])
