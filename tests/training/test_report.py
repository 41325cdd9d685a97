"""The HTML report: it needs no network, shows what was measured, and shows caveats."""

import html
import json
import re
from pathlib import Path

import invented_runs
import numpy as np
import pytest
from invented_runs import IMAGENET, PROCEDURAL, RANDOM, network, rows

from keraserve_training import expected_ranges, experiment
from keraserve_training.drawing import galleries
from keraserve_training.experiment import Experiment, Figure
from keraserve_training.records import run_folder
from keraserve_training.records.findings import Findings
from keraserve_training.records.run_folder import FinishedRun
from keraserve_training.reporting import report

TWO, TEN = ("cat", "dog"), tuple(f"class {number}" for number in range(10))
HUNDRED = tuple(f"thing {number}" for number in range(100))


def _page(experiments: list[Experiment], runs: Path) -> str:
    return html.unescape(report.write(experiments, runs).read_text())


def _section(page: str, name: str) -> str:
    return page.partition(f'<section id="{name}">')[2].partition("</section>")[0]


def _simple(runs: Path, of: Experiment, accuracy: float = 0.8, **more: object) -> Path:
    nets = {"head": network(rows(4, top=accuracy), TEN, accuracy=accuracy)}
    return invented_runs.write(runs, of, nets, {"test_accuracy": accuracy}, **more)  # pyright: ignore


def test_the_page_needs_no_network(runs: Path, reuse: Experiment) -> None:
    page = report.write([reuse], runs).read_text()
    assert not re.search(r"""(src|href)\s*=\s*["'](?!data:|#)""", page)
    assert "http" not in re.sub(r"data:[^\"]+", "", page)
    assert "url(" not in page
    assert "<script" not in page


def test_it_shows_what_a_real_run_measured(runs: Path, reuse: Experiment, finished: FinishedRun) -> None:
    page = _page([reuse], runs)
    assert f"{100 * finished.metrics['metrics']['test_accuracy_a']:.2f} %" in page
    assert "276,158" in page
    assert "Procedural images, made on the spot" in page
    assert "<dt>Weights</dt><dd>none</dd>" in page
    for figure in reuse.figures:
        assert figure.title in page
    for sentence in reuse.learnt(Findings(finished, runs)):
        assert sentence in page


def test_what_was_not_run_is_named_with_its_command(tmp_path: Path) -> None:
    page = _page([invented_runs.experiment("cifar100-cnn")], tmp_path / "runs")
    assert "0 of 1 experiments finished" in page
    assert "keraserve-train run cifar100-cnn" in page


def test_one_plot_one_table_and_one_place_in_the_contents_for_each_source(tmp_path: Path) -> None:
    first = [invented_runs.experiment(name, "000") for name in ("cifar100-cnn", "cifar100-autoencoder")]
    second = [invented_runs.experiment("cifar10-inceptionv3", "001")]
    for one in (*first, *second):
        _simple(tmp_path, one)
    page = _page([*first, *second], tmp_path)
    assert page.count("Accuracy and loss of every network") == 2
    assert re.findall(r'<h2 id="source-(\d+)">', page) == ["000", "001"]
    for one in (*first, *second):
        assert page.count(f'<a href="#{one.name}">') == 2  # contents and table
        assert page.count(f'<section id="{one.name}">') == 1
    assert page.count("82.46 %") == 6  # the source's figure: in the table and in the section


def test_what_is_finished_comes_first_and_own_images_have_their_own_names(tmp_path: Path) -> None:
    experiments = [invented_runs.experiment(name, "000") for name in ("cifar100-cnn", "cifar100-autoencoder")]
    own = invented_runs.experiment("own-images", "own")
    _simple(tmp_path, experiments[1], 0.6)
    for name, accuracy in (("flowers", 0.7), ("birds", 0.9)):
        given = {"data": f"/images/{name}"}
        _simple(tmp_path, own, accuracy, given=given, data=invented_runs.REAL | {"sha256": name})
    page = _page([*experiments, own], tmp_path)
    assert "1 of 2 experiments finished. Models of your own images: 2." in page
    sections = re.findall(r'<section id="([^"]+)">', page)
    assert sections == ["own-images", "own-images-2", "cifar100-autoencoder"]
    contents = page.partition("<nav")[2].partition("</nav>")[0]
    assert re.findall(r'<a href="#([^"]+)">([^<]+)</a>', contents)[1:3] in (
        [("own-images", "flowers"), ("own-images-2", "birds")],
        [("own-images", "birds"), ("own-images-2", "flowers")],
    )
    line = page.partition('<li id="cifar100-cnn">')[2].partition("</li>")[0]
    assert "<code>keraserve-train run cifar100-cnn</code>" in line


