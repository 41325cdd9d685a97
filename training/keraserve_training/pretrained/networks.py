"""The pre-trained networks of `keras.applications`, with the facts that are needed to build each.

The first nine are those of the source document's list.
"""

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
        mode: how its images are scaled, before the network.
        size: pixels a side that it was trained with.
        least: the fewest pixels a side that it takes.
        cut: the layer whose output the last block takes; two, joined by `+`, where the block takes two.
        parameters: without its own classifier; of MobileNet at alpha 1.
        file: Keras' name for the weights without classifier, with `{alpha}` and `{size}` where there are
            several files.
        checksum: of that file, MD5 or SHA-256, if Keras publishes one.
        scales: in `keras.applications` it scales its own input, unless it is told not to.
    """

    name: str
    title: str
    mode: Mode
    size: int
    least: int
    cut: str
    parameters: int
    file: str
    checksum: str | None = None
    scales: bool = False

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
    Network("resnet50v2", "ResNet50V2", "tf", 224, 32, "conv4_block6_out", 23_564_800,
            f"resnet50v2{_KERNELS}", "fac2f116257151a9d068a22e544a4917"),
    Network("mobilenetv3small", "MobileNetV3Small", "tf", 224, 32, "expanded_conv_7_add", 939_120,
            "weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5",
            "d3e8ec802a04aa4fc771ee12a9a9b836", scales=True),
    Network("mobilenetv3large", "MobileNetV3Large", "tf", 224, 32, "expanded_conv_11_add", 2_996_352,
            "weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5",
            "07fb09a5933dd0c8eaafa16978110389", scales=True),
    Network("efficientnetv2b0", "EfficientNetV2B0", "torch", 224, 32, "block5e_add", 5_919_312,
            "efficientnetv2-b0_notop.h5", "893217f2bb855e2983157299931e43ff", scales=True),
    Network("efficientnetv2b1", "EfficientNetV2B1", "torch", 240, 32, "block5f_add", 6_931_124,
            "efficientnetv2-b1_notop.h5", "0e80663031ca32d657f9caa404b6ec37", scales=True),
    Network("efficientnetv2b2", "EfficientNetV2B2", "torch", 260, 32, "block5f_add", 8_769_374,
            "efficientnetv2-b2_notop.h5", "1dfe2e7a5d45b6632553a8961ea609eb", scales=True),
    Network("efficientnetv2b3", "EfficientNetV2B3", "torch", 300, 32, "block5g_add", 12_930_622,
            "efficientnetv2-b3_notop.h5", "f6abf7b5849ac99a89b50dd3fd532856", scales=True),
    Network("efficientnetv2s", "EfficientNetV2S", (1 / 128, -1.0), 384, 32, "block5i_add", 20_331_360,
            "efficientnetv2-s_notop.h5", "af0682fb74e8c54910f2d4393339c070", scales=True),
    Network("convnexttiny", "ConvNeXtTiny", "torch", 224, 32, "convnext_tiny_downsampling_block_2",
            27_820_128, "convnext_tiny_notop.h5",
            "d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1", scales=True),
)  # fmt: skip
NETWORKS: Mapping[str, Network] = MappingProxyType({network.name: network for network in _ALL})
