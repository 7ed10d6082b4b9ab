"""Whatever a file's channels are, to 8 bits, and transparency over white."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFile

from ..errors import ImageError
from . import bands


def is_deep(image: Image.Image) -> bool:
    """Whether the file has 16 (or 32) bits a channel; of colours, Pillow keeps the upper 8 and tells nobody."""
    if image.mode.startswith("I"):
        return True
    args = image.tile[0].args if isinstance(image, ImageFile.ImageFile) and image.tile else None
    raw_mode = args[0] if isinstance(args, tuple) and args else args
    return isinstance(raw_mode, str) and ";16" in raw_mode


def from_one_channel(image: Image.Image, name: str, notes: list[str]) -> Callable[[Image.Image], Image.Image]:
    """What scales a band of this picture from 16 bits or floats to L (or LA); other modes have 8 bits already."""
    if image.mode.startswith("I"):
        return lambda band: _from_integers(band, name)
    if image.mode == "F":
        notes.append("Floating-point values were scaled to 8 bits.")
        scale = _float_scale(image, name)
        return lambda band: Image.fromarray(np.rint(np.asarray(band) * scale).astype(np.uint8))
    return lambda band: band


def _from_integers(image: Image.Image, name: str) -> Image.Image:
    values = np.asarray(image)  # [H, W], 0..65535
    if values.min() < 0 or values.max() > 65535:
        raise ImageError(f"{name} has integer values outside 0..65535, so its brightness is not known.")
    grey = Image.fromarray(np.rint(values / 257).astype(np.uint8))
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):  # the one grey value that is see-through
        grey.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return grey


def _float_scale(image: Image.Image, name: str) -> np.float32:
    """255 for a picture in 0..1, 1 for one in 0..255: the whole picture's to say, not a band's."""
    values = (np.asarray(band) for band in bands.cut(image))  # each [H, W]
    lows, highs = zip(*((band.min(), band.max()) for band in values), strict=True)
    low, high = np.min(lows), np.max(highs)  # not a number if any value is
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ImageError(f"{name} has floating-point values that are not finite.")
    if low < 0 or high > 255:
        raise ImageError(f"{name} has floating-point values outside 0..1 and 0..255, so its brightness is not known.")
    return np.float32(255 if high <= 1 else 1)


def split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Split into colours without transparency and alpha (mode L), or None where there is none."""
    if not image.has_transparency_data:
        return image, None
    rgba = image.convert("RGBA")
    # Grey stays grey, so that a grey colour profile still fits it.
    return rgba.convert("L" if image.mode in ("1", "L", "LA") else "RGB"), rgba.getchannel("A")


def over_white(image: Image.Image, alpha: Image.Image | None, notes: list[str]) -> Image.Image:
    """Lay colours (mode RGB) over white by their alpha, and note it where any of it is not opaque."""
    if alpha is None or alpha.getextrema() == (255, 255):
        return image
    notes.append("Alpha was laid over white.")
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=alpha)
    return white
