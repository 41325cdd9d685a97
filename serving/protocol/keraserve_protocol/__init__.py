"""TensorFlow Serving's messages, calls and codecs without TensorFlow.

| module | what |
|---|---|
| `messages` | the protobuf messages, byte-compatible with `tensorflow-serving-api`'s |
| `services` | the calls: method paths, client stubs, server handlers |
| `elements` | what a `TensorProto` is made of |
| `tensors` | numpy arrays to and from `TensorProto`; the one module that needs numpy |
| `rest`, `json_tensors` | the JSON of TensorFlow Serving's REST API to and from the messages |
| `open_inference`, `…_responses`, `…_tensors` | the Open Inference Protocol v2 to and from the messages |
| `image_formats`, `image_files` | the formats of images that are taken; what a file says of its size |
| `memory_limit` | how much memory this process may have |
| `model_config` | `models.config`, the text form of `ModelServerConfig` |
| `quiet_import` | contexts for the import of TensorFlow |

Nothing in here does I/O on a network; only `model_config.read` and `memory_limit` open files.
"""
