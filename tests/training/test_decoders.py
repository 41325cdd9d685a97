"""Files of which TensorFlow's decoders silently give wrong pixels: decoded as Pillow does, or rejected."""

import io
import struct
import zlib
from typing import Any

import exif_blocks
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keraserve_models.preprocessing import decoders
from keraserve_models.preprocessing.decoders.white import opaque, over_white
from keraserve_models.preprocessing.decoding import Preparation, decode, upright
from keraserve_protocol.image_formats import MAX_PIXELS

pytestmark = pytest.mark.usefixtures("tensorflow")
WIDTH, HEIGHT = 60, 44


def image() -> Image.Image:
    noise = np.random.default_rng(3).integers(0, 256, (5, 6, 3), np.uint8)
    return Image.fromarray(noise).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)


def transparent() -> Image.Image:
    """From transparent, with black pixels, to opaque."""
    drawn = image().convert("RGBA")
    opacity = np.tile(np.linspace(0, 255, WIDTH).astype(np.uint8), (HEIGHT, 1))
    drawn.putalpha(Image.fromarray(opacity))
    return drawn


def encoded(kind: str, drawn: Image.Image, **options: Any) -> bytes:
    out = io.BytesIO()
    drawn.save(out, kind, **options)
    return out.getvalue()


def seen(data: bytes) -> np.ndarray[Any, Any]:
    """As Pillow shows it, on white."""
    with Image.open(io.BytesIO(data)) as opened:
        over = opened.convert("RGBA")
        under = Image.new("RGBA", over.size, "white")
        under.alpha_composite(over)
        return np.asarray(under.convert("RGB")).astype(int)


@tf.function(input_signature=[tf.TensorSpec((), tf.string)])
def decoded(content: Any) -> Any:
    colours = upright(*decoders.decode(content, "it"))
    return tf.broadcast_to(colours, tf.concat([tf.shape(colours)[:2], [3]], 0))


def keyed(drawn: Image.Image, colour: bytes) -> bytes:
    """A PNG in which one colour is transparent."""
    data = encoded("PNG", drawn)
    place = data.index(b"IDAT") - 4
    return data[:place] + exif_blocks.chunk(b"tRNS", colour) + data[place:]


PALETTE = image().quantize(8)
FIRST_GREY = struct.pack(">H", np.asarray(image().convert("L"))[0, 0])
FIRST_COLOUR = struct.pack(">HHH", *np.asarray(image())[0, 0])
TRANSPARENT = {
    "png rgba": encoded("PNG", transparent()),
    "png grey": encoded("PNG", transparent().convert("LA")),
    "png palette": encoded("PNG", PALETTE, transparency=2),
    "png palette, many": encoded("PNG", PALETTE, transparency=bytes(range(0, 240, 30))),
    "png one grey": keyed(image().convert("L"), FIRST_GREY),
    "png one colour": keyed(image(), FIRST_COLOUR),
    "png of 1 bit": keyed(image().convert("1"), b"\0\0"),
    "webp": encoded("WEBP", transparent(), lossless=True, exact=True),
    "lossy webp": encoded("WEBP", transparent()),
    "gif": encoded("GIF", PALETTE, transparency=2),
    "gif of frames": encoded(
        "GIF", PALETTE, transparency=2, save_all=True, append_images=[PALETTE.rotate(180)]
    ),
    "logo": encoded("PNG", Image.new("RGBA", (9, 9))),  # black, and nothing is seen of it
}


@pytest.mark.parametrize("name", TRANSPARENT)
def test_transparent_images_are_composed_on_white(name: str) -> None:
    data = TRANSPARENT[name]
    np.testing.assert_array_equal(decoded(data), seen(data))
    with Image.open(io.BytesIO(data)) as opened:
        assert (seen(data) != np.asarray(opened.convert("RGBA"))[..., :3]).any()


def test_arrays_with_alpha_give_the_same_as_files() -> None:
    both = np.asarray(transparent())
    np.testing.assert_array_equal(opaque(tf.constant(both[None]))[0], seen(TRANSPARENT["png rgba"]))
    prepare = Preparation((HEIGHT, WIDTH), 3)
    by_bytes = decode(tf.constant([TRANSPARENT["png rgba"]]), "images", prepare, (HEIGHT, WIDTH, 3))
    np.testing.assert_array_equal(prepare(tf.constant(both[None])), by_bytes)


