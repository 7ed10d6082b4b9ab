"""Animated GIF, PNG and WebP, by Pillow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from ..pictures import decode, frames, sources
from ..pictures import limits as picture_limits
from ..pictures.integrity import check as check_integrity
from ..pictures.read import DAMAGED
from .keep import Kept
from .limits import Meter
from .read import Frames, Raw


def read(path: Path, name: str, most: int, together: bool) -> Raw:
    """Frames as they are shown, over white where they are transparent."""
    data = sources.read_bytes(path, name)
    with decode.pillow(name):
        picture_limits.check_header(data, name)
        notes = [f"{DAMAGED}: {clause}." for clause in check_integrity(data).damage]
        with decode.opened(data, name) as image:
            return _frames(image, data, Kept(most, together), Meter(name), notes)


def _frames(image: Image.Image, data: bytes, kept: Kept[Frames], meter: Meter, notes: list[str]) -> Raw:
    goes_on = meter.count(image.width, image.height)
    kept.add(_shown(image))
    while goes_on and not kept.full:
        try:
            image.seek(meter.frames)
        except EOFError:
            break
        except Exception:  # plugins raise many kinds
            notes.insert(0, f"{DAMAGED}: it breaks off after {meter.frames} frames.")
            break
        number, goes_on = meter.frames, meter.count(image.width, image.height)
        if kept.wants(number):
            try:
                kept.add(_shown(image))
            except Exception:
                notes.insert(0, f"{DAMAGED}: it breaks off after {number} frames.")
                break
    if not goes_on:
        notes.append(meter.note())
    return Raw(kept.frames, max(meter.frames, _told(image, data)), _rate(image), notes)


def _told(image: Image.Image, data: bytes) -> int:
    """Frames that the file says it has, where asking costs nothing."""
    if image.format == "GIF":
        return sum(1 for kind, _ in frames.gif_blocks(data) if kind == 0x2C)
    return min(int(getattr(image, "n_frames", 1)), 1 << 31)


def _shown(image: Image.Image) -> Frames:
    rgba = image.convert("RGBA")
    white = Image.new("RGB", rgba.size, "white")
    white.paste(rgba, mask=rgba.getchannel("A"))
    return np.asarray(white)


def _rate(image: Image.Image) -> float | None:
    duration = image.info.get("duration")
    return 1000 / duration if isinstance(duration, int | float) and duration > 0 else None
