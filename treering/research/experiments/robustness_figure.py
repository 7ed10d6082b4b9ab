"""The figure of :mod:`.robustness`: a matrix of single strengths, and a curve over strength for every ladder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...statistics import Rate
from . import figures
from .rows import Row, number, select

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 3
_TITLE = "Right class named at p ≤ 10⁻⁶, % of pictures"


def figure(rows: Sequence[Row]) -> Figure:
    """Attacks of one strength as a matrix on the left, ladders as curves on the right; or the one that there is."""
    ladders = [name for name in _names(rows, "attack") if len(_strengths(rows, name)) > 2]
    single = [row for row in rows if row["attack"] not in ladders]
    labels, methods = _names(single, "label"), _names(rows, "method")
    lines = -(-len(ladders) // _COLUMNS)
    wide = 2.6 + 0.75 * len(methods) if labels else 0.0
    high = max(2.0 + 0.32 * len(labels) if labels else 0.0, 2.6 * lines, 3.0)
    page = figures.page(wide + (3.2 * min(len(ladders), _COLUMNS) if ladders else 0), high)
    left, right = _parts(page, wide, 3.2 * min(len(ladders), _COLUMNS))
    if left:
        _matrix(left.subplots(), single, labels, methods)
    if right:
        _curves(right, rows, ladders, methods, lines)
    return page


def _parts(page: Figure, left: float, right: float) -> tuple[Any, Any]:
    if left and right:
        parts: Any = page.subfigures(1, 2, width_ratios=(left, right))
        return parts[0], parts[1]
    return (page, None) if left else (None, page)


def _names(rows: Sequence[Row], column: str) -> list[str]:
    return list(dict.fromkeys(str(row[column]) for row in rows))


def _strengths(rows: Sequence[Row], attack: str) -> list[float]:
    return sorted({number(row, "strength") for row in select(rows, attack=attack)})


def _rate(rows: Sequence[Row]) -> Rate:
    return Rate(sum(bool(row["right"]) for row in rows), len(rows))


def _matrix(axes: Any, rows: Sequence[Row], labels: list[str], methods: list[str]) -> None:
    """Attacks down, methods across: the darker, the more is read."""
    rates = [[_rate(select(rows, label=label, method=m)).value or 0.0 for m in methods] for label in labels]
    axes.pcolormesh(rates, cmap="Blues", vmin=0, vmax=1, edgecolors="white", linewidth=1.5)
    for y, line in enumerate(rates):
        for x, value in enumerate(line):
            colour = "white" if value > 0.55 else figures.INK
            axes.text(x + 0.5, y + 0.5, f"{100 * value:.0f}", ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks([i + 0.5 for i in range(len(methods))], [name.replace(", ", "\n") for name in methods], fontsize=7)
    axes.set_yticks([i + 0.5 for i in range(len(labels))], labels, fontsize=8)
    axes.xaxis.tick_top()
    axes.invert_yaxis()
    axes.tick_params(length=0, labelcolor=figures.INK)
    for spine in axes.spines.values():
        spine.set_visible(False)
    for text in axes.get_xticklabels():
        text.set_rotation(35)
        text.set_ha("left")
    title = _TITLE if len(methods) > 1 else _TITLE.replace(", ", ",\n").replace(" at", "\nat")
    axes.set_title(title, color=figures.INK, fontsize=9, loc="left")


def _curves(part: Any, rows: Sequence[Row], ladders: list[str], methods: list[str], lines: int) -> None:
    """A panel an attack: rate over strength, a curve a method, with Wilson's intervals."""
    panels = part.subplots(lines, min(len(ladders), _COLUMNS), sharey=True, squeeze=False)
    for axes in panels.flat[len(ladders) :]:
        axes.set_axis_off()
    for axes, attack in zip(panels.flat, ladders, strict=False):
        for place, method in enumerate(methods):
            _curve(axes, select(rows, attack=attack, method=method), place, method)
        strengths = _strengths(rows, attack)
        axes.set_xticks(range(len(strengths)), [f"{value:.3g}" for value in strengths])
        axes.set_ylim(-4, 104)
        figures.plain(axes, "strength", "", attack)
    for axes in panels[:, 0]:
        axes.set_ylabel("right, %", color=figures.INK, fontsize=9)
    part.suptitle("The same, by strength, with 95 % intervals", color=figures.INK, fontsize=9, x=0.02, ha="left")
    handles = panels.flat[0].get_legend_handles_labels()
    part.legend(*handles, loc="outside lower center", ncols=3, fontsize=7, frameon=False)


def _curve(axes: Any, rows: Sequence[Row], place: int, method: str) -> None:
    strengths = sorted({number(row, "strength") for row in rows})
    rates = [_rate(select(rows, strength=value)) for value in strengths]
    middle = [100 * (one.value or 0.0) for one in rates]
    low = [max(0.0, m - 100 * one.interval[0]) for m, one in zip(middle, rates, strict=True)]
    high = [max(0.0, 100 * one.interval[1] - m) for m, one in zip(middle, rates, strict=True)]
    look, beside = figures.look(place), [i + 0.06 * (place - 2) for i in range(len(strengths))]
    style = {"color": look.colour, "marker": look.marker, "linestyle": look.dash}
    axes.errorbar(
        beside, middle, (low, high), label=method, elinewidth=0.7, linewidth=1.2, markersize=4, capsize=1.5, **style
    )
