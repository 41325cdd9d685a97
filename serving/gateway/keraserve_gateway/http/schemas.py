"""The JSON that the gateway itself speaks; the others' is in `tensorflow_schemas`, `inference_schemas`."""

from pydantic import BaseModel, Field

WARNING = "The pre-trained network had random weights: nothing was transferred."


class VersionEntry(BaseModel):
    """A version of a model."""

    version: int
    state: str = Field(description="START, LOADING, AVAILABLE, UNLOADING or END", examples=["AVAILABLE"])
    error: str = Field(description="why it failed; empty if it did not")
    warnings: list[str] | None = Field(
        None,
        description="what everybody who sees its answers has to know, from its card; absent if nothing",
        examples=[[WARNING]],
    )


class ModelEntry(BaseModel):
    """A configured model: its versions, newest first, and its labels with the versions they mean."""

    name: str = Field(examples=["fashion-mnist"])
    versions: list[VersionEntry]
    labels: dict[str, int] = Field(examples=[{"stable": 1}])


class ModelList(BaseModel):
    """Every configured model."""

    models: list[ModelEntry]


class ClassEntry(BaseModel):
    """A class, and how probable it is: 0 to 1."""

    label: str = Field(examples=["Ankle boot"])
    probability: float = Field(examples=[0.97])


class PictureEntry(BaseModel):
    """What one picture shows, best class first."""

    filename: str | None = Field(description="null for a picture that was the body itself")
    classes: list[ClassEntry]


class RefusedPictureEntry(BaseModel):
    """A picture, sent with others, that can't be classified."""

    filename: str | None
    error: str = Field(description="why", examples=["the png is cut off"])


class ImageClassification(BaseModel):
    """An entry for every picture, in the order of the request."""

    model: str = Field(examples=["fashion-mnist"])
    version: int = Field(examples=[1])
    predictions: list[PictureEntry | RefusedPictureEntry]
    warnings: list[str] = Field(
        [],
        description="what everybody who sees this has to know, from the version's card; absent if nothing",
        examples=[[WARNING]],
    )


class ProblemPicture(BaseModel):
    """Which picture of the request a problem is about."""

    index: int
    filename: str | None


class Problem(BaseModel):
    """A problem, as RFC 9457 writes it."""

    type: str = Field(examples=["urn:keraserve:error:bad-picture"])
    title: str = Field(examples=["Bad picture"])
    status: int = Field(examples=[400])
    detail: str = Field(examples=["picture 1 ('b.png'): the png is cut off"])
    request_id: str = Field(examples=["5f0c7d1e9a0b4c5d8e7f6a5b4c3d2e1f"])
    picture: ProblemPicture | None = None


class Readiness(BaseModel):
    """Whether the gateway can answer, and what is missing if not."""

    ready: bool
    reasons: list[str]
