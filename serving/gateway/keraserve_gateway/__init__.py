"""HTTP and gRPC front of a TensorFlow Serving model server; holds no TensorFlow and decodes no picture.

| module | what |
|---|---|
| `http/` | HTTP only: parse, call, render; `http.app.create_app(settings, model_server)` is the application |
| `passthrough` | the two gRPC services on the gateway's own port |
| `grpc_server` | that port, and the bounds of its connections |
| `calls/` | what the calls do, with neither: predict, pictures and their formats, Open Inference |
| `upstream/` | the model server, over gRPC or in this process; which models and which version |
| `exchange`, `gateway` | one request, HTTP or gRPC; the parts that all requests share |
| `keys`, `admission`, `deadline` | who may come in, until when |
| `errors`, `statuses` | the one tree of errors; the one table of their status codes |
| `telemetry/` | log lines, metrics, spans |
| `settings`, `cli`, `serve` | the process |
| `reread` | files that are read again when they change |
"""
