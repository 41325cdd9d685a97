"""Build a pre-trained network as a model that takes unscaled images, and cut it in two."""

import difflib
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from keraserve_models.preprocessing.scaling import Mode, preprocess
from keraserve_training.data.examples import Tell
from keraserve_training.errors import OptionError
from keraserve_training.learning import rules
from keraserve_training.pretrained import loading, presets
from keraserve_training.pretrained.networks import NETWORKS, Network
from keraserve_training.settings import ALL

if TYPE_CHECKING:
    import keras

_JOINED = "+"


@dataclass(frozen=True)
class Layer:
    """A layer of a network, for tables: `shape` is that of one output, (h, w, c)."""

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int


@dataclass(frozen=True)
class Backbone:
    """A pre-trained network without its classifier.

    Attributes:
        network: its architecture.
        model: float32 [N, size, size, 3], 0 to 255, red, green, blue, to float32 [N, h, w, c]. Scales its
            input itself.
        size: pixels a side.
        weights: where they came from, in JSON's types: network, alpha, kind (`imagenet`, `preset`, `file` or
            `random`), file, sha256 (of the file; of a preset's arrays) and note (a remark for people, or
            empty).
    """

    network: Network
    model: "keras.Model"
    size: int
    weights: Mapping[str, Any]

    def layers(self) -> list[Layer]:
        """The network's layers, from images to features."""
        return [
            Layer(layer.name, type(layer).__name__, tuple(layer.output.shape[1:]), layer.count_params())
            for layer in self._inner.layers
        ]

    def split(
        self, cut: str | None = None, *, moments_learn: bool = False
    ) -> "tuple[keras.Model, keras.Model]":
        """Cut the network into two models that share its weights.

        Args:
            cut: the layer whose output the second part takes; None: the last block's input. The outputs of
                two layers, joined by `+`, are concatenated: in some networks one is not enough.
            moments_learn: BatchNormalization of the second part takes the moments of each batch while it
                learns, as in the network's own training; otherwise it is always in inference mode.

        Returns:
            A model from images, 0 to 255, to the output at the cut, and one from there to features.

        Raises:
            OptionError: there is no such layer, or a connection leads past it.
        """
        import keras

        cut = cut or self.network.cut
        if not cut:
            raise OptionError(f"It is not known where {self.network.title} can be cut in two: take another.")
        names = cut.split(_JOINED)
        unknown = [name for name in names if name not in {layer.name for layer in self._inner.layers}]
        if unknown:
            raise OptionError(f"{self.network.title} has no layer {unknown[0]!r} to be cut at.")
        outputs = [self._inner.get_layer(name).output for name in names]
        label = cut.replace(_JOINED, "-")
        joined = keras.layers.Concatenate(name="joined")(outputs) if len(outputs) > 1 else outputs[0]
        first = keras.Model(self._inner.inputs, joined, name=f"{self.network.name}-stem")
        stem = _on_images(first, self.network.mode, self.size, f"{self.network.name}-to-{label}")
        try:
            second = keras.Model(outputs, self._inner.outputs[0], name=f"{self.network.name}-tail")
        except ValueError as error:
            raise OptionError(
                f"{self.network.title} can't be cut at {cut!r}: other ways lead past it; cut it at"
                f" {self.network.cut!r}."
            ) from error
        inputs = keras.Input(joined.shape[1:], name="cut")
        ends = [sum(part.shape[-1] for part in outputs[: place + 1]) for place in range(len(outputs) - 1)]
        parts: Any = keras.ops.split(inputs, ends, axis=-1) if ends else inputs
        ends_in = second(parts) if moments_learn else second(parts, training=False)
        tail = keras.Model(inputs, ends_in, name=f"{self.network.name}-from-{label}")
        return stem, tail

    def before(self, name: str) -> str:
        """The layer that comes before the first one whose name is, or begins with, `name`.

        Raises:
            OptionError: there is no such layer, or none before it; names the nearest ones.
        """
        names = [layer.name for layer in self._inner.layers]
        place = next((place for place, each in enumerate(names) if each.startswith(name)), 0)
        if place:
            return names[place - 1]
        near = difflib.get_close_matches(name, names[1:], n=3, cutoff=0.3) or names[-3:]
        raise OptionError(
            f"{self.network.title} has no layer {name!r} to learn from on. Did you mean {' or '.join(near)}?"
        )

    def check_thaw(self, name: str) -> None:
        """Raise OptionError if fine-tuning can't begin at a layer of that name; `ALL` is always possible."""
        if name != ALL:
            self.before(name)

    @property
    def _inner(self) -> Any:
        """The network itself, after the layers that scale its input."""
        return self.model.get_layer(self.network.name)


def find(name: str) -> Network:
    """The network of that name; raises OptionError if there is none."""
    if presets.is_preset(name):
        return presets.find(name)
    if name not in NETWORKS:
        raise OptionError(
            f"There is no network {name!r}: take {', '.join(NETWORKS)}, or {presets.PREFIX}PRESET."
        )
    return NETWORKS[name]


