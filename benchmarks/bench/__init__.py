"""`make bench`: what serving an image costs, here and with what users would take instead."""
