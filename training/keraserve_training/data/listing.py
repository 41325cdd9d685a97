"""The list of the images that a run learnt from, and what has changed since. Needs no TensorFlow."""

import json
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import NamedTuple

from keraserve_models import atomic
from keraserve_training.data import image_files
from keraserve_training.data.layout import Layout
from keraserve_training.errors import RunDamagedError


@dataclass(frozen=True)
class Entry:
    """One image.

    Attributes:
        part: train, validation or test; empty if the folder is not divided.
        label: its class.
        size: bytes.
        modified: time of the last change of its content, in nanoseconds.
        changed: time of the last change of content or metadata, in nanoseconds.
        sha256: of its content, in hexadecimal; empty for one that the run did not use.
    """

    part: str
    label: str
    size: int
    modified: int
    changed: int
    sha256: str

    @property
    def content(self) -> str:
        """Equal for equal contents; of an unused image, judged by size and time."""
        return self.sha256 or f"{self.size} {self.modified}"


@dataclass(frozen=True)
class Listing:
    """All images of a folder by their paths, relative to it."""

    files: Mapping[str, Entry]

    @classmethod
    def of(cls, layout: Layout, used: Collection[Path]) -> "Listing":
        """List the images of a layout, with the digests of those that are `used`.

        Raises:
            DataUnavailableError: one of them is gone meanwhile.
        """
        return cls._listed(layout, {str(path.relative_to(layout.root)) for path in used}, {})

    def of_now(self, layout: Layout) -> "Listing":
        """List the images that are there now; those with the same size and times are not read again.

        Raises:
            DataUnavailableError: an image is gone meanwhile.
        """
        there = {str(path.relative_to(layout.root)) for files in layout.files.values() for path in files}
        unused = {name for name, entry in self.files.items() if not entry.sha256}
        return self._listed(layout, there - unused, self.files)

    @classmethod
    def _listed(cls, layout: Layout, used: Collection[str], known: Mapping[str, Entry]) -> "Listing":
        entries: dict[str, Entry] = {}
        to_hash: dict[str, Path] = {}
        for (part, label), files in layout.files.items():
            for path in files:
                name = str(path.relative_to(layout.root))
                with image_files.readable(path):
                    about = path.stat()
                entry = Entry(part, label, about.st_size, about.st_mtime_ns, about.st_ctime_ns, "")
                before = known.get(name)
                if before and astuple(before)[2:5] == astuple(entry)[2:5]:  # size and times
                    entry = replace(entry, sha256=before.sha256)
                elif name in used:
                    to_hash[name] = path
                entries[name] = entry
        digests = image_files.digests(list(to_hash.values()))
        for name, digest in zip(to_hash, digests, strict=True):
            entries[name] = replace(entries[name], sha256=digest.hex())
        return cls(entries)

    def write(self, file: Path) -> None:
        """Write it to a file, which replaces the one that is there."""
        content = {name: astuple(entry) for name, entry in self.files.items()}
        # In ASCII, since names of files need not be UTF-8.
        atomic.write_text(file, json.dumps(content) + "\n")

    @classmethod
    def read(cls, file: Path) -> "Listing":
        """Read a file of `write`.

        Raises:
            RunDamagedError: it can't be read.
        """
        try:
            content = json.loads(file.read_bytes())
            return cls({name: Entry(*fields) for name, fields in content.items()})
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise RunDamagedError(
                f"{file} can't be read ({error}): run again with --force to start anew."
            ) from error


class _Image(NamedTuple):
    path: str
    part: str
    label: str
    content: str


def changes(before: Listing, now: Listing, *, names: bool = False) -> str:
    """Say what is different: "3 images more, class truck new"; empty if nothing is.

    With `names`, new names of the same files count too, since they decide the order of the images.
    """
    was, there = _by_label(before), _by_label(now)
    renamed = _renamed(was, there)
    return ", ".join(
        [
            *_counted(_images(before, renamed), _images(now, {}), names=names and not renamed),
            *(f"class {label} new" for label in sorted(there.keys() - was.keys() - set(renamed.values()))),
            *(f"class {label} gone" for label in sorted(was.keys() - there.keys() - renamed.keys())),
            *(f"class {old} is called {new} now" for old, new in sorted(renamed.items())),
        ]
    )


def _counted(gone: list[_Image], new: list[_Image], *, names: bool) -> list[str]:
    """Say how many images were added, removed, changed, moved or renamed; each counts once."""
    _, gone, new = _paired(gone, new, lambda image: image)
    named, gone, new = _paired(gone, new, lambda image: image[1:])
    moved, gone, new = _paired(gone, new, lambda image: image.content)
    replaced, gone, new = _paired(gone, new, lambda image: image.path)
    relabelled = sum(old.label != other.label for old, other in moved)
    counts = {
        "more": len(new),
        "fewer": len(gone),
        "with another content": len(replaced),
        "in another class": relabelled,
        "moved between training, validation and test": len(moved) - relabelled,
        "under another name": len(named) if names else 0,
    }
    return [
        f"{count:,} {'image' if count == 1 else 'images'} {what}" for what, count in counts.items() if count
    ]


def _paired(
    gone: Iterable[_Image], new: Iterable[_Image], key: Callable[[_Image], Hashable]
) -> tuple[list[tuple[_Image, _Image]], list[_Image], list[_Image]]:
    """Pairs with the same key, and the images of either side that have no partner."""
    partners: dict[Hashable, list[_Image]] = {}
    for image in new:
        partners.setdefault(key(image), []).append(image)
    pairs: list[tuple[_Image, _Image]] = []
    alone: list[_Image] = []
    for image in gone:
        if same := partners.get(key(image)):
            pairs.append((image, same.pop()))
        else:
            alone.append(image)
    return pairs, alone, [image for rest in partners.values() for image in rest]


def _images(listing: Listing, renamed: Mapping[str, str]) -> list[_Image]:
    return [
        _Image(path, entry.part, renamed.get(entry.label, entry.label), entry.content)
        for path, entry in listing.files.items()
    ]


def _renamed(was: Mapping[str, Counter[str]], there: Mapping[str, Counter[str]]) -> dict[str, str]:
    """Classes that have the same images under another name: the old names with the new ones."""
    renamed: dict[str, str] = {}
    for old in sorted(was.keys() - there.keys()):
        same = [new for new in there.keys() - was.keys() - set(renamed.values()) if there[new] == was[old]]
        if len(same) == 1:
            renamed[old] = same[0]
    return renamed


def _by_label(listing: Listing) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for entry in listing.files.values():
        found.setdefault(entry.label, Counter())[entry.content] += 1
    return found
