"""What the API's calls do, without HTTP or gRPC: bytes and values in, bytes and values out.

| module | what |
|---|---|
| `classify_images` | images in, classes out; `image_check` looks at type, size and structure first |
| `predict_json` | `:predict`: JSON in, tensors to the model server, JSON out |
| `tensorflow_rest` | the other calls of TensorFlow Serving's REST API |
| `open_inference` | the Open Inference Protocol v2 |
| `readiness` | the configured models' states, and whether all are served |
| `ended_versions` | removes the metrics of versions that are no more |
| `target`, `signatures` | the model that a request names; what its signatures are |
| `request_limits`, `json_errors` | how much a request may ask for; errors of the JSON codecs as ours |
| `offloading` | work on large bodies goes to a thread, or pauses between its steps |
"""