def test_every_colour_with_every_opacity_is_rounded_as_pillow_does_it() -> None:
    colours, opacities = np.meshgrid(np.arange(256), np.arange(256))
    grid = np.stack([colours, colours, colours, opacities], -1).astype(np.uint8)
    np.testing.assert_array_equal(over_white(tf.constant(grid)), seen(encoded("PNG", Image.fromarray(grid))))


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("quality", [30, 75, 95])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 2}], ids=str)
def test_jpegs_are_decoded_as_pillow_does_it(subsampling: int, quality: int, options: dict[str, Any]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    noisy = Image.fromarray(noise).resize((203, 301))
    data = encoded("JPEG", noisy, quality=quality, subsampling=subsampling, **options)
    np.testing.assert_array_equal(decoded(data), seen(data))


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk_jpegs_are_decoded_as_pillow_does_it(mode: str) -> None:
    data = encoded("JPEG", image().convert(mode), quality=90)
    np.testing.assert_array_equal(decoded(data), seen(data))


def test_bytes_and_array_of_one_jpeg_are_the_same_to_a_network() -> None:
    data = encoded("JPEG", image(), quality=90)
    prepare = Preparation((20, 30), 3)
    by_bytes = decode(tf.constant([data]), "images", prepare, (20, 30, 3))
    with Image.open(io.BytesIO(data)) as opened:
        by_array = prepare(tf.constant(np.asarray(opened)[None]))
    np.testing.assert_array_equal(by_bytes, by_array)


def test_of_sixteen_bits_the_upper_eight_are_seen() -> None:
    values = np.arange(WIDTH * HEIGHT, dtype=np.uint16).reshape(HEIGHT, WIDTH) * 24
    np.testing.assert_array_equal(decoded(encoded("PNG", Image.fromarray(values)))[..., 0], values >> 8)
    rows = b"".join(b"\0" + np.repeat(row, 3).astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 16, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    data = b"\x89PNG\r\n\x1a\n" + b"".join(exif_blocks.chunk(*each) for each in chunks)
    np.testing.assert_array_equal(decoded(data)[..., 2], values >> 8)


# Bitmaps


def bmp(
    bits: int,
    rows: bytes,
    *,
    header: int = 40,
    compression: int = 0,
    masks: bytes = b"",
    palette: bytes = b"",
    height: int = 6,
) -> bytes:
    """A bitmap of 8 by 6 pixels; what is longer than 40 bytes of a header are masks, then zeros."""
    told = struct.pack("<IiiHHIIiiII", header, 8, height, 1, bits, compression, len(rows), 0, 0, 0, 0)
    rest = masks.ljust(header - 40, b"\0") + palette
    start = 14 + 40 + len(rest)
    return b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start) + told + rest + rows


PIXELS = np.random.default_rng(1).integers(0, 256, (6, 8, 4), np.uint8)
BGRA = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
GREYS = b"".join(bytes([level] * 3) + b"\0" for level in range(256))


def rows(pixels: np.ndarray[Any, Any]) -> bytes:
    return pixels[::-1].tobytes()


BITMAPS = {
    "24": bmp(24, rows(PIXELS[..., :3])),
    "24, version 5": bmp(24, rows(PIXELS[..., :3]), header=124),
    "32, the fourth byte means nothing": bmp(32, rows(PIXELS)),
    "32, masks": bmp(32, rows(PIXELS), compression=3, masks=BGRA[:12]),
    "32, masks of all four": bmp(32, rows(PIXELS), header=108, compression=3, masks=BGRA),
    "32, masks without alpha": bmp(32, rows(PIXELS), header=108, compression=3, masks=BGRA[:12]),
    "grey": bmp(8, rows(PIXELS[..., 0]), palette=GREYS),
    "from top to bottom": bmp(24, PIXELS[..., :3].tobytes(), height=-6),
    "two bytes behind the rows, as Photoshop writes": bmp(24, rows(PIXELS[..., :3])) + b"\0\0",
    "much behind the rows": bmp(8, rows(PIXELS[..., 0]), palette=GREYS) + b"more" * 500,
    "by pillow": encoded("BMP", image()),
    "grey by pillow": encoded("BMP", image().convert("L")),
    "transparent by pillow": encoded("BMP", transparent()),
}


@pytest.mark.parametrize("name", BITMAPS)
def test_bitmaps_that_are_decoded(name: str) -> None:
    np.testing.assert_array_equal(decoded(BITMAPS[name]), seen(BITMAPS[name]))


SWAPPED = struct.pack("<III", 0xFF, 0xFF00, 0xFF0000)
REJECTED = {
    "palette": encoded("BMP", PALETTE),
    "grey, upside down": bmp(8, rows(PIXELS[..., 0]), palette=GREYS[::-1]),
    "palette that is not there": bmp(8, rows(PIXELS[..., 0])),
    "1 bit": encoded("BMP", image().convert("1")),
    "16 bits": bmp(16, bytes(6 * 16)),
    "25 bits": bmp(25, rows(PIXELS[..., :3])),
    "run lengths": bmp(8, bytes(48), compression=1, palette=GREYS),
    "red and blue exchanged": bmp(32, rows(PIXELS), compression=3, masks=SWAPPED),
    "red and blue exchanged, version 5": bmp(
        32, rows(PIXELS), header=124, compression=3, masks=SWAPPED + BGRA[12:]
    ),
    "of OS/2": b"BM" + struct.pack("<IHHIIHHHH", 38, 0, 0, 26, 12, 2, 2, 1, 24) + bytes(16),
    "nothing but its name": b"BM",
}


@pytest.mark.parametrize("name", REJECTED)
def test_bitmaps_that_are_rejected(name: str) -> None:
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="it is a BMP of a kind that models do not decode"
    ):
        decoded(REJECTED[name])


