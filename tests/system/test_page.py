"""The demo page and the API's page in a real browser, with the real stack."""

import base64
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import pytest
from PIL import Image
from playwright.sync_api import BrowserContext, Page, Route, expect
from stack import Ports, Stack
from waiting import until

from keraserve_client import Client

A, B = "fashion-mnist-reuse-a-sample", "fashion-mnist-reuse-b-sample"


def shows_classes(page: Page, count: int = 5) -> None:
    expect(page.locator("#result .class")).to_have_count(count)
    expect(page.locator("#result[aria-busy]")).to_have_count(0)


@pytest.mark.shows("GET /", "a model from the", "an image picked, dropped")
def test_an_image_becomes_classes(page: Page, images: list[Path]) -> None:
    page.locator("#model").select_option(A)
    page.locator("#file").set_input_files(images[0])
    shows_classes(page)
    percents = [float(text.split()[0]) for text in page.locator("#result .class b").all_inner_texts()]
    assert percents == sorted(percents, reverse=True)
    assert 0 < sum(percents) <= 100.3
    bar = page.locator("#result progress").first
    assert float(bar.get_attribute("value") or 0) == pytest.approx(percents[0] / 100, abs=0.001)
    expect(page.locator("#facts")).to_have_text(re.compile(rf"{A}, version 1, in \d+ ms"))
    expect(page.locator("#name")).to_have_text(re.compile(rf"{images[0].name} · \d+ bytes · 28 . 28"))
    expect(page.get_by_role("note")).to_contain_text("procedural images, which mean nothing")


@pytest.mark.shows("a model from the")
def test_another_model_classifies_the_same_image(page: Page, images: list[Path]) -> None:
    page.locator("#file").set_input_files(images[0])
    page.locator("#model").select_option(B)
    shows_classes(page, 2)
    expect(page.locator("#facts")).to_contain_text(B)


@pytest.mark.shows("several images at once", "a model from the")
def test_several_images_at_once_by_a_version(page: Page, tmp_path: Path, images: list[Path]) -> None:
    wrong = tmp_path / "notes.txt"
    wrong.write_text("no image")
    page.locator("#model").select_option(A)
    page.locator("#version").select_option("version:1")
    page.locator("#file").set_input_files([*images[:3], wrong])
    expect(page.locator("#result .one-of-several")).to_have_count(4)
    expect(page.locator("#result .wrong")).to_have_text("it is text, not an image")
    expect(page.locator("#name")).to_contain_text("and 3 more")
    expect(page.locator("#curl")).to_contain_text(f"{A}/versions/1/images:classify")
    page.locator("#version").select_option("label:stable")
    expect(page.locator("#python")).to_contain_text('label="stable"')
    expect(page.locator("#result .one-of-several")).to_have_count(4)


@pytest.mark.shows("a switch lays a map")
def test_what_decided_is_laid_over_the_image(page: Page, images: list[Path]) -> None:
    page.locator("#model").select_option(A)
    page.locator("#file").set_input_files(images[0])
    shows_classes(page)
    switch = page.get_by_role("switch", name="Show what decided")
    expect(switch).to_be_hidden()  # a dense network has no map
    asked: list[str] = []

    def with_maps(route: Route) -> None:
        metadata = route.fetch().json()
        metadata["metadata"]["signature_def"]["signature_def"]["explain"] = {"inputs": {}, "outputs": {}}
        route.fulfill(json=metadata)

    def explain(route: Route) -> None:
        asked.append(parse_qs(urlparse(route.request.url).query)["class_label"][0])
        entry = {"filename": None, "label": asked[-1], "probability": 0.25, "map": [[0, 0, 1], [0, 0, 0]]}
        route.fulfill(json={"model": A, "version": 1, "explanations": [entry]})

    page.route("**/metadata", with_maps)
    page.route("**/images:explain*", explain)
    page.locator("#version").select_option("version:1")
    expect(switch).to_be_visible()
    assert asked == []
    switch.focus()
    page.keyboard.press("Space")
    classes = page.locator("#why-class option").all_inner_texts()
    expect(page.locator("#why-said")).to_have_text(
        f"{classes[0]}, 25.0 %: most speaks for it in the top right of the image."
    )
    expect(page.locator("#map")).to_be_visible()
    row = page.locator("#map").evaluate(
        """canvas => [...canvas.getContext("2d").getImageData(0, 5, canvas.width, 1).data]"""
    )
    left, right = row[:4], row[-4:]
    assert right[1] > 200 > 30 > left[1]  # yellow, violet
    page.get_by_label("Class that the map is for").select_option(classes[1])
    expect(page.locator("#why-said")).to_contain_text(f"{classes[1]}, 25.0 %")
    assert asked == classes[:2]
    page.locator("#file").set_input_files(images[:2])
    shows_classes(page, 2)
    expect(switch).to_be_hidden()
    expect(page.locator("#map")).to_be_hidden()


