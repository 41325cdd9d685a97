"""A user's own pictures: a folder that holds one folder of pictures a class; see `layout`.

Validation pictures are joined to the training pictures, since every experiment sets its own part aside. Where
there is no folder to test on, a fifth is drawn for it. Whatever is left out is said.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keraserve_training.data import layout, picture_files
from keraserve_training.data.dataset import Dataset
from keraserve_training.data.examples import Tell, draw, split
from keraserve_training.data.listing import Listing
from keraserve_training.data.picture_files import PictureFiles
from keraserve_training.data.picture_search import Refused, why_not_decoded
from keraserve_training.errors import DataUnavailableError
from keraserve_training.profiles import Profile

_TEST_SHARE = 0.2
_SEED = 0
_NAMED = 3  # of those that are left out for one reason
SMALL_SIDE = 64  # pixels; larger pictures are photographs
_LOOKED_AT = 15
_LEAST = 5  # of each class that are used whatever the profile says


def load(folder: Path, profile: Profile, tell: Tell, how: str | None = None) -> Dataset:
    """Read class folders; the training pictures come in a random order that is always the same.

    Args:
        folder: in one of the layouts of `layout`.
        profile: limits how many pictures are used, every class in its share.
        tell: is told how the folders were read, and what was left out and why.
        how: one of `layout.LAYOUTS`; None: what fits.

    Raises:
        DataUnavailableError: there is no such folder, there are fewer than two classes in it, a class has no
            pictures, or the folder can be read in two ways; says which.
    """
    root = folder.expanduser().resolve()
    found = layout.read(root, how)
    refused, train, test = found.refused, found.train, found.test
    classes = tuple(sorted(train))

    pictures = gathered(root, train, classes)
    photographs = are_photographs(pictures)
    if test:
        parts = [
            readable(_some(part, profile.limit(len(part), photographs=photographs)), refused)
            for part in (pictures, gathered(root, test, classes))
        ]
    else:
        aside = round(_TEST_SHARE * len(pictures))
        aside, rest = (
            profile.limit(count, photographs=photographs) for count in (aside, len(pictures) - aside)
        )
        pictures = readable(_some(pictures, aside + rest), refused)
        _check_counts(root, pictures, classes, 2, profile)
        parts = split(pictures, max(round(_TEST_SHARE * len(pictures)), len(classes)), _SEED)
    for part in parts:
        _check_counts(root, part, classes, 1, profile)
    _say_found(found, sum(map(len, parts)), profile, tell)
    say_refused(root, refused, tell)
    _say_doubles(root, parts, tell)
    origin = f"pictures of one's own, in the folder {root.name!r}"
    listing = Listing.of(found, [file for part in parts for file in part.files])
    return Dataset(root.name, "folder", origin, classes, shuffled(parts[0]), parts[1], listing)


def _some(pictures: PictureFiles, count: int) -> PictureFiles:
    """At most `count`, every class in its share, but a few of each class at least."""
    labels = pictures.labels
    drawn = draw(labels, min(count, len(pictures)), _SEED)
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels == label)
        left = np.setdiff1d(of_class, drawn)
        missing = max(0, _LEAST - (len(of_class) - len(left)))
        drawn = np.union1d(drawn, left[:missing])
    return pictures.select(drawn)


def gathered(root: Path, found: dict[str, list[Path]], classes: tuple[str, ...]) -> PictureFiles:
    """The files of all classes, class after class."""
    files = tuple(file for name in classes for file in found[name])
    labels = np.repeat(np.arange(len(classes)), [len(found[name]) for name in classes]).astype(np.int32)
    return PictureFiles(files, labels, root=root)


def readable(pictures: PictureFiles, refused: list[Refused]) -> PictureFiles:
    """Those that the decoder reads; the others are added to `refused`."""
    good = picture_files.decodable(pictures.files)
    bad = [pictures.files[index] for index in np.flatnonzero(~good)]
    refused += [Refused(file, why_not_decoded(file)) for file in bad]
    return pictures.select(np.flatnonzero(good)) if bad else pictures


def shuffled(pictures: PictureFiles) -> PictureFiles:
    """In a random order that is always the same, so that the first thousand are like all others."""
    return pictures.select(np.random.default_rng(_SEED).permutation(len(pictures)))


def are_photographs(pictures: PictureFiles) -> bool:
    """Whether most are larger than 64 pixels a side, judged by a few."""
    few = pictures.select(draw(pictures.labels, min(_LOOKED_AT, len(pictures)), _SEED))
    few = few.select(np.flatnonzero(picture_files.decodable(few.files)))
    sides = [max(size) for size in few.sizes(np.arange(len(few)))]
    return bool(sides) and float(np.median(sides)) > SMALL_SIDE


def say_refused(root: Path, refused: list[Refused], tell: Tell) -> None:
    """One sentence about what was left out, by reasons; none where nothing was."""
    if not refused:
        return
    by_reason: dict[str, list[str]] = {}
    for each in sorted(refused, key=lambda each: os.fsencode(each.file)):
        by_reason.setdefault(each.reason, []).append(_relative(each.file, root))
    told: list[str] = []
    for reason, names in by_reason.items():
        more = f" and {len(names) - _NAMED:,} more" if names[_NAMED:] else ""
        told.append(f"{', '.join(names[:_NAMED])}{more} ({reason})")
    count = "1 is" if len(refused) == 1 else f"{len(refused):,} are"
    tell(f"{root.name}: of the files and folders, {count} left out: {'; '.join(told)}")


def _say_found(found: layout.Layout, used: int, profile: Profile, tell: Tell) -> None:
    """How the folders were read, and how many of the pictures are used."""
    divided = "" if found.test else "; a fifth of each class is drawn to test on"
    tell(f"{found.root.name}: {'; '.join(found.said)}{divided}")
    files = {file for files in found.files.values() for file in files}
    whole = len(files.difference(each.file for each in found.refused))
    if used < whole:
        tell(f"{found.root.name}: profile {profile.name} uses {used:,} of the {whole:,} pictures")


def _say_doubles(root: Path, parts: Sequence[PictureFiles], tell: Tell) -> None:
    """Say which of the same pictures are where they make figures wrong."""
    learnt, tested = ([*zip(picture_files.digests(part.files), part.labels, strict=True)] for part in parts)
    both = len({content for content, _ in learnt} & {content for content, _ in tested})
    if both:
        tell(
            f"{root.name}: {both:,} of the pictures to test on are learnt from as well: their figures will be"
            " too good"
        )
    labels: dict[bytes, set[int]] = {}
    for content, label in learnt + tested:
        labels.setdefault(content, set()).add(int(label))
    several = sum(len(found) > 1 for found in labels.values())
    if several:
        tell(f"{root.name}: {several:,} pictures are in more than one class")


def _check_counts(
    root: Path, pictures: PictureFiles, classes: tuple[str, ...], least: int, profile: Profile
) -> None:
    counts = np.bincount(pictures.labels, minlength=len(classes))
    if counts.min() < least:
        name = classes[int(counts.argmin())]
        among = "" if profile.name == "full" else f" among those that profile {profile.name} takes"
        raise DataUnavailableError(
            f"The class {name!r} in {root} has too few pictures that can be read ({counts.min()}){among}: one"
            " is needed for training and another one for testing, and a hundred are better."
        )


def _relative(file: Path, root: Path) -> str:
    # A name that is no UTF-8 can't be printed as it is.
    return os.fsencode(file.relative_to(root)).decode(errors="replace")
