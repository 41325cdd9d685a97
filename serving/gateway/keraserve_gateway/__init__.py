"""HTTP and gRPC front of a TensorFlow Serving model server; holds no TensorFlow and decodes no image.

A package imports only what stands below it in this table; `pyproject.toml` at the repository's root has the
contract, and `make lint` checks it.

| module | what |
|---|---|
| `cli`, `serve` | the command; the process: both ports, signals, draining |
| `http/` | the HTTP port; `http.app.create_app(settings, model_server)` is the application |
| `grpc_api/` | the gRPC port: TensorFlow Serving's two services, passed through as bytes |
| `gateway` | the parts that all requests share |
| `calls/` | what the API's calls do, without HTTP or gRPC: bytes and values in, bytes and values out |
| `upstream/` | the model server, over gRPC or in this process; which models and which version |
| `telemetry/` | log lines, metrics, spans |
| `memory_budget`, `admission`, `incomplete_bodies` | limits on what is in flight |
| `context` | one request, HTTP or gRPC: its deadline, its ids, and what is learnt of it |
| `keys`, `wrong_keys`, `token_bucket` | API keys, and their rates |
| `settings`, `settings_page`, `addresses` | every setting; their page; model servers' addresses for gRPC |
| `errors`, `statuses` | the one tree of errors; the one table of their status codes |
| `watched_file`, `time_limit` | a file that is read again when it changes; a time limit that costs little |
"""
