"""The model that a request names, and the response that it gets."""

from dataclasses import dataclass

from keraserve_protocol import messages as m


@dataclass(frozen=True)
class Target:
    """The model that a request names: its newest version, a version, or the version behind a label."""

    name: str
    version: int | None = None
    label: str | None = None

    def spec(self, signature: str = "") -> m.ModelSpec:
        """Write it as the protocol does."""
        return m.model_spec(self.name, version=self.version, label=self.label, signature=signature)


@dataclass(frozen=True)
class ModelResponse:
    """A finished JSON body, and the version that gave it where the model server says which (else 0)."""

    body: bytes
    version: int = 0
