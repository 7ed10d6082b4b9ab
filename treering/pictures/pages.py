"""Pictures of reference kinds that no model made: pages of text, flat areas, gradients, interfaces; drawn by rule.

Pictures of one kind have much in common, and so has what a reading recovers from them: a secret that happens to name
one of them may name many (:mod:`treering.reading.flocks`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Pixels = NDArray[np.uint8]
Colour = tuple[int, int, int]

_LETTERS = "eeeeeettttaaaooooiiinnnsssrrhhllddccuummffppggwwyybbvvkkxjqz"


def text(size: tuple[int, int], rng: np.random.Generator) -> Pixels:
    """Dark lines of made-up words on a light page."""
    height, width = size
    page = Image.new("RGB", (width, height), _light(rng))
    pen, step = ImageDraw.Draw(page), int(rng.integers(10, 22))
    font, ink, margin = _font(step * 0.75), _dark(rng), int(rng.integers(4, 24))
    for top in range(margin, height - step, step):
        if rng.random() > 0.12:  # else the end of a paragraph
            pen.text((margin, top), _line(rng, width), ink, font=font)
    pen.rectangle((width - margin, 0, width, height), page.getpixel((0, 0)))
    return np.asarray(page)


def flat(size: tuple[int, int], rng: np.random.Generator) -> Pixels:
    """A few large areas of one colour each, and a faint grain, as nothing photographed is without."""
    height, width = size
    page = Image.new("RGB", (width, height), _any(rng))
    pen = ImageDraw.Draw(page)
    for _ in range(int(rng.integers(0, 4))):
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        pen.rectangle((x, y, x + int(rng.integers(30, width)), y + int(rng.integers(30, height))), _any(rng))
    return _grained(np.asarray(page), rng)


def gradient(size: tuple[int, int], rng: np.random.Generator) -> Pixels:
    """One colour that turns into another, straight or round."""
    down, across = np.meshgrid(*(np.linspace(-1, 1, side) for side in size), indexing="ij")
    angle = rng.uniform(0, 2 * np.pi)
    straight = (np.cos(angle) * down + np.sin(angle) * across) / np.sqrt(2)
    share = straight if rng.random() < 0.5 else np.hypot(down - rng.uniform(-1, 1), across - rng.uniform(-1, 1)) - 1
    mix = np.clip(share / 2 + 0.5, 0, 1)[:, :, None]
    ends = np.array([_any(rng), _any(rng)], np.float64)
    return _grained(ends[0] * (1 - mix) + ends[1] * mix, rng)


def interface(size: tuple[int, int], rng: np.random.Generator) -> Pixels:
    """Panels, buttons and labels, as on a screen."""
    height, width = size
    dark = rng.random() < 0.3
    page = Image.new("RGB", (width, height), _dark(rng) if dark else _light(rng))
    pen, ink = ImageDraw.Draw(page), _light(rng) if dark else _dark(rng)
    bar, row = int(rng.integers(14, 28)), int(rng.integers(18, 36))
    pen.rectangle((0, 0, width, bar), _any(rng))
    side = int(rng.integers(0, 3)) * width // 8
    pen.rectangle((0, bar, side, height), _any(rng))
    for top in range(bar + 8, height - row, row + 6):
        pen.rounded_rectangle((side + 8, top, width - 8, top + row), 4, outline=ink, fill=_any(rng, 40))
        pen.text((side + 14, top + row // 4), _line(rng, width // 2), ink, font=_font(row * 0.45))
    return np.asarray(page)


KINDS: dict[str, Callable[[tuple[int, int], np.random.Generator], Pixels]] = {
    "text": text,
    "flat": flat,
    "gradient": gradient,
    "interface": interface,
}
"""Reference kinds: what draws one uint8 ``[H, W, 3]`` of a size (height, width) from a generator of random numbers."""


def draw(kind: str, size: tuple[int, int], number: int) -> Pixels:
    """Picture ``number`` of a kind of :data:`KINDS`, uint8 ``[H, W, 3]``; the same for the same fonts of Pillow."""
    source = np.random.SeedSequence(number, spawn_key=(list(KINDS).index(kind),))
    return KINDS[kind](size, np.random.Generator(np.random.Philox(source)))


# Parts


def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(max(6.0, round(size)))


def _line(rng: np.random.Generator, width: int) -> str:
    """Made-up words, more than a line holds."""
    words, length = [], 0
    while length < width // 4:
        count = int(rng.integers(1, 10))
        words.append("".join(rng.choice(list(_LETTERS), count)))
        length += count + 1
    return " ".join(words)


def _any(rng: np.random.Generator, spread: int = 128) -> Colour:
    low, high = 128 - spread, 128 + spread
    red, green, blue = (int(part) for part in rng.integers(max(low, 0), min(high, 256), 3))
    return red, green, blue


def _light(rng: np.random.Generator) -> Colour:
    grey = int(rng.integers(225, 256))
    return grey, grey, max(0, grey - int(rng.integers(0, 16)))


def _dark(rng: np.random.Generator) -> Colour:
    grey = int(rng.integers(0, 60))
    return grey, grey, grey


def _grained(picture: NDArray[np.generic], rng: np.random.Generator) -> Pixels:
    grain = rng.normal(0, 1.2, (*picture.shape[:2], 1))
    return np.clip(np.rint(picture.astype(np.float64) + grain), 0, 255).astype(np.uint8)
