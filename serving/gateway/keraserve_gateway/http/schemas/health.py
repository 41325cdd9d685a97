"""The JSON of the readiness probes."""

from pydantic import BaseModel


class Readiness(BaseModel):
    """Whether the gateway can serve every model, and what is missing if not."""

    ready: bool
    reasons: list[str]
