"""Networks that were trained on ImageNet, and what they see in images."""
