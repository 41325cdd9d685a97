"""A data set of a user's own images: a folder with one folder of images for each class; see `layout`.

Validation images are joined to the training images, since every experiment sets a part of its own aside. If
no folder is for testing, a fifth of the images is drawn for it. Copies of an image, and images that look the
same (`near_copies`), stay together in what is drawn here and by experiments. The user is told what is left
out.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from keraserve_training.data import image_files, layout, near_copies
from keraserve_training.data.dataset import Dataset
from keraserve_training.data.examples import Indices, Tell, draw, split
from keraserve_training.data.image_files import ImageFiles
from keraserve_training.data.image_search import Rejected, why_not_decoded
from keraserve_training.data.listing import Listing
from keraserve_training.errors import DataUnavailableError
from keraserve_training.profiles import Profile

_TEST_SHARE = 0.2
_SEED = 0
_NAMED = 3  # files that a sentence names of those left out for one reason
SMALL_SIDE = 64  # pixels; larger images are photographs
_SAMPLED = 15  # images by whose size the others are judged
_LEAST = 5  # images of each class that every profile uses


def load(folder: Path, profile: Profile, tell: Tell, how: str | None = None) -> Dataset:
    """Read class folders; the training images are in a random order that is the same in every run.

    Args:
        folder: in one of the layouts of `layout`.
        profile: limits how many images are used, every class in its share.
        tell: is told how the folders were read, and what was left out and why.
        how: one of `layout.LAYOUTS`; None: the one that fits.

    Raises:
        DataUnavailableError: there is no such folder, there are fewer than two classes in it, a class has no
            images, or the folder can be read in two ways.
    """
    root = folder.expanduser().resolve()
    found = layout.read(root, how)
    rejected, train, test = found.rejected, found.train, found.test
    classes = tuple(sorted(train))

    images = gathered(root, train, classes)
    photographs = are_photographs(images)
    if test:
        parts = _grouped(
            *(
                readable(_some(part, profile.limit(len(part), photographs=photographs)), rejected)
                for part in (images, gathered(root, test, classes))
            )
        )
    else:
        aside = round(_TEST_SHARE * len(images))
        aside, rest = (
            profile.limit(count, photographs=photographs) for count in (aside, len(images) - aside)
        )
        images = readable(_some(images, aside + rest), rejected)
        _check_counts(root, images, classes, 2, profile)
        (images,) = _grouped(images)
        parts = split(images, max(round(_TEST_SHARE * len(images)), len(classes)), _SEED)
    copies, doubts = _kept_together(parts), _doubts(parts)
    _say_found(found, sum(map(len, parts)), profile, tell)
    say_rejected(root, rejected, tell)
    named = [f"keraserve check {root} names these images"] if doubts else []
    for sentence in (*doubts, *named, *([copies] if copies else [])):
        tell(f"{root.name}: {sentence}")
    for part in parts:
        _check_counts(root, part, classes, 1, profile)
    origin = f"images of one's own, in the folder {root.name!r}"
    listing = Listing.of(found, [file for part in parts for file in part.files])
    train, test_images = shuffled(parts[0]), parts[1]
    return Dataset(root.name, "folder", origin, classes, train, test_images, listing, copies, doubts)


def _some(images: ImageFiles, count: int) -> ImageFiles:
    """Draw at most `count`, every class in its share, but at least five of each class."""
    labels = images.labels
    drawn = draw(labels, min(count, len(images)), _SEED)
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels == label)
        left = np.setdiff1d(of_class, drawn)
        missing = max(0, _LEAST - (len(of_class) - len(left)))
        drawn = np.union1d(drawn, left[:missing])
    return images.select(drawn)


def gathered(root: Path, found: dict[str, list[Path]], classes: tuple[str, ...]) -> ImageFiles:
    """The files of all classes, class after class."""
    files = tuple(file for name in classes for file in found[name])
    labels = np.repeat(np.arange(len(classes)), [len(found[name]) for name in classes]).astype(np.int32)
    return ImageFiles(files, labels, root=root)


def readable(images: ImageFiles, rejected: list[Rejected]) -> ImageFiles:
    """Those that can be decoded; the others are added to `rejected`."""
    good = image_files.decodable(images.files)
    bad = [images.files[index] for index in np.flatnonzero(~good)]
    rejected += [Rejected(file, why_not_decoded(file)) for file in bad]
    return images.select(np.flatnonzero(good)) if bad else images


def shuffled(images: ImageFiles) -> ImageFiles:
    """In a random order that is the same in every run, so that the first thousand are like all others."""
    return images.select(np.random.default_rng(_SEED).permutation(len(images)))


def are_photographs(images: ImageFiles) -> bool:
    """Whether most are larger than 64 pixels a side, judged by a few."""
    few = images.select(draw(images.labels, min(_SAMPLED, len(images)), _SEED))
    few = few.select(np.flatnonzero(image_files.decodable(few.files)))
    sides = [max(size) for size in few.sizes(np.arange(len(few)))]
    return bool(sides) and float(np.median(sides)) > SMALL_SIDE


def say_rejected(root: Path, rejected: list[Rejected], tell: Tell) -> None:
    """Tell in one sentence what was left out, by reasons."""
    if not rejected:
        return
    by_reason: dict[str, list[str]] = {}
    for each in sorted(rejected, key=lambda each: os.fsencode(each.file)):
        by_reason.setdefault(each.reason, []).append(_relative(each.file, root))
    told: list[str] = []
    for reason, names in by_reason.items():
        more = f" and {len(names) - _NAMED:,} more" if names[_NAMED:] else ""
        told.append(f"{', '.join(names[:_NAMED])}{more} ({reason})")
    count = "1 is" if len(rejected) == 1 else f"{len(rejected):,} are"
    tell(f"{root.name}: of the files and folders, {count} left out: {'; '.join(told)}")


def _say_found(found: layout.Layout, used: int, profile: Profile, tell: Tell) -> None:
    """Tell how the folders were read, and how many of the images are used."""
    divided = "" if found.test else "; a fifth of each class is drawn to test on"
    tell(f"{found.root.name}: {'; '.join(found.said)}{divided}")
    files = {file for files in found.files.values() for file in files}
    whole = len(files.difference(each.file for each in found.rejected))
    if used < whole:
        tell(f"{found.root.name}: profile {profile.name} uses {used:,} of the {whole:,} images")


def _grouped(*parts: ImageFiles) -> list[ImageFiles]:
    """The same, with copies and images that look the same as groups, also from part to part."""
    files = [file for part in parts for file in part.files]
    groups = near_copies.groups(image_files.digests(files), image_files.greys(files))
    ends = np.cumsum([len(part) for part in parts])[:-1]
    return [replace(part, groups=own) for part, own in zip(parts, np.split(groups, ends), strict=True)]


def _kept_together(parts: Sequence[ImageFiles]) -> str:
    """A sentence about the groups that no division takes apart; empty if there are none."""
    _, counts = np.unique(np.concatenate([_groups(part) for part in parts]), return_counts=True)
    several = counts[counts > 1]
    if not len(several):
        return ""
    groups = "1 group" if len(several) == 1 else f"{len(several):,} groups"
    return (
        f"{several.sum():,} images are copies of one another or look the same ({groups}): where Keraserve"
        " sets images aside to validate or to test on, each group stays together"
    )


def _doubts(parts: Sequence[ImageFiles]) -> tuple[str, ...]:
    """Sentences about images that are both learnt from and tested on, or in several classes."""
    learnt, tested = ([*zip(image_files.digests(part.files), part.labels, strict=True)] for part in parts)
    found: list[str] = []
    known = {content for content, _ in learnt}
    both = len({content for content, _ in tested} & known)
    if both:
        are = f"{both:,} of the images to test on {_is(both)} learnt from as well"
        found.append(f"{are}: their figures will be too good")
    shared = np.isin(_groups(parts[1]), _groups(parts[0]))
    alike = sum(tested[place][0] not in known for place in np.flatnonzero(shared))
    if alike:
        look = f"{alike:,} of the images to test on look{'s' * (alike == 1)} like some that are learnt from"
        found.append(f"{look}: their figures may be too good")
    labels: dict[bytes, set[int]] = {}
    for content, label in learnt + tested:
        labels.setdefault(content, set()).add(int(label))
    several = sum(len(found) > 1 for found in labels.values())
    if several:
        found.append(f"{several:,} image{'s' * (several > 1)} {_is(several)} in more than one class")
    return tuple(found)


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def _groups(part: ImageFiles) -> Indices:
    return part.groups if part.groups is not None else np.zeros(0, np.int64)


def _check_counts(
    root: Path, images: ImageFiles, classes: tuple[str, ...], least: int, profile: Profile
) -> None:
    counts = np.bincount(images.labels, minlength=len(classes))
    if counts.min() < least:
        name = classes[int(counts.argmin())]
        among = "" if profile.name == "full" else f" among those that profile {profile.name} takes"
        raise DataUnavailableError(
            f"The class {name!r} in {root} has too few images that can be read ({counts.min()}){among}: one"
            " is needed for training and another one for testing, and a hundred are better."
        )


def _relative(file: Path, root: Path) -> str:
    # A name that is no UTF-8 can't be printed as it is.
    return os.fsencode(file.relative_to(root)).decode(errors="replace")
