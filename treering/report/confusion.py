"""Tables and plots of results, for people; knows no picture and no model."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from .. import files
from ..errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CORNER = "true \\ found"
"""Heading of the corner of a confusion matrix."""

_INK, _FAINT = "#1b2a41", "#9aa5b1"  # dark blue and grey, both far from Blues' middle also in print
_MOST_ZEROS = 12  # in a figure of more columns, zeros are left blank


class Rate(Protocol):
    """``count`` of ``total``, with an interval; :class:`treering.evaluation.confusion.Rate` is one."""

    @property
    def count(self) -> int:
        """How many."""

    @property
    def total(self) -> int:
        """Of how many."""

    @property
    def confidence(self) -> float:
        """Confidence of the interval."""

    @property
    def value(self) -> float | None:
        """The share, 0 to 1."""

    @property
    def interval(self) -> tuple[float, float]:
        """Low and high end, 0 to 1."""


class Confusion(Protocol):
    """What is shown here of a :class:`treering.evaluation.confusion.Confusion`, which lies a floor above."""

    @property
    def labels(self) -> tuple[int | None, ...]:
        """Classes, then None."""

    @property
    def counts(self) -> tuple[tuple[int, ...], ...]:
        """``[L][L]``, true by found."""

    @property
    def accuracy(self) -> Rate:
        """Right, of all."""

    @property
    def false_positives(self) -> Rate:
        """A class found, of the unmarked."""

    @property
    def wrong_class(self) -> Rate:
        """Another class found, of the marked."""

    @property
    def missed(self) -> Rate:
        """Nothing found, of the marked."""


# Text


def percent(share: float) -> str:
    """A share, 0 to 1, as ``97.5 %``; never 0 or 100 by rounding alone."""
    for digits in range(1, 8):
        text = f"{100 * share:.{digits}f}"
        if float(text) not in (0, 100) or share in (0, 1):
            return f"{text} %"
    return f"{100 * share:.2g} %"


def rate_text(rate: Rate) -> str:
    """A rate in words: ``97.5 % (39 of 40; 95 % interval 87.1 % to 99.6 %)``."""
    if rate.value is None:
        return "unknown (of 0)"
    return f"{percent(rate.value)} ({rate.count} of {rate.total}; {_interval(rate)})"


def _interval(rate: Rate) -> str:
    low, high = rate.interval
    return f"{100 * rate.confidence:g} % interval {percent(low)} to {percent(high)}"


def rate_lines(confusion: Confusion) -> list[str]:
    """The four rates of a confusion matrix, one line each."""
    return [
        f"Accuracy: {rate_text(confusion.accuracy)}",
        f"False positives, a key found in an unmarked picture: {rate_text(confusion.false_positives)}",
        f"Wrong key found in a marked picture: {rate_text(confusion.wrong_class)}",
        f"Nothing found in a marked picture: {rate_text(confusion.missed)}",
    ]


def confusion_text(confusion: Confusion) -> str:
    """The matrix as plain text, without a newline at the end; a dot is a zero off the diagonal.

    Classes of no picture and columns in which nothing was found are left out; ``none`` is last.
    """
    header, rows = _table(confusion, zero=".")
    lines = [header, *rows]
    first, *widths = (max(map(len, column)) for column in zip(*lines, strict=True))
    classes = [max([2, *widths[:-2]])] * len(widths[:-2])  # one width for all, so that the diagonal is straight
    return "\n".join(_aligned(line, [first, *classes, *widths[-2:]]) for line in lines)


def confusion_markdown(confusion: Confusion) -> str:
    """The matrix and its rates in Markdown, with a newline at the end."""
    header, rows = _table(confusion, zero="0")
    rates = "\n".join(f"- {line}" for line in rate_lines(confusion))
    return f"{markdown_table(header, rows)}\n{rates}\n"


def markdown_table(header: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown, with a newline at the end; columns that begin with a number are set right.

    Raises ``InputError`` if a row has more or fewer cells than the header.
    """
    lines = [[_cell(cell) for cell in line] for line in (header, *rows)]
    if any(len(line) != len(header) for line in lines):
        raise InputError(f"A row of the table does not have {len(header)} cells, as the header has.")
    columns = [list(column) for column in zip(*lines, strict=True)]
    right = [len(column) > 1 and column[1][:1] in "+-.0123456789" for column in columns]
    widths = [max(3, *map(len, column)) for column in columns]
    rule = ["-" * (width - 1) + ":" if flag else "-" * width for width, flag in zip(widths, right, strict=True)]
    return "".join(f"| {' | '.join(_padded(line, widths, right))} |\n" for line in (lines[0], rule, *lines[1:]))