def test_all_parts_of_a_run_are_shown(tmp_path: Path) -> None:
    of = invented_runs.experiment("cifar100-vgg16-batchnorm")
    image = np.zeros((32, 32, 3), np.uint8)
    rows_of_table = [["conv1", "32 < 64"]]
    table = {"title": "Layers", "columns": ["layer", "shape"], "rows": rows_of_table, "caption": "23."}
    features = {"name": "vgg16-train", "seconds": 51.0, "images": 50_000, "bytes": 102_400_000}
    folder = invented_runs.write(
        tmp_path,
        of,
        {
            "head": network(rows(8, rises=2.0), HUNDRED, accuracy=0.3, images=10_000, best_epoch=3),
            "composed": network([], HUNDRED, accuracy=0.3, composed_of=["vgg16", "head"], difference=2e-7),
        },
        {"test_accuracy": 0.3},
        weights=IMAGENET,
        photographs=[image] * 3,
        draw=lambda folder: galleries.samples(folder / "s.png", "Samples", [image] * 9, ["x"] * 9),
        extras={
            "plots": [
                {"file": "s.png", "title": "Some samples", "caption": "Nine of them."},
                {"file": "gone.png", "title": "Not there", "caption": ""},
            ],
            "tables": [table],
            "features": [features | {"from_cache": True, "dtype": "float32"}],
        },
    )
    section = _section(_page([of], tmp_path), of.name)
    assert "The source document asks: Why is this better than (e)" in section
    assert "It gets 0.300 right." in section
    said = "vgg16-train: 50,000 images, read from the cache, where they had been made in 51.0 s, 102 MB"
    assert said in section
    assert "on the validation loss rises" in section
    assert "the weights of epoch 3 were kept" in section
    assert "vgg16 and head put together, as it is served; the two ways differ by at most 2e-07" in section
    for said in ("Some samples", "Nine of them.", "Layers", "32 < 64", "The most frequent confusions"):
        assert said in section
    assert "Not there" not in section
    assert section.count('class="photographs"') == 2  # samples and mistakes
    assert section.count('class="chart"') == 2  # curves and confusion
    assert "ImageNet (mobilenet_2_5_224_tf_no_top.h5)" in section
    assert str(folder) not in section


def test_copies_among_a_users_images_are_told_before_the_figures(tmp_path: Path) -> None:
    of = invented_runs.experiment("own-images", "001")
    told = {"copies": "8 images are copies", "doubts": ["2 of the images to test on are learnt from as well"]}
    _simple(tmp_path, of, data={**invented_runs.REAL, **told})
    page = _page([of], tmp_path)
    assert '<p class="warn">2 of the images to test on are learnt from as well.</p>' in page
    assert "50,000 training and 10,000 test images; 8 images are copies" in page


@pytest.mark.parametrize(
    ("data", "weights", "profile", "caveats"),
    [
        (PROCEDURAL, RANDOM, "sample", ["procedural images", "random weights", "profile sample"]),
        (invented_runs.REAL, RANDOM, "full", ["random weights"]),
        (invented_runs.REAL, IMAGENET, "quick", ["profile quick"]),
        (invented_runs.REAL, IMAGENET, "full", []),
    ],
)
def test_caveats_are_shown_wherever_figures_are(
    tmp_path: Path, data: dict[str, object], weights: dict[str, object], profile: str, caveats: list[str]
) -> None:
    of = invented_runs.experiment("cifar10-inceptionv3", "001")
    _simple(tmp_path, of, data=data, weights=weights, profile=profile)
    page = _page([of], tmp_path)
    for mark in ("procedural images", "random weights", "profile sample", "profile quick"):
        badge = f'<span class="badge">{mark}</span>'
        places = page.count(badge)  # contents, comparison, title, figures, networks
        assert places >= 5 if mark in caveats else places == 0, mark
    warnings = re.findall(r'<p class="warn">(\w+)', page)
    assert ("Procedural" in warnings) == ("procedural images" in caveats)
    assert ("Random" in warnings) == ("random weights" in caveats)
    assert ("Profile" in warnings) == (caveats == ["profile quick"])


def test_runs_with_options_are_compared(tmp_path: Path) -> None:
    of = invented_runs.experiment("cifar10-inceptionv3", "001")
    given = {"backbone": "mobilenet", "alpha": 0.25, "image_size": 160}
    for seed, accuracy in ((1, 0.781), (2, 0.785)):
        _simple(tmp_path, of, accuracy, seed=seed, given=given, weights=IMAGENET, finished=f"2026-01-0{seed}")
    _simple(tmp_path, of, 0.281, given=given | {"weights": "random"}, weights=RANDOM, finished="2026-01-09")
    _simple(tmp_path, of, 0.111, profile="quick", finished="2026-01-10")
    page = _page([of], tmp_path)
    section = _section(page, of.name)
    words = "mobilenet of width 0.25, 160 px"
    assert f"<strong>{words}</strong>" in section
    # The latest run of the largest profile with real weights, though others finished later
    assert re.findall(r"It gets [\d.]+ right", section) == ["It gets 0.785 right"]
    assert section.count("(shown above)") == 1
    places = [section.index(figure) for figure in ("78.50 %", "78.10 %", "28.10 %", "11.10 %")]
    assert places == sorted(places)
    comparison = page.partition("<h2 ")[2].partition("<section")[0]
    assert "2 seeds: mean 78.30 %, 95 % interval" in comparison
    assert "28.10 %" in comparison
    assert "11.10 %" not in comparison  # another profile is no comparison
    again = "run cifar10-inceptionv3 --backbone mobilenet --alpha 0.25 --image-size 160 --seed 2 --force"
    assert again in section


