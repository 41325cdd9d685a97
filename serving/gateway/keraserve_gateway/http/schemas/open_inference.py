"""The JSON of the Open Inference Protocol v2, for the API's description."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from keraserve_protocol.open_inference_tensors import DATATYPES

Datatype = Annotated[str, Field(json_schema_extra={"enum": list(DATATYPES.values())})]
Text = str | SkipJsonSchema[None]


class InferenceServer(BaseModel):
    """What the server is, as the Open Inference Protocol describes it."""

    name: str = Field(examples=["keraserve-gateway"])
    version: str = Field(examples=["0.1.0"])
    extensions: list[str] = ["binary_tensor_data"]


class InferenceLive(BaseModel):
    """Whether the process runs."""

    live: bool


class InferenceModelReady(BaseModel):
    """Whether a model responds."""

    name: str = Field(examples=["fashion-mnist"])
    ready: bool


class InferenceTensor(BaseModel):
    """An input or output of a signature."""

    name: str = Field(examples=["images"])
    datatype: str = Field(examples=["UINT8"])
    shape: list[int] = Field(description="-1 is any size", examples=[[-1, -1, -1, 3]])


class InferenceModel(BaseModel):
    """One signature of a model, described as if it were the model."""

    name: str = Field(examples=["fashion-mnist"])
    versions: list[str] = Field(description="those that are available", examples=[["1", "2"]])
    platform: str = Field(examples=["tensorflow_savedmodel"])
    inputs: list[InferenceTensor]
    outputs: list[InferenceTensor]


class InferenceInput(BaseModel):
    """A tensor that is sent: `data` in row-major order, flat or nested; or binary data behind the JSON."""

    name: str
    shape: list[Annotated[int, Field(ge=0)]]
    datatype: Datatype
    data: list[Any] | SkipJsonSchema[None] = None
    parameters: dict[str, Any] = Field(default={}, description="binary_data_size: how many bytes are its own")


class InferenceWanted(BaseModel):
    """A requested output."""

    name: str
    parameters: dict[str, Any] = Field(default={}, description="binary_data: whether as binary data")


class InferenceBody(BaseModel):
    """The body of `infer`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "7",
                    "inputs": [
                        {"name": "images", "shape": [1, 1, 1, 3], "datatype": "UINT8", "data": [9, 0, 0]}
                    ],
                    "outputs": [{"name": "label"}],
                }
            ]
        }
    )

    id: Text = None
    parameters: dict[str, Any] = Field(
        default={},
        description="signature_name: the signature, if the inputs' names don't determine it; "
        "binary_data_output: whether outputs are sent as binary data; timeout: microseconds",
    )
    inputs: list[InferenceInput] = Field(min_length=1)
    outputs: list[InferenceWanted] = []


class InferenceResult(BaseModel):
    """A tensor of a response: `data` in row-major order, or binary data behind the JSON."""

    name: str = Field(examples=["label"])
    shape: list[int] = Field(examples=[[1]])
    datatype: Datatype = Field(examples=["BYTES"])
    data: list[Any] | SkipJsonSchema[None] = Field(default=None, examples=[["Ankle boot"]])
    parameters: dict[str, Any] = {}


class InferenceResponse(BaseModel):
    """The response to `infer`."""

    model_name: str = Field(examples=["fashion-mnist"])
    model_version: Text = Field(default=None, examples=["1"])
    id: Text = Field(default=None, examples=["7"])
    outputs: list[InferenceResult]
