"""The demo page and the API's page in a real browser, in front of the real stack."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright
from stack import Stack

CHROMIUM = shutil.which("chromium")
A, B = "fashion-mnist-reuse-a", "fashion-mnist-reuse-b"


@pytest.fixture(scope="module")
def browser_page() -> Iterator[Page]:
    if CHROMIUM is None:
        pytest.skip("no chromium here; on Debian: apt-get install chromium")
    # A sandbox needs a user who is not root; the only page that it opens is our own.
    quiet = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=quiet)
        yield browser.new_page()
        browser.close()


@pytest.fixture
def page(browser_page: Page, stack: Stack) -> Iterator[Page]:
    """The demo page, fresh; fails the test when it asked another host for anything or complained."""
    asked: list[str] = []
    complaints: list[str] = []
    browser_page.on("request", lambda request: asked.append(request.url))
    browser_page.on("console", lambda message: complaints.append(message.text))
    browser_page.goto(stack.url)
    expect(browser_page.locator("#model")).to_be_enabled()
    yield browser_page
    strangers = [url for url in asked if not url.startswith((stack.url, "blob:", "data:"))]
    refused = "Failed to load resource: the server responded with a status of 4"
    assert not strangers
    assert not [text for text in complaints if not text.startswith(refused)]


def test_a_picture_becomes_classes(page: Page, pictures: list[Path]) -> None:
    page.locator("#model").select_option(A)
    page.locator("#file").set_input_files(pictures[0])
    expect(page.locator("#result .class")).to_have_count(5)
    percents = [float(text.split()[0]) for text in page.locator("#result .class b").all_inner_texts()]
    assert percents == sorted(percents, reverse=True)
    assert 0 < sum(percents) <= 100.3
    expect(page.locator("#facts")).to_contain_text(f"{A}, version 1")


def test_another_model_answers_for_the_same_picture(page: Page, pictures: list[Path]) -> None:
    page.locator("#file").set_input_files(pictures[0])
    page.locator("#model").select_option(B)
    expect(page.locator("#result .class")).to_have_count(2)
    expect(page.locator("#facts")).to_contain_text(B)


def test_a_file_that_is_no_picture_is_explained(page: Page, tmp_path: Path) -> None:
    wrong = tmp_path / "notes.txt"
    wrong.write_text("no picture")
    page.locator("#file").set_input_files(wrong)
    expect(page.get_by_role("alert")).to_contain_text("status 415")


def test_the_api_is_described_without_another_host(page: Page, stack: Stack) -> None:
    page.goto(f"{stack.url}/docs")
    expect(page.get_by_text("images:classify").first).to_be_visible()
