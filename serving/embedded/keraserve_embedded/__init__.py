"""The embedded model server: TensorFlow Serving's API in one Python process.

A module imports only from its own row and from the rows above it; `make lint` checks that.

| package or module | what |
|---|---|
| `errors` | every error, and its status code |
| `deadline`, `periodic`, `observer` | how long a caller waits, a thread that repeats, an engine's events |
| `quiet_tensorflow`, `garbage_collection` | the import of TensorFlow, Python's garbage collector |
| `models` | which models are served, their versions on disk and in memory, their signatures |
| `calls` | Predict, Classify, Regress, MultiInference, metadata and status on one loaded version |
| `batching` | requests that wait at the same time run as one batch |
| `warmup` | the requests that run on a version before it serves |
| `engine` | one object without network: requests in, responses out |
| `telemetry` | Prometheus metrics |
| `api` | the gRPC and REST APIs, and their limits on callers |
| `process` | the command line, the settings, the memory plan, the server, draining |
"""
