"""Train transfer-learning experiments in Keras and export them as SavedModels that take raw images.

The way through: `experiments/` (what) → `run` (one folder per run, resumable) → `report` (what was learnt)
and `export` (`models/<name>/<n>`, which is all that serving ever sees of training).
"""
