"""A confusion matrix drawn."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import files
from ..errors import InputError
from ..statistics import Confusion
from ..types import Class, Found
from .confusion import interval_text, name, others, percent, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK, _FAINT = "#1b2a41", "#9aa5b1"  # dark blue and grey, both far from Blues' middle also in print
_MOST_ZEROS = 12  # in a figure of more columns, zeros are left blank


def confusion_figure(confusion: Confusion, path: Path) -> None:
    """Draw the matrix as a PNG; what is at ``path`` is replaced, whole or not at all.

    The colour of a cell is its share of the row, so that classes of many and of few pictures compare.
    Raises ``InputError`` if matplotlib is not installed or the file cannot be written.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError("Plots need matplotlib; install it with: pip install 'treering[plots]'") from None
    rows, columns = shown(confusion)
    more = others(confusion)
    page = _Page(len(rows), len(columns) + len(more))
    figure = Figure(figsize=(page.width, page.height), dpi=200, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes(page.cells)
    extra = list(more.values())
    _draw_cells(
        figure, axes, page, [[*(confusion.counts[i][j] for j in columns), *(one[i] for one in extra)] for i in rows]
    )
    _draw_labels(axes, [confusion.labels[i] for i in rows], [*(confusion.labels[j] for j in columns), *more])
    _draw_title(axes, confusion)
    encoded = io.BytesIO()
    figure.savefig(encoded, format="png", metadata={"Software": "treering"})
    files.replace(path, encoded.getvalue())


@dataclass(frozen=True)
class _Page:
    """Where things are, in inches: cells as large as the number of columns allows, fixed margins around them."""

    rows: int
    columns: int

    @property
    def cell(self) -> float:
        return min(0.62, max(0.42, 7.5 / self.columns)) if self.numbers else max(0.02, 11 / self.columns)

    @property
    def numbers(self) -> bool:
        """Whether there is room for numbers in the cells."""
        return self.columns <= 30

    @property
    def width(self) -> float:
        return max(5.0, self.cell * self.columns + 2.0)

    @property
    def height(self) -> float:
        return self.cell * self.rows + 1.55

    @property
    def left(self) -> float:
        return 0.9 + (self.width - self.cell * self.columns - 2.0) / 2

    @property
    def cells(self) -> tuple[float, float, float, float]:
        """Left, bottom, width and height as shares of the page."""
        return self._shares(self.left, 0.75, self.cell * self.columns, self.cell * self.rows)

    @property
    def bar(self) -> tuple[float, float, float, float]:
        """The same of the colour bar, beside the middle of the cells."""
        height = min(2.6, 0.8 * self.cell * self.rows)
        bottom = 0.75 + (self.cell * self.rows - height) / 2
        return self._shares(self.left + self.cell * self.columns + 0.2, bottom, 0.13, height)

    def _shares(self, left: float, bottom: float, width: float, height: float) -> tuple[float, float, float, float]:
        return left / self.width, bottom / self.height, width / self.width, height / self.height

    def text_size(self, letters: int) -> float:
        """Points, at which a number of so many digits fits a cell."""
        return min(10.0, 0.8 * 72 * self.cell / (0.64 * letters))


def _draw_cells(figure: Figure, axes: Axes, page: _Page, counts: list[list[int]]) -> None:
    shares = [[count / max(1, sum(row)) for count in row] for row in counts]
    gap = min(1.5, 72 * page.cell / 20)  # points between cells
    mesh = axes.pcolormesh(shares, cmap="Blues", vmin=0, vmax=1, edgecolors="white", linewidth=gap)
    axes.invert_yaxis()
    if page.numbers:
        _draw_numbers(axes, page, counts, shares)
    bar = figure.colorbar(mesh, cax=figure.add_axes(page.bar), ticks=[0, 0.5, 1])
    bar.ax.set_yticklabels(["0 %", "50 %", "100 %"], color=_INK, fontsize=8)
    bar.set_label("share of the row", color=_INK, fontsize=8, labelpad=2)
    bar.ax.tick_params(length=0)
    bar.outline.set_visible(False)


def _draw_numbers(axes: Axes, page: _Page, counts: list[list[int]], shares: list[list[float]]) -> None:
    size = page.text_size(max(2, len(str(max(map(max, counts))))))
    for y, row in enumerate(counts):
        for x, count in enumerate(row):
            if count or len(row) <= _MOST_ZEROS:
                colour = _FAINT if not count else "white" if shares[y][x] > 0.55 else _INK
                axes.text(x + 0.5, y + 0.5, str(count), ha="center", va="center_baseline", color=colour, fontsize=size)


def _draw_labels(axes: Axes, true: Sequence[Class | None], found: Sequence[Found]) -> None:
    _ticks(axes.xaxis, found)
    _ticks(axes.yaxis, true)
    axes.set_xlabel("found key", color=_INK, fontsize=10, labelpad=6)
    axes.set_ylabel("true key", color=_INK, fontsize=10, labelpad=6)
    axes.tick_params(length=0, labelsize=9, labelcolor=_INK)
    for spine in axes.spines.values():
        spine.set_visible(False)
    _set_none_apart(axes, len(true) - 1, found.index(None))


def _set_none_apart(axes: Axes, y: int, x: int) -> None:
    """None is not one more class: a line before it."""
    if y:
        axes.axhline(y, color=_INK, linewidth=1)
    if x:
        axes.axvline(x, color=_INK, linewidth=1)


def _ticks(axis: Any, labels: Sequence[Found]) -> None:
    """Name about 30 classes, evenly spaced, and none and what follows it."""
    last = labels.index(None)
    step = math.ceil(len(labels) / 30)
    at = [*(i for i in range(0, last, step) if step == 1 or last - i >= step), *range(last, len(labels))]
    axis.set_ticks([i + 0.5 for i in at], [name(labels[i]).replace(" ", "\n") for i in at])


def _draw_title(axes: Axes, confusion: Confusion) -> None:
    rate = confusion.accuracy
    head = "No pictures" if rate.value is None else f"Accuracy {percent(rate.value)}"
    body = "" if rate.value is None else f"{rate.count} of {rate.total} right; {interval_text(rate)}"
    _write_above(axes, head, 28, 13, "bold")
    _write_above(axes, body, 11, 9, "normal")


def _write_above(axes: Axes, text: str, points: float, size: float, weight: str) -> None:
    """Centred, so many points above the cells."""
    axes.annotate(
        text,
        (0.5, 1),
        (0, points),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="center",
        color=_INK,
        fontsize=size,
        fontweight=weight,
    )
