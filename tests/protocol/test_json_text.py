"""Valid and wrong JSON, and the limits on its amount."""

import base64
import json
import random

import pytest

from keraserve_protocol import json_tensors, json_text, rest
from keraserve_protocol import messages as m
from keraserve_protocol.json_text import JsonError, TooMuchError
from keraserve_protocol.messages import DataType
from keraserve_protocol.number_text import finish

NUMBERS = ",".join(["[7]"] * 600)  # long enough for the way that large lists take
LARGE = f'{{"instances":[{NUMBERS}]}}'


def predict(body: bytes, **inputs: DataType) -> m.PredictRequest:
    named = {name: m.TensorInfo(dtype=dtype) for name, dtype in (inputs or {"x": DataType.DT_FLOAT}).items()}
    prediction = finish(rest.pack(rest.parse_prediction(body), named))
    return rest.predict_request(prediction, named, m.model_spec("a"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[7],[7]", "[7],7[]"),
        ("[7],[7]", "[7],[]7"),
        ("[[7],[7]", "[7[],[7]"),
        ("[7],[7]", "[7],][7"),
        ("[7],[7]", "[7],[7]]["),
        ("[7],[7]", "[7],\v[7]"),
        ("[7],[7]", "[7],[\xa07]"),
        ("[7],[7]", "[7],[07]"),
        ("[7],[7]", "[7],[+7]"),
        ("[7],[7]", "[7],[7.]"),
        ("[7],[7]", "[7],[7 7]"),
        ("[7],[7]", "[7],[7],"),
        ("[7],[7]", "[7],[Inf]"),
        ("[7],[7]", "[7],[nan]"),
        ("[7],[7]", "[7],['7']"),
        ("[7]]}", "[7]]}}"),
        ("[7]]}", "[7]]} x"),
        ("[7]]}", "[7]]}\0"),
        ("[7]]}", "[7]],}"),
        ("[7]]}", "[7]],'a':1}"),
        ('{"instances"', '\ufeff{"instances"'),
        ('{"instances"', '\f{"instances"'),
        ('{"instances"', '{"signature_name":"a\nb","instances"'),
    ],
)
def test_text_that_is_no_json_is_rejected_whatever_its_size(old: str, new: str) -> None:
    for whole in (LARGE, '{"instances":[[7],[7]]}'):
        assert predict(whole.encode()).inputs["x"].tensor_shape.dim
        body = whole.replace(old, new, 1) if old in whole else whole
        with pytest.raises(JsonError, match="JSON"):
            predict(body.encode())


def test_changed_brackets_are_accepted_as_by_pythons_parser() -> None:
    """Thousands of small changes to a large list: accepted exactly where Python's own parser accepts them."""
    generator = random.Random(1)
    accepted = 0
    for _ in range(3000):
        text = list("[" + ",".join(["[[1,-2.5e1]]"] * 100) + "]")
        for _ in range(generator.choice((1, 1, 2))):
            place = generator.randrange(len(text))
            match generator.randrange(3):
                case 0:
                    text[place] = generator.choice("[],1 -.e")
                case 1:
                    del text[place]
                case _:
                    text.insert(place, generator.choice("[],1 -.e"))
        body = f'{{"inputs":{"".join(text)}}}'
        try:
            expected = json.loads(body)["inputs"]
        except ValueError:
            with pytest.raises(JsonError, match="not JSON"):
                predict(body.encode())
            continue
        try:
            tensor = predict(body.encode()).inputs["x"]
        except JsonError as error:  # JSON, and no tensor
            assert "inputs: x:" in str(error), (error, body)  # noqa: PT017
            continue
        accepted += 1
        assert tensor == json_tensors.to_tensor(expected, DataType.DT_FLOAT, "x")
    assert accepted > 300


