"""The histogram of log10 p as places on a drawing: numbers alone, drawn by the template."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

from ...types import Answer
from .tally import BIN, Tally

WIDTH, HEIGHT = 720, 260
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 30, 40
"""Of the drawing and its margins, in pixels."""

ORDER = tuple(answer.value for answer in (Answer.NONE, Answer.NOT_ASSESSABLE, Answer.KEYRING, Answer.KEY))
"""From the ground up."""

_MOST_BINS = 48
_STEPS = (0.25, 0.5, 1, 2, 3, 4, 6, 8, 12)
_LOGARITHMIC = 30  # times as high the highest bar is as the lowest: then heights are logarithms


@dataclass(frozen=True)
class _Axis:
    """Where log10 p lies: ``high`` to the left, ``low`` to the right."""

    high: float
    low: float

    def __call__(self, log10_p: float) -> float:
        room = WIDTH - LEFT - RIGHT
        return round(LEFT + room * (self.high - log10_p) / (self.high - self.low), 1)


def histogram(tally: Tally) -> dict[str, Any] | None:
    """What the template draws; None where nothing was read."""
    if not tally.bins:
        return None
    numbers = [number for _, number in tally.bins] + [-1, 0]  # the threshold is always in view
    first, last = min(numbers), max(numbers)
    span = (last + 1 - first) * BIN
    width = next((step for step in _STEPS if span / step <= _MOST_BINS), _STEPS[-1])
    wide = _wider(tally.bins, round(width / BIN))
    numbers = [number for _, number in wide] + [-1, 0]
    axis = _Axis(tally.threshold - width * min(numbers), tally.threshold - width * (max(numbers) + 1))
    scale = _Scale.of([height for number in set(numbers) if (height := sum(wide[kind, number] for kind in ORDER))])
    return {
        "bars": [bar for number in sorted(set(numbers)) for bar in _bars(wide, number, width, tally, axis, scale)],
        "x": _ticks(axis),
        "y": [{"y": scale(count), "text": f"{count:,}".replace(",", " ")} for count in scale.ticks()],
        "threshold": axis(tally.threshold),
        "logarithmic": scale.logarithmic,
        "kinds": [kind for kind in ORDER if any(kind == name for name, _ in wide)],
        "width": f"{width:g}",
        "size": (WIDTH, HEIGHT),
        "frame": (LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM),
    }


def _wider(bins: Counter[tuple[str, int]], factor: int) -> Counter[tuple[str, int]]:
    wide = Counter[tuple[str, int]]()
    for (kind, number), count in bins.items():
        wide[kind, number // factor] += count
    return wide


@dataclass(frozen=True)
class _Scale:
    """Heights of counts."""

    highest: int
    logarithmic: bool

    @classmethod
    def of(cls, counts: list[int]) -> _Scale:
        return cls(max(counts), max(counts) > _LOGARITHMIC * min(counts))

    def __call__(self, count: float) -> float:
        """How far from the top."""
        height, highest = (math.log10(1 + n) if self.logarithmic else n for n in (count, self.highest))
        share = height / highest
        return round(HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP), 1)

    def ticks(self) -> list[int]:
        """Counts that are written at the side."""
        if self.logarithmic:
            return [0, *(10**n for n in range(len(str(self.highest))))]
        step = next(s * 10**n for n in range(12) for s in (1, 2, 5) if s * 10**n * 5 >= self.highest)
        return list(range(0, self.highest + 1, step))


def _bars(
    wide: Counter[tuple[str, int]], number: int, width: float, tally: Tally, axis: _Axis, scale: _Scale
) -> list[dict[str, Any]]:
    """The parts of one bar, from the ground up."""
    high = tally.threshold - width * number
    left, right, below, bars = axis(high), axis(high - width), 0, []
    for kind in ORDER:
        if count := wide[kind, number]:
            top, bottom = scale(below + count), scale(below)
            place = {"x": left + 0.5, "y": top, "width": round(right - left - 1, 1), "height": round(bottom - top, 1)}
            text = f"{count} × {kind}, log10 p {high - width:g} to {high:g}"
            bars.append({**place, "kind": kind.replace(" ", "-"), "text": text})
            below += count
    return bars


def _ticks(axis: _Axis) -> list[dict[str, Any]]:
    span = axis.high - axis.low
    step = next((s for s in (0.5, 1, 2, 5, 10, 20, 50) if span / s <= 9), 100)
    first, last = math.floor(axis.high / step), math.ceil(axis.low / step)
    values = [n * step for n in range(first, last - 1, -1)]
    return [{"x": axis(value), "text": f"{value:g}".replace("-", "−")} for value in values]
