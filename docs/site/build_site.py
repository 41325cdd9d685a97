"""`make docs`: build the site from the documents, the code's docstrings and the results of the runs.

    python docs/site/build_site.py build/docs

The documents stay what they are in the repository; `staging.py` copies them, `experiment_pages.py` and
`reference_pages.py` add pages, Sphinx with MyST renders all of it, `site_checks.py` reads the outcome. A link
to nothing, a document in no menu, or anything that a page would load from another address is an error.
"""

import shutil
import sys
from pathlib import Path

import experiment_pages
import reference_pages
import site_checks
import staging
from sphinx.cmd.build import main as sphinx

import keraserve_client
from keraserve_training import runtime

HERE = Path(__file__).parent
# The menu. A document of `docs/` that is not named comes last in it; one that is named has to be there.
MENU = {
    "Start": ["self", "docs/your-model", "docs/own-images", "docs/backbones"],
    "Learn": [
        "docs/experiments/index",
        "docs/rules",
        "docs/exercises",
        "notebooks/index",
        "Running experiments <docs/experiments>",
        "docs/results",
        "docs/glossary",
    ],
    "Call a model": ["docs/client", "docs/from-tf-serving", "docs/other-languages"],
    "Serve": [
        "docs/serving",
        "docs/deployment",
        "docs/gateway",
        "docs/settings",
        "docs/model-server",
        "docs/performance",
        "docs/reliability",
        "docs/security",
    ],
    "Reference": [
        "docs/reference/client",
        "docs/reference/command-line",
        "docs/reference/http",
        "docs/reference/training",
    ],
    "Project": ["docs/decisions/index", "benchmarks/history", "CONTRIBUTING", "CHANGELOG", "SECURITY"],
}


def main(out: Path) -> int:
    """Build the site in `out`; the exit status."""
    stage = out.resolve().parent / "docs-stage"
    for folder in (stage, out):
        shutil.rmtree(folder, ignore_errors=True)
    runtime.prepare()  # TensorFlow, which the docstrings' modules import, is silent from here on
    staging.stage(stage)
    experiment_pages.write(stage)
    reference_pages.write(stage)
    add_menus(stage)
    options = ["-q", "-W", "--keep-going", "-b", "html", "-c", str(HERE)]
    if status := sphinx([*options, "-D", f"html_extra_path={stage / 'extra'}", str(stage), str(out)]):
        return status
    reference = out / "docs/reference/client.html"
    found = site_checks.faults(out) + site_checks.undescribed(reference, keraserve_client.__all__)
    for sentence in found[:20]:
        print(sentence, file=sys.stderr)
    print(f"{len(found)} faults" if found else out / "index.html")
    return bool(found)


def add_menus(stage: Path) -> None:
    """Add the menu to the first page, and their chapters to the pages of folders.

    Raises:
        FileNotFoundError: a document of the menu is not there.
    """
    named = {entry.split("<")[-1].rstrip(">") for entries in MENU.values() for entry in entries}
    for document in named - {"self"}:
        if not (stage / f"{document}.md").is_file():
            raise FileNotFoundError(
                f"{document}.md is in the site's menu and not there: mend docs/site/build_site.py"
            )
    others = sorted(f"docs/{page.stem}" for page in (stage / "docs").glob("*.md"))
    rest = [document for document in others if document not in named]
    menu = MENU | ({"Further": rest} if rest else {})
    with (stage / "index.md").open("a") as first:
        first.writelines(_menu(documents, caption) for caption, documents in menu.items())
    for index in ("docs/decisions/index.md", "notebooks/index.md"):
        chapters = sorted(page.stem for page in (stage / index).parent.glob("*.md") if page.stem != "index")
        with (stage / index).open("a") as page:
            page.write(_menu(chapters))


def _menu(documents: list[str], caption: str = "") -> str:
    titled = f":caption: {caption}\n" if caption else ""
    return "\n\n```{toctree}\n:hidden:\n" + titled + "\n" + "\n".join(documents) + "\n```\n"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
