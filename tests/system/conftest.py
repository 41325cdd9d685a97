"""Fixtures of the system tests: exported models, the stack that serves them, images, container images."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from programs import COMPOSE, GIVEN_IMAGE, ROOT, save_images, train
from stack import Ports, Stack, running

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox",  # a sandbox needs a user who is not root; the only page that is opened is our own
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--use-fake-device-for-media-stream",  # a camera that shows a moving test pattern
]


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished `sample` run in `runs/`, and its models in `models/`."""
    folder = tmp_path_factory.mktemp("exported")
    train("run", "fashion-mnist-reuse", "--profile", "sample", "--runs", folder / "runs")
    train("export", "--profile", "sample", "--runs", folder / "runs", "--models", folder / "models")
    return folder


@pytest.fixture(scope="session")
def stack(exported: Path) -> Iterator[Stack]:
    """Embedded model server and gateway, as `make demo` runs them, on free ports."""
    with running(exported / "models", Ports(0, 0, 0), logs=exported / "logs") as stack:
        yield stack


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Procedural images as PNG files."""
    folder = tmp_path_factory.mktemp("images")
    save_images(folder)
    return sorted(folder.glob("*.png"))


@pytest.fixture(scope="session")
def docker_images() -> None:
    """The container images of the stack, built once, but those that were named or are public."""
    if subprocess.run(["docker", "info"], capture_output=True).returncode != 0:
        pytest.skip("no Docker engine responds")
    ours = [] if GIVEN_IMAGE else ["model-server", "prometheus"]
    build = ["--profile", "observability", "build", "gateway", *ours]
    done = subprocess.run([*COMPOSE, *build], cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no chromium here; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(permissions=["camera", "clipboard-read", "clipboard-write"])
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, stack: Stack) -> Iterator[Page]:
    """The demo page, newly loaded; it may request nothing of other hosts and print no message."""
    page = context.new_page()
    requested: list[str] = []
    messages: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.goto(stack.url)
    expect(page.locator("#model")).to_be_enabled()
    yield page
    assert not [url for url in requested if not url.startswith((stack.url, "blob:", "data:"))]
    # The exception is Chromium's own message on a 4xx response, or without a network.
    assert not [text for text in messages if not text.startswith("Failed to load resource: ")]
