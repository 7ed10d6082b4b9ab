"""How the experiments' figures look: one palette, one paper, PNG and SVG.

Colours are those of Okabe and Ito (2008), which colour-blind readers can tell apart; every method also
has a marker and a dash of its own, so that a print in grey can be read.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import files
from ...errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, FAINT = "#1b2a41", "#c5ccd3"
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6A3D9A", "#000000")
_MARKERS = "osD^vPX*"
_DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), "-")


@dataclass(frozen=True)
class Look:
    """Colour, marker and dash of one method."""

    colour: str
    marker: str
    dash: Any


def look(i: int) -> Look:
    """The look of method i."""
    return Look(_COLOURS[i % 8], _MARKERS[i % 8], _DASHES[i % 8])


def page(width: float, height: float) -> Figure:
    """An empty white figure of so many inches; raises ``InputError`` without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError("Plots need matplotlib; install it with: pip install 'treering[plots]'") from None
    return Figure(figsize=(width, height), dpi=200, facecolor="white", layout="constrained")


def plain(axes: Any, x: str, y: str, title: str = "") -> None:
    """Labels with units, a light grid, and no box."""
    axes.set_xlabel(x, color=INK, fontsize=9)
    axes.set_ylabel(y, color=INK, fontsize=9)
    if title:
        axes.set_title(title, color=INK, fontsize=10, loc="left")
    axes.tick_params(labelsize=8, colors=INK)
    axes.grid(color=FAINT, linewidth=0.5, alpha=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def bars(axes: Any, x: Sequence[float], y: Sequence[float], half: Sequence[float], **style: Any) -> None:
    """Points joined by a line, each with its interval where that is known."""
    axes.plot(x, y, linewidth=1, **style)
    known = [(a, b, h) for a, b, h in zip(x, y, half, strict=True) if math.isfinite(h)]
    if known:
        a, b, h = zip(*known, strict=True)
        axes.errorbar(a, b, h, fmt="none", ecolor=style.get("color"), elinewidth=1, capsize=2)


def room(values: Sequence[float], most: float = math.inf) -> tuple[float, float]:
    """Limits of an axis around values, with some room; of those up to ``most``, where there are any."""
    shown = [value for value in values if value <= most] or list(values)
    low, high = min(shown), max(shown)
    margin = 0.2 * (high - low) or 1.0
    return low - margin, high + margin


KINDS = {"png": {"Software": "treering"}, "svg": {"Date": None, "Creator": "treering"}}
"""Formats that a figure is written in, each with what its file tells of itself."""


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write ``stem.png`` and ``stem.svg``; the same figure gives the same bytes."""
    import matplotlib

    written = []
    with matplotlib.rc_context({"svg.hashsalt": "treering", "svg.fonttype": "none"}):
        for kind, metadata in KINDS.items():
            encoded = io.BytesIO()
            figure.savefig(encoded, format=kind, metadata=metadata)
            path = stem.with_suffix(f".{kind}")
            files.replace(path, encoded.getvalue())
            written.append(path)
    return written
