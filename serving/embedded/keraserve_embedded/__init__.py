"""TensorFlow Serving's API in one Python process.

A module imports only from its own row and from the rows above it; `make lint` checks that.

| package or module | what |
|---|---|
| `errors` | every error, and its status code |
| `deadline`, `periodic`, `observer` | how long a caller waits, a repeating thread, what an engine reports |
| `quiet_tensorflow`, `garbage_collection` | the import of TensorFlow, the memory of Python |
| `models` | which models are served, their versions on disk and in memory, their signatures |
| `calls` | Predict, Classify, Regress, MultiInference, metadata and status on one loaded version |
| `batching` | requests that wait together run as one batch |
| `warmup` | the requests that a version answers before it serves |
| `engine` | one object without network: models in, answers out |
| `telemetry` | Prometheus metrics |
| `api` | the gRPC and REST APIs, and what they allow a caller to hold |
| `process` | the command line, the settings, the memory plan, the server, draining |
"""
