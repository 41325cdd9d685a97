"""GetModelMetadata and GetModelStatus: what a model is, and how its versions are."""

from collections.abc import Mapping

from keraserve_embedded.errors import InvalidRequestError, NotServedError
from keraserve_embedded.loaded_version import LoadedVersion
from keraserve_embedded.model import Version
from keraserve_embedded.predict import answering_spec
from keraserve_protocol.messages import (
    SIGNATURE_DEF,
    GetModelMetadataRequest,
    GetModelMetadataResponse,
    GetModelStatusResponse,
    ModelSpec,
    ModelVersionStatus,
    StatusProto,
    pack_signatures,
)


def check_fields(request: GetModelMetadataRequest) -> None:
    """Check what is asked for, before the model is looked up.

    Raises:
        InvalidRequestError: no field, or another than `signature_def`.
    """
    if not request.metadata_field:
        raise InvalidRequestError("GetModelMetadataRequest must specify at least one metadata_field")
    for name in request.metadata_field:
        if name != SIGNATURE_DEF:
            raise InvalidRequestError(f"Metadata field {name} is not supported")


def metadata(version: LoadedVersion) -> GetModelMetadataResponse:
    """Answer with every signature of the SavedModel."""
    response = GetModelMetadataResponse(model_spec=answering_spec(version))
    response.metadata[SIGNATURE_DEF].CopyFrom(pack_signatures(version.definitions))
    return response


def status(spec: ModelSpec, versions: Mapping[int, Version]) -> GetModelStatusResponse:
    """Answer with the state of each version that was ever tried, the newest first, or of the one in `spec`.

    Raises:
        NotServedError: nothing was ever tried of this model, or not this version.
    """
    if spec.HasField("version"):
        number = spec.version.value
        if number not in versions:
            raise NotServedError(f"Could not find version {number} of model {spec.name}")
        versions = {number: versions[number]}
    if not versions:
        raise NotServedError(f"Could not find any versions of model {spec.name}")
    response = GetModelStatusResponse()
    for number, version in sorted(versions.items(), reverse=True):
        response.model_version_status.add(
            version=number,
            state=ModelVersionStatus.State.ValueType(version.state),
            status=StatusProto(error_code=version.code, error_message=version.message),
        )
    return response
