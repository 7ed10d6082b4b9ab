"""Pixels to a PNG file, which is there whole or not at all."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .. import files
from ..errors import ImageError
from .kinds import SUFFIXES
from .sources import reason


def write(pixels: NDArray[np.uint8], path: Path | str, overwrite: bool = False) -> None:
    """Write uint8 pixels [H, W, 3] as a PNG without metadata; it is there whole or not at all.

    The file is written beside its place under a temporary name and then renamed. What is there already is kept
    unless overwrite is set. Raises ImageError, with one sentence, for whatever cannot be written.
    """
    path = Path(path)
    _check_pixels(pixels)
    _check_name(path)
    _check_target(path, overwrite)
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "PNG")
    try:
        files.write(path, encoded.getvalue(), overwrite=overwrite)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise ImageError(_write_problem(path, error)) from error


def _check_pixels(pixels: NDArray[np.uint8]) -> None:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[-1] != 3 or pixels.size == 0:
        raise ImageError(f"Pixels must be uint8 [H, W, 3] and not empty, not {pixels.dtype} {list(pixels.shape)}.")


def _check_name(path: Path) -> None:
    others = (SUFFIXES | {".gif", ".avif"}) - {".png"}
    if path.name == "-":
        raise ImageError("A picture is not written to standard output; name a file, such as picture.png.")
    if path.name.lower() in others | {".png"}:
        raise ImageError(f"{path} is a suffix without a name; name a file, such as picture.png.")
    if path.suffix.lower() in others:
        raise ImageError(f"{path} must end in .png, because pictures are written as PNG.")


def _check_target(path: Path, overwrite: bool) -> None:
    if os.path.isdir(path):
        raise ImageError(f"{path} is a folder, not a picture.")
    if os.path.exists(path) and not os.path.isfile(path):
        raise ImageError(f"{path} is a pipe or a device, so no picture is written there.")
    if not overwrite and os.path.lexists(path):
        raise ImageError(_exists(path))


def _exists(path: Path) -> str:
    return f"{path} exists already; use --force to overwrite it."


def _write_problem(path: Path, error: OSError | ValueError) -> str:
    if isinstance(error, FileExistsError):
        return _exists(path)
    if isinstance(error, OSError):
        return files.problem(path, error)
    return f"{path} cannot be written: {reason(error)}."
