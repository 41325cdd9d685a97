"""`Target`, the model that a request names, and `ModelResponse`, what the request gets."""

from dataclasses import dataclass

from keraserve_protocol import messages as m


@dataclass(frozen=True)
class Target:
    """The model that a request names: its newest version, a version, or the version behind a label."""

    name: str
    version: int | None = None
    label: str | None = None

    def spec(self, signature: str = "") -> m.ModelSpec:
        """Return it as the protocol's message."""
        return m.model_spec(self.name, version=self.version, label=self.label, signature=signature)


@dataclass(frozen=True)
class ModelResponse:
    """A finished JSON body, and the version that it comes from; None if the model server does not say."""

    body: bytes
    version: int | None = None
