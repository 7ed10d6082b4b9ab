"""Cropping about the centre to an aspect, and resizing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import ImageError
from . import limits


def check_size(size: tuple[int, int], name: str) -> None:
    """Refuse a size = (height, width) that no picture can have: ImageError."""
    height, width = size
    if height < 1 or width < 1 or height * width > limits.MAX_PIXELS:
        raise ImageError(f"{name} cannot be resized to {width}x{height}.")


def fit(image: Image.Image, size: tuple[int, int], stored: tuple[int, int], notes: list[str]) -> Image.Image:
    """Crop to the aspect of size = (height, width) about the centre, then resize to it (Lanczos).

    stored: (width, height) of the picture in its file, of which `image` may be a half, quarter or eighth.
    """
    left, top, right, bottom = about_centre(*stored, *size)
    cropped = (right - left, bottom - top)
    if cropped != stored:
        notes.append(f"Cropped from {_shown(stored)} to {_shown(cropped)} about the centre.")
    if cropped != size[::-1]:
        notes.append(f"Resized from {_shown(cropped)} to {_shown(size[::-1])}.")
    if image.size != stored:
        notes.append(f"Decoded at {_shown(image.size)}, far more than is needed, to save time.")
        across, down = image.width / stored[0], image.height / stored[1]
        return _resized(image, size, (left * across, top * down, right * across, bottom * down))
    # Cut before resizing, so that what is cut off does not reach in.
    part = image if cropped == stored else image.crop((left, top, right, bottom))
    return part if cropped == size[::-1] else _resized(part, size, None)


def fitted(pictures: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Pictures uint8 [B, H, W, 3], each as :func:`fit` brings it to size = (height, width)."""
    if tuple(pictures.shape[1:3]) == tuple(size):
        return pictures
    stored = (pictures.shape[2], pictures.shape[1])
    return np.stack([np.asarray(fit(Image.fromarray(one), size, stored, [])) for one in pictures])


def _resized(image: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float] | None) -> Image.Image:
    return image.resize(size[::-1], Image.Resampling.LANCZOS, box=box)


def about_centre(width: int, height: int, to_height: int, to_width: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the largest part about the centre that has the aspect to_width : to_height."""
    crop_width = min(width, max(1, round(height * to_width / to_height)))
    crop_height = min(height, max(1, round(width * to_height / to_width)))
    left, top = (width - crop_width) // 2, (height - crop_height) // 2
    return left, top, left + crop_width, top + crop_height


def _shown(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
