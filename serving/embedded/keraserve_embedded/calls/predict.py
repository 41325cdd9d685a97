"""Predict: run one request on one loaded version."""

from keraserve_embedded.calls.request_limits import DEFAULT_OPTIONS, CallOptions
from keraserve_embedded.calls.work import Call, Work
from keraserve_embedded.errors import InvalidRequestError, UnknownSignatureError
from keraserve_embedded.models import tensors
from keraserve_embedded.models.loaded_version import LoadedVersion
from keraserve_embedded.models.signature import Signature
from keraserve_protocol.messages import ModelSpec, PredictRequest, PredictResponse, TensorProto
from keraserve_protocol.signatures import DEFAULT_SIGNATURE


def predict(
    version: LoadedVersion, request: PredictRequest, options: CallOptions = DEFAULT_OPTIONS
) -> Call[PredictResponse]:
    """Run one PredictRequest on the version that its model spec names.

    Raises:
        UnknownSignatureError: the model has no signature of this name.
        InvalidRequestError: inputs or filter do not fit the signature, or the inputs exceed the limits.
        ExecutionError: the graph failed.
    """
    name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    signature = version.signatures.get(name)
    if signature is None:
        raise UnknownSignatureError(f'Serving signature key "{name}" not found.')
    protos = _inputs(signature, request)
    options.limits.check(signature.definition, protos)
    arrays = {name: tensors.decode(name, proto) for name, proto in protos.items()}
    wanted = _outputs(signature, request)
    signature.check(protos)
    results = yield Work(signature, arrays)
    response = PredictResponse(model_spec=responding_spec(version, name))
    for output in wanted:
        response.outputs[output].CopyFrom(tensors.encode(results[output], as_content=options.as_content))
    return response


def responding_spec(version: LoadedVersion, signature_name: str = "") -> ModelSpec:
    """Name the model, version and signature in a response."""
    spec = ModelSpec(name=version.model, signature_name=signature_name)
    spec.version.value = version.number
    return spec


def _inputs(signature: Signature, request: PredictRequest) -> dict[str, TensorProto]:
    """Collect every input of the signature, from the request or by its default."""
    sent, known = sorted(request.inputs), signature.inputs
    if len(sent) > len(known) or (len(sent) < len(known) and not signature.defaults):
        raise InvalidRequestError(
            f"input size does not match signature: {len(sent)}!={len(known)} "
            f"len({_names(sent)}) != len({_names(known)}). Sent extra: {_names(set(sent) - set(known))}. "
            f"Missing but required: {_names(set(known) - set(sent))}."
        )
    protos: dict[str, TensorProto] = {}
    for name in known:
        if name in request.inputs:
            protos[name] = request.inputs[name]
        elif name in signature.defaults:
            protos[name] = signature.defaults[name]
        else:
            feed = signature.definition.inputs[name].name
            raise InvalidRequestError(
                f"Signature input alias: {name}(feed name: {feed}) not found in request and no default value "
                f"provided. Inputs expected to be in the request {_names(sent)}, "
                f"or default input alias set: {','.join(sorted(signature.defaults))}"
            )
    if set(sent) - set(known):
        raise InvalidRequestError(
            f"Inputs contains invalid name. Used request inputs: {','.join(sorted(set(sent) & set(known)))}, "
            f"request input: {','.join(sent)}"
        )
    return protos


def _outputs(signature: Signature, request: PredictRequest) -> tuple[str, ...]:
    """Choose the outputs that the request's filter names; all without a filter."""
    seen: list[str] = []
    for alias in request.output_filter:
        if alias not in signature.outputs:
            raise InvalidRequestError(
                f"output tensor alias not found in signature: {alias} "
                f"Outputs expected to be in the set {_names(signature.outputs)}."
            )
        if alias in seen:
            raise InvalidRequestError(f"duplicate output tensor alias: {alias}")
        seen.append(alias)
    return tuple(seen) or signature.outputs


def _names(names: "set[str] | list[str] | tuple[str, ...]") -> str:
    return "{" + ",".join(sorted(names)) + "}"