@pytest.mark.shows("the model's card")
def test_the_card_is_shown(page: Page) -> None:
    page.locator("#model").select_option(A)
    about = page.get_by_role("region", name="About this model")
    expect(about.get_by_role("row", name=re.compile("^labels"))).to_contain_text("t-shirt, trouser")
    expect(about.get_by_role("row", name="independent rows")).to_contain_text(re.compile("yes$"))
    page.set_viewport_size({"width": 390, "height": 800})
    for title in about.locator("th").all():  # no word is broken in two
        assert title.evaluate(
            "each => { each.style.overflowWrap = 'normal'; return each.scrollWidth <= each.clientWidth; }"
        )


@pytest.mark.shows("a model from the")
def test_a_removed_version_is_not_offered(page: Page) -> None:
    def with_removed(route: Route) -> None:
        listed = route.fetch().json()
        for model in listed["models"]:
            model["versions"].append({"version": 99, "state": "END", "error": "", "warnings": []})
        route.fulfill(json=listed)

    page.route("**/v1/models", with_removed)
    page.reload()
    expect(page.locator("#version option").last).to_have_text("1")


@pytest.mark.shows("errors that say what")
def test_a_file_that_is_no_image_is_explained(page: Page, tmp_path: Path, images: list[Path]) -> None:
    wrong = tmp_path / "notes.txt"
    wrong.write_text("no image")
    page.locator("#file").set_input_files(wrong)
    expect(page.get_by_role("alert")).to_contain_text("This file is no image that the model can read.")
    expect(page.get_by_role("alert")).to_contain_text("It is text, not an image.")
    expect(page.get_by_role("alert")).to_contain_text(re.compile(r"status 415 · request \w+"))
    page.locator("#file").set_input_files(images[0])
    shows_classes(page)


def test_a_photograph_of_an_iphone_is_explained(page: Page, tmp_path: Path) -> None:
    heic = tmp_path / "IMG_0042.HEIC"
    heic.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(500))
    page.locator("#file").set_input_files(heic)
    said = "It is a HEIC image, as iPhones store them: send a JPEG, PNG, GIF, BMP or WebP."
    expect(page.get_by_role("alert")).to_contain_text(said)
    expect(page.locator("#name")).to_contain_text("IMG_0042.HEIC")


def test_a_webp_becomes_classes(page: Page, tmp_path: Path, images: list[Path]) -> None:
    webp = tmp_path / "shoe.webp"
    Image.open(images[0]).save(webp, lossless=True)
    page.locator("#file").set_input_files(webp)
    shows_classes(page)
    expect(page.locator("#preview")).to_be_visible()


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_image_is_shown_upright(page: Page, tmp_path: Path, orientation: int) -> None:
    turn = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    upright = Image.new("RGB", (300, 400), "white")
    upright.paste("black", (0, 0, 300, 200))
    stored = upright.transpose(turn[orientation]) if orientation in turn else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "photo.jpg", exif=exif, quality=95)
    page.locator("#file").set_input_files(tmp_path / "photo.jpg")
    shows_classes(page)
    expect(page.locator("#name")).to_contain_text(re.compile("300 . 400"))
    # The page shows black above, white below.
    top, bottom = page.evaluate(
        """() => {
          const canvas = Object.assign(document.createElement("canvas"), { width: 30, height: 40 });
          const drawing = canvas.getContext("2d");
          drawing.drawImage(document.getElementById("preview"), 0, 0, 30, 40);
          const column = drawing.getImageData(15, 0, 1, 40).data;
          return [5, 35].map((y) => column[4 * y]);
        }"""
    )
    assert (top < 64, bottom > 192) == (True, True)


@pytest.mark.shows("errors that say what")
def test_a_request_can_be_sent_again_when_the_server_is_back(page: Page, images: list[Path]) -> None:
    page.context.set_offline(True)
    page.locator("#file").set_input_files(images[0])
    expect(page.get_by_role("alert")).to_contain_text("The server can't be reached. Is it still running?")
    page.context.set_offline(False)
    page.get_by_role("button", name="Try again").click()
    shows_classes(page)


@pytest.mark.shows("an image picked, dropped")
def test_an_image_is_dropped(page: Page, images: list[Path]) -> None:
    page.evaluate(
        """(encoded) => {
          const bytes = Uint8Array.from(atob(encoded), (one) => one.charCodeAt(0));
          const dropped = new DataTransfer();
          dropped.items.add(new File([bytes], "dropped.png", { type: "image/png" }));
          const place = document.getElementById("drop");
          const how = { dataTransfer: dropped, bubbles: true, cancelable: true };
          for (const type of ["dragenter", "dragover", "drop"]) place.dispatchEvent(new DragEvent(type, how));
        }""",
        base64.b64encode(images[0].read_bytes()).decode(),
    )
    shows_classes(page)
    expect(page.locator("#name")).to_contain_text("dropped.png")


@pytest.mark.shows("an image picked, dropped")
def test_an_image_is_pasted(page: Page, images: list[Path]) -> None:
    page.evaluate(
        """async (encoded) => {
          const bytes = Uint8Array.from(atob(encoded), (one) => one.charCodeAt(0));
          const blob = new Blob([bytes], { type: "image/png" });
          await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
        }""",
        base64.b64encode(images[0].read_bytes()).decode(),
    )
    page.keyboard.press("Control+V")
    shows_classes(page)


