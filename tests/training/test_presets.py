"""KerasHub's presets as backbones, from a folder: there is no download in tests."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from keraserve_training.errors import OptionError
from keraserve_training.learning import rules
from keraserve_training.pretrained import backbones, inference

keras_hub = pytest.importorskip("keras_hub", reason="KerasHub is not installed: make setup HUB=1")

pytestmark = pytest.mark.usefixtures("tensorflow")
SCALE, OFFSET = [0.02, 0.01, 0.03], [-1.0, 0.5, -2.0]
PIXELS = np.random.default_rng(0).uniform(0, 255, (2, 48, 48, 3)).astype(np.float32)


def saved(folder: Path, **converter: Any) -> Any:
    """A network with layers of KerasHub's own, and Dropout inside of them."""
    keras.utils.set_random_seed(1)
    backbone = keras_hub.models.EfficientNetBackbone(
        width_coefficient=0.2,
        depth_coefficient=0.2,
        stackwise_kernel_sizes=[3, 3],
        stackwise_num_repeats=[2, 2],
        stackwise_input_filters=[16, 16],
        stackwise_output_filters=[16, 16],
        stackwise_expansion_ratios=[1, 4],
        stackwise_strides=[1, 2],
        stackwise_block_types=["fused", "unfused"],
        stackwise_squeeze_and_excite_ratios=[0.25, 0.25],
        stackwise_force_input_filters=[0, 0],
        stackwise_nores_option=[False, False],
        dropout=0.2,
    )
    backbone.save_to_preset(str(folder))
    given = {"image_size": (32, 32), "scale": SCALE, "offset": OFFSET} | converter
    keras_hub.layers.EfficientNetImageConverter(**given).save_to_preset(str(folder))
    return backbone


def test_a_preset_gives_what_kerashub_gives(tmp_path: Path) -> None:
    theirs = saved(tmp_path / "eff_b9")
    built = backbones.build(f"hub:{tmp_path / 'eff_b9'}", size=48)
    features = np.asarray(theirs(PIXELS * np.float32(SCALE) + np.float32(OFFSET)))
    np.testing.assert_allclose(built.model(PIXELS), features, atol=1e-6)
    assert (built.network.name, built.network.size, built.weights["kind"]) == ("eff-b9", 32, "preset")
    assert built.weights["sha256"] == rules.digest(theirs.weights)

    built.model.save(tmp_path / "saved.keras")
    again: Any = keras.models.load_model(tmp_path / "saved.keras", compile=False)
    copy = rules.clone(built.model)
    rules.set_trainable(copy, frozen=[copy])
    alone = inference.prepared(built.model, "float32", 3)
    for each in (again(PIXELS), copy(PIXELS, training=True), alone.run(PIXELS)):
        np.testing.assert_allclose(each, features, atol=1e-5)

    other = backbones.build(f"hub:{tmp_path / 'eff_b9'}", size=48, weights="random", seed=2)
    assert "random weights (seed 2)" in other.weights["note"]
    assert rules.digest(other.model.weights) != rules.digest(theirs.weights)


def test_what_is_no_backbone_is_a_sentence(tmp_path: Path) -> None:
    saved(tmp_path / "padded", crop_to_aspect_ratio=False, pad_to_aspect_ratio=True)
    saved(tmp_path / "program")
    config = tmp_path / "program" / "config.json"
    content = json.loads(config.read_text())
    config.write_text(json.dumps(content | {"module": "somewhere", "registered_name": "their>Network"}))
    vit = keras_hub.models.ViTBackbone(
        image_shape=(32, 32, 3), patch_size=8, num_layers=1, num_heads=2, hidden_dim=16, mlp_dim=16
    )
    vit.save_to_preset(str(tmp_path / "vit"))
    keras_hub.layers.ViTImageConverter(image_size=(32, 32)).save_to_preset(str(tmp_path / "vit"))
    sentences = {
        "none": "KerasHub can't load .*none",
        "program": "holds programs, .* the custom class their>Network",
        "vit": "rows, columns and channels",
    }
    for name, sentence in sentences.items():
        with pytest.raises(OptionError, match=sentence) as caught:
            backbones.build(f"hub:{tmp_path / name}", size=32)
        assert "\n" not in str(caught.value)
    backbones.build(
        f"hub:{tmp_path / 'padded'}", size=32
    )  # a preset's resizing is not used, only its scaling
