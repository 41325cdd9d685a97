"""The JSON of `images:explain`."""

from pydantic import BaseModel, Field

from keraserve_gateway.http.schemas.classify_images import RejectedImageEntry
from keraserve_gateway.http.schemas.models import WARNING


class MapEntry(BaseModel):
    """Where something in an image speaks for a class."""

    filename: str | None = Field(description="null for an image that was the body itself")
    label: str = Field(description="the class", examples=["Ankle boot"])
    probability: float = Field(description="of that class", examples=[0.97])
    map: list[list[float]] = Field(
        description="rows of values from 0 to 1, which cover the upright image",
        examples=[[[0.0, 0.4], [0.1, 1.0]]],
    )


class ImageExplanation(BaseModel):
    """An entry for every image, in the order of the request."""

    model: str = Field(examples=["fashion-mnist"])
    version: int = Field(examples=[1])
    explanations: list[MapEntry | RejectedImageEntry]
    warnings: list[str] = Field(
        [],
        description="caveats from the version's model card; absent if there are none",
        examples=[[WARNING]],
    )
