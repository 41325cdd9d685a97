"""TensorFlow Serving's API in one Python process.

| module | what |
|---|---|
| `cli`, `settings` | the command line: TensorFlow Serving's flags |
| `server`, `port`, `counting_pool` | the process: signals, ports, threads, draining |
| `grpc_face`, `health`, `call_limits` | all that knows gRPC |
| `rest_face`, `rest_calls`, `rest_server` | the REST port: HTTP, its calls, its server |
| `metrics`, `version_series`, `monitoring_config` | Prometheus |
| `reload` | other models without a restart |
| `hosting` | an engine as the flags describe it, without a network |
| `engine` | one object without network: models in, answers out |
| `model`, `transitions`, `labels` | the versions of one model, and which of them to load or unload next |
| `model_list`, `config_file`, `repository` | which models are served, from where, which versions there are |
| `loaded_version`, `signature`, `warmup` | one SavedModel in memory |
| `digests`, `model_card` | what a version's exporter wrote down of it |
| `predict`, `classify`, `metadata`, `request_limits` | one request on one loaded version |
| `work`, `patience` | how a request's graph is run and waited for |
| `batching`, `batch_queue`, `batch`, `batching_options` | requests that wait together run together |
| `memory_plan`, `message_bytes`, `decode_memory` | how much memory all requests may take together |
| `tensors`, `quiet_tensorflow`, `memory` | the edge to TensorFlow and to Python's memory |
| `observer` | what an engine tells whoever watches it |
| `errors` | every error, and its status code |
"""
