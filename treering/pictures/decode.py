"""Pillow at work: opening, decoding, colours, turning, fitting.

Of large pictures one band after the other is converted, so that memory holds no more than two copies.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError, _imaging

from ..errors import ImageError
from . import bands, fit, frames, limits
from .colours import Colours
from .integrity import TooManyPartsError, is_short
from .kinds import FORMATS
from .modes import from_one_channel, is_deep, over_white, split_alpha

_TURNS = {  # EXIF orientation: what makes the picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SPARE = 4  # a JPEG is decoded at a size that is at least so many times what is needed
_LOOK_CLOSELY = 1 << 24  # pixels
_SILENT = ("ignore", r"PIL\.")


@dataclass
class Raw:
    """A decoded picture as stored.

    deep: more than 8 bits a channel in the file.  turned: EXIF orientation of the file; to_turn: what of it is still
    to be done.  stored: (width, height) in the file, of which `image` may be a half, quarter or eighth.
    """

    image: Image.Image
    deep: bool
    turned: int
    to_turn: int
    stored: tuple[int, int]


@contextlib.contextmanager
def pillow(name: str) -> Iterator[None]:
    """Pillow at work: silent, and with one kind of error whatever its plugins raise."""
    _silence()
    try:
        yield
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(limits.too_large(name)) from error
    except TooManyPartsError as error:
        raise ImageError(f"{name} is made of too many parts, so it is not read.") from error
    except MemoryError as error:
        raise ImageError(f"{name} needs more memory than there is.") from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{name} is not a picture that can be read.") from error
    except Exception as error:  # plugins raise OSError, SyntaxError, struct.error, EOFError, ValueError, ...
        raise ImageError(f"{name} is broken or cut short.") from error


def _silence() -> None:
    """One filter for the whole process: what Pillow warns of is an error or a note here.

    warnings.catch_warnings would change, and change back, what other threads see.  The filter is put in front anew
    where somebody has replaced the filters (as pytest does for each test) or put others before it.
    """
    first = warnings.filters[0] if warnings.filters else None
    module = getattr(first[3], "pattern", first[3]) if first else None
    if first is None or (first[0], module) != _SILENT:
        warnings.filterwarnings("ignore", module=_SILENT[1])


def _silence_libtiff() -> None:
    """Take away what prints libtiff's errors, which come back as exceptions, on the process's stderr.

    For Pillow's own copy of libtiff alone; where it is not a library of its own (Windows), it goes on printing.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)


_silence_libtiff()


def opened(data: bytes, name: str) -> Image.Image:
    """The picture with its header read, and nothing else."""
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    wide = image.mode == "CMYK" or (is_deep(image) and not image.mode.startswith("I"))
    limits.check_size(image.width, image.height, "wide" if wide else image.format, name)
    return image


def upright_size(image: Image.Image) -> tuple[int, int]:
    """(height, width) of a picture as it is shown."""
    width, height = image.size
    return (width, height) if _orientation(image) >= 5 else (height, width)


def raw(image: Image.Image, data: bytes, size: tuple[int, int] | None) -> tuple[Raw, bool]:
    """Decode the first frame of what `opened` gave; also whether a JPEG ended before its picture did."""
    deep = is_deep(image)  # asked before loading, which forgets it
    stored, turned = image.size, _orientation(image)
    wanted = _draft_size(size, turned)
    _load(image, wanted)
    to_turn = _orientation(image)  # the TIFF plugin turns the picture itself while loading
    if to_turn != turned:
        stored = image.size
    short = image.format in ("JPEG", "MPO") and _is_short(image, data, wanted)
    return Raw(image, deep, turned, to_turn, stored), short


def _is_short(image: Image.Image, data: bytes, wanted: tuple[int, int] | None) -> bool:
    """Whether a JPEG ends before its picture; of a large one an eighth is looked at, which takes half the time.

    Not of a progressive one, whose later scans hold details alone.
    """
    if image.width * image.height > _LOOK_CLOSELY and "progressive" not in image.info:
        wanted = (image.width // 8, image.height // 8)
        image = _again(data, wanted)
    return is_short(data, image, lambda other: _again(other, wanted))


def _draft_size(size: tuple[int, int] | None, turned: int) -> tuple[int, int] | None:
    """(width, height) as stored that is enough to make `size` = (height, width) of, or None for everything."""
    if size is None:
        return None
    height, width = (side * _SPARE for side in size)
    return (height, width) if turned >= 5 else (width, height)


def _load(image: Image.Image, wanted: tuple[int, int] | None) -> None:
    if wanted is not None and image.format in ("JPEG", "MPO"):
        image.draft(None, wanted)  # None: the mode is kept
    image.load()


def _again(data: bytes, wanted: tuple[int, int] | None) -> Image.Image:
    image = Image.open(io.BytesIO(data), formats=("JPEG",))
    _load(image, wanted)
    return image


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
        return int(value) if value in _TURNS else 1
    except Exception:  # broken EXIF is no reason to refuse the picture
        return 1


def finished(raw: Raw, data: bytes, size: tuple[int, int] | None, name: str, notes: list[str]) -> NDArray[np.uint8]:
    """From stored to shown: sRGB over white, upright, of the size that is asked for; uint8 [H, W, 3]."""
    notes += frames.note(raw.image, data)
    if raw.deep:
        notes.append("16-bit channels were reduced to 8.")
    image = raw.image = _coloured(raw.image, name, notes)  # the stored one is given up: it may be large
    if raw.turned != 1:
        notes.append("EXIF orientation applied.")
    stored = raw.stored
    if raw.to_turn != 1:
        image = raw.image = image.transpose(_TURNS[raw.to_turn])
        stored = stored[::-1] if raw.to_turn >= 5 else stored
    if size is not None:
        image = fit.fit(image, size, stored, notes)
    return _pixels(image)


def _coloured(image: Image.Image, name: str, notes: list[str]) -> Image.Image:
    """Mode RGB, sRGB, without transparency."""
    profile = image.info.get("icc_profile")
    if image.mode == "RGB" and not profile and not image.has_transparency_data:
        return image
    colours = Colours(profile, notes)
    grey = from_one_channel(image, name, notes)

    def convert(band: Image.Image) -> Image.Image:
        opaque, alpha = split_alpha(grey(band))
        return over_white(colours(opaque), alpha, notes)

    boxes = bands.boxes(image)
    if len(boxes) == 1:
        return convert(image)
    whole = Image.new("RGB", image.size)
    for box in boxes:
        whole.paste(convert(image.crop(box)), box)
    return whole


def _pixels(image: Image.Image) -> NDArray[np.uint8]:
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for box, band in zip(bands.boxes(image), bands.cut(image), strict=True):
        pixels[box[1] : box[3]] = np.asarray(band)
    return pixels