# Frames


def gif(*, left: int, top: int, size: tuple[int, int] = (20, 16), before: bytes = b"") -> bytes:
    """A GIF whose first frame, of 8 by 6 pixels, lies somewhere on it."""
    frame = encoded("GIF", PALETTE.resize((8, 6)))
    start = frame.index(b"\x2c\0\0\0\0")
    head = frame[:6] + struct.pack("<HH", *size) + frame[10 : 13 + 3 * 8]
    assert frame[10] & 7 == 2  # eight colours
    return head + before + b"\x2c" + struct.pack("<HH", left, top) + frame[start + 5 :]


def test_a_frame_lies_where_it_is_on_white() -> None:
    data = gif(left=9, top=7)
    frame = seen(gif(left=0, top=0, size=(8, 6)))
    whole = np.full((16, 20, 3), 255)
    whole[7:13, 9:17] = frame
    np.testing.assert_array_equal(decoded(data), whole)


def test_a_frame_larger_than_its_gif_enlarges_it() -> None:
    data = gif(left=3, top=4, size=(5, 5))
    assert decoded(data).shape == (10, 11, 3) == seen(data).shape
    np.testing.assert_array_equal(decoded(data)[4:, 3:], seen(data)[4:, 3:])


def test_extensions_of_any_length_are_skipped() -> None:
    comment = b"".join(bytes([size]) + b"\x2c" * size for size in (255, 255, 3, 255, 255, 1)) + b"\0"
    long = (b"\xff" + b"\x21" * 255) * 300 + b"\0"
    netscape = b"\x21\xff\x0bNETSCAPE2.0\x03\1\0\0\0"
    data = gif(left=0, top=0, size=(8, 6), before=b"\x21\xfe" + comment + netscape + b"\x21\xfe" + long)
    np.testing.assert_array_equal(decoded(data), seen(gif(left=0, top=0, size=(8, 6))))


def test_later_frames_are_not_decoded() -> None:
    """They may be large, or damaged."""
    still = encoded("GIF", PALETTE)
    later = b"\x2c" + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\x02\x02\x44\x01\0"
    np.testing.assert_array_equal(decoded(still[:-1] + later + b";"), seen(still))


