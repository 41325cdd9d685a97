"""Images as people send them: every type, form and coding that clients write."""

import base64
import gzip
import zlib
from functools import partial

import httpx2
import pytest

PATH = "/v1/models/colours/images:classify"
FORM = "multipart/form-data; boundary=XyZ"
packed = partial(gzip.compress, mtime=0)  # else each process of the tests would name them otherwise
NAMED = b'Content-Disposition: form-data; name="anything"; filename="a.png"'
FIELD = b'Content-Disposition: form-data; name="top_k"'


def form(*parts: tuple[bytes, bytes]) -> bytes:
    return b"".join(b"--XyZ\r\n%b\r\n\r\n%b\r\n" % part for part in parts) + b"--XyZ--\r\n"


async def labels(gateway: httpx2.AsyncClient, body: bytes, kind: str, **headers: str) -> list[object]:
    """The best class of each image in the response, or the reason that it has none."""
    sent = {"content-type": kind, **{name.replace("_", "-"): value for name, value in headers.items()}}
    response = await gateway.post(PATH, content=body, headers=sent)
    assert response.status_code == 200, response.text
    found = response.json()["predictions"]
    return [one["classes"][0]["label"] if "classes" in one else one["error"] for one in found]


async def rejection(gateway: httpx2.AsyncClient, body: bytes, kind: str, **headers: str) -> tuple[int, str]:
    sent = {"content-type": kind, **{name.replace("_", "-"): value for name, value in headers.items()}}
    response = await gateway.post(PATH, content=body, headers=sent)
    return response.status_code, response.json()["detail"]


@pytest.mark.shows("what was sent in")
async def test_an_image_of_which_curl_took_the_line_ends_is_told_from_one_that_is_cut_off(
    gateway: httpx2.AsyncClient,
) -> None:
    cut_off = b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(range(1, 256)) * 3
    for sent, hint in ((cut_off, False), (cut_off.translate(None, b"\r\n\0"), True)):
        status, says = await rejection(gateway, sent, "application/x-www-form-urlencoded")
        assert (status, "as curl's -d takes them away: use --data-binary" in says) == (400, hint), says


@pytest.mark.shows("any Content-Type, or none")
@pytest.mark.parametrize(
    "kind",
    [
        "application/x-www-form-urlencoded",  # curl --data-binary
        "image/pjpeg",
        "image/jpg",
        "image/x-png",
        "image/*",
        "image/heic",
        "binary/octet-stream",
        "application/binary",
        "text/plain;charset=UTF-8",
        "application/json",
        "image",
    ],
)
async def test_any_content_type_is_accepted(gateway: httpx2.AsyncClient, red: bytes, kind: str) -> None:
    assert await labels(gateway, red, kind) == ["red"]


@pytest.mark.shows("any Content-Type, or none")
async def test_a_missing_content_type_is_accepted(gateway: httpx2.AsyncClient, red: bytes) -> None:
    request = gateway.build_request("POST", PATH, content=red)
    request.headers.pop("content-type", None)
    response = await gateway.send(request)
    assert response.json()["predictions"][0]["classes"][0]["label"] == "red"


async def test_another_multipart_type_is_rejected_with_what_to_send(
    gateway: httpx2.AsyncClient, red: bytes
) -> None:
    status, detail = await rejection(gateway, form((NAMED, red)), "multipart/mixed; boundary=XyZ")
    assert status == 415
    assert "send multipart/form-data" in detail


@pytest.mark.shows("the files of a")
async def test_a_text_field_beside_the_file_is_no_image(gateway: httpx2.AsyncClient, red: bytes) -> None:
    for field in (
        FIELD,
        FIELD + b"\r\nContent-Type: text/plain",
        FIELD + b"\r\nContent-Type: application/json",
    ):
        assert await labels(gateway, form((field, b"3"), (NAMED, red)), FORM) == ["red"]
        assert await labels(gateway, form((NAMED, red), (field, b"3")), FORM) == ["red"]
    response = await gateway.post(
        PATH,
        params={"strict": "true"},
        content=form((FIELD, b"3"), (NAMED, red)),
        headers={"content-type": FORM},
    )
    assert response.status_code == 200, response.text


