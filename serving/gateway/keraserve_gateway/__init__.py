"""HTTP and gRPC front of a TensorFlow Serving model server; holds no TensorFlow and decodes no picture.

| module | what |
|---|---|
| `app` | `create_app(settings, model_server)`: the HTTP application |
| `routes/`, `schemas`, `body`, `multipart`, `middleware`, `replies` | HTTP only: parse, call, render |
| `predict`, `pictures`, `image_formats`, `infer`, `compression` | what the calls do, without HTTP |
| `exchange`, `gateway` | one request, HTTP or gRPC; the parts that all requests share |
| `configured`, `keys`, `admission`, `deadline` | which models there are, who may come in, until when |
| `canary`, `routed`, `reread` | which version answers, by files that are read again when they change |
| `errors`, `statuses` | the one tree of errors; the one table of their status codes |
| `model_server`, `connection`, `in_process` | the upstream: a `Protocol`; behind it gRPC, or the engine |
| `passthrough` | the same two gRPC services on the gateway's own port |
| `settings`, `cli`, `serve`, `http_connection`, `logs`, `metrics`, `tracing` | the process |
"""
