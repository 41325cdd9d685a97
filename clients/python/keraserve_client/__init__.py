"""Python client of Keraserve: classify images, and call models with tensors, over HTTP or gRPC.

    from keraserve_client import Client

    with Client("http://127.0.0.1:8000") as client:
        for prediction in client.classify("fashion-mnist", ["boot.png", "shirt.png"]):
            print(prediction.filename, prediction.best.label, f"{prediction.best.probability:.0%}")

| class | protocol | server |
|---|---|---|
| `Client`, `AsyncClient` | HTTP | the gateway |
| `GrpcClient`, `AsyncGrpcClient` | gRPC | the gateway, TensorFlow Serving, or the embedded server |

All four have the same calls, with the same results: those of `Verbs` and `AsyncVerbs`, which are also the
types for code that takes either transport. All errors are `KeraserveError`s.
"""

from keraserve_client._client import AsyncClient, Client
from keraserve_client._errors import (
    BadRequest,
    ConnectionFailed,
    DeadlineExceeded,
    InvalidInput,
    InvalidResponse,
    KeraserveError,
    NotAuthorized,
    NotFound,
    NotSupported,
    StatusError,
    TooLarge,
    TooManyRequests,
    Unavailable,
    UnsupportedImage,
)
from keraserve_client._grpc import AsyncGrpcClient, GrpcClient
from keraserve_client._images import Image, Images
from keraserve_client._tensors import Inputs
from keraserve_client._types import (
    Arrays,
    Class,
    Explanation,
    Failure,
    Metadata,
    Model,
    ModelStatus,
    Prediction,
    Signature,
    State,
    TensorSpec,
    VersionStatus,
)
from keraserve_client._verbs import AsyncVerbs, Verbs

__all__ = [
    "Arrays",
    "AsyncClient",
    "AsyncGrpcClient",
    "AsyncVerbs",
    "BadRequest",
    "Class",
    "Client",
    "ConnectionFailed",
    "DeadlineExceeded",
    "Explanation",
    "Failure",
    "GrpcClient",
    "Image",
    "Images",
    "Inputs",
    "InvalidInput",
    "InvalidResponse",
    "KeraserveError",
    "Metadata",
    "Model",
    "ModelStatus",
    "NotAuthorized",
    "NotFound",
    "NotSupported",
    "Prediction",
    "Signature",
    "State",
    "StatusError",
    "TensorSpec",
    "TooLarge",
    "TooManyRequests",
    "Unavailable",
    "UnsupportedImage",
    "Verbs",
    "VersionStatus",
]
