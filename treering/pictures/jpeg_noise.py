"""What JPEG did to a picture, as its file tells: the tables that its frequencies were rounded with.

Baseline and progressive JPEG round every DCT coefficient of every 8 x 8 block to a multiple of its entry in a table,
and the tables are in the file (ITU-T T.81, section B.2.4.1).  Rounding another picture with the same tables shows how
large that error is, and of which kind.  Where the file is gone, the pixels still tell: their coefficients lie on the
multiples of the steps (the idea of Fan and de Queiroz 2003), as long as nobody moved or resized them.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin
from scipy.fft import dctn

from ..errors import ImageError
from . import images
from .decode import pillow

SHIFT = 4
"""Pixels, half a block: a picture that has been rounded on one grid is new to a grid moved by so much."""

LOW = 5
"""Frequencies with u + v below this are looked at, but not the mean: they are seldom rounded to nothing."""
ENOUGH = 50
"""So many coefficients that are not nothing must be there, or nothing is said."""
CLOSE = 0.1
"""Mean distance from the multiples of the steps, in steps, up to which they are believed; a quarter by chance."""
_BRIGHTNESS = np.array([0.299, 0.587, 0.114])
_FREQUENCIES = tuple((u, v) for u in range(LOW) for v in range(LOW) if 0 < u + v < LOW)


@dataclass(frozen=True)
class JpegTables:
    """``tables``: 64 steps each, of brightness and then of colour.  ``sampling``: Pillow's number of the colours'
    sampling: 0 (4:4:4), 1 (4:2:2) or 2 (4:2:0).
    """

    tables: tuple[tuple[int, ...], ...]
    sampling: int = 2

    def again(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A picture uint8 ``[H, W, 3]`` through JPEG with these tables, and back."""
        buffer = io.BytesIO()
        tables = [list(table) for table in self.tables]
        Image.fromarray(picture).save(buffer, "JPEG", qtables=tables, subsampling=self.sampling)
        return images.read(buffer.getvalue()).pixels

    def noise(self, picture: NDArray[np.uint8]) -> float:
        """What this JPEG costs such a picture uint8 ``[H, W, 3]``: root mean square, in units of [-1, 1].

        The picture may have been through it already: it is rounded on a grid moved by half a block.
        """
        moved = np.roll(picture, (SHIFT, SHIFT), (0, 1))
        difference = self.again(moved).astype(np.float64) - moved
        return float(np.sqrt(np.square(difference).mean())) / 127.5


def of_file(data: bytes) -> JpegTables | None:
    """The tables in a JPEG file; None for other files, and where they cannot be used (not 8 bit, or more than two)."""
    try:
        with pillow("JPEG"):
            image = Image.open(io.BytesIO(data), formats=("JPEG",))
    except Exception:  # not a JPEG, or a broken one: whoever reads its pixels says so
        return None
    assert isinstance(image, JpegImagePlugin.JpegImageFile)
    found = tuple(tuple(int(step) for step in table) for _, table in sorted(image.quantization.items()))
    if not 1 <= len(found) <= 2 or any(len(table) != 64 or not _usable(table) for table in found):
        return None
    sampling = JpegImagePlugin.get_sampling(image)
    return JpegTables(found, sampling if sampling in (0, 1, 2) else 2)


def _usable(table: tuple[int, ...]) -> bool:
    return min(table) >= 1 and max(table) <= 255


def of_pixels(picture: NDArray[np.uint8]) -> JpegTables | None:
    """The usual tables (IJG) that a picture uint8 ``[H, W, 3]`` was rounded with, on a grid from its corner on.

    None where there is no sign of it: not compressed, moved or resized since, too fine, too flat, or uncommon tables.
    """
    coefficients = _coefficients(picture)  # [frequencies, blocks]
    distances = [_distance(coefficients, quality) for quality in range(1, 96)]
    best = int(np.argmin(distances))
    return of_quality(best + 1) if distances[best] <= CLOSE else None


def _coefficients(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Low frequencies of the brightness in every whole block: ``[frequencies, blocks]``.

    Blocks with a channel at its end are left out: what was clipped is no longer a multiple of anything.
    """
    height, width = (side // 8 for side in picture.shape[:2])
    whole = picture[: 8 * height, : 8 * width].reshape(height, 8, width, 8, 3)
    blocks = whole.swapaxes(1, 2).reshape(-1, 64, 3)
    clipped = ((blocks == 0) | (blocks == 255)).any((1, 2))
    bright = (blocks[~clipped] @ _BRIGHTNESS).reshape(-1, 8, 8)
    transformed = dctn(bright, axes=(1, 2), norm="ortho") if len(bright) else bright
    return np.stack([transformed[:, u, v] for u, v in _FREQUENCIES])


def _distance(coefficients: NDArray[np.float64], quality: int) -> float:
    """Mean distance from the multiples of this quality's steps, in steps; infinite where there is too little to see."""
    table = of_quality(quality).tables[0]
    steps = np.array([table[8 * u + v] for u, v in _FREQUENCIES], np.float64)[:, None]
    scaled = (coefficients / steps)[(np.abs(coefficients) > steps / 2) & (steps >= 3)]
    return float(np.abs(scaled - np.rint(scaled)).mean()) if scaled.size >= ENOUGH else np.inf


@cache
def of_quality(quality: int) -> JpegTables:
    """The tables of Pillow's ``quality``, 1 to 100; raises ``ImageError`` for another."""
    if not 1 <= quality <= 100:
        raise ImageError("The quality of a JPEG is a number from 1 to 100.")
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG", quality=quality)
    tables = of_file(buffer.getvalue())
    assert tables is not None
    return tables
