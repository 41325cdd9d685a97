"""The protobuf messages, under one roof.

Generated from `proto/*.proto` by `make proto`. The names, fields and numbers are TensorFlow Serving's;
only the protobuf package differs, so that this module and `tensorflow-serving-api` can be imported in
one process.
"""

from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message

from keraserve_protocol.proto.batching_pb2 import BatchingParameters
from keraserve_protocol.proto.monitoring_pb2 import MonitoringConfig
from keraserve_protocol.proto.serving_pb2 import (
    Class,
    ClassificationRequest,
    ClassificationResponse,
    ClassificationResult,
    Classifications,
    ClassifyLog,
    ExampleList,
    ExampleListWithContext,
    GetModelMetadataRequest,
    GetModelMetadataResponse,
    GetModelStatusRequest,
    GetModelStatusResponse,
    InferenceResult,
    InferenceTask,
    Input,
    LogCollectorConfig,
    LoggingConfig,
    ModelConfig,
    ModelConfigList,
    ModelServerConfig,
    ModelSpec,
    ModelVersionStatus,
    MultiInferenceRequest,
    MultiInferenceResponse,
    PredictionLog,
    PredictLog,
    PredictRequest,
    PredictResponse,
    Regression,
    RegressionRequest,
    RegressionResponse,
    RegressionResult,
    ReloadConfigRequest,
    ReloadConfigResponse,
    SamplingConfig,
    ServableVersionPolicy,
    SignatureDefMap,
    StatusProto,
)
from keraserve_protocol.proto.tensorflow_pb2 import (
    BytesList,
    DataType,
    Example,
    Feature,
    Features,
    FloatList,
    Int64List,
    SignatureDef,
    TensorInfo,
    TensorProto,
    TensorShapeProto,
)

__all__ = [
    "Any",
    "BatchingParameters",
    "BytesList",
    "Class",
    "ClassificationRequest",
    "ClassificationResponse",
    "ClassificationResult",
    "Classifications",
    "ClassifyLog",
    "DataType",
    "Example",
    "ExampleList",
    "ExampleListWithContext",
    "Feature",
    "Features",
    "FloatList",
    "GetModelMetadataRequest",
    "GetModelMetadataResponse",
    "GetModelStatusRequest",
    "GetModelStatusResponse",
    "InferenceResult",
    "InferenceTask",
    "Input",
    "Int64List",
    "LogCollectorConfig",
    "LoggingConfig",
    "Message",
    "ModelConfig",
    "ModelConfigList",
    "ModelServerConfig",
    "ModelSpec",
    "ModelVersionStatus",
    "MonitoringConfig",
    "MultiInferenceRequest",
    "MultiInferenceResponse",
    "PredictLog",
    "PredictRequest",
    "PredictResponse",
    "PredictionLog",
    "Regression",
    "RegressionRequest",
    "RegressionResponse",
    "RegressionResult",
    "ReloadConfigRequest",
    "ReloadConfigResponse",
    "SamplingConfig",
    "ServableVersionPolicy",
    "SignatureDef",
    "SignatureDefMap",
    "StatusProto",
    "TensorInfo",
    "TensorProto",
    "TensorShapeProto",
    "model_spec",
    "pack_signatures",
    "unpack_signatures",
]

SIGNATURE_DEF = "signature_def"
_SIGNATURE_DEF_TYPE_URL = "type.googleapis.com/tensorflow.serving.SignatureDefMap"


def model_spec(
    name: str, *, version: int | None = None, label: str | None = None, signature: str | None = None
) -> ModelSpec:
    """Name a model: the newest version, or the one given by `version` or by `label`.

    Raises:
        ValueError: both `version` and `label` were given.
    """
    if version is not None and label is not None:
        raise ValueError("give a version or a label, not both")
    spec = ModelSpec(name=name, signature_name=signature or "")
    if version is not None:
        spec.version.value = version
    if label is not None:
        spec.version_label = label
    return spec


def pack_signatures(signatures: SignatureDefMap) -> Any:
    """Wrap the signatures as TensorFlow Serving's GetModelMetadata answers them: under its type name."""
    return Any(type_url=_SIGNATURE_DEF_TYPE_URL, value=signatures.SerializeToString())


def unpack_signatures(metadata: GetModelMetadataResponse) -> SignatureDefMap:
    """Take the signatures out of a GetModelMetadata answer.

    Raises:
        ValueError: the response carries none.
    """
    packed = metadata.metadata.get(SIGNATURE_DEF)
    if packed is None or packed.type_url != _SIGNATURE_DEF_TYPE_URL:
        raise ValueError("the response has no signature_def: ask for metadata_field=['signature_def']")
    return SignatureDefMap.FromString(packed.value)
