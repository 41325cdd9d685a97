"""From a Keras model to a version that is served.

| package | |
| --- | --- |
| `preprocessing` | from the bytes of an image file to pixels, inside the graph |
| `exporting` | the signatures of a version, its warm-up requests, whether its rows are independent |
| `repository` | `models/<name>/<version>/`: published whole, with `models.config`, labels and shares |
| `importing` | models that somebody else made |
"""
