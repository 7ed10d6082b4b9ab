"""Picture files that the tests make, and what reading them says."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from treering.errors import ImageError
from treering.pictures import images


def picture(height: int = 12, width: int = 16) -> np.ndarray:
    """Smooth colours with no symmetry, uint8 [H, W, 3]."""
    rows, columns = np.mgrid[0:height, 0:width]
    red, green = rows * 255 // max(1, height - 1), columns * 255 // max(1, width - 1)
    return np.stack([red, green, (rows + 2 * columns) * 4 % 256], axis=-1).astype(np.uint8)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    """The bytes of a file of this kind."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(width: int, height: int, depth: int, colour_type: int, raw: bytes, transparent: bytes = b"") -> bytes:
    """A PNG made by hand, for what Pillow reads but does not write."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0))
    middle = chunk(b"tRNS", transparent) if transparent else b""
    return b"\x89PNG\r\n\x1a\n" + header + middle + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def chunks(data: bytes) -> list[bytes]:
    """The names of the chunks of a PNG."""
    names, at = [], 8
    while at < len(data):
        names.append(data[at + 4 : at + 8])
        at += 12 + struct.unpack(">I", data[at : at + 4])[0]
    return names


def srgb_profile() -> bytes:
    """An sRGB profile."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def swapped_profile() -> bytes:
    """A profile in which red and green have changed places."""
    profile = srgb_profile()
    assert profile.count(b"rXYZ") == profile.count(b"gXYZ") == 1
    return profile.replace(b"rXYZ", b"????").replace(b"gXYZ", b"rXYZ").replace(b"????", b"gXYZ")


def linear_grey_profile() -> bytes:
    """A grey profile whose values are proportional to light (gamma 1)."""
    white = b"XYZ \0\0\0\0" + struct.pack(">iii", 0xF6D6, 0x10000, 0xD32D)
    curve = b"curv\0\0\0\0" + struct.pack(">I", 0)
    tags = struct.pack(">I", 2) + b"wtpt" + struct.pack(">II", 156, 20) + b"kTRC" + struct.pack(">II", 176, 12)
    head = b"\0\0\0\0" + struct.pack(">I", 0x02400000) + b"mntrGRAYXYZ " + bytes(12) + b"acsp" + bytes(28)
    head += struct.pack(">iii", 0xF6D6, 0x10000, 0xD32D)
    body = head.ljust(124, b"\0") + tags + white + curve
    return struct.pack(">I", len(body) + 4) + body


def sentence(data: object, **options) -> str:
    """What the error says when this is read."""
    with pytest.raises(ImageError) as caught:
        images.read(data, **options)
    text = str(caught.value)
    assert text.endswith(".") and "\n" not in text
    return text


def with_alpha(mode: str) -> Image.Image:
    """Black, with the left half see-through."""
    alpha = Image.fromarray(np.repeat(np.array([[0] * 4 + [255] * 4], np.uint8), 8, axis=0))
    image = Image.new(mode.removesuffix("A"), (8, 8), 0)
    if mode == "PA":
        image.putpalette([0, 0, 0])
        image = image.convert(mode)  # without it putalpha would make RGBA
    image.putalpha(alpha)
    assert image.mode == mode
    return image
