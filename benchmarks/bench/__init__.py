"""`make bench`: what serving a picture costs, here and with what users would take instead."""
