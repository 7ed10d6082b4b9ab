"""Attacks by file formats that lose something: JPEG, WebP, AVIF where Pillow has it, and palettes."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image, features

from ...errors import InputError
from ...pictures import images
from ..common import Pictures
from .attack import Attack, Encoder

QUALITIES = (90, 75, 50, 25, 10)
_QUALITY = "quality, 1 to 100"


def encoder(kind: str, **settings: Any) -> Encoder:
    """What writes a picture in this format of Pillow's, the strength being its quality."""

    def encode(picture: Pictures, quality: float) -> bytes:
        return _saved(Image.fromarray(picture), kind, quality=round(quality), **settings)

    return encode


def palette_file(picture: Pictures, colours: float) -> bytes:
    """A PNG with a palette of so many colours of the picture's own, dithered (Floyd and Steinberg), as GIFs are."""
    image = Image.fromarray(picture)
    own = image.quantize(round(colours), Image.Quantize.MEDIANCUT)
    return _saved(image.quantize(palette=own, dither=Image.Dither.FLOYDSTEINBERG), "PNG")


def _saved(image: Image.Image, kind: str, **settings: Any) -> bytes:
    buffer = io.BytesIO()
    try:
        image.save(buffer, kind, **settings)
    except (OSError, ValueError) as error:  # too large for the format
        raise InputError(f"A picture of {image.width}x{image.height} cannot be written as {kind}.") from error
    return buffer.getvalue()


def lossy(name: str, strengths: tuple[float, ...], encode: Encoder, suffix: str) -> Attack:
    """The attack of a format with a quality."""

    def function(picture: Pictures, quality: float, rng: np.random.Generator) -> Pictures:
        return images.read(encode(picture, quality)).pixels

    return Attack(
        name, strengths, function, meaning=_QUALITY, low=1, high=100, encode=encode, suffix=suffix, whole=True
    )


def palette(picture: Pictures, colours: float, rng: np.random.Generator) -> Pictures:
    """A picture of so many colours."""
    return images.read(palette_file(picture, colours)).pixels


ATTACKS = (
    lossy("jpeg", QUALITIES, encoder("JPEG"), ".jpg"),
    lossy("webp", QUALITIES, encoder("WEBP"), ".webp"),
    *([lossy("avif", QUALITIES, encoder("AVIF", max_threads=1), ".avif")] if features.check("avif") else []),
    Attack("palette", (256, 64, 16, 4), palette, meaning="colours", low=2, high=256, encode=palette_file, whole=True),
)