def test_text_between_two_lists_is_read() -> None:
    """A large body that looks like one list, and is not: another signature, other keys."""
    for tail, signature in (
        (f',"signature_name":"other","more":[{NUMBERS}]}}', "other"),
        (f',"more":[{NUMBERS}]}}', "serving_default"),
    ):
        body = (LARGE[:-1] + tail).encode()
        whole = rest.parse_whole(body)
        assert whole.signature == signature
        assert whole.value == [[7]] * 600
    with pytest.raises(JsonError, match="another signature than 'other'"):
        predict((LARGE[:-1] + f',"signature_name":"other","more":[{NUMBERS}]}}').encode())
    with pytest.raises(JsonError, match="key 'instances' twice"):
        predict((LARGE[:-1] + f',"instances":[{NUMBERS}]}}').encode())


@pytest.mark.shows("digits of a number", "depth")
@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"inputs":[1],"inputs":[2]}', "an object has the key 'inputs' twice"),
        (b'{"inputs":[1],"signature_name":"a","signature_name":"b"}', "key 'signature_name' twice"),
        (b'{"inputs":{"x":[1],"x":[2]}}', "key 'x' twice"),
        (b'{"inputs":[1],"a":{"b":1,"c":2,"b":3}}', "key 'b' twice"),
        (b'{"inputs":["\xff"]}', "byte 12 is no UTF-8"),
        (b'{"inputs":["\xed\xa0\x80"]}', "no UTF-8"),  # half of a surrogate pair
        ('{"inputs":[1]}'.encode("utf-16"), "no UTF-8"),
        (b'\xef\xbb\xbf{"inputs":[1]}', "begins with a byte-order mark"),
        (b'{"inputs":["\\uD83D"]}', "no Unicode text"),
        (b'{"inputs":[1],"\\udc00":1}', "no Unicode text"),
        (b'{"inputs":["a\tb"]}', "not JSON"),
        (b'{"inputs":[-Inf]}', "not JSON"),
        (b'{"inputs":[1e]}', "not JSON"),
        (b'{"inputs":[0x1]}', "not JSON"),
        (b'{"inputs":[' + b"9" * 1001 + b"]}", "more than 1000 digits"),
        (b'{"inputs":[0.' + b"9" * 1001 + b"]}", "more than 1000 digits"),
        (b'{"inputs":[1e' + b"9" * 1001 + b"]}", "more than 1000 digits"),
        (b'{"inputs":[1e999]}', "out of float32's range"),
        (b'{"inputs":' + b"[" * 5000 + b"]" * 5000 + b"}", "nested too deeply"),
        (b'{"inputs":["\\ud83d\\ude00"],"a":' + b"[" * 5000 + b"]" * 5000 + b"}", "nested too deeply"),
    ],
)
def test_wrong_json_is_rejected(body: bytes, says: str) -> None:
    with pytest.raises(JsonError, match=says):
        predict(body)


def test_text_of_any_script_is_accepted() -> None:
    text = 'a"\\é😀\u2028' * 40_000  # decoded in pieces
    for ascii_ in (True, False):
        body = json.dumps({"inputs": [text]}, ensure_ascii=ascii_).encode()
        assert predict(body, x=DataType.DT_STRING).inputs["x"].string_val == [text.encode()]
    assert predict(b'{"inputs":[NaN, Infinity, -Infinity]}').inputs["x"].tensor_content


@pytest.mark.shows("characters of JSON with")
@pytest.mark.parametrize("wide", ["😀".encode(), rb"\ud83d\ude00"])
def test_a_text_with_an_emoji_may_be_half_as_long(wide: bytes) -> None:
    """Python stores it with four bytes for each character: one of 16 MiB held its lock for 30 ms."""
    body = b'{"inputs":["%b' + b"a" * (json_text.MOST_WIDE - 100) + b'%b"]}'
    for within in (body % (wide, b""), body % (b"", b"a" * 200), body % (wide, "é".encode() * 60)):
        assert predict(within, x=DataType.DT_STRING).inputs["x"].string_val
    with pytest.raises(TooMuchError, match=r"8388608 characters, .* emoji"):
        predict(body % (wide, b"a" * 200), x=DataType.DT_STRING)


BYTES = 4 << 20


