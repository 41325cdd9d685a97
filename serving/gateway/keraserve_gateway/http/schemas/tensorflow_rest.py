"""The JSON of TensorFlow Serving's REST API, for the API's description."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGN4JiICAALyAQ91Qg2iAAAAAElFTkSuQmCC"
"""An image of one pixel, as base64, for examples."""


class TensorFlowError(BaseModel):
    """An error of TensorFlow Serving's calls and of the Open Inference Protocol's."""

    error: str


class PredictBody(BaseModel):
    """The body of `:predict`: `instances` (rows) or `inputs` (columns)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"signature_name": "image_bytes", "instances": [{"b64": PNG}]}],
            "oneOf": [{"required": ["instances"]}, {"required": ["inputs"]}],
        }
    )

    signature_name: str = "serving_default"
    instances: Annotated[list[Any], Field(min_length=1)] | SkipJsonSchema[None] = None
    inputs: Any = None


class Binary(BaseModel):
    """Bytes."""

    model_config = ConfigDict(extra="forbid")

    b64: str = Field(
        description="base64; white space and the padding may be left out",
        pattern="^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2,3})?={0,2}$",
        examples=[PNG],
    )


Number = int | float | bool
Feature = Number | str | Binary | list[Number] | list[str | Binary]


class ExamplesBody(BaseModel):
    """The body of `:classify` and `:regress`: features of each, and of all."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"signature_name": "classify", "examples": [{"image/encoded": {"b64": PNG}}]}]
        }
    )

    signature_name: str = ""
    examples: list[dict[str, Feature]] = Field(min_length=1)
    context: dict[str, Feature] | SkipJsonSchema[None] = None


class Predictions(BaseModel):
    """The response to `instances`: an entry for each row."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"predictions": [{"label": "Ankle boot"}]}]}
    )

    predictions: list[Any]


class Outputs(BaseModel):
    """The response to `inputs`: the tensors by name, or the only one without its name."""

    model_config = ConfigDict(extra="forbid")

    outputs: Any


class Classes(BaseModel):
    """The response to `:classify`: for each example the pairs of label and score."""

    results: list[list[Annotated[list[Any], Field(min_length=2, max_length=2)]]] = Field(
        examples=[[[["boot", 0.9], ["bag", 0.1]]]]
    )


class Values(BaseModel):
    """The response to `:regress`: a number for each example."""

    results: list[float] = Field(examples=[[3.5]])


class Status(BaseModel):
    """Why a version is in its state."""

    error_code: str = Field(examples=["OK"])
    error_message: str = Field(examples=[""])


class ModelVersionStatus(BaseModel):
    """The state of one version."""

    version: str = Field(examples=["1"])
    state: str = Field(examples=["AVAILABLE"])
    status: Status
    warnings: list[str] = Field(
        [],
        description="an addition: caveats from the version's model card; absent if there are none",
        examples=[[]],
    )


class ModelStatus(BaseModel):
    """The state of a model's versions."""

    model_version_status: list[ModelVersionStatus]


class ModelSpec(BaseModel):
    """A model and a version of it."""

    name: str = Field(examples=["fashion-mnist"])
    signature_name: str = Field(examples=[""])
    version: str = Field(examples=["1"])


class ModelMetadata(BaseModel):
    """The signatures of a model: `metadata.signature_def.signature_def` has each by its name."""

    model_spec: ModelSpec
    metadata: dict[str, Any] = Field(examples=[{"signature_def": {"signature_def": {}}}])
