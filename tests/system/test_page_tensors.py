"""The page for models that take no images, in a real browser: forms, tables, and models that failed."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, expect
from stack import Ports
from waiting import until

from keraserve_client import Client
from keraserve_protocol import messages as m
from keraserve_protocol import model_config


@pytest.fixture(scope="module")
def tensors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The URL of a gateway with models that take no images, and the folder of their models.config."""
    folder = tmp_path_factory.mktemp("tensors")
    program = Path(__file__).parents[1] / "documented_models.py"
    subprocess.run([sys.executable, str(program), str(folder)], check=True, capture_output=True, timeout=300)
    (folder / "broken/1").mkdir(parents=True)
    (folder / "broken/1/saved_model.pb").write_bytes(b"x")
    write_config(folder, "half_plus_two", "every_type")
    port = Ports(0, 0, 0).settled().http
    flags = ["--model-server=in-process", f"--port={port}", "--grpc-port=0"]
    command = [str(Path(sys.executable).with_name("keraserve-gateway")), *flags]
    command.append(f"--model-config-file={folder / 'models.config'}")
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as gateway, Client(url) as client:
        until(lambda: gateway.poll() is not None or client.ready(timeout=2), "the gateway is not ready")
        assert gateway.poll() is None, "the gateway ended"
        yield url, folder
        gateway.terminate()


def write_config(folder: Path, *names: str) -> None:
    config = m.ModelServerConfig()
    for name in names:
        config.model_config_list.config.add(
            name=name, base_path=str(folder / name), model_platform="tensorflow"
        )
    (folder / "models.config").write_text(model_config.render(config))


@pytest.mark.shows("other inputs than images")
def test_numbers_are_a_form_and_outputs_a_table(context: BrowserContext, tensors: tuple[str, Path]) -> None:
    page = context.new_page()
    page.goto(tensors[0])
    page.locator("#model").select_option("half_plus_two")
    page.get_by_label("x float32").fill("7")
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_role("table").first).to_contain_text("5.5")
    for language, program in (("curl", ["bash", "-euc"]), ("Python", [sys.executable, "-W", "error", "-c"])):
        copied = page.locator(f"#{language.lower()}").inner_text()
        done = subprocess.run([*program, copied], capture_output=True, text=True, timeout=60)
        assert "5.5" in done.stdout, copied + done.stderr
    page.get_by_label("x float32").fill("seven")
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_role("alert")).to_contain_text("x is no float32")


@pytest.mark.shows("other inputs than images")
def test_every_digit_of_a_number_is_kept(context: BrowserContext, tensors: tuple[str, Path]) -> None:
    page = context.new_page()
    page.goto(tensors[0])
    page.locator("#model").select_option("every_type")
    for name, value in (("int64", str(2**62 + 1)), ("string", '"<b>ü"'), ("bool", "true")):
        page.locator("#signature").select_option(name)
        page.get_by_label(f"{name}_in").fill(f"[[{value}]]")
        page.get_by_role("button", name="Run").click()
        expect(page.locator("#result table")).to_contain_text(value)


@pytest.mark.shows("other inputs than images")
def test_what_is_no_number_is_shown(context: BrowserContext, tensors: tuple[str, Path]) -> None:
    page = context.new_page()
    body = '{"outputs": [NaN, Infinity, -Infinity]}'
    page.route("**/*:predict", lambda route: route.fulfill(body=body, content_type="application/json"))
    page.goto(tensors[0])
    page.locator("#model").select_option("half_plus_two")
    page.get_by_role("button", name="Run").click()
    for text in ("NaN", "Infinity", "-Infinity"):
        expect(page.get_by_role("cell", name=text, exact=True)).to_be_visible()


WORDS = """
import keras
words = keras.layers.TextVectorization(vocabulary=["a", "fox"], output_sequence_length=3)
text, size = keras.Input((1,), dtype="string", name="text"), keras.Input((2,), name="size")
values = keras.layers.Concatenate()([keras.ops.cast(words(text), "float32"), size])
keras.Model([text, size], keras.layers.Dense(1)(values)).save("words.keras")
"""


@pytest.mark.shows("other inputs than images")
def test_the_form_is_filled_with_the_example_of_the_card(
    context: BrowserContext, tensors: tuple[str, Path]
) -> None:
    url, folder = tensors
    program = str(Path(sys.executable).with_name("keraserve"))
    for command in ([sys.executable, "-c", WORDS], [program, "import", "words.keras", "--models", "."]):
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=300)
    write_config(folder, "half_plus_two", "every_type", "words")
    example = json.loads((folder / "words/1/assets/model_card.json").read_text())["example"]["inputs"]
    page = context.new_page()
    page.goto(url)
    expect(page.locator("#model option", has_text=re.compile("^words$"))).to_be_attached(timeout=60_000)
    page.locator("#model").select_option("words")
    expect(page.get_by_label("text string")).to_have_value(example["text"][0][0])
    size = json.dumps(example["size"])
    expect(page.get_by_label("size float32")).to_have_value(size)
    expect(page.locator("#curl")).to_contain_text(size)
    expect(page.locator("#card")).to_contain_text("words.keras")
    expect(page.locator("#card")).not_to_contain_text("example")
    page.get_by_role("button", name="Run").click()
    expect(page.locator("#result table")).to_contain_text(re.compile(r"\d\.\d"))


@pytest.mark.shows("a model that failed")
def test_a_failed_model_says_why(context: BrowserContext, tensors: tuple[str, Path]) -> None:
    url, folder = tensors
    write_config(folder, "half_plus_two", "every_type", "broken")
    page = context.new_page()
    page.goto(url)
    expect(page.get_by_text("broken (failed)")).to_be_attached(timeout=30_000)
    page.locator("#model").select_option("broken")
    expect(page.get_by_role("alert")).to_contain_text("Error parsing message")
    expect(page.get_by_role("button", name="Run")).to_be_hidden()
