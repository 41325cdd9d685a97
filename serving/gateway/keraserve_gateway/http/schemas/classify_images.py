"""The JSON of `images:classify`."""

from pydantic import BaseModel, Field

from keraserve_gateway.http.schemas.models import WARNING


class ClassEntry(BaseModel):
    """A class, and how probable it is: 0 to 1."""

    label: str = Field(examples=["Ankle boot"])
    probability: float = Field(examples=[0.97])


class ImageEntry(BaseModel):
    """What one image shows, best class first."""

    filename: str | None = Field(description="null for an image that was the body itself")
    classes: list[ClassEntry]


class RejectedImageEntry(BaseModel):
    """An image, sent with others, that can't be classified."""

    filename: str | None
    error: str = Field(description="why", examples=["the png is cut off"])


class ImageClassification(BaseModel):
    """An entry for every image, in the order of the request."""

    model: str = Field(examples=["fashion-mnist"])
    version: int = Field(examples=[1])
    predictions: list[ImageEntry | RejectedImageEntry]
    warnings: list[str] = Field(
        [],
        description="caveats from the version's model card; absent if there are none",
        examples=[[WARNING]],
    )
