"""Copy the documents as the site needs them, in the repository's own folders, so that their links stay true.

Two things differ: `README.md` is `index.md`, the page that a web server shows for its folder; and a link to a
file that is no document leads to a page with that file's text.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "docs", "notebooks", "benchmarks")
_IMAGES = {".png", ".svg"}
_LINK = re.compile(r"(\]\()([^)\s#]+)((?:#[^)\s]*)?\))")
_FENCE = "`" * 6
_LANGUAGES = {".py": "python", ".proto": "protobuf", ".yaml": "yaml", ".toml": "toml", ".cff": "yaml"}


def stage(folder: Path) -> None:
    """Fill `folder` with every document and the images that they show."""
    # `docs/images` once more as plain files, for documents that show an image by HTML.
    shutil.copytree(ROOT / "docs/images", folder / "extra/docs/images")
    for file in _tracked():
        place = folder / placed(file)
        place.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".md":
            place.write_text(adapted((ROOT / file).read_text(), file, folder))
        elif file.suffix in _IMAGES:
            shutil.copy(ROOT / file, place)


def placed(file: Path) -> Path:
    """Where a document is in the site's folder."""
    return file.with_name("index.md") if file.name == "README.md" else file


def adapted(text: str, document: Path, folder: Path) -> str:
    """The text of `document`, with the site's links to documents and to other files of the repository."""

    def replaced(match: re.Match[str]) -> str:
        before, target, after = match.groups()
        if re.match(r"[a-z]+:", target):
            return match[0]
        file = Path(os.path.normpath(document.parent / target))
        if file.suffix == ".md":
            there = placed(file)
        elif (ROOT / file).is_file() and file.suffix not in _IMAGES:
            there = source_page(file, folder)
        else:
            return match[0]
        return f"{before}{os.path.relpath(there, document.parent)}{after}"

    return _LINK.sub(replaced, text)


def source_page(file: Path, folder: Path) -> Path:
    """The page with the text of a file of the repository; written at the first call."""
    page = Path("source") / f"{file}.md"
    place = folder / page
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        language = _LANGUAGES.get(file.suffix, "text")
        place.write_text(
            f"---\norphan: true\nnosearch: true\n---\n\n# {file.name}\n\n`{file}`\n\n"
            f"{_FENCE}{language}\n{(ROOT / file).read_text()}{_FENCE}\n"
        )
    return page


def _tracked() -> list[Path]:
    """The documents that git knows or would know."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *DOCUMENTS],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [Path(line) for line in listed.stdout.splitlines() if (ROOT / line).is_file()]
