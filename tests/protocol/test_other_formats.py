"""The sentence that describes a file that is no accepted image."""

import base64
import json

import pytest
from encoded_images import png

from keraserve_protocol import image_formats, other_formats

IMAGE = png(200, 30, 90)
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(90)
BMP = b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0" + bytes(50)
WEBP = b"RIFF\x40\0\0\0WEBPVP8 " + bytes(60)


def box(major: bytes, *others: bytes) -> bytes:
    brands = major + bytes(4) + b"".join(others)
    return (8 + len(brands)).to_bytes(4, "big") + b"ftyp" + brands + bytes(50)


SENT = {
    "HEIC": (box(b"heic", b"mif1", b"heic"), "a HEIC image, as iPhones store them: send a JPEG"),
    "HEIC behind another brand": (box(b"mif1", b"mif1", b"heic"), "a HEIC image, as iPhones"),
    "AVIF": (box(b"avif", b"mif1", b"miaf"), "an AVIF image: send a JPEG, PNG, GIF, BMP or WebP"),
    "a video": (box(b"isom", b"iso2", b"mp41"), "it is a video"),
    "TIFF": (b"II*\0\x08\0\0\0", "a TIFF image"),
    "big-endian TIFF": (b"MM\0*\0\0\0\x08", "a TIFF image"),
    "JPEG 2000": (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 image"),
    "JPEG XL": (b"\xff\x0a\xcb\xc0", "a JPEG XL image"),
    "JPEG XL in boxes": (b"\0\0\0\x0cJXL \r\n\x87\n" + box(b"jxl "), "a JPEG XL image"),
    "ICO": (b"\0\0\1\0\1\0 ", "an icon (ICO) image"),
    "PPM": (b"P6 2 2 255\n" + bytes(12), "a PBM, PGM, PPM or PAM image"),
    "SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG image"),
    "SVG behind a declaration": (b'<?xml version="1.0"?>\n<!-- x -->\n<svg/>', "an SVG image"),
    "PDF": (b"%PDF-1.7\n", "a PDF document"),
    "gzip": (b"\x1f\x8b\x08", "compressed by gzip"),
    "data URL": (b"data:image/png;base64," + base64.b64encode(IMAGE), "a data URL: send the bytes"),
    "base64": (base64.b64encode(IMAGE), "the base64 of a PNG: send the bytes"),
    "base64 in lines": (base64.encodebytes(JPEG), "the base64 of a JPEG"),
    "base64 for URLs": (base64.urlsafe_b64encode(JPEG), "the base64 of a JPEG"),
    "HTML": (b"\n<!DOCTYPE html><html>404</html>", "an HTML page"),
    "HTML without a declaration": (b"<html>404</html>", "an HTML page"),
    "JSON": (json.dumps({"instances": [1]}).encode(), "it is JSON"),
    "a form": (b"image=%FF%D8%FF&top_k=3", "the text of a form"),
    "a form in parts": (b'--XyZ\r\nContent-Disposition: form-data; name="f"\r\n\r\nx', "the text of a form"),
    "an address": (b"https://example.org/a.jpg", "images are not fetched"),
    "text that begins as a BMP does": (
        b"BMW has sold more of its cars than ever.",
        "it is text, not an image",
    ),
    "a line before a BMP": (b"\n" + BMP, "a BMP with 1 byte before it"),
    "text": (b"hello there", "it is text, not an image"),
    "a line before": (b"\n" + JPEG, "a JPEG with 1 byte before it: send it without"),
    "several bytes before": (b"\xef\xbb\xbf\r\n" + WEBP, "a WebP with 5 bytes before it"),
    "curl -d": (IMAGE.replace(b"\r", b"").replace(b"\n", b""), "a PNG whose line ends were changed"),
    "curl -d, a BMP": (
        b"BM\x36\x30" + b"\x99" * 600,
        "its line ends and zeros are gone, as curl's -d takes them",
    ),
    "numpy": (b"\x93NUMPY\1\0", "an array of numpy's"),
    "nothing known": (b"\x07\x08\x80" * 9, "it is no JPEG, PNG, GIF, BMP or WebP"),
}


@pytest.mark.shows("what was sent in")
@pytest.mark.parametrize("name", SENT)
def test_the_message_says_what_was_sent(name: str) -> None:
    data, says = SENT[name]
    assert image_formats.find(data) is None
    sentence = other_formats.say(data)
    assert says in sentence
    assert sentence.startswith("it is ")


@pytest.mark.parametrize("name", SENT)
def test_a_short_beginning_is_no_error(name: str) -> None:
    data, _ = SENT[name]
    for end in range(min(40, len(data))):
        assert other_formats.say(data[:end]).startswith("it is ")