def build(
    name: str,
    *,
    size: int,
    weights: Literal["imagenet", "random"] | str = "imagenet",
    alpha: float | None = None,
    seed: int = 0,
    tell: Tell = lambda _: None,
) -> Backbone:
    """Build a network with its weights.

    Args:
        name: a key of `NETWORKS`, or a preset, see `presets.find`.
        weights: `imagenet`: Keras' own, from its cache, or fetched, or those of the preset; `random`: drawn
            by `seed`; or the path of a file, see `loading.load`.
        alpha: width of MobileNet, None: 1; the others have none.
        seed: draws the random weights.
        tell: is told in a sentence what takes long.

    Raises:
        OptionError: no such network, size or alpha.
        WeightsUnavailableError: the weights can't be found or fetched, or don't fit; says what to do.
    """
    import keras

    network = find(name)
    _check(network, size, alpha, weights)
    of_preset = presets.is_preset(name)
    if of_preset and weights == "imagenet":
        found = loading.Found("preset")
    else:  # before the network is built, which can take seconds
        found = loading.find(network, size, weights, alpha or 1.0, tell)
    if found.file is None:
        keras.utils.set_random_seed(seed)
    width = {"alpha": alpha or 1.0} if network.alphas else {}
    inner: Any
    if of_preset:
        inner = presets.build(network.title, network.name, size, weights=found.kind == "preset")
    else:
        application = getattr(keras.applications, network.title)
        shape, itself = (size, size, 3), {"include_preprocessing": False} if network.scales else {}
        inner = application(include_top=False, weights=None, input_shape=shape, **width, **itself)
        inner.name = network.name  # not before: Keras finds EfficientNetV2's blocks by the name of its own
    _name(inner)
    note = loading.load(inner, found, network.title)
    inner = _steady(inner)
    if found.kind == "random":
        note = f"the pre-trained network has random weights (seed {seed}): nothing is transferred"
    record = {"network": network.name, "alpha": width.get("alpha")} | found.record() | {"note": note}
    if found.kind == "preset":
        record["sha256"] = rules.digest(inner.weights)
    return Backbone(network, _on_images(inner, network.mode, size, network.name), size, record)


def _check(network: Network, size: int, alpha: float | None, weights: str) -> None:
    if size < network.least:
        raise OptionError(f"{network.title} takes images of {network.least} pixels or more, not {size}.")
    if alpha is None:
        return
    if not network.alphas:
        raise OptionError(f"{network.title} has no alpha: only MobileNet comes in several widths.")
    if alpha <= 0 or (weights == "imagenet" and alpha not in network.alphas):
        choices = ", ".join(f"{choice:g}" for choice in network.alphas)
        raise OptionError(f"{network.title} was trained with an alpha of {choices}, not {alpha:g}.")


def _steady(model: "keras.Model") -> "keras.Model":
    """A network as it is reused: nothing in it is random in training, and it computes the same faster.

    Dropout (in EfficientNetV2: stochastic depth) would act in the `fit` of an outer model, as the
    `training=True` there overrides the network's own `training=False`. Keras lets XLA compile a convolution
    with a group for each channel (ConvNeXt's) in each call; DepthwiseConv2D is the same, and has an operation
    of its own.
    """
    import keras

    layers = keras.layers

    def is_depthwise(layer: Any) -> bool:
        return type(layer) is layers.Conv2D and 1 < layer.groups == _channels(layer)

    def copy(layer: Any) -> Any:
        config = layer.get_config()
        if isinstance(layer, layers.Dropout):
            return type(layer).from_config(config | {"rate": 0.0})
        if not is_depthwise(layer):
            return type(layer).from_config(config)
        shared = config.keys() & layers.DepthwiseConv2D(1).get_config().keys()
        multiplier = layer.filters // layer.groups
        return layers.DepthwiseConv2D(**{name: config[name] for name in shared}, depth_multiplier=multiplier)

    if not any(is_depthwise(layer) or isinstance(layer, layers.Dropout) for layer in model.layers):
        return model
    inputs = keras.Input(model.input_shape[1:], name=model.layers[0].name)
    result: Any = keras.models.clone_model(model, inputs, clone_function=copy)
    for layer in result.layers[1:]:
        weights = model.get_layer(layer.name).get_weights()
        if is_depthwise(model.get_layer(layer.name)):
            rows, columns, _, channels = weights[0].shape
            groups = model.get_layer(layer.name).groups
            weights[0] = weights[0].reshape(rows, columns, groups, channels // groups)
        layer.set_weights(weights)
    _name(result)
    return result


def _channels(layer: Any) -> int:
    """Of what a layer takes."""
    return layer.input.shape[-1]


def _on_images(inner: "keras.Model", mode: Mode, size: int, name: str) -> "keras.Model":
    """Put the scaling before a network, which is called in inference mode.

    In Keras 3.15 the `training=True` of an outer model, as in `fit`, overrides that: `rules.set_trainable`
    keeps BatchNormalization in inference mode while something learns.
    """
    import keras

    images = keras.Input((size, size, 3), name="images")
    model = keras.Model(images, inner(preprocess(mode, images), training=False), name=name)
    _name(model)
    return model


def _name(model: Any) -> None:
    """Number the layers without a name of their own as in the first model of a process.

    Keras counts them through the whole process: `add_11` would be `add_23` in the second Xception. Cuts and
    stored features need names that do not depend on what was built before.
    """
    import keras

    unnamed: dict[str, list[tuple[int, Any]]] = defaultdict(list)
    for layer in model.operations:
        if isinstance(layer, keras.Sequential):
            for inner in layer._flatten_layers(include_self=False):
                inner.name = "input_layer" if isinstance(inner, keras.layers.InputLayer) else inner.name
        kind = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=\w)(?=[A-Z][a-z])", "_", type(layer).__name__).lower()
        numbered = re.fullmatch(rf"{kind}(?:_(\d+))?", layer.name)
        if numbered:
            unnamed[kind].append((int(numbered[1] or 0), layer))
    for kind, layers in unnamed.items():
        for place, (_, layer) in enumerate(sorted(layers, key=lambda numbered: numbered[0])):
            layer.name = f"{kind}_{place}" if place else kind
