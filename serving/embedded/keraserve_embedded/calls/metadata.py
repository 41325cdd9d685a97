"""GetModelMetadata and GetModelStatus: the signatures of a version, the states of all versions."""

from collections.abc import Mapping

from keraserve_embedded.calls.predict import responding_spec
from keraserve_embedded.errors import InvalidRequestError, NotServedError
from keraserve_embedded.models.loaded_version import LoadedVersion
from keraserve_embedded.models.model import Version
from keraserve_protocol.messages import (
    SIGNATURE_DEF,
    GetModelMetadataRequest,
    GetModelMetadataResponse,
    GetModelStatusResponse,
    ModelVersionStatus,
    StatusProto,
    TensorInfo,
    pack_signatures,
)


def check_fields(request: GetModelMetadataRequest) -> None:
    """Check the fields of a request, before the model is looked up.

    Raises:
        InvalidRequestError: no field, or another than `signature_def`.
    """
    if not request.metadata_field:
        raise InvalidRequestError("GetModelMetadataRequest must specify at least one metadata_field")
    for name in request.metadata_field:
        if name != SIGNATURE_DEF:
            raise InvalidRequestError(f"Metadata field {name} is not supported")


def metadata(version: LoadedVersion) -> GetModelMetadataResponse:
    """Return every signature of the SavedModel."""
    response = GetModelMetadataResponse(model_spec=responding_spec(version))
    response.metadata[SIGNATURE_DEF].CopyFrom(pack_signatures(version.definitions))
    return response


def inputs(version: LoadedVersion, signature: str) -> Mapping[str, TensorInfo]:
    """Look up the inputs of a signature.

    Raises:
        InvalidRequestError: there is none of this name.
    """
    known = version.definitions.signature_def
    if signature not in known:
        raise InvalidRequestError(f'Serving signature name: "{signature}" not found in signature def')
    return known[signature].inputs


def status(
    name: str, number: int | None, versions: Mapping[int, Version], problem: str = ""
) -> GetModelStatusResponse:
    """Return the state of each version that was ever tried, the newest first, or of one.

    Args:
        name: the model's name.
        number: the one version to report; None for all.
        versions: those that were ever tried.
        problem: why there are none, if known.

    Raises:
        NotServedError: nothing was ever tried of this model, or not this version.
    """
    if number is not None:
        if number not in versions:
            raise NotServedError(f"Could not find version {number} of model {name}")
        versions = {number: versions[number]}
    if not versions:
        why = f": {problem}" if problem else ""
        raise NotServedError(f"Could not find any versions of model {name}{why}")
    response = GetModelStatusResponse()
    for one, version in sorted(versions.items(), reverse=True):
        response.model_version_status.add(
            version=one,
            state=ModelVersionStatus.State.ValueType(version.state),
            status=StatusProto(error_code=version.code, error_message=version.message),
        )
    return response
