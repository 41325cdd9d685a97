"""The pre-trained networks of the source document's list, with the facts that are needed to build each."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from keraserve_models.preprocessing.scaling import Mode

ALPHAS = (0.25, 0.5, 0.75, 1.0)  # of MobileNet


@dataclass(frozen=True)
class Network:
    """An architecture that Keras has pre-trained weights for.

    Attributes:
        name: on the command line.
        title: its authors' name for it, and its name in `keras.applications`.
        mode: how its images are scaled.
        size: pixels a side that it was trained with.
        least: the fewest pixels a side that it takes.
        cut: the layer whose output the last block takes; two, joined by `+`, where the block takes two.
        parameters: without its own classifier; of MobileNet at alpha 1.
        file: Keras' name for the weights without classifier, with `{alpha}` and `{size}` where there are
            several files.
        md5: of that file, if Keras publishes one.
    """

    name: str
    title: str
    mode: Mode
    size: int
    least: int
    cut: str
    parameters: int
    file: str
    md5: str | None = None

    @property
    def alphas(self) -> tuple[float, ...]:
        """The widths that it was trained in; empty if there is only one."""
        return ALPHAS if "{alpha}" in self.file else ()


_KERNELS = "_weights_tf_dim_ordering_tf_kernels_notop.h5"
_ALL = (
    Network("xception", "Xception", "tf", 299, 71, "add_11", 20_861_480,
            f"xception{_KERNELS}", "b0042744bf5b25fce3cb969f33bebb97"),
    Network("vgg16", "VGG16", "caffe", 224, 32, "block4_pool", 14_714_688,
            f"vgg16{_KERNELS}", "6d6bbae143d832006294945121d1f1fc"),
    Network("vgg19", "VGG19", "caffe", 224, 32, "block4_pool", 20_024_384,
            f"vgg19{_KERNELS}", "253f8cb515780f3b799900260a226db6"),
    Network("resnet50", "ResNet50", "caffe", 224, 32, "conv4_block6_out", 23_587_712,
            f"resnet50{_KERNELS}", "4d473c1dd8becc155b73f8504c6f6626"),
    Network("inceptionv3", "InceptionV3", "tf", 299, 75, "mixed8", 21_802_784,
            f"inception_v3{_KERNELS}", "bcbd6486424b2319ff4ef7d526e38f63"),
    Network("inceptionresnetv2", "InceptionResNetV2", "tf", 299, 75, "mixed_7a", 54_336_736,
            f"inception_resnet_v2{_KERNELS}", "d19885ff4a710c122648d3b5c3b684e4"),
    Network("mobilenet", "MobileNet", "tf", 224, 32, "conv_pw_11_relu", 3_228_864,
            "mobilenet_{alpha}_{size}_tf_no_top.h5"),
    Network("densenet121", "DenseNet121", "torch", 224, 32, "pool4_pool", 7_037_504,
            f"densenet121{_KERNELS}", "30ee3e1110167f948a6b9946edeeb738"),
    # A cell of NASNet takes the outputs of the two before it.
    Network("nasnetmobile", "NASNetMobile", "tf", 224, 32, "normal_concat_9+normal_concat_10",
            4_269_716, "nasnet_mobile_no_top.h5", "1ed92395b5b598bdda52abe5c0dbfd63"),
)  # fmt: skip
NETWORKS: Mapping[str, Network] = MappingProxyType({network.name: network for network in _ALL})
