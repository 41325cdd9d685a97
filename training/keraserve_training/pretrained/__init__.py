"""Networks that were trained on ImageNet, and the features that they compute of images."""