@pytest.mark.shows("the files of a")
async def test_an_image_without_a_file_name_is_an_image(gateway: httpx2.AsyncClient, red: bytes) -> None:
    for head in (b'Content-Disposition: form-data; name="f"', b"Content-Type: image/png", b"X-Nothing: 1"):
        assert await labels(gateway, form((head, red)), FORM) == ["red"]
    # Said to be one: it is not passed over, though it is none.
    typed = FIELD + b"\r\nContent-Type: image/png"
    assert await labels(gateway, form((typed, b"x"), (NAMED, red)), FORM) == [
        "it is text, not an image",
        "red",
    ]


@pytest.mark.shows("the files of a")
async def test_an_empty_file_field_is_skipped(gateway: httpx2.AsyncClient, red: bytes) -> None:
    empty = b'Content-Disposition: form-data; name="g"; filename=""\r\nContent-Type: application/octet-stream'
    assert await labels(gateway, form((empty, b""), (NAMED, red), (empty, b"")), FORM) == ["red"]
    assert await labels(gateway, form((NAMED, b""), (NAMED, red)), FORM) == ["it is empty", "red"]
    assert await rejection(gateway, form((empty, b"")), FORM) == (400, "the request has no image")


async def test_the_error_about_a_form_without_files_describes_its_field(
    gateway: httpx2.AsyncClient, red: bytes
) -> None:
    status, detail = await rejection(gateway, form((FIELD, base64.b64encode(red))), FORM)
    assert (status, "the form has no file" in detail, "the base64 of a PNG" in detail) == (415, True, True)


@pytest.mark.parametrize("most", [1, 3])
async def test_fields_do_not_count_as_images(make, embedded: str, red: bytes, most: int) -> None:
    gateway = await make(embedded, max_images=most)
    fields = [(FIELD, b"x")] * 5
    assert await labels(gateway, form(*fields, *[(NAMED, red)] * most, *fields), FORM) == ["red"] * most
    status, detail = await rejection(gateway, form(*fields, *[(NAMED, red)] * (most + 1)), FORM)
    assert (status, f"more than {most} images" in detail) == (413, True)
    status, detail = await rejection(gateway, form(*fields * 30, (NAMED, red)), FORM)
    assert (status, "other fields" in detail) == (413, True)


@pytest.mark.shows("the files of a")
@pytest.mark.parametrize(
    "before", [b"\r\n", b"This is a message in MIME format.\r\n", b"one\r\n\r\n--two\r\n"]
)
@pytest.mark.parametrize("after", [b"", b"the end\r\n", b"\r\n--XyZ\r\nnot a part\r\n"])
async def test_bytes_before_and_after_a_form_are_skipped(
    gateway: httpx2.AsyncClient, red: bytes, before: bytes, after: bytes
) -> None:
    assert await labels(gateway, before + form((NAMED, red)) + after, FORM) == ["red"]


@pytest.mark.shows("the files of a")
@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('filename="a.png"', "a.png"),
        ("filename=a.png", "a.png"),
        ('filename="ä€😀.png"', "ä€😀.png"),
        ("filename*=utf-8''%D1%84%D0%B0.png", "фа.png"),  # of Python's requests
        ("filename=a.png; filename*=utf-8''%C3%A4.png", "ä.png"),  # of .NET
        ("filename*=UTF-8''%C3%A4.png; filename=a.png", "ä.png"),
        ("filename*=iso-8859-1'de'%E4.png", "ä.png"),
        ("filename=\"a; filename*=utf-8''b.png\"", "a; filename*=utf-8''b.png"),
        ('filename="a\\"b.png"', 'a"b.png'),
        ('filename="C:\\fakepath\\a.png"', "a.png"),
    ],
)
async def test_file_names_are_read_in_every_form(
    gateway: httpx2.AsyncClient, red: bytes, disposition: str, name: str
) -> None:
    head = f'Content-Disposition: form-data; name="f"; {disposition}'.encode()
    response = await gateway.post(PATH, content=form((head, red)), headers={"content-type": FORM})
    assert response.status_code == 200, response.text
    assert response.json()["predictions"][0]["filename"] == name