def test_of_an_animation_the_first_frame_is_seen() -> None:
    frames = [image(), image().rotate(180), image().rotate(90)]
    for kind, options in (("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {})):
        drawn = [frame.quantize(8) for frame in frames] if kind == "GIF" else frames
        data = encoded(kind, drawn[0], save_all=True, append_images=drawn[1:], **options)
        for _ in range(20):  # TensorFlow would write beyond its memory, and end some time later
            np.testing.assert_array_equal(decoded(data), seen(data))


# Pixels


def png_of(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(30))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(exif_blocks.chunk(*each) for each in chunks)


def jpeg_of(width: int, height: int) -> bytes:
    data = encoded("JPEG", image())
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + struct.pack(">HH", height, width) + data[place + 4 :]


def webp_of(width: int, height: int, *, kind: str) -> bytes:
    extended = (
        b"VP8X\x0a\0\0\0\2\0\0\0" + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    )
    lossy = b"VP8 \x20\0\0\0\x10\2\0\x9d\x01\x2a" + struct.pack("<HH", width % 2**16, height % 2**16)
    lossless = b"VP8L\x20\0\0\0\x2f" + ((width - 1 | height - 1 << 14) % 2**32).to_bytes(4, "little")
    chunk = {"VP8X": extended, "VP8 ": lossy, "VP8L": lossless}[kind].ljust(40, b"\0")
    return b"RIFF" + struct.pack("<I", len(chunk) + 4) + b"WEBP" + chunk


def huge_bmp(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHIIiiHHI", 54, 0, 0, 54, 40, width, height, 1, 24, 0) + bytes(20)


def huge_gif(width: int, height: int) -> bytes:
    return gif(left=0, top=0, size=(width, height))


TOO_LARGE = {
    "png": png_of(16_000, 16_000),
    "png of one line": png_of(2**31 - 1, 1),
    "png with an overflow": png_of(2**32 - 1, 2**32 - 1),
    "jpeg": jpeg_of(14_000, 13_000),
    "gif": huge_gif(65_535, 65_535),
    "bmp": huge_bmp(20_000, 20_000),
    "bmp from top to bottom": huge_bmp(20_000, -20_000),
    "bmp with an overflow": huge_bmp(2**31 - 1, -(2**31)),
    "webp": webp_of(16_383, 16_383, kind="VP8 "),
    "lossless webp": webp_of(16_384, 16_384, kind="VP8L"),
    "extended webp": webp_of(16_777_216, 16_777_216, kind="VP8X"),
    "just too large": png_of(MAX_PIXELS // 10_000 + 1, 10_000),
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_too_many_pixels_are_rejected_before_decoding_and_named(name: str) -> None:
    good = encoded("PNG", image())
    sentence = rf"images\[1\] has \d+x\d+ = \d+ pixels, 1 to {MAX_PIXELS} are allowed"
    with pytest.raises(tf.errors.InvalidArgumentError, match=sentence):
        decode(tf.constant([good, TOO_LARGE[name]]), "images", Preparation((8, 8), 3), (8, 8, 3))


def test_the_size_is_that_which_the_decoder_will_read() -> None:
    """A chunk before the header would hide it."""
    data = png_of(16_000, 16_000)
    hidden = data[:8] + exif_blocks.chunk(b"abCd", struct.pack(">II", 2, 2) + bytes(5)) + data[8:]
    with pytest.raises(tf.errors.InvalidArgumentError, match="does not begin with an IHDR chunk"):
        decoded(hidden)
    with pytest.raises(tf.errors.InvalidArgumentError, match="does not begin as a WebP does"):
        decoded(b"RIFF\x40\0\0\0WEBPJUNK" + bytes(60))


def test_as_many_pixels_as_are_allowed_are_decoded() -> None:
    data = encoded("PNG", Image.new("1", (10_000, MAX_PIXELS // 10_000), 1))
    given = decode(tf.constant([data]), "images", Preparation((4, 4), 1), (4, 4, 1))
    np.testing.assert_allclose(given, np.full((1, 4, 4, 1), 255), atol=1e-3)


PIECES = {
    "png": png_of(4, 4)[:33] + exif_blocks.chunk(b"abCd", b"") * 30_000 + png_of(4, 4)[33:],
    "gif": gif(left=0, top=0, before=b"\x21\xfe" + b"\1\1" * 20_000 + b"\0"),
}


@pytest.mark.parametrize("name", PIECES)
def test_a_file_of_endless_pieces_is_rejected(name: str) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"more than 20000 chunks|not whole"):
        decoded(PIECES[name])


def test_an_array_of_five_channels_is_rejected() -> None:
    prepare = tf.function(Preparation((4, 4), 3), [tf.TensorSpec([None] * 4, tf.uint8)])
    with pytest.raises(tf.errors.InvalidArgumentError, match="has 5 channels, not 1 to 4"):
        prepare(tf.zeros((2, 3, 3, 5), tf.uint8))
