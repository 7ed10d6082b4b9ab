"""Damaged files: read as they were written, or with a note that begins with "Damaged", or refused."""

from __future__ import annotations

import struct
import zlib
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from picture_files import encoded, picture, png
from PIL import Image

from treering.errors import ImageError
from treering.pictures import decode, images

DRAWN = Image.fromarray(
    np.kron(picture(24, 32), np.ones((3, 3, 1), np.uint8)) // 2 + np.resize(picture(72, 96), (72, 96, 3)) // 2
)
ANIMATED = encoded(DRAWN, "PNG", save_all=True, append_images=[DRAWN.rotate(180)])
PNGS = {
    "rgb": encoded(DRAWN, "PNG"),
    "palette": encoded(DRAWN.quantize(32), "PNG", transparency=3),
    "deep": png(2, 2, 16, 0, (b"\0" + struct.pack(">HH", 300, 40_000)) * 2),
    "animated": ANIMATED,
}
JPEGS = {
    "baseline": encoded(DRAWN, "JPEG", quality=90),
    "progressive": encoded(DRAWN, "JPEG", quality=90, progressive=True),
    "restarts": encoded(DRAWN, "JPEG", quality=90, restart_marker_blocks=2),
    "cmyk": encoded(DRAWN.convert("CMYK"), "JPEG", quality=90),
}
WEBPS = {
    "lossy": encoded(DRAWN, "WEBP"),
    "lossless": encoded(DRAWN, "WEBP", lossless=True, exif=b"Exif\0\0II*\0\0\0\0\0"),
}


def verdict(data: bytes, intact: np.ndarray) -> str:
    """What came of reading: refused, noted, same or silent (other pixels without a word)."""
    try:
        result = images.read(data)
    except ImageError:
        return "refused"
    if result.damaged:
        return "noted"
    return "same" if np.array_equal(result.pixels, intact) else "silent"


def flipped(data: bytes, at: int, bits: int = 1) -> bytes:
    """The bytes with some bits of one byte flipped."""
    return data[:at] + bytes([data[at] ^ bits]) + data[at + 1 :]


def damage(data: bytes) -> tuple[str, ...]:
    """The damage that is noted, which `strict` refuses."""
    found = images.read(data).damaged
    if found:
        with pytest.raises(ImageError, match="is damaged: "):
            images.read(data, strict=True)
    return found


@pytest.mark.parametrize("data", [*PNGS.values(), *JPEGS.values(), *WEBPS.values()])
def test_what_is_whole_is_not_damaged(data):
    assert images.read(data, strict=True).damaged == ()


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "BMP", *(["AVIF"] if ".avif" in images.SUFFIXES else [])])
def test_other_kinds_that_are_whole_are_not_damaged(kind):
    assert images.read(encoded(DRAWN, kind), strict=True).damaged == ()


@pytest.mark.parametrize("name", PNGS)
def test_no_flip_in_a_png_goes_unnoticed(name):
    data = PNGS[name]
    intact = images.read(data).pixels
    every = range(0, len(data), max(1, len(data) // 400))
    found = Counter(verdict(flipped(data, at, 1 << at % 8), intact) for at in every)
    assert not found["silent"] and not found["same"] and found["noted"] > 0


@pytest.mark.parametrize("data", [*PNGS.values(), *JPEGS.values(), *WEBPS.values()])
def test_no_cut_goes_unnoticed(data):
    intact = images.read(data).pixels
    every = range(0, len(data), max(1, len(data) // 100))
    found = Counter(verdict(data[:at], intact) for at in (*every, *range(len(data) - 20, len(data))))
    assert not found["silent"] and not found["same"]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.sampled_from(list(PNGS.values())), st.data())
def test_whatever_happens_to_a_png_is_noticed(data, drawn):
    intact = images.read(data).pixels
    at = drawn.draw(st.integers(0, len(data) - 1))
    other = drawn.draw(st.binary(max_size=6))
    changed = data[:at] + other + data[at + drawn.draw(st.integers(0, 6)) :]
    assert verdict(changed, intact) != "silent"


def test_the_sentences_of_a_png():
    data = PNGS["rgb"]
    at = data.index(b"IDAT")
    length = struct.unpack(">I", data[at - 4 : at])[0]
    assert damage(flipped(data, at + 4 + length)) == ("Damaged: the checksum of the PNG chunk IDAT is wrong.",)
    assert damage(data[:-12]) == ("Damaged: the PNG chunk IEND, its end, is missing.",)
    # A wrong checksum of the pixels within a chunk whose own is right: written by who knows how.
    body = flipped(data[at : at + 4 + length], 3 + length)
    rewritten = data[:at] + body + struct.pack(">I", zlib.crc32(body)) + data[at + 8 + length :]
    assert damage(rewritten) == ("Damaged: the compressed pixels of the PNG are wrong.",)


def test_a_png_of_too_many_pixels():
    raw = (b"\0" + b"\1\2\3" * 4) * 4
    assert damage(png(4, 4, 8, 2, raw)) == ()
    assert damage(png(4, 4, 8, 2, raw + b"\0")) == ("Damaged: the compressed pixels of the PNG go on too long.",)


@pytest.mark.parametrize("data", [PNGS["rgb"], JPEGS["baseline"], WEBPS["lossy"], encoded(DRAWN, "GIF")])
def test_what_follows_the_end_is_no_damage(data):
    result = images.read(data + b"tail", strict=True)
    assert result.notes == ("4 bytes after the end of the picture were ignored.",)
    np.testing.assert_array_equal(result.pixels, images.read(data).pixels)


@pytest.mark.parametrize("closely", [True, False])
@pytest.mark.parametrize("name", JPEGS)
def test_a_jpeg_whose_scan_stops_too_early_but_has_an_end(name, closely, monkeypatch):
    data = JPEGS[name]
    monkeypatch.setattr(decode, "_LOOK_CLOSELY", 10**9 if closely else 1)
    assert damage(data) == ()
    assert "Damaged: the pixels of the JPEG end too early." in damage(data[:-60] + b"\xff\xd9")


def test_restart_markers_out_of_order():
    data = JPEGS["restarts"]
    at = data.index(b"\xff\xd1")
    assert any("restart markers" in note for note in damage(data[:at] + b"\xff\xd4" + data[at + 2 :]))


def test_webp_chunks():
    data = WEBPS["lossless"]
    assert any("EXIF" in note for note in damage(flipped(data, 20, 0x08)))
    assert verdict(data[:4] + struct.pack("<I", len(data)) + data[8:], picture()) in ("noted", "refused")


def test_gif_and_bmp_without_their_ends():
    assert damage(encoded(DRAWN, "GIF")[:-1]) == ("Damaged: the end of the GIF is missing.",)
    data = encoded(DRAWN, "BMP")
    longer = data[:2] + struct.pack("<I", len(data) + 1) + data[6:]
    assert damage(longer) == ("Damaged: the BMP file is shorter than its header says.",)


@pytest.mark.parametrize("data", [*JPEGS.values(), *WEBPS.values()])
def test_flips_in_files_without_checksums_never_break_the_reader(data):
    # Most give another valid picture; no reader can tell. Their share is measured by the study "pictures".
    intact = images.read(data).pixels
    found = Counter(verdict(flipped(data, at, 1 << at % 8), intact) for at in range(0, len(data), len(data) // 60))
    assert found["refused"] + found["noted"] > 0
