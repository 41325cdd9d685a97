"""The code blocks of the pages on the client and on other languages are run."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from programs import ROOT, save_images
from stack import Stack

PAGES = ("client.md", "from-tf-serving.md", "other-languages.md")
PROGRAMS = {
    "bash": ["bash", "-euo", "pipefail", "-c"],
    "python": [sys.executable, "-W", "error", "-c"],
    "js": ["node", "--input-type=module", "--no-warnings", "-e"],
}


def blocks() -> list[tuple[str, str, str]]:
    found = []
    for page in PAGES:
        text = (ROOT / "docs" / page).read_text()
        for language, block in re.findall(r"^```(\w+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            if language in PROGRAMS:
                found.append((page, language, block))
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the pages need of a checkout after `make demo`."""
    folder = tmp_path_factory.mktemp("checkout")
    save_images(folder / "runs/demo")
    (folder / ".venv").symlink_to(ROOT / ".venv")
    return folder


@pytest.mark.parametrize(("page", "language", "block"), blocks())
def test_a_block_does_what_the_page_says(
    page: str, language: str, block: str, folder: Path, stack: Stack
) -> None:
    if language == "js" and not shutil.which("node"):
        pytest.skip("no node here; on Debian: apt-get install nodejs")
    block = re.sub(r"\b(fashion-mnist-reuse-[ab])\b", r"\1-sample", block)  # those of `exported`
    block = block.replace("http://127.0.0.1:8000", stack.url).replace("127.0.0.1:8500", stack.grpc)
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "KERASERVE_URL": stack.url}
    done = subprocess.run(
        [*PROGRAMS[language], block], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, f"{page}\n{block}\n{done.stdout}{done.stderr}"
    assert re.search(r"boot|bag|shirt|sneaker|sandal|dress|coat|trouser|pullover|\(2, ", done.stdout)


def test_every_language_is_typed() -> None:
    assert {language for _, language, _ in blocks()} == set(PROGRAMS)
