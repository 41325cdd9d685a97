"""Our messages compared with `tensorflow-serving-api`'s: the same fields, and the same bytes both ways."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.protobuf import any_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from tensorflow.core.example import example_pb2
from tensorflow_serving.apis import (  # noqa: F401 (importing registers their messages)
    get_model_metadata_pb2,
    model_service_pb2,
    prediction_log_pb2,
    prediction_service_pb2,
)

from keraserve_protocol import messages
from keraserve_protocol.proto import serving_pb2, tensorflow_pb2

OURS = "keraserve.tfserving."
ELSEWHERE = {
    OURS + "ServableVersionPolicy": (
        "tensorflow.serving.FileSystemStoragePathSourceConfig.ServableVersionPolicy"
    ),
}
# These differ on purpose, and are equal on the wire.
STAYS_SERIALIZED = {OURS + "ExampleList.examples", OURS + "ExampleListWithContext.examples"}
CONTEXT = OURS + "ExampleListWithContext.context"
ENUM_AS_NUMBER = {OURS + "StatusProto.error_code"}
# Fields of TensorFlow Serving 2.21 that we leave out. A later version's new field fails the test below.
LEFT_OUT = {
    "TensorProto": {"resource_handle_val", "variant_val", "float8_val"},
    "TensorInfo": {"coo_sparse", "composite_tensor"},
    "SignatureDef": {"defaults"},
    "ModelConfig": {"model_type"},
    "LoggingConfig": {"custom_logging_config"},
    "SamplingConfig": {"per_task_sampling_configs", "attributes"},
    "ReloadConfigRequest": {"metric_names"},
    "ReloadConfigResponse": {"metric"},
    "PredictRequest": {"predict_streamed_options", "client_id", "request_options"},
    "PredictionLog": {
        "log_metadata",
        "regress_log",
        "multi_inference_log",
        "predict_streamed_log",
        "session_run_log",
    },
}


def walk(descriptors: Iterator[Descriptor]) -> Iterator[Descriptor]:
    for descriptor in descriptors:
        if not descriptor.GetOptions().map_entry:
            yield descriptor
            yield from walk(iter(descriptor.nested_types))


FILES = (serving_pb2.DESCRIPTOR, tensorflow_pb2.DESCRIPTOR)
MESSAGES = list(walk(itertools.chain(*(file.message_types_by_name.values() for file in FILES))))
every_message = pytest.mark.parametrize("ours", MESSAGES, ids=lambda ours: ours.full_name.removeprefix(OURS))


def their_name(name: str) -> str:
    for prefix, elsewhere in ELSEWHERE.items():
        if name.startswith(prefix):
            return name.replace(prefix, elsewhere)
    for package in ("tensorflow.serving.", "tensorflow."):
        theirs = name.replace(OURS, package)
        try:
            descriptor_pool.Default().FindMessageTypeByName(theirs)
        except KeyError:
            continue
        return theirs
    raise LookupError(f"TensorFlow Serving has no {name}")


def their_type(name: str) -> Descriptor:
    return descriptor_pool.Default().FindMessageTypeByName(their_name(name))


def their_class(name: str) -> Any:
    return message_factory.GetMessageClass(their_type(name))


def is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def wire_form(field: FieldDescriptor) -> tuple[Any, ...]:
    """The properties that decide a field's form on the wire."""
    oneof = field.containing_oneof.name if field.containing_oneof else None
    return field.number, field.type, field.is_repeated, field.is_packed, field.is_required, oneof


@every_message
def test_every_field_has_their_number_type_and_oneof(ours: Descriptor) -> None:
    theirs = their_type(ours.full_name).fields_by_name
    for field in ours.fields:
        counterpart = theirs[field.name]
        if field.full_name in STAYS_SERIALIZED | {CONTEXT}:
            assert field.type == FieldDescriptor.TYPE_BYTES
            assert counterpart.message_type.full_name == "tensorflow.Example"
            assert (field.number, field.is_repeated) == (counterpart.number, counterpart.is_repeated)
        elif field.full_name in ENUM_AS_NUMBER:
            assert field.type == FieldDescriptor.TYPE_INT32
            assert counterpart.type == FieldDescriptor.TYPE_ENUM
            assert field.number == counterpart.number
        else:
            assert wire_form(field) == wire_form(counterpart), field.full_name
            assert_same_kind(field, counterpart)


def assert_same_kind(field: FieldDescriptor, counterpart: FieldDescriptor) -> None:
    if is_map(field):
        assert is_map(counterpart), field.full_name
        for part in ("key", "value"):
            ours, theirs = (side.message_type.fields_by_name[part] for side in (field, counterpart))
            assert wire_form(ours) == wire_form(theirs), field.full_name
            assert_same_kind(ours, theirs)
    elif field.message_type is not None:
        name = field.message_type.full_name
        assert counterpart.message_type.full_name == (their_name(name) if name.startswith(OURS) else name)
    elif field.enum_type is not None:
        assert values(field.enum_type).items() <= values(counterpart.enum_type).items(), field.full_name


def values(enum: EnumDescriptor) -> dict[str, int]:
    return {value.name: value.number for value in enum.values}


@every_message
def test_only_the_listed_fields_are_left_out(ours: Descriptor) -> None:
    missing = set(their_type(ours.full_name).fields_by_name) - set(ours.fields_by_name)
    assert missing == LEFT_OUT.get(ours.full_name.removeprefix(OURS), set())