def test_ranges_come_from_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of = invented_runs.experiment("cifar100-cnn")
    _simple(tmp_path, of)
    monkeypatch.setattr(
        expected_ranges, "_all", lambda: {of.name: {"test_accuracy": {"low": 0.7, "high": 0.9, "runs": 5}}}
    )
    assert "70.00 % to 90.00 % (5 runs)" in _page([of], tmp_path)


def test_a_run_without_what_is_optional_is_shown(tmp_path: Path) -> None:
    of = invented_runs.experiment("cifar100-cnn")
    folder = _simple(tmp_path, of)
    metrics, config = (json.loads((folder / name).read_text()) for name in ("metrics.json", "config.json"))
    for gone in ("plots", "tables", "features"):
        del metrics[gone]
    for net in metrics["networks"].values():
        del net["best_epoch"], net["test"]["mistakes"]
    del config["options"]
    config["weights"] = "none"
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "config.json").write_text(json.dumps(config))
    assert "It gets 0.800 right." in _section(_page([of], tmp_path), of.name)


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("metrics.json", "{", "can't be read"),
        ("metrics.json", "{}", "is not whole"),
        ("config.json", '{"seed": 1}', "lacks data, profile, versions: an older version made this run"),
        ("head/history.csv", "epoch,loss\nx,y\n", "is damaged"),
    ],
)
def test_a_damaged_run_is_named_and_the_others_are_shown(
    tmp_path: Path, file: str, content: str, said: str
) -> None:
    of, other = (invented_runs.experiment(name) for name in ("cifar100-cnn", "cifar100-autoencoder"))
    folder = _simple(tmp_path, of, finished="2026-01-01")
    _simple(tmp_path, of, 0.5, seed=7, finished="2026-01-01")
    _simple(tmp_path, other, 0.6)
    (folder / file).write_text(content)
    page = _page([of, other], tmp_path)
    assert said in _section(page, of.name)
    assert "It gets 0.500 right." in _section(page, of.name)
    assert "It gets 0.600 right." in _section(page, other.name)


def test_a_comparison_with_a_damaged_run_is_replaced_by_the_reason(tmp_path: Path) -> None:
    def learnt(findings: Findings) -> list[str]:
        assert findings.of("cifar100-cnn")
        return ["never said"]

    base = invented_runs.experiment("cifar100-cnn")
    of = invented_runs.experiment("cifar100-autoencoder", learnt=learnt)
    folder = _simple(tmp_path, base)
    _simple(tmp_path, of)
    (folder / run_folder.METRICS).write_text("{")
    assert "What was learnt can't be said" in _section(_page([base, of], tmp_path), of.name)


def test_every_unit_is_written_as_people_read_it(tmp_path: Path) -> None:
    units: dict[str, tuple[experiment.Unit, float, str]] = {
        "a": ("share", 0.8246, "82.46 %"),
        "b": ("points", -0.012, "\u22121.20 points"),
        "c": ("loss", 0.0123, "0.0123"),
        "d": ("seconds", 3700.0, "1 h 1 min"),
        "e": ("bytes", 2.5e9, "2.5 GB"),
        "f": ("count", 71.0, "71"),
    }
    figures = [Figure(name, f"Figure {name}", "none", unit) for name, (unit, _, _) in units.items()]
    of = invented_runs.experiment("cats-dogs-vgg16", "003", figures=figures, learnt=lambda _: [])
    metrics = {name: value for name, (_, value, _) in units.items()}
    invented_runs.write(tmp_path, of, {"head": network(rows(3), TWO)}, metrics)
    section = _section(_page([of], tmp_path), of.name)
    for _, _, said in units.values():
        assert f">{said}</td>" in section


def test_twelve_experiments_stay_small(tmp_path: Path) -> None:
    grain = np.random.default_rng(0).integers(0, 60, (9, 200, 300, 3))
    slope = np.linspace(0, 190, 300)[None, None, :, None]
    photographs = list((slope + grain).astype(np.uint8))
    made = [invented_runs.experiment(f"experiment-{number}") for number in range(12)]

    def draw(folder: Path) -> None:
        galleries.samples(folder / "s.png", "Samples", photographs, ["x"] * 9)

    first = invented_runs.write(
        tmp_path,
        made[0],
        {"head": network(rows(4), HUNDRED, images=10_000)},
        {"test_accuracy": 0.5},
        photographs=photographs,
        draw=draw,
        extras={"plots": [{"file": "s.png", "title": f"S{number}", "caption": ""} for number in range(3)]},
    )
    for one in made[1:]:  # drawing is slow: the same files again
        (tmp_path / one.name).mkdir()
        (tmp_path / one.name / first.name).symlink_to(first)
    assert report.write(made, tmp_path).stat().st_size < 10_000_000
