"""What JPEG did to a picture, as its file tells: the tables that its frequencies were rounded with.

Baseline and progressive JPEG round every DCT coefficient of every 8 x 8 block to a multiple of its entry in a table,
and the tables are in the file (ITU-T T.81, section B.2.4.1).  Rounding another picture with the same tables shows how
large that error is, and of which kind.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin

from ..errors import ImageError
from . import images

SHIFT = 4
"""Pixels, half a block: a picture that has been rounded on one grid is new to a grid moved by so much."""


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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
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
    return 1 <= min(table) and max(table) <= 255


def of_quality(quality: int) -> JpegTables:
    """The tables of Pillow's ``quality``, 1 to 100; raises ``ImageError`` for another."""
    if not 1 <= quality <= 100:
        raise ImageError("The quality of a JPEG is a number from 1 to 100.")
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG", quality=quality)
    tables = of_file(buffer.getvalue())
    assert tables is not None
    return tables
