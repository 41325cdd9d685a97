"""Train transfer-learning experiments in Keras and export them as SavedModels that take raw images.

An experiment of `experiments/` becomes a run (`run`: one folder, resumable). `reporting` shows runs, and
`exporting` writes them to `models/<name>/<n>`, the only thing of training that serving reads.
"""
