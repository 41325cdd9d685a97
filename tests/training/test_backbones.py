"""Networks as models: their inputs, cuts, names, and weights."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keraserve_training import runtime
from keraserve_training.data import keras_download
from keraserve_training.errors import OptionError, WeightsUnavailableError
from keraserve_training.learning import rules
from keraserve_training.pretrained import backbones, inference, loading, networks

pytestmark = pytest.mark.usefixtures("tensorflow")
REAL = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser() / "models"
FILE = "mobilenet_2_5_224_tf_no_top.h5"
PIXELS = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no network."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(keras_download, "weights", lambda *_: False)
    return tmp_path / "keras" / "models"


def little(**changed: Any) -> backbones.Backbone:
    given = {"size": 32, "weights": "random", "alpha": 0.25, "seed": 1} | changed
    return backbones.build("mobilenet", **given)


def with_classifier(alpha: float = 0.25) -> Any:
    import keras

    keras.utils.set_random_seed(7)
    return keras.applications.MobileNet(input_shape=(32, 32, 3), weights=None, alpha=alpha, classes=5)


@pytest.mark.parametrize(
    "name", ["mobilenet", "vgg16", "resnet50", "mobilenetv3small", "efficientnetv2b0", "convnexttiny"]
)
def test_a_network_cut_in_two_is_the_same_network(name: str, tmp_path: Path) -> None:
    import keras

    built = backbones.build(name, size=32, weights="random", seed=1)
    features = np.asarray(built.model(PIXELS))
    stem, tail = built.split()
    for part, file in ((built.model, "model"), (stem, "stem"), (tail, "tail")):
        part.save(tmp_path / f"{file}.keras")
    whole, first, second = (
        keras.models.load_model(tmp_path / f"{file}.keras", compile=False)
        for file in ("model", "stem", "tail")
    )
    rules.set_trainable(built.model, frozen=[], thawed=[built.model])
    for model in (
        whole,
        lambda images: tail(stem(images)),
        lambda images: second(first(images)),
        lambda images: built.model(images, training=True),  # nothing is random in it, frozen or not
    ):
        np.testing.assert_array_equal(model(PIXELS), features)
    alone = inference.prepared(built.model, "float32", 3)
    np.testing.assert_allclose(alone.run(PIXELS), features, atol=1e-5 * np.abs(features).max())
    assert alone.at_once == runtime.processors()  # no operation of it is a function of its own
    assert built.model.name == name
    assert built.model.count_params() == networks.NETWORKS[name].parameters
    assert built.model.output_shape[1:] == features.shape[1:]
    assert {id(weight) for weight in [*stem.weights, *tail.weights]} == {
        id(weight) for weight in built.model.weights
    }


def test_a_cell_that_takes_two_outputs_can_be_cut() -> None:
    import keras

    inputs = keras.Input((4, 4, 3), name="here")
    left = keras.layers.Conv2D(2, 1, name="left")(inputs)
    right = keras.layers.Conv2D(3, 1, name="right")(left)
    inner = keras.Model(inputs, keras.layers.Concatenate()([left, right]), name="nasnetmobile")
    images = keras.Input((4, 4, 3))
    built = backbones.Backbone(networks.NETWORKS["nasnetmobile"], keras.Model(images, inner(images)), 4, {})
    stem, tail = built.split("left+right")
    scaled = PIXELS[:, :4, :4] / 127.5 - 1
    np.testing.assert_allclose(tail(stem(PIXELS[:, :4, :4])), inner(scaled), atol=1e-6)
    with pytest.raises(OptionError, match="other ways lead past"):
        built.split("right")
    with pytest.raises(OptionError, match="no layer 'middle'"):
        built.split("middle")


@pytest.mark.parametrize("frozen", [True, False])
def test_batch_normalization_stays_in_inference_mode_while_others_learn(frozen: bool) -> None:
    built = little()
    before = rules.digest(built.model.weights)
    stem, tail = built.split()
    features = built.model(PIXELS)
    for model in (built.model, stem, tail):
        rules.set_trainable(model, frozen=[model] * frozen, thawed=[model] * (not frozen))
    np.testing.assert_array_equal(built.model(PIXELS, training=True), features)
    np.testing.assert_array_equal(tail(stem(PIXELS, training=True), training=True), features)
    assert rules.digest(built.model.weights) == before
    assert bool(built.model.trainable_weights) != frozen


def test_names_do_not_depend_on_what_was_built_before() -> None:
    first, second = (backbones.build("xception", size=71, weights="random", seed=1) for _ in range(2))
    assert first.model.to_json() == second.model.to_json()
    assert rules.digest(first.model.weights) == rules.digest(second.model.weights)
    assert first.split()[1].count_params() == 4_755_968
    names = [layer.name for layer in first.layers()]
    assert names[0] == "input_layer"
    assert [name for name in names if name.startswith("add")] == ["add", *(f"add_{n}" for n in range(1, 12))]
    nested = [backbones.build("convnexttiny", size=32, weights="random").model.to_json() for _ in range(2)]
    assert nested[0] == nested[1]
    flipped = [backbones.build("vgg16", size=32, weights="random").model.to_json() for _ in range(2)]
    assert flipped[0] == flipped[1]


def test_layers_for_people_to_read() -> None:
    layers = little().layers()
    assert layers[0].shape == (32, 32, 3)
    assert layers[-1] == backbones.Layer("conv_pw_13_relu", "ReLU", (1, 1, 256), 0)
    assert sum(layer.parameters for layer in layers) == little().model.count_params()


def test_random_weights_are_drawn_by_the_seed_and_say_so() -> None:
    digests = {rules.digest(little(seed=seed).model.weights) for seed in (1, 1, 2)}
    assert len(digests) == 2
    record = little().weights
    assert record["kind"] == "random"
    assert "random weights (seed 1)" in record["note"]


@pytest.mark.parametrize(
    ("name", "changed", "sentence"),
    [
        ("mobilnet", {}, "mobilenet"),
        ("xception", {"size": 70}, "71"),
        ("vgg16", {"alpha": 0.5}, "several widths"),
        ("mobilenet", {"alpha": 0.3, "weights": "imagenet"}, "0.25, 0.5, 0.75, 1"),
        ("mobilenet", {"alpha": 0.0}, "not 0"),
    ],
)
def test_what_no_network_takes_is_rejected_with_one_sentence(
    name: str, changed: dict[str, Any], sentence: str
) -> None:
    given: dict[str, Any] = {"size": 32, "weights": "random"} | changed
    with pytest.raises(OptionError, match=sentence) as caught:
        backbones.build(name, **given)
    assert "\n" not in str(caught.value)


def test_every_kind_of_file_is_loaded_bit_for_bit(tmp_path: Path) -> None:
    import keras

    source = with_classifier()
    inner = little(seed=9).model.get_layer("mobilenet")
    inner.set_weights(source.get_weights()[: len(inner.weights)])
    classifying = keras.Sequential([little(seed=9).model, keras.layers.GlobalAveragePooling2D()])
    classifying.layers[0].set_weights(inner.get_weights())
    files = {
        "classifier.h5": source.save,
        "classifier.keras": source.save,
        "network.h5": inner.save,
        "network.keras": inner.save,
        "network.weights.h5": inner.save_weights,
        "inside-another.keras": classifying.save,
    }
    for name, save in files.items():
        save(tmp_path / name)
        built = little(weights=str(tmp_path / name))
        np.testing.assert_array_equal(built.model(PIXELS), little(weights=str(tmp_path / name)).model(PIXELS))
        assert rules.digest(built.model.weights) == rules.digest(inner.weights), name
        assert built.weights["kind"] == "file"
        assert built.weights["file"] == name
        assert len(built.weights["sha256"]) == 64
        assert ("not used" in built.weights["note"]) == name.startswith("classifier")


def test_a_file_of_something_else_is_rejected_with_one_sentence(tmp_path: Path) -> None:
    import keras

    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(tmp_path / "other.keras")
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save_weights(tmp_path / "other.weights.h5")
    with_classifier(0.5).save(tmp_path / "wider.h5")
    with_classifier(0.5).save_weights(tmp_path / "wider.weights.h5")
    lost = with_classifier()
    lost.weights[3].assign(lost.weights[3] * np.nan)
    lost.save(tmp_path / "lost.h5")
    (tmp_path / "text.h5").write_text("not a network")
    (tmp_path / "text.keras").write_text("not a network")
    files = [path.name for path in tmp_path.iterdir() if path.is_file()]
    assert len(files) == 7
    for file in [*files, "missing.h5"]:
        with pytest.raises(WeightsUnavailableError) as caught:
            little(weights=str(tmp_path / file))
        assert file in str(caught.value)
        assert "random" in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["mobilenetv3small", "efficientnetv2b0", "efficientnetv2s", "convnexttiny"])
def test_a_network_that_scales_itself_gives_the_same_from_its_own_file(name: str, tmp_path: Path) -> None:
    """Where Keras puts the scaling into the network, the scaling before ours is the same."""
    import keras

    keras.utils.set_random_seed(3)
    theirs: Any = getattr(keras.applications, networks.NETWORKS[name].title)(
        include_top=False, weights=None, input_shape=(32, 32, 3)
    )
    theirs.save(tmp_path / "theirs.h5")
    built = backbones.build(name, size=32, weights=str(tmp_path / "theirs.h5"))
    features = np.asarray(theirs(PIXELS))
    np.testing.assert_allclose(built.model(PIXELS), features, atol=1e-5 * np.abs(features).max())


@pytest.fixture
def cached(home: Path) -> Path:
    """Weights of MobileNet at 224 pixels where Keras has them."""
    home.mkdir(parents=True)
    with_classifier().save(home / "classifier.h5")
    return (home / "classifier.h5").rename(home / FILE)


@pytest.mark.parametrize(("size", "note"), [(224, ""), (64, "224 pixels, used on 64"), (160, "used on 160")])
def test_imagenet_weights_come_from_keras_cache(cached: Path, size: int, note: str) -> None:
    built = little(weights="imagenet", size=size)
    assert built.weights["kind"] == "imagenet"
    assert built.weights["file"] == FILE
    assert note in built.weights["note"]
    assert rules.digest(built.model.weights) == rules.digest(little(weights=str(cached)).model.weights)


def test_one_sentence_says_that_weights_can_not_be_found(home: Path) -> None:
    told: list[str] = []
    with pytest.raises(WeightsUnavailableError) as caught:
        backbones.build("vgg16", size=32, tell=told.append)
    sentence = str(caught.value)
    assert f"vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5 into {home}" in sentence
    assert all(option in sentence for option in ("--weights", "--backbone"))
    assert "\n" not in sentence
    assert len(told) == 1
    assert list(home.iterdir()) == []


def test_a_file_with_a_wrong_checksum_is_named_and_left_alone(home: Path) -> None:
    file = home / "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
    home.mkdir(parents=True)
    file.write_text("mine")
    with pytest.raises(WeightsUnavailableError, match="MD5"):
        backbones.build("vgg16", size=32)
    assert file.read_text() == "mine"


def test_what_is_fetched_is_checked_before_it_is_in_the_cache(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(application: str, size: int, width: dict[str, float], folder: Path, seconds: int) -> bool:
        assert (application, size, width) in (("VGG16", 224, {}), ("MobileNet", 160, {"alpha": 0.25}))
        if application == "MobileNet":
            with_classifier().save(folder / "made.h5")
            (folder / "made.h5").rename(folder / "mobilenet_2_5_160_tf_no_top.h5")
        else:
            (folder / networks.NETWORKS["vgg16"].file).write_text("half")
        return True

    monkeypatch.setattr(keras_download, "weights", fetch)
    with pytest.raises(WeightsUnavailableError, match="MD5"):
        backbones.build("vgg16", size=32)
    assert list(home.iterdir()) == []
    built = little(weights="imagenet", size=160)
    assert built.weights["file"] == "mobilenet_2_5_160_tf_no_top.h5"
    assert built.weights["note"].startswith("2 arrays")
    assert [path.name for path in home.iterdir()] == ["mobilenet_2_5_160_tf_no_top.h5"]


def test_keras_own_download_is_taken_from_its_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    program = (
        "import os, pathlib; folder = pathlib.Path(os.environ['KERAS_HOME'], 'models'); folder.mkdir();"
        "(folder / 'a.h5').write_text('{application} {options!r}')"
    )
    monkeypatch.setattr(
        keras_download, "_WEIGHTS", program.replace("'{app", '"{app').replace("!r}')", '!r}")')
    )
    assert keras_download.weights("VGG16", 32, {}, tmp_path, 60)
    assert (tmp_path / "a.h5").read_text().startswith("VGG16 {'input_shape': (32, 32, 3)")


@pytest.mark.skipif(not (REAL / FILE).is_file(), reason=f"needs Keras' file {FILE}")
@pytest.mark.parametrize("size", [224, 160])
def test_the_real_weights_give_what_keras_gives(home: Path, size: int) -> None:
    import keras

    home.mkdir(parents=True)
    shutil.copy(REAL / FILE, home)
    built = little(weights="imagenet", size=size)
    theirs = keras.applications.MobileNet(
        alpha=0.25, include_top=False, weights=REAL / FILE, input_shape=(size, size, 3)
    )
    images = np.random.default_rng(0).uniform(0, 255, (2, size, size, 3)).astype(np.float32)
    scaled = keras.applications.mobilenet.preprocess_input(images.copy())
    np.testing.assert_allclose(built.model(images), theirs(scaled), atol=1e-4)
    assert loading.folder() == home
    assert (f"used on {size}" in built.weights["note"]) == (size != 224)
