"""Describe a file of none of the accepted image formats, in a sentence that says what to send instead."""

import base64
import binascii
import re

from keraserve_protocol import image_formats

_IMAGES = {
    "TIFF": rb"II\*\0|MM\0\*|II\+\0|MM\0\+",
    "JPEG 2000": rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51",
    "JPEG XL": rb"\xff\x0a|\0\0\0\x0cJXL ",
    "JPEG XR": rb"II\xbc",
    "icon (ICO)": rb"\0\0[\x01\x02]\0",
    "PBM, PGM, PPM or PAM": rb"P[1-7][\s#]",
    "Photoshop": rb"8BPS",
    "OpenEXR": rb"\x76\x2f\x31\x01",
    "Radiance HDR": rb"#\?RADIANCE",
    "QOI": rb"qoif",
    "DDS": rb"DDS ",
    "DICOM": rb"(?s:.{128})DICM",
}
_OTHERS = {
    "a video": rb"RIFF....AVI |\x1a\x45\xdf\xa3",
    "a sound": rb"RIFF....WAVE|ID3|OggS|fLaC",
    "a PDF document: send an image of the page": rb"%PDF",
    "compressed by gzip: send it unpacked, or with the header Content-Encoding: gzip": rb"\x1f\x8b",
    "a ZIP archive: send the files in it": rb"PK\x03\x04",
    "an array of numpy's: send an encoded image, or the values to :predict": rb"\x93NUMPY",
    "a PNG whose line ends were changed on the way (curl: use --data-binary)": rb"\x89PNG",
    "the text of a form: send the file itself (curl: --data-binary @FILE, or -F file=@FILE)": (
        rb"--[^\r\n]{1,70}\r?\n[Cc]ontent-|[A-Za-z_]\w*=(?!=)[\w%+.-]"
    ),
    "an HTML page, perhaps an error page in place of the image": rb"(?i:<!doctype html|<html)",
    "JSON: send the image's own bytes, or ask :predict": rb"[{\[]",
    "an address: images are not fetched, send the image's own bytes": rb"https?://",
}
_BRANDS = {
    "HEIC": (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"),
    "AVIF": (b"avif", b"avis"),
    "HEIF": (b"mif1", b"msf1"),
    "JPEG XL": (b"jxl ",),
}
_BEGINNING = 1024  # bytes that are examined
_SHORT = 512  # bytes that may lack three values by chance
_FEW = 64  # bytes that may precede an image by mistake
_TEXT = re.compile(rb"[\t\n\r\x20-\x7e]+")
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_\-\s]{24,}={0,2}\s*")


def say(data: bytes) -> str:
    """Describe a file, and say what to send instead: "it is a TIFF image: send a JPEG, …".

    Args:
        data: a file of none of the formats of `image_formats`.
    """
    beginning = data[:_BEGINNING]
    found = _image(beginning)
    if found is not None:
        article = "an" if found.startswith(("A", "i", "O", "SVG")) else "a"
        of_phones = ", as iPhones store them" if found == "HEIC" else ""
        return f"it is {article} {found} image{of_phones}: send a {image_formats.named()}"
    found = _text_of_image(beginning) or _something_before(beginning) or _other(beginning)
    return f"it is {found}" if found else f"it is no {image_formats.named()}{stripped(data)}"


def stripped(data: bytes) -> str:
    """Say what happened to a file without line ends and zeros, which no long binary file lacks."""
    if len(data) < _SHORT or any(byte in data for byte in (b"\n", b"\r", b"\0")):
        return ""
    return "; its line ends and zeros are gone, as curl's -d takes them away: use --data-binary"


def _image(beginning: bytes) -> str | None:
    if beginning[4:8] == b"ftyp":
        brands = [beginning[8:12], *(beginning[place : place + 4] for place in range(16, 64, 4))]
        return next(
            (name for name, known in _BRANDS.items() if any(brand in known for brand in brands)), None
        )
    if re.match(rb"\s*(?:<\?xml|<!--|<!DOCTYPE svg|<svg)", beginning) and b"<svg" in beginning:
        return "SVG"
    return next((name for name, pattern in _IMAGES.items() if re.match(pattern, beginning)), None)


def _text_of_image(beginning: bytes) -> str | None:
    if beginning[:5].lower() == b"data:":
        return "a data URL: send the bytes that its base64 stands for"
    if not _BASE64.fullmatch(beginning):
        return None
    try:
        text = b"".join(beginning[:_FEW].split()).translate(_URL_SAFE)
        decoded = base64.b64decode(text[:24])
    except binascii.Error:
        return None
    named = image_formats.find(decoded)
    return f"the base64 of a {named.name}: send the bytes that it stands for" if named else None


def _something_before(beginning: bytes) -> str | None:
    for listed in image_formats.FORMATS:
        for place in range(1, _FEW):
            if listed.begins(beginning[place : place + image_formats.SIGNATURE_BYTES]):
                before = "1 byte" if place == 1 else f"{place} bytes"
                return f"a {listed.name} with {before} before it: send it without"
    return None


def _other(beginning: bytes) -> str | None:
    if beginning[4:8] == b"ftyp":
        return "a video"
    start = beginning.lstrip(b"\xef\xbb\xbf \t\r\n")
    for name, pattern in _OTHERS.items():
        if re.match(pattern, start, re.DOTALL):
            return name
    return "text, not an image" if _TEXT.fullmatch(beginning) else None
