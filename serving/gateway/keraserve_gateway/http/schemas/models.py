"""The JSON of the list of models."""

from pydantic import BaseModel, Field

WARNING = "The pre-trained network had random weights: nothing was transferred."


class VersionEntry(BaseModel):
    """A version of a model."""

    version: int
    state: str = Field(description="START, LOADING, AVAILABLE, UNLOADING or END", examples=["AVAILABLE"])
    error: str = Field(description="why it failed; empty if it did not")
    warnings: list[str] | None = Field(
        None,
        description="caveats from its model card; absent if there are none",
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
