"""Frames to a file, or a folder of pictures, which is there whole or not at all."""

from __future__ import annotations

import io
import os
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .. import files
from ..errors import ImageError, InputError
from ..pictures import images
from .kinds import WRITTEN
from .video import av

Frames = NDArray[np.uint8]

RATE = 8.0
"""Frames a second."""

CRF = 18
"""Quality of H.264: what its authors call visually lossless or nearly so."""

_VIDEO = {
    ".mp4": ("mp4", "libx264", {"crf": str(CRF), "preset": "medium"}),
    ".webm": ("webm", "libvpx-vp9", {"crf": "24", "b:v": "0", "deadline": "good", "cpu-used": "2"}),
}
_ANIMATED = {".gif": "GIF", ".apng": "PNG", ".webp": "WEBP"}


def check_target(path: Path, overwrite: bool = False) -> None:
    """Refuse, before any work is done, a place or a kind of file that cannot be written: ``InputError``."""
    suffix = path.suffix.lower()
    if path.name == "-" or path.name.lower() in WRITTEN:
        raise InputError("A clip is written to a file with a name, such as clip.mp4, or a folder of frames.")
    if suffix and suffix not in WRITTEN and not path.is_dir():
        raise InputError(f"{path} must end in {', '.join(WRITTEN)}, or be a folder of frames.")
    if suffix in WRITTEN and os.path.isdir(path):
        raise InputError(f"{path} is a folder, not a clip.")
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        raise InputError(f"{path} is a pipe or a device, so no clip is written there.")
    if suffix in WRITTEN and not overwrite and os.path.lexists(path):
        raise InputError(f"{path} exists already; use --force to overwrite it.")
    if suffix not in WRITTEN:
        _check_folder(path, overwrite)
    if suffix in _VIDEO:
        try:
            av(f"Writing {path}")
        except ImageError as error:
            raise InputError(str(error)) from None


def _check_folder(path: Path, overwrite: bool) -> None:
    if path.is_file():
        raise InputError(f"{path} is a file; name a folder, or a file that ends in {', '.join(WRITTEN)}.")
    if path.is_dir() and any(path.iterdir()) and not overwrite:
        raise InputError(f"The folder {path} is not empty; use --force to write frames into it.")


def write(frames: Frames, path: Path | str, rate: float = RATE, overwrite: bool = False) -> None:
    """Write frames uint8 ``[F, H, W, 3]``, ``rate`` a second; the suffix says how, none means a folder of PNG files.

    The file holds nothing but the frames: neither a name nor a date.  Raises ``InputError`` or ``ImageError``.
    """
    path = Path(path)
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or not frames.size:
        given = f"{frames.dtype} {list(frames.shape)}"
        raise InputError(f"Frames must be uint8 [F, H, W, 3] and not empty, not {given}.")
    check_target(path, overwrite)
    if path.suffix.lower() not in WRITTEN:
        return _folder(frames, path, overwrite)
    data = encode(frames, path.suffix.lower(), rate)
    try:
        files.write(path, data, overwrite=overwrite)
    except FileExistsError:
        raise ImageError(f"{path} exists already; use --force to overwrite it.") from None
    except OSError as error:
        raise ImageError(files.problem(path, error)) from error


def encode(frames: Frames, suffix: str, rate: float = RATE, crf: int | None = None) -> bytes:
    """The file's bytes.  ``crf``: quality of a video, if another one is wanted."""
    if not 0 < rate <= 1000:
        raise InputError("A clip has more than 0 and at most 1000 frames a second.")
    return _video(frames, suffix, rate, crf) if suffix in _VIDEO else _animation(frames, suffix, rate)


def _video(frames: Frames, suffix: str, rate: float, crf: int | None) -> bytes:
    library = av(f"Writing a {suffix} file")
    kind, codec, options = _VIDEO[suffix]
    height, width = frames.shape[1:3]
    if height % 2 or width % 2:
        raise InputError(f"A {suffix} file has an even number of rows and columns, not {width}x{height}.")
    buffer = io.BytesIO()
    with library.open(buffer, "w", format=kind, options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream(codec, rate=Fraction(rate).limit_denominator(1001))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = 1  # the same bytes on every machine
        stream.options = options | ({} if crf is None else {"crf": str(crf)})
        for frame in frames:
            picture = library.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            # Converted here: left to the encoder, the same frames give other bytes now and then.
            container.mux(stream.encode(picture.reformat(format="yuv420p")))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def _animation(frames: Frames, suffix: str, rate: float) -> bytes:
    first, *others = (Image.fromarray(frame) for frame in frames)
    buffer = io.BytesIO()
    how = {"lossless": True} if suffix == ".webp" else {}
    duration = max(1, round(1000 / rate))
    first.save(buffer, _ANIMATED[suffix], save_all=True, append_images=others, duration=duration, loop=0, **how)
    return buffer.getvalue()


def _folder(frames: Frames, folder: Path, overwrite: bool) -> None:
    files.make_folder(folder)
    for i, frame in enumerate(frames, 1):
        images.write(frame, folder / f"frame-{i:04d}.png", overwrite)
