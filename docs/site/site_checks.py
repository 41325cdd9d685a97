"""What the built pages refer to: everything is there, and nothing comes from another address."""

import re
from collections.abc import Iterable
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# What a browser loads by itself, or moves to; only a reader's click on a link may lead elsewhere.
_LOADED = {"src", "srcset", "poster", "data", "action"}
_IN_STYLES = re.compile(r"(?:url\(\s*['\"]?|@import\s+['\"])([^'\")]+)")


class _References(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.linked: list[str] = []
        self.anchors: set[str] = set()
        self._in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if not value:
                continue
            if name in _LOADED or (tag == "link" and name == "href"):
                self.loaded.append(value.split(" ")[0])
            elif name == "href":
                self.linked.append(value)
            elif name in ("id", "name"):
                self.anchors.add(value)
            elif name == "style":
                self.loaded += _IN_STYLES.findall(value)
        self._in_style = tag == "style"

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.loaded += _IN_STYLES.findall(data)


def faults(site: Path) -> list[str]:
    """Sentences on what the pages of `site` load from elsewhere, and where they lead to nothing."""
    found: list[str] = []
    for page in sorted(site.rglob("*.html")):
        references = _read(page)
        outside = [each for each in references.loaded if _outside(each)]
        found += [f"{page.relative_to(site)} loads {each}" for each in outside]
        both = dict.fromkeys([*references.loaded, *references.linked])
        found += [
            f"{page.relative_to(site)} leads to {each}, which is not there"
            for each in both
            if not _outside(each) and not each.startswith("data:") and not _there(page, each, site)
        ]
    for style in sorted(site.rglob("*.css")):
        loaded = _IN_STYLES.findall(style.read_text())
        found += [f"{style.relative_to(site)} loads {each}" for each in loaded if _outside(each)]
    return found


def undescribed(page: Path, names: Iterable[str]) -> list[str]:
    """Sentences on the public names that a page of the reference lacks."""
    described = {anchor.rsplit(".", 1)[-1] for anchor in _read(page).anchors}
    return [f"{page.name} does not describe {name}" for name in names if name not in described]


def _outside(address: str) -> bool:
    parts = urlsplit(address)
    return bool(parts.netloc) or parts.scheme not in ("", "data")


def _there(page: Path, reference: str, site: Path) -> bool:
    """Whether an address without a scheme is a file of the site, and its anchor an element there."""
    parts = urlsplit(reference)
    if parts.path.startswith("/"):  # would leave the folder that the site lies in
        return False
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page.resolve()
    if target.is_dir():
        target /= "index.html"
    if not target.is_file() or not target.is_relative_to(site.resolve()):
        return False
    fragment = unquote(parts.fragment)
    return not fragment or target.suffix != ".html" or fragment in _read(target).anchors


@cache
def _read(page: Path) -> _References:
    references = _References()
    references.feed(page.read_text())
    return references
