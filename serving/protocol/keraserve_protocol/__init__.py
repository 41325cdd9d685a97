"""TensorFlow Serving's messages, calls and codecs without TensorFlow, and what several packages share.

| module | what |
|---|---|
| `messages` | the protobuf messages, byte-compatible with `tensorflow-serving-api`'s |
| `services` | the calls: method paths, client stubs, server handlers |
| `elements` | the element types, shape and elements of a `TensorProto` |
| `tensors` | numpy arrays to and from `TensorProto`; the one module that needs numpy |
| `rest`, `json_tensors` | the JSON of TensorFlow Serving's REST API to and from the messages |
| `open_inference`, `…_responses`, `…_tensors` | the Open Inference Protocol v2 to and from the messages |
| `image_formats`, `image_files` | the image formats that are accepted; size and structure of image files |
| `http_parser`, `grpc_connections` | strict HTTP requests; limits on gRPC connections |
| `memory_limit` | how much memory this process may have |
| `model_config` | `models.config`, the text form of `ModelServerConfig` |
| `quiet_import` | contexts for the import of TensorFlow |

No module opens a network connection; only `text_file`, `model_config.read` and `memory_limit` open files.
"""
