"""HTTP and gRPC gateway before a TensorFlow Serving model server; without TensorFlow, and decodes no image.

A module imports only what stands below it in this table; `make lint` checks it, by the contract in the
repository's `pyproject.toml`.

| module | what it has |
|---|---|
| `cli`, `serve` | the command; the process: both ports, signals, draining |
| `http/` | the HTTP port; `http.app.create_app(settings, model_server)` makes the application |
| `grpc_api/` | the gRPC port: TensorFlow Serving's two services, passed through as bytes |
| `gateway` | the objects that all requests share |
| `calls/` | what the API's calls do, without HTTP or gRPC: bytes and values in, bytes and values out |
| `upstream/` | the model server, over gRPC or in this process; its models and versions |
| `telemetry/` | log lines, metrics, spans |
| `memory_budget`, `admission`, `incomplete_bodies` | limits on what is in flight |
| `context` | one request, HTTP or gRPC: its deadline, ids and key, and what is found out about it |
| `keys`, `wrong_keys`, `token_bucket` | API keys and rate limits |
| `settings`, `settings_page`, `addresses` | all settings; their page; model servers' addresses for gRPC |
| `errors`, `statuses` | the tree of errors; the table of their statuses |
| `watched_file`, `time_limit` | a file that is read again when it changes; a cheap time limit |
"""
