"""The JSON that the gateway itself speaks; TensorFlow Serving's is in `keraserve_protocol.rest`."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field


class VersionEntry(BaseModel):
    """A version of a model."""

    version: int
    state: str = Field(description="START, LOADING, AVAILABLE, UNLOADING or END", examples=["AVAILABLE"])
    error: str = Field(description="why it failed; empty if it did not")


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


class TensorFlowError(BaseModel):
    """An error of a TensorFlow Serving compatible call."""

    error: str


class Readiness(BaseModel):
    """Whether the gateway can answer, and what is missing if not."""

    ready: bool
    reasons: list[str]


class PredictBody(BaseModel):
    """The body of `:predict`: `instances` (rows) or `inputs` (columns), one of them."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"signature_name": "image_bytes", "instances": [{"b64": "iVBORw0…"}]}]
        }
    )

    signature_name: str = "serving_default"
    instances: list[Any] | None = None
    inputs: Any = None


class ExamplesBody(BaseModel):
    """The body of `:classify` and `:regress`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"signature_name": "classify", "examples": [{"image/encoded": {"b64": "iVBORw0…"}}]}]
        }
    )

    signature_name: str = ""
    examples: list[dict[str, Any]]
    context: dict[str, Any] | None = None


class InferenceServer(BaseModel):
    """What the server is, as the Open Inference Protocol describes it."""

    name: str = Field(examples=["keraserve-gateway"])
    version: str = Field(examples=["0.1.0"])
    extensions: list[str] = ["binary_tensor_data"]


class InferenceLive(BaseModel):
    """Whether the process runs."""

    live: bool


class InferenceModelReady(BaseModel):
    """Whether a model answers."""

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
    versions: list[str] = Field(description="those that answer", examples=[["1", "2"]])
    platform: str = Field(examples=["tensorflow_savedmodel"])
    inputs: list[InferenceTensor]
    outputs: list[InferenceTensor]


class InferenceInput(BaseModel):
    """A tensor that is sent: `data` in row-major order, flat or nested; or binary data behind the JSON."""

    name: str
    shape: list[Annotated[int, Field(ge=0)]]
    datatype: str
    data: list[Any] | None = None
    parameters: dict[str, Any] = Field(default={}, description="binary_data_size: how many bytes are its own")


class InferenceWanted(BaseModel):
    """An output that is asked for."""

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

    id: str | None = None
    parameters: dict[str, Any] = Field(
        default={},
        description="signature_name: the signature, where the inputs' names don't say it; "
        "binary_data_output: whether outputs are wanted as binary data; timeout: microseconds",
    )
    inputs: list[InferenceInput] = Field(min_length=1)
    outputs: list[InferenceWanted] = []


class InferenceResult(BaseModel):
    """A tensor of an answer: `data` in row-major order, or binary data behind the JSON."""

    name: str = Field(examples=["label"])
    shape: list[int] = Field(examples=[[1]])
    datatype: str = Field(examples=["BYTES"])
    data: list[Any] | None = Field(default=None, examples=[["Ankle boot"]])
    parameters: dict[str, Any] = {}


class InferenceAnswer(BaseModel):
    """The answer to `infer`."""

    model_name: str = Field(examples=["fashion-mnist"])
    model_version: str = Field(examples=["1"])
    id: str | None = Field(default=None, examples=["7"])
    outputs: list[InferenceResult]
