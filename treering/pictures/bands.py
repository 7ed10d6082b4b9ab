"""Going through a large picture band by band, so that nothing is copied as a whole."""

from __future__ import annotations

from collections.abc import Iterator

from PIL import Image

PIXELS = 1 << 22
"""So many pixels are in a band, or one line."""

Box = tuple[int, int, int, int]


def boxes(image: Image.Image) -> list[Box]:
    """Left, top, right and bottom of each band, from the top."""
    rows = max(1, PIXELS // image.width)
    tops = range(0, image.height, rows)
    return [(0, top, image.width, min(top + rows, image.height)) for top in tops]


def cut(image: Image.Image) -> Iterator[Image.Image]:
    """Each band as a picture of its own; the picture itself where it is small."""
    every = boxes(image)
    return iter([image]) if len(every) == 1 else (image.crop(box) for box in every)
