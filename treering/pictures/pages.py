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
Random = np.random.Generator
Colour = tuple[int, int, int]

_LETTERS = "eeeeeettttaaaooooiiinnnsssrrhhllddccuummffppggwwyybbvvkkxjqz"


def text(size: tuple[int, int], layout: Random, content: Random) -> Pixels:
    """Dark lines of made-up words on a light page."""
    height, width = size
    page = Image.new("RGB", (width, height), _light(content))
    pen, step = ImageDraw.Draw(page), int(layout.integers(10, 22))
    font, ink, margin = _font(step * 0.75), _dark(content), int(layout.integers(4, 24))
    for top in range(margin, height - step, step):
        if layout.random() > 0.12:  # else the end of a paragraph
            pen.text((margin, top), _line(content, width), ink, font=font)
    pen.rectangle((width - margin, 0, width, height), page.getpixel((0, 0)))
    return np.asarray(page)


def flat(size: tuple[int, int], layout: Random, content: Random) -> Pixels:
    """A few large areas of one colour each, and a faint grain, as nothing photographed is without."""
    height, width = size
    page = Image.new("RGB", (width, height), _any(content))
    pen = ImageDraw.Draw(page)
    for _ in range(int(layout.integers(1, 5))):
        x, y = int(layout.integers(0, width)), int(layout.integers(0, height))
        far = x + int(layout.integers(30, width)), y + int(layout.integers(30, height))
        pen.rectangle((x, y, *far), _any(content))
    return _grained(np.asarray(page), content)


def gradient(size: tuple[int, int], layout: Random, content: Random) -> Pixels:
    """One colour that turns into another, straight or round."""
    down, across = np.meshgrid(*(np.linspace(-1, 1, side) for side in size), indexing="ij")
    angle, round_, y, x = layout.uniform(0, 2 * np.pi), layout.random() < 0.5, *layout.uniform(-1, 1, 2)
    straight = (np.cos(angle) * down + np.sin(angle) * across) / np.sqrt(2)
    share = np.hypot(down - y, across - x) - 1 if round_ else straight
    mix = np.clip(share / 2 + 0.5, 0, 1)[:, :, None]
    ends = np.array([_any(content), _any(content)], np.float64)
    return _grained(ends[0] * (1 - mix) + ends[1] * mix, content)


def interface(size: tuple[int, int], layout: Random, content: Random) -> Pixels:
    """Panels, buttons and labels, as on a screen."""
    height, width = size
    dark = layout.random() < 0.3
    page = Image.new("RGB", (width, height), _dark(content) if dark else _light(content))
    pen, ink = ImageDraw.Draw(page), _light(content) if dark else _dark(content)
    bar, row = int(layout.integers(14, 28)), int(layout.integers(18, 36))
    pen.rectangle((0, 0, width, bar), _any(content))
    side = int(layout.integers(0, 3)) * width // 8
    pen.rectangle((0, bar, side, height), _any(content))
    for top in range(bar + 8, height - row, row + 6):
        pen.rounded_rectangle((side + 8, top, width - 8, top + row), 4, outline=ink, fill=_any(content, 40))
        pen.text((side + 14, top + row // 4), _line(content, width // 2), ink, font=_font(row * 0.45))
    return np.asarray(page)


KINDS: dict[str, Callable[[tuple[int, int], Random, Random], Pixels]] = {
    "text": text,
    "flat": flat,
    "gradient": gradient,
    "interface": interface,
}
"""Reference kinds: what draws one uint8 ``[H, W, 3]`` of a size (height, width), a layout and a content."""


def draw(kind: str, size: tuple[int, int], number: int, layout: int | None = None) -> Pixels:
    """Picture ``number`` of a kind of :data:`KINDS`, uint8 ``[H, W, 3]``; the same for the same fonts of Pillow.

    ``layout``: where things stand (None: as no other number has it); what stands there comes from the number.
    """
    place = list(KINDS).index(kind)
    where = _random(place, number if layout is None else layout, 0)
    return KINDS[kind](size, where, _random(place, number, 1))


def _random(*what: int) -> Random:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(what)))


# Parts


def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(max(6.0, round(size)))


def _line(rng: Random, width: int) -> str:
    """Made-up words, more than a line holds."""
    words, length = [], 0
    while length < width // 4:
        count = int(rng.integers(1, 10))
        words.append("".join(rng.choice(list(_LETTERS), count)))
        length += count + 1
    return " ".join(words)


def _any(rng: Random, spread: int = 128) -> Colour:
    low, high = 128 - spread, 128 + spread
    red, green, blue = (int(part) for part in rng.integers(max(low, 0), min(high, 256), 3))
    return red, green, blue


def _light(rng: Random) -> Colour:
    grey = int(rng.integers(225, 256))
    return grey, grey, max(0, grey - int(rng.integers(0, 16)))


def _dark(rng: Random) -> Colour:
    grey = int(rng.integers(0, 60))
    return grey, grey, grey


def _grained(picture: NDArray[np.generic], rng: Random) -> Pixels:
    grain = rng.normal(0, 1.2, (*picture.shape[:2], 1))
    return np.clip(np.rint(picture.astype(np.float64) + grain), 0, 255).astype(np.uint8)