@pytest.mark.shows("an image picked, dropped")
def test_a_photo_is_taken(page: Page) -> None:
    page.get_by_role("button", name="Take a photo").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.get_by_role("button", name="Take a photo").click()
    page.get_by_role("button", name="Take the photo").click()
    expect(dialog).to_be_hidden()
    shows_classes(page)
    expect(page.locator("#name")).to_contain_text("photo.jpg")


@pytest.mark.shows("errors that say what")
def test_a_camera_that_may_not_be_used_is_explained(page: Page) -> None:
    page.context.clear_permissions()
    page.get_by_role("button", name="Take a photo").click()
    expect(page.get_by_role("alert")).to_contain_text("does not let this page use the camera")


@pytest.mark.shows("by keyboard, on a")
def test_the_page_works_by_keyboard(page: Page, images: list[Path]) -> None:
    def tab_to(place: str) -> None:
        for _ in range(12):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.id") == place:
                return
        pytest.fail(f"the Tab key does not come to {place}")

    page.on("filechooser", lambda chooser: chooser.set_files(images[0]))
    tab_to("model")
    page.keyboard.press("ArrowDown")
    tab_to("file")
    page.keyboard.press("Enter")
    shows_classes(page, 2)
    tab_to("camera")
    page.keyboard.press("Enter")
    expect(page.locator("#shoot")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#name")).to_contain_text("photo.jpg")


@pytest.mark.shows("by keyboard, on a")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone(page: Page, images: list[Path], scheme: str) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": 320, "height": 640})
    page.locator("#file").set_input_files(images[0])
    shows_classes(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(int(part) for part in re.findall(r"\d+", colour)[:3]) / 3
    assert (brightness < 64) == (scheme == "dark")


@pytest.mark.shows("the curl and Python")
def test_the_copied_lines_do_the_same(page: Page, images: list[Path]) -> None:
    page.locator("#file").set_input_files(images[0])
    shows_classes(page)
    best = page.locator("#result .class span").first.inner_text()
    page.get_by_role("button", name="Copy the curl lines").click()
    expect(page.get_by_role("button", name="Copy the curl lines")).to_have_text("Copied")
    for language, program in (("curl", ["bash", "-euc"]), ("Python", [sys.executable, "-W", "error", "-c"])):
        page.get_by_role("button", name=f"Copy the {language} lines").click()
        copied = page.evaluate("navigator.clipboard.readText()")
        done = subprocess.run(
            [*program, copied], cwd=images[0].parent, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, copied + done.stderr
        assert best in done.stdout


@pytest.fixture(scope="module")
def locked(
    stack: Stack, exported: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """The URL of a gateway with an API key, for the same model server; and the key."""
    program = str(Path(sys.executable).with_name("keraserve-gateway"))
    made = subprocess.run([program, "key", "page"], capture_output=True, text=True, check=True, timeout=60)
    keys = tmp_path_factory.mktemp("keys") / "keys.toml"
    keys.write_text(made.stdout)
    port = Ports(0, 0, 0).settled().http
    flags = [f"--model-server={stack.model_server}", f"--port={port}", "--grpc-port=0", f"--keys-file={keys}"]
    config = f"--model-config-file={exported / 'models/models.config'}"
    url = f"http://127.0.0.1:{port}"
    with (
        subprocess.Popen([program, *flags, config], stdout=subprocess.DEVNULL) as gateway,
        Client(url) as client,
    ):
        until(lambda: gateway.poll() is not None or client.ready(timeout=2), "the gateway is not ready")
        assert gateway.poll() is None, "the gateway ended"
        yield url, made.stderr.split()[-1]
        gateway.terminate()


@pytest.mark.shows("errors that say what")
def test_a_key_is_requested_and_kept_in_the_tab(
    context: BrowserContext, locked: tuple[str, str], images: list[Path]
) -> None:
    url, right = locked
    page = context.new_page()
    page.goto(url)
    field = page.get_by_label("This gateway needs an API key")
    expect(page.get_by_role("alert")).to_contain_text("This gateway needs an API key.")
    for key in ("ks_wrong", right):
        expect(field).to_be_focused()
        field.fill(key)
        page.keyboard.press("Enter")
    expect(page.locator("#model")).to_be_enabled()
    expect(field).to_be_hidden()
    page.reload()
    page.locator("#file").set_input_files(images[0])
    shows_classes(page)
    expect(page.locator("#curl")).to_contain_text("Authorization: Bearer $KERASERVE_API_KEY")
    assert right not in page.content()


@pytest.mark.shows("GET /docs")
def test_the_api_can_be_tried_out_without_another_host(page: Page, stack: Stack, images: list[Path]) -> None:
    page.goto(f"{stack.url}/docs")
    operation = page.locator("#operations-Images-classify_images")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_placeholder("model").fill(A)
    operation.locator("input[type=file]").set_input_files(images[0])
    operation.get_by_role("button", name="Execute").click()
    expect(operation.locator(".live-responses-table")).to_contain_text("probability")