@pytest.mark.shows("values in a JSON")
@pytest.mark.parametrize(
    ("unit", "says"),
    [
        (b"[],", "131072 lists and objects"),
        (b"{},", "131072 lists and objects"),
        (b'"",', "131072 strings"),
        (b"1,", "524288 values"),
        (b"[[[1]]],", "131072 lists and objects"),
        (b'"\\"",', "524288 escapes"),
        (b'{"a":1},', "32768 keys"),
    ],
)
def test_how_much_a_body_may_hold(unit: bytes, says: str) -> None:
    body = b'{"examples":[' + unit * (BYTES // len(unit)) + unit[:-1] + b"]}"
    with pytest.raises(TooMuchError, match=says):
        rest.classification_request(body, m.model_spec("a"))


@pytest.mark.shows("keys of its objects")
def test_how_many_keys_a_body_may_have() -> None:
    for names, rejected in ((30_000, False), (33_000, True)):
        features = ",".join(f'"{name:x}":1' for name in range(names))
        body = f'{{"examples":[{{{features}}}],"a":"{" " * 60_000}"}}'.encode()
        if rejected:
            with pytest.raises(TooMuchError, match="32768 keys"):
                rest.classification_request(body, m.model_spec("a"))
        else:
            [example] = rest.classification_request(body, m.model_spec("a")).input.example_list.examples
            assert len(m.Example.FromString(example).features.feature) == names


@pytest.mark.shows("values in a JSON")
def test_commas_and_brackets_in_texts_are_text() -> None:
    text = '[],{}:"\\' * 150_000
    body = json.dumps({"inputs": [text]}).encode()
    assert predict(body, x=DataType.DT_STRING).inputs["x"].string_val == [text.encode()]
    body = json.dumps({"inputs": ["[],{}:" * 200_000] * 3, "a": ",:[" * 200_000}).encode()
    assert len(predict(body, x=DataType.DT_STRING).inputs["x"].string_val) == 3


@pytest.mark.shows("numbers in one regular")
def test_a_large_list_may_have_many_numbers_and_no_more() -> None:
    within = predict(b'{"inputs":[' + b"1," * 999_999 + b"1]}")
    assert within.inputs["x"].tensor_shape.dim[0].size == 1_000_000
    with pytest.raises(TooMuchError, match="more than 4194304 numbers"):
        predict(b'{"inputs":[' + b"1," * (1 << 22) + b"1]}")


def test_examples_have_a_limit_of_their_own() -> None:
    body = b'{"examples":[{"a":1},{"a":2},{"a":3}]}'
    for request in (rest.classification_request, rest.regression_request):
        assert len(request(body, m.model_spec("a"), 3).input.example_list.examples) == 3
        with pytest.raises(TooMuchError, match=r"3 examples in a request, 2 are allowed \(max_rows\)"):
            request(body, m.model_spec("a"), 2)


def test_long_lists_of_names_are_shortened_for_people() -> None:
    body = json.dumps({"inputs": {f"name {number}": 1 for number in range(1000)}}).encode()
    with pytest.raises(JsonError) as rejected:
        predict(body)
    assert len(str(rejected.value)) < 300
    assert str(rejected.value).endswith("name 9, …")


@pytest.mark.parametrize("text", ["AAA=BBBB", "A" * 1_048_575 + "=" + "BBBB", "AAAAA", "é", "A A A A\n"])
def test_base64_is_decoded_as_a_whole(text: str) -> None:
    body = json.dumps({"inputs": [{"b64": text}]}).encode()
    if text == "A A A A\n":
        assert predict(body, x=DataType.DT_STRING).inputs["x"].string_val == [b"\0\0\0"]
        return
    with pytest.raises(JsonError, match="not base64"):
        predict(body, x=DataType.DT_STRING)


def test_large_base64_is_decoded_in_pieces() -> None:
    data = random.Random(2).randbytes(3_000_001)
    body = json.dumps({"inputs": [{"b64": base64.b64encode(data).decode()}]}).encode()
    assert predict(body, x=DataType.DT_STRING).inputs["x"].string_val == [data]
    assert json_text.load(body)
