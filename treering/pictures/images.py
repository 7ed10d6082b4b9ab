"""Files to pixels and back.

Whatever the file holds, `read` gives upright 8-bit sRGB and says in short notes what had to be done for that;
`write` makes a PNG without any metadata. Everything that can go wrong is an `ImageError` of one sentence.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, ImageFile, UnidentifiedImageError

from treering import files
from treering.errors import ImageError

_AVIF = find_spec("PIL._avif") is not None

SUFFIXES: frozenset[str] = frozenset(
    [".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", *([".avif"] if _AVIF else [])]
)
"""Lower-case suffixes of the files that are looked for in folders."""

MAX_PIXELS = 89_478_485
"""A picture with more pixels is refused: it may be a decompression bomb. (Pillow's own default.)"""

MAX_BYTES = 1 << 30
"""A file with more bytes is refused; the largest picture allowed, as 16-bit RGBA without compression, fits."""

# Named one by one, because others that Pillow knows start a program (EPS runs Ghostscript).
_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", *(["AVIF"] if _AVIF else []))

_CHUNK = 1 << 24

_TURNS = {  # EXIF orientation: what makes the picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# warnings.catch_warnings changes the state of the whole process, so two threads must not be in it at once.
_WARNINGS = threading.Lock()


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture as it was read.

    pixels: uint8 [H, W, 3], sRGB, upright.
    notes: short sentences, in order, that say what was done to the file's content to get there.
    """

    pixels: NDArray[np.uint8]
    notes: tuple[str, ...]


def read(
    source: Path | str | BinaryIO | bytes, size: tuple[int, int] | None = None, name: str | None = None
) -> Picture:
    """Read a picture (the first frame or page) as upright 8-bit sRGB [H, W, 3].

    source: a path, an open binary file, or the bytes of a file.
    size: (height, width) in pixels; the picture is cropped about its centre to that aspect and resized (Lanczos).
    name: what errors call the picture; by default its path.
    Raises ImageError, with one sentence, for whatever cannot be read.
    """
    source = Path(source) if isinstance(source, str) else source
    name = name or _name(source)
    if size is not None:
        _check_size(size, name)
    data = read_bytes(source, name)
    with _pillow(name):
        image, notes = _decode(data, name)
        if size is not None:
            image = _fit(image, size, notes)
        return Picture(np.array(image), tuple(notes))


def read_bytes(source: Path | str | BinaryIO | bytes, name: str | None = None) -> bytes:
    """Read all bytes of a file, for `read` and `digest`; ImageError where that fails, or where there are none."""
    source = Path(source) if isinstance(source, str) else source
    name = name or _name(source)
    try:
        data = _all_bytes(source)
    except (OSError, ValueError, TypeError) as error:  # ValueError: a NUL in the path; TypeError: a text stream
        raise ImageError(_read_problem(name, error)) from error
    if not data:
        raise ImageError(f"{name} is empty.")
    if len(data) > MAX_BYTES:
        raise ImageError(f"{name} is larger than {MAX_BYTES} bytes, so it is not read.")
    return data


def write(pixels: NDArray[np.uint8], path: Path | str, overwrite: bool = False) -> None:
    """Write uint8 pixels [H, W, 3] as a PNG without metadata; it is there whole or not at all.

    The file is written beside its place under a temporary name and then renamed. What is there already is kept
    unless overwrite is set. Raises ImageError, with one sentence, for whatever cannot be written.
    """
    path = Path(path)
    _check_pixels(pixels)
    _check_target(path, overwrite)
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "PNG")
    try:
        files.write(path, encoded.getvalue(), overwrite=overwrite)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise ImageError(_write_problem(path, error)) from error


def digest(data: bytes) -> str:
    """SHA-256 of the bytes of a file, as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


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


# Reading: bytes


def _name(source: object) -> str:
    if isinstance(source, Path):
        return str(source)
    own = getattr(source, "name", None)  # an open file's name may also be its descriptor, a number
    return own if isinstance(own, str) and own else "The picture"


def _all_bytes(source: Path | BinaryIO | bytes) -> bytes:
    if isinstance(source, bytes):
        return source
    if isinstance(source, Path):
        with source.open("rb") as file:
            return _all_bytes(file)
    data = bytearray()
    while len(data) <= MAX_BYTES and (chunk := source.read(_CHUNK)):  # bounded: the source may be endless
        data += chunk
    return bytes(data)


def _read_problem(name: str, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{name} does not exist."
    if isinstance(error, IsADirectoryError):
        return f"{name} is a folder, not a picture."
    if isinstance(error, PermissionError):
        return f"No permission to read {name}."
    return f"{name} cannot be read: {_reason(error)}."


def _reason(error: Exception) -> str:
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return " ".join(text.split()).rstrip(".") or type(error).__name__


# Reading: Pillow


@contextlib.contextmanager
def _pillow(name: str) -> Iterator[None]:
    """Pillow at work: silent, and with one kind of error whatever its plugins raise."""
    with _WARNINGS, warnings.catch_warnings():
        # The warning that matters, of a decompression bomb, is an error in _open, from the same limit.
        warnings.simplefilter("ignore")
        try:
            yield
        except ImageError:
            raise
        except Image.DecompressionBombError as error:
            raise ImageError(_too_large(name)) from error
        except MemoryError as error:
            raise ImageError(f"{name} needs more memory than there is.") from error
        except UnidentifiedImageError as error:
            raise ImageError(f"{name} is not a picture that can be read.") from error
        except Exception as error:  # plugins raise OSError, SyntaxError, struct.error, EOFError, ValueError, ...
            raise ImageError(f"{name} is broken or cut short.") from error


def _pixel_limit() -> int:
    return min(MAX_PIXELS, Image.MAX_IMAGE_PIXELS or MAX_PIXELS)


def _too_large(name: str) -> str:
    return f"{name} has more than {_pixel_limit()} pixels, so it is not read."


def _open(data: bytes, name: str) -> Image.Image:
    image = Image.open(io.BytesIO(data), formats=_FORMATS)  # reads the header only
    if image.width * image.height > _pixel_limit():
        raise ImageError(_too_large(name))
    return image


def _decode(data: bytes, name: str) -> tuple[Image.Image, list[str]]:
    """Decode the first frame; gives mode RGB, upright, and the notes."""
    notes = _note_frames(data, name)
    image = _open(data, name)
    deep = _is_deep(image)  # asked before loading, which forgets it
    turned = _orientation(image)
    image.load()
    to_turn = _orientation(image)  # the TIFF plugin turns the picture itself while loading
    profile = image.info.get("icc_profile")
    if deep:
        notes.append("16-bit channels were reduced to 8.")
    colours, alpha = _split_alpha(_to_8_bit(image, name, notes))
    image = _over_white(_to_srgb(colours, profile, notes), alpha, notes)
    if turned != 1:
        notes.append("EXIF orientation applied.")
    return (image.transpose(_TURNS[to_turn]) if to_turn != 1 else image), notes


def _note_frames(data: bytes, name: str) -> list[str]:
    # In a picture of its own, because counting moves through the file and may stumble over a later frame.
    image = _open(data, name)
    try:
        count = getattr(image, "n_frames", 1)
    except Exception:
        return ["Only the first frame was read: the others are broken."]
    if count == 1:
        return []
    if image.format == "TIFF":
        return [f"Only the first of {count} pages was read."]
    if image.format == "MPO":
        return [f"Only the first of {count} pictures was read."]
    return [f"Animated: only the first of {count} frames was read."]


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
        return int(value) if value in _TURNS else 1
    except Exception:  # broken EXIF is no reason to refuse the picture
        return 1


def _is_deep(image: Image.Image) -> bool:
    """Whether the file has 16 (or 32) bits a channel; of colours, Pillow keeps the upper 8 and tells nobody."""
    if image.mode.startswith("I"):
        return True
    args = image.tile[0].args if isinstance(image, ImageFile.ImageFile) and image.tile else None
    raw_mode = args[0] if isinstance(args, tuple) and args else args
    return isinstance(raw_mode, str) and ";16" in raw_mode


# Reading: modes


def _to_8_bit(image: Image.Image, name: str, notes: list[str]) -> Image.Image:
    """Scale the one-channel modes of 16 bits and of floats to L (or LA); all others have 8 bits already."""
    if image.mode.startswith("I"):
        return _from_integers(image, name)
    if image.mode == "F":
        notes.append("Floating-point values were scaled to 8 bits.")
        return _from_floats(image, name)
    return image


def _from_integers(image: Image.Image, name: str) -> Image.Image:
    values = np.asarray(image)  # [H, W], 0..65535
    if values.min() < 0 or values.max() > 65535:
        raise ImageError(f"{name} has integer values outside 0..65535, so its brightness is not known.")
    grey = Image.fromarray(np.rint(values / 257).astype(np.uint8))
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):  # the one grey value that is see-through
        grey.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return grey


def _from_floats(image: Image.Image, name: str) -> Image.Image:
    values = np.asarray(image)  # [H, W]
    if not np.isfinite(values).all():
        raise ImageError(f"{name} has floating-point values that are not finite.")
    low, high = values.min(), values.max()
    if low < 0 or high > 255:
        raise ImageError(f"{name} has floating-point values outside 0..1 and 0..255, so its brightness is not known.")
    return Image.fromarray(np.rint(values * 255 if high <= 1 else values).astype(np.uint8))


def _split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Split into colours without transparency and alpha (mode L), or None where there is none."""
    if not image.has_transparency_data:
        return image, None
    rgba = image.convert("RGBA")
    # Grey stays grey, so that a grey colour profile still fits it.
    return rgba.convert("L" if image.mode in ("1", "L", "LA") else "RGB"), rgba.getchannel("A")


def _over_white(image: Image.Image, alpha: Image.Image | None, notes: list[str]) -> Image.Image:
    if alpha is None or alpha.getextrema() == (255, 255):
        return image
    notes.append("Alpha was laid over white.")
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=alpha)
    return white


# Reading: colours


def _to_srgb(image: Image.Image, profile: object, notes: list[str]) -> Image.Image:
    """Convert to mode RGB in sRGB, by the embedded profile where there is one that works."""
    if isinstance(profile, bytes) and profile:
        try:
            return _by_profile(image, profile, notes)
        except Exception:  # Pillow raises several kinds here, and none is a reason to refuse the picture
            notes.append("The embedded colour profile could not be used and was ignored.")
    if image.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
        notes.append(f"{image.mode} was converted to RGB.")
    return image.convert("RGB")


def _by_profile(image: Image.Image, data: bytes, notes: list[str]) -> Image.Image:
    profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
    image = _in_space(image, profile.profile.xcolor_space)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    transform = ImageCms.buildTransform(profile, srgb, image.mode, "RGB")
    if image.mode == "RGB" and _changes_nothing(transform):
        return image
    converted = ImageCms.applyTransform(image, transform)
    if converted is None:  # only in place, which this is not
        raise ValueError("no picture came back")
    notes.append("The embedded colour profile was converted to sRGB.")
    return converted


def _in_space(image: Image.Image, space: str) -> Image.Image:
    """Give the picture the mode that a profile of this colour space ("RGB ", "GRAY", "CMYK", "Lab ") takes."""
    if space == "RGB " and image.mode not in ("CMYK", "LAB"):
        return image.convert("RGB")
    if space == "GRAY" and image.mode in ("1", "L"):
        return image.convert("L")
    if (space, image.mode) in (("CMYK", "CMYK"), ("Lab ", "LAB")):
        return image
    raise ValueError(f"a {space} profile does not fit {image.mode}")


def _changes_nothing(transform: ImageCms.ImageCmsTransform) -> bool:
    """Try the transform on 6 x 6 x 6 colours; many a profile is sRGB under another name, up to rounding."""
    levels = np.arange(0, 256, 51, dtype=np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    converted = ImageCms.applyTransform(Image.fromarray(colours), transform)
    return bool(np.abs(np.asarray(converted, dtype=int) - colours).max() <= 2)


# Reading: size


def _check_size(size: tuple[int, int], name: str) -> None:
    height, width = size
    if height < 1 or width < 1 or height * width > _pixel_limit():
        raise ImageError(f"{name} cannot be resized to {width}x{height}.")


def _fit(image: Image.Image, size: tuple[int, int], notes: list[str]) -> Image.Image:
    """Crop to the aspect of size = (height, width) about the centre, then resize to it."""
    height, width = size
    cropped = _crop(image, height, width)
    if cropped.size != image.size:
        notes.append(f"Cropped from {_shown(image)} to {_shown(cropped)} about the centre.")
    if cropped.size == (width, height):
        return cropped
    notes.append(f"Resized from {_shown(cropped)} to {width}x{height}.")
    return cropped.resize((width, height), Image.Resampling.LANCZOS)


def _crop(image: Image.Image, height: int, width: int) -> Image.Image:
    crop_width = min(image.width, max(1, round(image.height * width / height)))
    crop_height = min(image.height, max(1, round(image.width * height / width)))
    left, top = (image.width - crop_width) // 2, (image.height - crop_height) // 2
    return image.crop((left, top, left + crop_width, top + crop_height))


def _shown(image: Image.Image) -> str:
    return f"{image.width}x{image.height}"


# Writing


def _check_pixels(pixels: NDArray[np.uint8]) -> None:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[-1] != 3 or pixels.size == 0:
        raise ImageError(f"Pixels must be uint8 [H, W, 3] and not empty, not {pixels.dtype} {list(pixels.shape)}.")


def _check_target(path: Path, overwrite: bool) -> None:
    if os.path.isdir(path):
        raise ImageError(f"{path} is a folder, not a picture.")
    if path.suffix.lower() in (SUFFIXES | {".gif", ".avif"}) - {".png"}:
        raise ImageError(f"{path} must end in .png, because pictures are written as PNG.")
    if not overwrite and os.path.lexists(path):
        raise ImageError(_exists(path))


def _exists(path: Path) -> str:
    return f"{path} exists already; use --force to overwrite it."


def _write_problem(path: Path, error: OSError | ValueError) -> str:
    if isinstance(error, FileExistsError):
        return _exists(path)
    if isinstance(error, OSError):
        return files.problem(path, error)
    return f"{path} cannot be written: {_reason(error)}."