@pytest.mark.shows("compressed by gzip, in")
@pytest.mark.parametrize("encoding", ["base64", "Quoted-Printable", "x-uuencode"])
async def test_transfer_encodings_are_rejected(
    gateway: httpx2.AsyncClient, red: bytes, encoding: str
) -> None:
    head = NAMED + b"\r\nContent-Transfer-Encoding: " + encoding.encode()
    status, detail = await rejection(gateway, form((head, base64.encodebytes(red))), FORM)
    assert status == 415
    assert encoding in detail
    assert "send its own bytes" in detail


@pytest.mark.parametrize("encoding", ["binary", "8bit", "7BIT"])
async def test_transfer_encodings_that_change_nothing_are_accepted(
    gateway: httpx2.AsyncClient, red: bytes, encoding: str
) -> None:
    head = NAMED + b"\r\nContent-Transfer-Encoding: " + encoding.encode()
    assert await labels(gateway, form((head, red)), FORM) == ["red"]


@pytest.mark.shows("compressed by gzip, in")
@pytest.mark.parametrize("coding", ["identity", "Identity", "", " ", "identity, identity"])
async def test_the_identity_coding_is_accepted(gateway: httpx2.AsyncClient, red: bytes, coding: str) -> None:
    assert await labels(gateway, red, "image/png", content_encoding=coding) == ["red"]


@pytest.mark.shows("compressed by gzip, in")
@pytest.mark.parametrize("coding", ["gzip", "GZIP", "x-gzip", "gzip, identity", "identity,gzip"])
async def test_gzip_in_several_members_is_expanded(
    gateway: httpx2.AsyncClient, red: bytes, coding: str
) -> None:
    several = packed(red[:50]) + packed(b"") + packed(red[50:])
    for body in (packed(red), several, b"".join(packed(bytes([byte])) for byte in red)):
        assert await labels(gateway, body, "image/png", content_encoding=coding) == ["red"]


@pytest.mark.shows("compressed by gzip, in")
@pytest.mark.parametrize(
    ("coding", "body", "status", "says"),
    [
        ("br", b"x", 415, "send gzip, deflate or none"),
        ("gzip, br", b"x", 415, "send gzip, deflate or none"),
        ("gzip, gzip", packed(packed(b"x")), 415, "send gzip, deflate or none"),
        ("deflate", zlib.compress(b"x", wbits=-15), 400, "the body is not deflate in zlib's form"),
        ("deflate", zlib.compress(b"x") * 2, 400, "something behind its deflate stream"),
        ("gzip", b"x", 400, "the body is not gzip"),
        ("gzip", b"", 400, "the body is not gzip"),
        ("gzip", packed(b"x" * 99)[:-1], 400, "the body is not gzip"),
        ("gzip", packed(b"x") + packed(b"y" * 99)[:-9], 400, "the body is not gzip"),
        ("gzip", packed(b"x") + b"junk", 400, "the body is not gzip"),
        ("gzip", packed(b"") * 1001, 400, "far too many pieces"),
        ("gzip", packed(bytes(17 << 20)), 413, "once expanded"),
        ("gzip", packed(bytes(9 << 20)) * 2, 413, "once expanded"),
    ],
)
async def test_malformed_and_unknown_codings_are_rejected(
    gateway: httpx2.AsyncClient, coding: str, body: bytes, status: int, says: str
) -> None:
    found, detail = await rejection(gateway, body, "image/png", content_encoding=coding)
    assert found == status
    assert says in detail
