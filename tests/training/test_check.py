"""`keraserve check`: faults that were put into a folder are found, and nothing is in a clean one."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from drawn_folders import scene
from PIL import Image, ImageEnhance, ImageFilter

from keraserve_training.checking import check as checking
from keraserve_training.checking import page, printed
from keraserve_training.checking.check import Checked
from keraserve_training.progress import SILENT

pytestmark = pytest.mark.usefixtures("tensorflow")
SIZE = 96
Change = Callable[[Image.Image], Image.Image]

# By finding: how an image is changed, and the suffix that it gets
CHANGED: dict[str, tuple[Change, str]] = {
    "one-colour": (lambda image: Image.new("RGB", image.size, (90, 120, 40)), ".png"),
    "blurred": (lambda image: image.filter(ImageFilter.GaussianBlur(6)), ".png"),
    "dark": (lambda image: ImageEnhance.Brightness(image).enhance(0.2), ".png"),
    "overexposed": (lambda image: image.point([243 + value // 21 for value in range(256)] * 3), ".png"),
    "nearly-empty": (lambda image: _on_white(image.crop((0, 0, 25, 25)), image.size), ".png"),
    "proportions": (lambda image: image.resize((300, 100)), ".jpg"),
    "small": (lambda image: image.resize((60, 45)), ".png"),
    "odd-size": (lambda image: image.resize((24, 18)), ".png"),
    "grey": (lambda image: image.convert("L"), ".jpg"),
    "transparent": (lambda image: _shining_through(image), ".webp"),
    "turned": (lambda image: image.rotate(90, expand=True), " turned.jpg"),
}


def _on_white(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    white = Image.new("RGB", size, "white")
    white.paste(image)
    return white


def _shining_through(image: Image.Image) -> Image.Image:
    shining = image.copy()
    shining.putalpha(image.convert("L"))
    return shining


def draw(folder: Path, *names: str) -> None:
    """A PNG for each name, like `train/cat/7`: the scene of that number."""
    for name in names:
        file = folder / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        scene(int(file.stem)).save(file)


def clean(folder: Path) -> Path:
    """120 images of two classes; nothing is wrong with them."""
    for start, part in ((0, "train/cat"), (50, "train/dog"), (100, "test/cat"), (110, "test/dog")):
        draw(folder, *(f"{part}/{start + seed}" for seed in range(50 if start < 100 else 10)))
    return folder


def look(folder: Path, how: str | None = None) -> Checked:
    return checking.check(folder, how, SIZE, SILENT)


def found(checked: Checked) -> dict[str, set[tuple[str, ...]]]:
    root = checked.layout.root
    return {
        finding.key: {
            tuple(sorted(printed.relative(file, root) for file in group)) for group in finding.files
        }
        for finding in checked.findings
    }


@pytest.fixture(scope="module")
def planted(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, dict[str, set[tuple[str, ...]]]]:
    """A folder with one fault of each kind or more, and what should be found."""
    root = clean(tmp_path_factory.mktemp("planted"))
    expected: dict[str, set[tuple[str, ...]]] = {}

    def put(key: str, *names: str) -> None:
        expected.setdefault(key, set()).add(tuple(sorted(names)))

    def copied(name: str, other: str, **saved: int) -> None:
        with Image.open(root / name) as image:
            image.save(root / other, **saved)

    def linked(name: str, other: str) -> None:
        (root / other).write_bytes((root / name).read_bytes())

    for seed, (key, (change, suffix)) in enumerate(CHANGED.items(), 1000):
        name = f"train/cat/{seed}{suffix}"
        exif = Image.Exif()
        exif[0x0112] = 6
        change(scene(seed)).save(root / name, **({"exif": exif} if key == "turned" else {}))
        put(key, name)
    put("small", "train/cat/1007.png")  # the one of an odd size, too

    for key, name, other in (
        ("copies-in-test", "train/cat/1.png", "test/cat/again.png"),
        ("contradicting-labels", "train/cat/2.png", "train/dog/wrong.png"),
        ("copies", "train/dog/51.png", "train/dog/again.png"),
    ):
        linked(name, other)
        put(key, name, other)
    for key, name, other in (
        ("alike-in-test", "train/cat/3.png", "test/cat/poor.jpg"),
        ("alike-in-two-classes", "train/cat/4.png", "train/dog/poor.jpg"),
        ("alike", "train/dog/52.png", "train/dog/poorer.jpg"),
    ):
        copied(name, other, quality=40)
        put(key, name, other)

    (root / "train/cat/page.jpg").write_text("<html>404</html>")
    (root / "train/cat/empty.jpg").write_bytes(b"")
    (root / "train/cat/half.png").write_bytes((root / "train/cat/5.png").read_bytes()[:2000])
    for name in ("page.jpg", "empty.jpg", "half.png"):
        put("undecodable", f"train/cat/{name}")
    for name in ("Thumbs.db", "notes.txt"):
        (root / "train/dog" / name).write_text("Hello")
        put("ignored", f"train/dog/{name}")
    scene(2000).save(root / "train/loose.png")
    put("in-no-class", "train/loose.png")
    return root, expected


def test_every_fault_that_was_put_there_is_found_and_no_other(
    planted: tuple[Path, dict[str, set[tuple[str, ...]]]],
) -> None:
    root, expected = planted
    assert found(look(root)) == expected


def test_a_clean_folder_has_no_findings(tmp_path: Path) -> None:
    checked = look(clean(tmp_path))
    assert (checked.findings, checked.serious) == ([], False)
    assert checked.parts == {"train": {"cat": 50, "dog": 50}, "test": {"cat": 10, "dog": 10}}


def test_what_most_images_have_is_their_nature(tmp_path: Path) -> None:
    for name in ("a/1", "a/2", "b/3", "b/4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        ImageEnhance.Brightness(scene(int(name[2:]))).enhance(0.2).save(tmp_path / f"{name}.png")
    (finding,) = look(tmp_path).findings
    assert (finding.key, finding.level, finding.about) == ("dark", "note", "4 images are dark")


@pytest.mark.parametrize(
    ("names", "about"),
    [
        (["train/a/1", "train/b/2", "test/a/3"], "the class 'b' is in train only"),
        (["a/1"], "holds only one folder, 'a'"),
    ],
)
def test_faults_of_the_classes_are_serious(names: list[str], about: str, tmp_path: Path) -> None:
    draw(tmp_path, *names)
    checked = look(tmp_path)
    (finding,) = [finding for finding in checked.findings if finding.key == "classes"]
    assert checked.serious
    assert about in finding.about


def test_a_folder_without_images_is_told(tmp_path: Path) -> None:
    (finding,) = look(tmp_path).findings
    assert (finding.level, finding.about) == ("serious", f"{tmp_path} holds no folders")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    assert ["'a'" in each.about or "'b'" in each.about for each in look(tmp_path).findings] == [True, True]


def test_an_empty_class_and_an_unequal_one_are_told(tmp_path: Path) -> None:
    draw(tmp_path, *(f"many/{seed}" for seed in range(20)), "few/30", "few/31")
    (tmp_path / "none").mkdir()
    first, second = look(tmp_path).findings
    assert (first.level, "'none'" in first.about) == ("serious", True)
    assert (second.key, second.about) == (
        "imbalance",
        "the class 'many' has 10 times as many images to learn from as 'few'",
    )


def test_pages_and_records_name_the_files(
    planted: tuple[Path, dict[str, set[tuple[str, ...]]]], tmp_path: Path
) -> None:
    root, expected = planted
    checked = look(root)
    printed.write(checked, tmp_path / "found.json")
    record = json.loads((tmp_path / "found.json").read_bytes())
    assert {each["key"]: each["count"] for each in record["findings"]} == {
        key: len(files) for key, files in expected.items()
    }
    assert record["serious"]
    page.write(checked, tmp_path / "found.html")
    written = (tmp_path / "found.html").read_text()
    assert written.count("data:image/jpeg") > 20
    for files in expected.values():
        assert all(name in written for group in files for name in group)


def test_the_program_says_it_within_80_columns_and_its_status_tells_what_is_serious(
    planted: tuple[Path, dict[str, set[tuple[str, ...]]]], tmp_path: Path
) -> None:
    bad, good = planted[0], clean(tmp_path / "clean")
    for folder, status in ((bad, 1), (good, 0)):
        command = [Path(sys.executable).with_name("keraserve"), "check", folder, "--image-size", str(SIZE)]
        done = subprocess.run(
            command, capture_output=True, text=True, env=os.environ | {"COLUMNS": "80"}, check=False
        )
        assert (done.returncode, done.stderr) == (status, "")
        assert max(map(len, done.stdout.splitlines())) <= 80
    assert "120 images in" in done.stdout
    assert done.stdout.endswith(": nothing serious.\n")


def test_measures_of_images_whose_values_are_known(tmp_path: Path) -> None:
    from keraserve_training.checking.measures import measure

    halves = np.zeros((40, 60, 3), np.uint8)
    halves[:, 30:] = 255
    Image.fromarray(halves).save(tmp_path / "halves.png")
    noise = np.random.default_rng(0).integers(0, 256, (200, 100), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    first, second = measure([tmp_path / "halves.png", tmp_path / "noise.png"], lambda _: None)
    assert first is not None
    assert second is not None
    assert (first.height, first.width, first.turned, first.transparent) == (40, 60, False, False)
    assert (first.bright, first.dark, first.entropy, first.colour) == pytest.approx((1, 0, 1, 0))
    assert first.deviation == pytest.approx(127.5, abs=0.01)
    assert (second.height, second.width) == (200, 100)
    assert second.entropy == pytest.approx(8, abs=0.02)
    assert second.sharpness == pytest.approx(20, rel=0.05)  # four neighbours and four times itself
