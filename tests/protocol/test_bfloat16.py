"""bfloat16 in JSON, compared with TensorFlow's."""

import json
import math
import struct
from typing import Any

import pytest
import tensorflow as tf

from keraserve_protocol import bfloat16, rest
from keraserve_protocol import messages as m
from keraserve_protocol.elements import unpack
from keraserve_protocol.json_tensors import from_tensor, nested, to_tensor
from keraserve_protocol.json_text import ResponseError


def theirs(values: Any) -> m.TensorProto:
    return m.TensorProto.FromString(
        tf.make_tensor_proto(tf.constant(values, tf.bfloat16)).SerializeToString()
    )


def test_every_bfloat16_is_read_back_from_its_json() -> None:
    for bits in range(1 << 16):
        (number,) = bfloat16.to_numbers([bits])
        if math.isnan(number):
            assert math.isnan(bfloat16.to_numbers(struct.unpack("<H", bfloat16.pack(number)))[0])
            continue
        assert bfloat16.pack(number) == struct.pack("<H", bits)
        proto = m.TensorProto(dtype=m.DataType.DT_BFLOAT16, tensor_content=struct.pack("<H", bits))
        assert bfloat16.pack(float(json.dumps(nested(from_tensor(proto, binary=False))))) == struct.pack(
            "<H", bits
        )


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1.00390625, 1.01171875, 3.38e38, 1e-37, -0.0, 255])
def test_numbers_are_rounded_as_tensorflow_rounds_them(value: float) -> None:
    ours = to_tensor([value], m.DataType.DT_BFLOAT16, "x")
    assert list(unpack(ours)) == list(unpack(theirs([value])))


def test_the_typed_field_is_read_and_its_last_value_repeated() -> None:
    proto = m.TensorProto(dtype=m.DataType.DT_BFLOAT16, half_val=[0x3F80, 0x4000])
    proto.tensor_shape.dim.add(size=2)
    proto.tensor_shape.dim.add(size=2)
    assert nested(from_tensor(proto, binary=False)) == [[1.0, 2.0], [2.0, 2.0]]
    proto.half_val.append(1 << 16)
    with pytest.raises(ResponseError, match="no bfloat16"):
        nested(from_tensor(proto, binary=False))


def test_a_response_has_short_decimals() -> None:
    response = m.PredictResponse()
    response.outputs["y"].CopyFrom(theirs([[1.5, 0.1]]))
    assert rest.predict_response(response, rest.Layout.ROWS) == b'{"predictions":[[1.5,0.1]]}'
