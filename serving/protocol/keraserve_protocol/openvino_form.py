"""Where a version has its network in OpenVINO's form, and what the exporter and the server call its parts."""

FOLDER = "assets.extra/openvino"
NETWORK = f"{FOLDER}/network.xml"
WEIGHTS = f"{FOLDER}/network.bin"
CARD_KEY = "openvino"
"""Of the model card: `signatures` that the network is for, or why there is `none`."""
NETWORK_INPUT, NETWORK_OUTPUT = "network_input", "network_output"
"""The tensors of an image classifier's signatures between which the network lies: float32 [N, H, W, C], 0 to
255, and [N, K]. Another model's network has the inputs and outputs of its signature."""
PRECISION_KEY = "precision"
"""Of the model card: `images`, and for `float32` and `bfloat16` their `accuracy` and `images_per_second`; of
bfloat16 also the `largest_difference` of a probability."""
MOST_LOST, LEAST_IMAGES = 0.001, 100
"""bfloat16 is allowed where it loses at most this share of the images, of at least so many."""
