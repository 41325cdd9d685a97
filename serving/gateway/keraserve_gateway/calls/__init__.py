"""What the API's calls do, without HTTP or gRPC: bytes and values in, bytes and values out.

| module | what |
|---|---|
| `classify_images`, `explain_images` | images in; classes, or maps of what speaks for a class, out |
| `image_call` | what both have in common; `image_check` checks type, size and structure first |
| `predict_json` | `:predict`: JSON in, tensors to the model server, JSON out |
| `tensorflow_rest` | the other calls of TensorFlow Serving's REST API |
| `open_inference` | the Open Inference Protocol v2 |
| `readiness` | the configured models' states, and whether all are served |
| `ended_versions` | removes the metrics of versions that have ended |
| `target`, `signatures` | the model that a request names, and its signatures |
| `request_limits`, `json_errors` | limits on a request's tensors; the JSON codecs' errors as the gateway's |
| `offloading` | work on large bodies goes to a thread, or pauses between its steps |
"""
