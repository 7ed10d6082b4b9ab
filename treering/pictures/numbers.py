"""Pixels as bytes and as floats in [-1, 1]."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError


def to_float(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Turn uint8 [..., H, W, 3] into float32 [..., 3, H, W] in [-1, 1]; ImageError for any other form."""
    if pixels.dtype != np.uint8 or pixels.ndim < 3 or pixels.shape[-1] != 3:
        raise ImageError(f"Pixels must be uint8 [..., H, W, 3], not {pixels.dtype} {list(pixels.shape)}.")
    channels_first = np.moveaxis(pixels, -1, -3)  # [..., H, W, 3] -> [..., 3, H, W]
    return np.ascontiguousarray(channels_first, dtype=np.float32) / np.float32(127.5) - np.float32(1)


def to_bytes(pixels: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Turn float [..., 3, H, W] in [-1, 1] into uint8 [..., H, W, 3]: rounded to nearest, clipped at both ends.

    Raises ImageError for any other form, and for values that are not a number.
    """
    if not np.issubdtype(pixels.dtype, np.floating) or pixels.ndim < 3 or pixels.shape[-3] != 3:
        raise ImageError(f"Pixels must be float [..., 3, H, W], not {pixels.dtype} {list(pixels.shape)}.")
    if np.isnan(pixels).any():
        raise ImageError("The pixels hold values that are not a number.")
    # Clipped first: float16 has room for 255 but not for its rounding, and an infinity must not be multiplied.
    scaled = (np.clip(pixels, -1, 1).astype(np.float32) + 1) * np.float32(127.5)
    channels_last = np.moveaxis(np.rint(scaled), -3, -1)  # [..., 3, H, W] -> [..., H, W, 3]
    return np.ascontiguousarray(channels_last, dtype=np.uint8)
