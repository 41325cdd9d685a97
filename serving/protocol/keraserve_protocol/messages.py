"""All protobuf messages in one module.

Generated from `proto/*.proto` by `make proto`. The names, fields and numbers are TensorFlow Serving's;
only the protobuf package differs, so that this module and `tensorflow-serving-api` can be imported in
one process.
"""

from google.protobuf.any_pb2 import Any as Any
from google.protobuf.message import Message as Message

# Relative, as pyright takes no wildcard import from an installed package.
from .proto.batching_pb2 import *  # noqa: F403
from .proto.monitoring_pb2 import *  # noqa: F403
from .proto.serving_pb2 import *  # noqa: F403
from .proto.serving_pb2 import GetModelMetadataResponse as GetModelMetadataResponse
from .proto.serving_pb2 import ModelSpec as ModelSpec
from .proto.serving_pb2 import SignatureDefMap as SignatureDefMap
from .proto.tensorflow_pb2 import *  # noqa: F403

MAX_VERSION = (1 << 63) - 1
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


def version_number(digits: str) -> int | None:
    """Return the version that digits name; None if it is larger than any, 2**63 - 1."""
    short = digits.lstrip("0") or "0"  # Python rejects thousands of digits
    number = int(short[: len(str(MAX_VERSION)) + 1])
    return number if number <= MAX_VERSION else None


def version_of(spec: ModelSpec) -> int | None:
    """Return the version in a model spec, 0 included; None if it names none."""
    return spec.version.value if spec.HasField("version") else None


def pack_signatures(signatures: SignatureDefMap) -> Any:
    """Wrap the signatures as in TensorFlow Serving's GetModelMetadataResponse: under its type name."""
    return Any(type_url=_SIGNATURE_DEF_TYPE_URL, value=signatures.SerializeToString())


def unpack_signatures(metadata: GetModelMetadataResponse) -> SignatureDefMap:
    """Take the signatures out of a GetModelMetadataResponse.

    Raises:
        ValueError: the response carries none.
    """
    packed = metadata.metadata.get(SIGNATURE_DEF)
    if packed is None or packed.type_url != _SIGNATURE_DEF_TYPE_URL:
        raise ValueError("the response has no signature_def: request metadata_field=['signature_def']")
    return SignatureDefMap.FromString(packed.value)