def test_the_public_module_exports_every_message() -> None:
    top = {name for file in FILES for name in file.message_types_by_name}
    assert top <= set(vars(messages))


# Values of every scalar kind that are easily written wrong: negative, large, not ASCII, not UTF-8.
SCALARS: dict[int, list[Any]] = {
    FieldDescriptor.CPPTYPE_INT32: [-7, 2**31 - 1],
    FieldDescriptor.CPPTYPE_INT64: [-(2**40), 2**63 - 1],
    FieldDescriptor.CPPTYPE_UINT32: [3, 2**32 - 1],
    FieldDescriptor.CPPTYPE_UINT64: [5, 2**64 - 1],
    FieldDescriptor.CPPTYPE_FLOAT: [-0.5, 1e30],
    FieldDescriptor.CPPTYPE_DOUBLE: [-1e-300, 0.1],
    FieldDescriptor.CPPTYPE_BOOL: [True, False],
}


def example() -> bytes:
    features = messages.Features()
    features.feature["image/encoded"].bytes_list.value.append(b"\xff\xd8")
    features.feature["weights"].float_list.value.extend([0.5, -1.0])
    features.feature["ids"].int64_list.value.extend([-1, 300])
    return messages.Example(features=features).SerializeToString(deterministic=True)


def scalars(field: FieldDescriptor) -> list[Any]:
    if field.full_name in STAYS_SERIALIZED | {CONTEXT}:
        return [example(), example()]
    if field.enum_type is not None:
        known = sorted(value.number for value in field.enum_type.values)
        return [known[-1], known[len(known) // 2]]
    if field.type == FieldDescriptor.TYPE_BYTES:
        return [b"\x00\xff", b"bytes"]
    if field.type == FieldDescriptor.TYPE_STRING:
        return ["größe", "b"]
    return SCALARS[field.cpp_type]


def fill(message: Any, choice: int, depth: int = 9) -> Any:
    """Set every field, of a oneof the field of number `choice`, down to `depth` levels."""
    if isinstance(message, any_pb2.Any):
        message.type_url, message.value = "type.googleapis.com/tensorflow.serving.ModelSpec", b"\n\x01x"
        return message
    for field in message.DESCRIPTOR.fields:
        oneof = field.containing_oneof
        if oneof and field is not oneof.fields[choice % len(oneof.fields)]:
            continue
        if field.message_type is not None and depth == 0:
            continue
        set_field(message, field, lambda nested: fill(nested, choice, depth - 1))
    return message


def set_field(message: Any, field: FieldDescriptor, nested: Callable[[Any], Any]) -> None:
    if is_map(field):
        entry, value = field.message_type.fields_by_name, getattr(message, field.name)
        for key in scalars(entry["key"]):
            if entry["value"].message_type is not None:
                nested(value[key])
            else:
                value[key] = scalars(entry["value"])[0]
    elif field.message_type is not None and field.is_repeated:
        for _ in range(2):
            nested(getattr(message, field.name).add())
    elif field.message_type is not None:
        getattr(message, field.name).SetInParent()
        nested(getattr(message, field.name))
    elif field.is_repeated:
        getattr(message, field.name).extend(scalars(field))
    else:
        setattr(message, field.name, scalars(field)[0])


def serialize(message: Message) -> bytes:
    return message.SerializeToString(deterministic=True)


@every_message
@pytest.mark.parametrize("choice", range(3))
def test_our_bytes_are_theirs(ours: Descriptor, choice: int) -> None:
    message = fill(message_factory.GetMessageClass(ours)(), choice)
    theirs = their_class(ours.full_name).FromString(serialize(message))
    assert serialize(theirs) == serialize(message)
    assert not list(unknown(theirs))
    assert type(message).FromString(serialize(theirs)) == message


def unknown(message: Message) -> Iterator[int]:
    from google.protobuf import unknown_fields

    yield from (field.field_number for field in unknown_fields.UnknownFieldSet(message))


@every_message
@pytest.mark.parametrize("choice", range(3))
def test_fields_that_we_leave_out_are_kept(ours: Descriptor, choice: int) -> None:
    """So a gateway can pass messages on."""
    theirs = fill(their_class(ours.full_name)(), choice, depth=4)
    passed_on = message_factory.GetMessageClass(ours).FromString(serialize(theirs))
    assert their_class(ours.full_name).FromString(serialize(passed_on)) == theirs


def test_a_packed_signature_map_is_theirs() -> None:
    signatures = fill(messages.SignatureDefMap(), 0)
    response = messages.GetModelMetadataResponse()
    response.metadata["signature_def"].CopyFrom(messages.pack_signatures(signatures))
    theirs = get_model_metadata_pb2.GetModelMetadataResponse.FromString(response.SerializeToString())
    unpacked = get_model_metadata_pb2.SignatureDefMap()
    assert theirs.metadata["signature_def"].Unpack(unpacked)
    assert serialize(unpacked) == serialize(signatures)
    theirs.metadata["signature_def"].Pack(unpacked)
    back = messages.GetModelMetadataResponse.FromString(theirs.SerializeToString())
    assert messages.unpack_signatures(back) == signatures


def test_an_example_is_a_tf_example() -> None:
    theirs = example_pb2.Example.FromString(example())
    assert theirs.features.feature["image/encoded"].bytes_list.value == [b"\xff\xd8"]
    assert theirs.features.feature["ids"].int64_list.value == [-1, 300]
