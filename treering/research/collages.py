"""Pages made of several pictures, each with the truth about what lies where."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..pictures.borders import Box
from .common import Pictures

TEXT = (
    "The quarterly report says what was done, what it cost and what is left to do. Figures are of the last month "
    "unless another one is named. Whoever finds an error in them is asked to write to the office. "
)


@dataclass(frozen=True)
class Placed:
    """One picture of a page: which of those given, and its box (top, left, bottom, right) in pixels."""

    number: int
    box: Box


@dataclass(frozen=True)
class Page:
    """A page uint8 ``[H, W, 3]`` and what lies on it, from below to above."""

    pixels: Pictures
    parts: tuple[Placed, ...]


Layout = Callable[[Sequence[Pictures], np.random.Generator], Page]


def _sized(picture: Pictures, height: int, width: int) -> Pictures:
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS))


def _laid(ground: Pictures, pictures: Sequence[Pictures], boxes: Sequence[Box]) -> Page:
    """Pictures pasted one after the other, each resized to its box."""
    page = ground.copy()
    for picture, (top, left, bottom, right) in zip(pictures, boxes, strict=False):
        page[top:bottom, left:right] = _sized(picture, bottom - top, right - left)
    return Page(page, tuple(Placed(i, box) for i, box in enumerate(boxes)))


def grid(rows: int, columns: int, gap: int = 0, colour: int = 255) -> Layout:
    """Pictures of the same size in rows, with gaps of so many pixels between and around them."""

    def layout(pictures: Sequence[Pictures], rng: np.random.Generator) -> Page:
        height, width = pictures[0].shape[:2]
        ground = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), colour, np.uint8)
        starts = [(gap + i * (height + gap), gap + j * (width + gap)) for i in range(rows) for j in range(columns)]
        return _laid(ground, pictures, [(top, left, top + height, left + width) for top, left in starts])

    return layout


def mosaic(pictures: Sequence[Pictures], rng: np.random.Generator) -> Page:
    """A large picture and two small ones beside it."""
    height, width = pictures[0].shape[:2]
    ground = np.zeros((2 * height, 3 * width, 3), np.uint8)
    boxes = [
        (0, 0, 2 * height, 2 * width),
        (0, 2 * width, height, 3 * width),
        (height, 2 * width, 2 * height, 3 * width),
    ]
    return _laid(ground, pictures, boxes)


def text(pictures: Sequence[Pictures], rng: np.random.Generator) -> Page:
    """A page of text with one picture in it."""
    page = Image.new("RGB", (850, 1100), (252, 252, 250))
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(15)
    for line, top in enumerate(range(70, 1030, 22)):
        start = 37 * line % len(TEXT)
        draw.text((70, top), (TEXT[start:] + TEXT)[: int(rng.integers(80, 95))], (30, 30, 30), font)
    top, left, side = (int(rng.integers(*ends)) for ends in ((80, 680), (75, 440), (280, 330)))
    page.paste((252, 252, 250), (left - 10, top - 10, left + side + 10, top + side + 10))
    return _laid(np.asarray(page), pictures[:1], [(top, left, top + side, left + side)])


def inset(pictures: Sequence[Pictures], rng: np.random.Generator) -> Page:
    """A small picture upon the second one, which is three times as large."""
    height, width = (3 * side for side in pictures[0].shape[:2])
    side = int(rng.integers(height // 4, height // 3))
    top, left = (int(rng.integers(10, length - side - 10)) for length in (height, width))
    return _laid(_sized(pictures[1], height, width), pictures[:1], [(top, left, top + side, left + side)])


def heap(pictures: Sequence[Pictures], rng: np.random.Generator) -> Page:
    """Four pictures on a desk, each upon a corner of the one before: a quarter of it is covered at most."""
    height, width = pictures[0].shape[:2]
    ground = np.full((5 * height // 2, 5 * width // 2, 3), (96, 74, 58), np.uint8)
    boxes = []
    for i in range(4):
        top, left = (round((0.1 + 0.46 * i) * side + float(rng.uniform(-9, 9))) for side in (height, width))
        left = left if i % 2 == 0 else left + width // 5
        boxes.append((top, left, top + height, left + width))
    return _laid(ground, pictures, [box for box in boxes if box[2] <= len(ground) and box[3] <= ground.shape[1]])


LAYOUTS: dict[str, Layout] = {
    "2 x 2": grid(2, 2),
    "2 x 2, white gaps": grid(2, 2, 8),
    "3 x 3": grid(3, 3),
    "1 x 3, black gaps": grid(1, 3, 6, 0),
    "one large, two small": mosaic,
    "page of text": text,
    "small upon large": inset,
    "heap": heap,
}
"""Ways to put pictures on a page."""
