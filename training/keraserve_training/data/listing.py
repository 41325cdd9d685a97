"""Which images a folder held when a run learnt from it, and what has changed since. Needs no TensorFlow."""

import json
import os
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import NamedTuple

from keraserve_training import atomic
from keraserve_training.data import image_files
from keraserve_training.data.layout import Layout
from keraserve_training.errors import DataUnavailableError, RunDamagedError


@dataclass(frozen=True)
class Entry:
    """One image.

    Attributes:
        part: what it is for: train, validation, test; empty where the folder is not divided.
        label: its class.
        size: bytes.
        modified: time of the last change of its content, in nanoseconds.
        changed: the same of anything about the file.
        sha256: of its content, in hexadecimal; empty for one that the run left unused.
    """

    part: str
    label: str
    size: int
    modified: int
    changed: int
    sha256: str

    @property
    def content(self) -> str:
        """The same for the same content; of an unused image, as far as size and time tell."""
        return self.sha256 or f"{self.size} {self.modified}"


@dataclass(frozen=True)
class Listing:
    """All images of a folder by their paths, relative to it."""

    files: Mapping[str, Entry]

    @classmethod
    def of(cls, layout: Layout, used: Collection[Path]) -> "Listing":
        """List what was found; of what is `used`, with its digest.

        Raises:
            DataUnavailableError: one of them has gone meanwhile.
        """
        wanted = set(used)
        return _listed(layout, lambda path, _: path in wanted, {})

    def of_now(self, layout: Layout) -> "Listing":
        """List what is there now; what looks as it did is not read again.

        Raises:
            DataUnavailableError: an image has gone meanwhile.
        """
        unused = {name for name, entry in self.files.items() if not entry.sha256}
        return _listed(layout, lambda _, name: name not in unused, self.files)

    def write(self, file: Path) -> None:
        """Keep it in a file, which replaces the one that is there."""
        content = {name: astuple(entry) for name, entry in self.files.items()}
        # In ASCII, since names of files need not be UTF-8.
        atomic.write_text(file, json.dumps(content) + "\n")

    @classmethod
    def read(cls, file: Path) -> "Listing":
        """Read what `write` wrote.

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
    """Say what is different: "3 images more, class truck new"; empty where nothing is.

    Args:
        before: what was there.
        now: what is there.
        names: other names of the same files count too: the order of images follows from them.
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
    """Say of how many images what has become; each counts once."""
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
    """Pairs of the same key, and what has no partner on either side."""
    partners: dict[Hashable, list[_Image]] = {}
    for image in new:
        partners.setdefault(key(image), []).append(image)
    pairs: list[tuple[_Image, _Image]] = []
    alone: list[_Image] = []
    for image in gone:
        same = partners.get(key(image))
        if same:
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
    """Classes that have another name and the same images."""
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


def _listed(layout: Layout, hashed: Callable[[Path, str], bool], known: Mapping[str, Entry]) -> Listing:
    entries: dict[str, Entry] = {}
    to_hash: dict[str, Path] = {}
    for (part, label), files in layout.files.items():
        for path in files:
            name = str(path.relative_to(layout.root))
            about = _stat(path)
            entry = Entry(part, label, about.st_size, about.st_mtime_ns, about.st_ctime_ns, "")
            before = known.get(name)
            if before and (before.size, before.modified, before.changed) == (
                entry.size,
                entry.modified,
                entry.changed,
            ):
                entry = replace(entry, sha256=before.sha256)
            elif hashed(path, name):
                to_hash[name] = path
            entries[name] = entry
    digests = image_files.digests(list(to_hash.values()))
    for name, digest in zip(to_hash, digests, strict=True):
        entries[name] = replace(entries[name], sha256=digest.hex())
    return Listing(entries)


def _stat(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise DataUnavailableError(
            f"{path} can't be read any more ({error.strerror}): start again with the images that are there."
        ) from error
