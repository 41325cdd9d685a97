"""The events that an engine and its APIs report; `Metrics` is one observer."""

from keraserve_embedded.errors import Code


class Observer:
    """Receives every event of an engine; a subclass overrides the methods that it needs.

    The methods are called on the threads that do the work, on several at once: they have to be quick, and
    must not raise. Except in `request_ended`, `model` is "" and `version` 0 if a request named none that
    serves, so that callers can't create names.
    """

    def request_ended(self, model: str, api: str, entrypoint: str, code: Code, seconds: float) -> None:
        """The gRPC or REST API has responded to one request.

        Args:
            model: the name in the request, which may be no model's.
            api: the call as that API names it: `Predict` over gRPC, `predict` over REST, "" for a status.
            entrypoint: GRPC or REST.
            code: the status.
            seconds: from the request's arrival.
        """

    def call_ended(self, call: str, model: str, version: int, code: Code, seconds: float) -> None:
        """The engine has responded to one request, or it failed.

        Args:
            call: the call's name in gRPC: `Predict`, `Classify`, `Regress`, `MultiInference`.
            model: the model that was called.
            version: the version that was called.
            code: the status.
            seconds: from the request's arrival at the engine, waiting for a batch included.
        """

    def graph_ran(
        self, model: str, version: int, signature: str, requests: int, rows: int, seconds: float
    ) -> None:
        """A graph ran once.

        Args:
            model: the model.
            version: the version.
            signature: the signature's name.
            requests: how many requests were in the batch; one without batching.
            rows: the size of the batch, padding included; 0 if the signature has no batch dimension.
            seconds: of the run.
        """

    def version_loaded(self, model: str, version: int, code: Code, seconds: float) -> None:
        """A version was loaded and warmed up, or failed to (`code` is not OK)."""

    def version_ended(self, model: str, version: int) -> None:
        """A version was unloaded; or the folder of one that failed to load is gone."""
