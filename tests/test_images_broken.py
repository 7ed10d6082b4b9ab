"""Files that cannot be read as pictures, or should not be."""

from __future__ import annotations

import errno
import io
import os
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from picture_files import (
    encoded,
    picture,
    png,
    sentence,
    swapped_profile,
    with_alpha,
)
from PIL import Image

from treering.errors import ImageError
from treering.pictures import images, limits

as_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root ignores permission bits")
needs_avif = pytest.mark.skipif(".avif" not in images.SUFFIXES, reason="this Pillow has no AVIF")


# What cannot be read


def test_missing_folder_and_empty(tmp_path):
    assert sentence(tmp_path / "no.png") == f"{tmp_path / 'no.png'} does not exist."
    assert sentence(tmp_path) == f"{tmp_path} is a folder, not a picture."
    (tmp_path / "empty.png").touch()
    assert sentence(tmp_path / "empty.png") == f"{tmp_path / 'empty.png'} is empty."
    assert sentence(b"") == "The picture is empty."
    assert "cannot be read" in sentence(tmp_path / "a\0b.png")
    assert "cannot be read" in sentence(tmp_path / "empty.png" / "below.png")
    assert "cannot be read" in sentence(io.StringIO("text"))


@as_root
def test_no_permission_to_read(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"x")
    path.chmod(0)
    assert sentence(path) == f"No permission to read {path}."


def test_permission_sentence(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    (tmp_path / "a.png").touch()
    monkeypatch.setattr(os, "open", refuse)
    assert sentence(tmp_path / "a.png") == f"No permission to read {tmp_path / 'a.png'}."


def test_the_error_uses_the_name_given(tmp_path):
    (tmp_path / "a.png").write_text("hello")
    assert sentence(tmp_path / "a.png") == f"{tmp_path / 'a.png'} is not a picture that can be read."
    assert sentence(b"hello", name="upload 7") == "upload 7 is not a picture that can be read."
    with (tmp_path / "a.png").open("rb") as file:
        assert sentence(file) == f"{tmp_path / 'a.png'} is not a picture that can be read."


def test_postscript_is_not_run():
    data = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"
    assert sentence(data) == "The picture is not a picture that can be read."


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", pytest.param("AVIF", marks=needs_avif)])
def test_cut_short(kind):
    data = encoded(Image.fromarray(picture(64, 64)), kind)
    allowed = {"cut.x is broken or cut short.", "cut.x is not a picture that can be read."}
    for length in (1, 12, 40, len(data) // 2, len(data) - 40):
        assert sentence(data[:length], name="cut.x") in allowed


def test_broken_later_frame():
    frames = [Image.fromarray(np.roll(picture(32, 32), 5 * n, axis=0)) for n in range(3)]
    data = encoded(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    at = struct.unpack("<I", data[4:8])[0]
    link = at + 2 + 12 * struct.unpack("<H", data[at : at + 2])[0]  # where the first page names the second
    result = images.read(data[:link] + struct.pack("<I", len(data) - 3) + data[link + 4 :])
    np.testing.assert_array_equal(result.pixels, picture(32, 32))
    assert result.notes == ("Only the first frame was read: the others are broken.",)


def test_zero_size():
    assert sentence(png(0, 1, 8, 2, b"")) == "The picture is not a picture that can be read."


@pytest.mark.parametrize("side", [10_000, 20_000, 60_000])  # Pillow warns at the first and raises at the others
def test_decompression_bomb(side):
    limit = Image.MAX_IMAGE_PIXELS
    data = png(side, side, 8, 2, b"")
    assert sentence(data) == f"The picture has more than {images.MAX_PIXELS} pixels, so it is not read."
    assert limit == Image.MAX_IMAGE_PIXELS


def test_own_limits(monkeypatch):
    data = encoded(Image.fromarray(picture()), "PNG")
    monkeypatch.setattr(limits, "MAX_PIXELS", 12 * 16 - 1)
    assert sentence(data) == "The picture has more than 191 pixels, so it is not read."
    monkeypatch.setattr(limits, "MAX_BYTES", len(data) - 1)
    assert sentence(io.BytesIO(data)) == f"The picture is larger than {len(data) - 1} bytes, so it is not read."


def test_out_of_memory(monkeypatch):
    def fail(*_, **__):
        raise MemoryError

    monkeypatch.setattr(Image, "open", fail)
    assert sentence(b"data") == "The picture needs more memory than there is."


SEEDS = [
    encoded(Image.fromarray(picture()), "PNG", icc_profile=swapped_profile()),
    encoded(
        Image.fromarray(picture()), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0"
    ),
    encoded(Image.fromarray(picture()), "WEBP"),
    encoded(Image.fromarray(picture()), "TIFF"),
    encoded(Image.fromarray(picture()), "TIFF", compression="tiff_lzw"),
    encoded(Image.fromarray(picture()), "BMP"),
    encoded(with_alpha("LA"), "GIF"),
]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.sampled_from(SEEDS), st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=6))
def test_whatever_the_bytes_only_image_errors(data, changes):
    damaged = bytearray(data)
    for at, value in changes:
        damaged[at % len(damaged)] = value
    try:
        result = images.read(bytes(damaged))
    except ImageError:
        return
    assert result.pixels.dtype == np.uint8 and result.pixels.shape[2] == 3
