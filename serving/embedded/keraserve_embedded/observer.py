"""What an engine reports while it works; `Metrics` is one observer."""

from keraserve_embedded.errors import Code


class Observer:
    """Receives every event of an engine; a subclass overrides the methods that it needs.

    The methods are called on the threads that do the work, any of them at once: they have to be quick, and
    they must not raise. But for `request`, `model` is "" and `version` 0 where a request named none that
    serves, so that callers can't make names.
    """

    def request(self, model: str, api: str, entrypoint: str, code: Code, seconds: float) -> None:
        """The gRPC or REST API has answered one request; here `model` is whatever the request says.

        Args:
            model: the name that the request gives.
            api: the call as that API names it: `Predict` over gRPC, `predict` over REST, "" for a status.
            entrypoint: GRPC or REST.
            code: the status.
            seconds: from the request's arrival.
        """

    def responded(self, call: str, model: str, version: int, code: Code, seconds: float) -> None:
        """One request has its response, good or bad.

        Args:
            call: the call's name as gRPC has it: `Predict`, `Classify`, `Regress`, `MultiInference`.
            model: the model that answered.
            version: the version that answered.
            code: the status; OK for a response.
            seconds: from the request's arrival at the engine, waiting for a batch included.
        """

    def ran(self, model: str, version: int, signature: str, requests: int, rows: int, seconds: float) -> None:
        """A graph ran once.

        Args:
            model: the model.
            version: the version.
            signature: the signature's name.
            requests: how many requests were answered by it, one without batching.
            rows: the size of the batch as it ran, padding included; 0 where the signature has no batch.
            seconds: that the graph took.
        """

    def loaded(self, model: str, version: int, code: Code, seconds: float) -> None:
        """A version was loaded and warmed up, or could not be (`code` is not OK)."""

    def ended(self, model: str, version: int) -> None:
        """A version was unloaded; or the folder of one that could not be loaded is gone."""