def _padded(line: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> list[str]:
    cells = zip(line, widths, right, strict=True)
    return [cell.rjust(width) if flag else cell.ljust(width) for cell, width, flag in cells]


def _cell(value: object) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = _padded(line, widths, [False] + [True] * (len(line) - 1))
    return "  ".join((first, *others))


def _name(label: int | None) -> str:
    return "none" if label is None else str(label)


def _shown(confusion: Confusion) -> tuple[list[int], list[int]]:
    """Indices of the rows and columns worth showing; none, the last, always is."""
    last = len(confusion.labels) - 1
    rows = [i for i, row in enumerate(confusion.counts) if any(row) or i == last]
    found = [i for i, column in enumerate(zip(*confusion.counts, strict=True)) if any(column)]
    return rows, sorted({*rows, *found})


def _table(confusion: Confusion, zero: str) -> tuple[list[str], list[list[str]]]:
    rows, columns = _shown(confusion)
    header = [CORNER, *(_name(confusion.labels[j]) for j in columns), "total"]
    return header, [_row(confusion, i, columns, zero) for i in rows]


def _row(confusion: Confusion, i: int, columns: Sequence[int], zero: str) -> list[str]:
    counts = confusion.counts[i]
    cells = [str(counts[j]) if counts[j] or i == j else zero for j in columns]
    return [_name(confusion.labels[i]), *cells, str(sum(counts))]


# Figure


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
    rows, columns = _shown(confusion)
    page = _Page(len(rows), len(columns))
    figure = Figure(figsize=(page.width, page.height), dpi=200, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes(page.cells)
    _draw_cells(figure, axes, page, [[confusion.counts[i][j] for j in columns] for i in rows])
    _draw_labels(axes, [confusion.labels[i] for i in rows], [confusion.labels[j] for j in columns])
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


def _draw_labels(axes: Axes, true: Sequence[int | None], found: Sequence[int | None]) -> None:
    _ticks(axes.xaxis, found)
    _ticks(axes.yaxis, true)
    axes.set_xlabel("found key", color=_INK, fontsize=10, labelpad=6)
    axes.set_ylabel("true key", color=_INK, fontsize=10, labelpad=6)
    axes.tick_params(length=0, labelsize=9, labelcolor=_INK)
    for spine in axes.spines.values():
        spine.set_visible(False)
    _set_none_apart(axes, len(true) - 1, len(found) - 1)


def _set_none_apart(axes: Axes, y: int, x: int) -> None:
    """None is not one more class: a line before it."""
    if y:
        axes.axhline(y, color=_INK, linewidth=1)
    if x:
        axes.axvline(x, color=_INK, linewidth=1)


def _ticks(axis: Any, labels: Sequence[int | None]) -> None:
    """Name about 30 classes, evenly spaced, and none."""
    last = len(labels) - 1
    step = math.ceil(len(labels) / 30)
    at = [*(i for i in range(0, last, step) if step == 1 or last - i >= step), last]
    axis.set_ticks([i + 0.5 for i in at], [_name(labels[i]) for i in at])


def _draw_title(axes: Axes, confusion: Confusion) -> None:
    rate = confusion.accuracy
    head = "No pictures" if rate.value is None else f"Accuracy {percent(rate.value)}"
    body = "" if rate.value is None else f"{rate.count} of {rate.total} right; {_interval(rate)}"
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
