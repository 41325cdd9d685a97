"""From a model that somebody else made to a version that is served.

| module | what it does |
| --- | --- |
| `source` | what a file or folder is, and its configuration, without running any of it |
| `trust` | what in it is a program: Lambda layers, custom classes, pickles |
| `loading` | the Keras model or SavedModel in memory |
| `findings`, `scaling` | task, image size, last layer, and how pixels are scaled |
| `trial` | the answers under each scaling, where nobody knows which is right |
| `classifier`, `tensors` | the two kinds of version that are written |
| `example` | a request, for the card of a version of tensors |
| `comparison` | the written version against the model, on the same images or tensors |
| `importer` | all of it, in order; publishes, or leaves nothing behind |
"""
