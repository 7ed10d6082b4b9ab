"""Cocoercivity along the iterations against where they end (the theory figure of Hong et al. 2024).

Write r(z) = E(clip D(z)) - E(x) and let z* be the latent that the picture was decoded from.  At an iterate z the
*cocoercivity* is

    beta(z) = <r(z), z - z*> / ||r(z)||^2,

and r is beta-cocoercive about z* along the iterations if beta(z_k) >= beta > 0 for every k.

- Theorem 1 of the paper (forward step, z <- z - rho r(z)): with r beta-cocoercive and 0 < rho < 2 beta the
  distance to z* falls in every step, for ||z - rho r - z*||^2 = ||z - z*||^2 - rho (2 beta(z) - rho) ||r||^2.
  Counted as satisfied where min beta(z_k) > rho / 2.
- Theorem 2 of the paper (inertial Krasnoselskii-Mann, inertia alpha): I - rho r is the relaxation, by
  lambda = rho / (2 beta), of I - 2 beta r, which is nonexpansive towards z*, and inertial KM iterations with
  constant 0 <= alpha < 1 converge if lambda (1 - alpha + 2 alpha^2) < (1 - alpha)^2 (Maulen, Fierro and
  Peypouquet, "Inertial Krasnoselskii-Mann iterations", 2024).  Counted as satisfied where
  min beta(z_k) > rho (1 - alpha + 2 alpha^2) / (2 (1 - alpha)^2).

Both assume r(z*) = 0.  Of an 8-bit picture r(z*) is what rounding makes it, and where r(z_k) is no larger than
that the quotient says nothing: such iterates are left out of the minimum (the first never is).  The same
quotient of r(z) - r(z*), over all iterates, is given beside it.  These are conditions along the path that was
walked and about one point: evidence for the assumption, not a proof of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ... import report
from ...inversion import DecoderInversion, decoder_residual
from ...pictures import images
from ...solvers import ForwardStep, InertialKM, Method
from ...statistics import wilson
from ..common import decibel
from . import figures
from .bench import Bench, Drawn, Row, Settings
from .rows import column
from .statistics import Line, band, line, mean, ranks
from .watched import follow

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

RHO, ALPHA = 0.5, 0.2
"""Step and inertia: Theorem 2 then asks for a cocoercivity of 0.34, Theorem 1 for 0.25."""
FORWARD, INERTIAL = "forward step", "inertial KM"
METHODS: dict[str, Method] = {FORWARD: ForwardStep(RHO), INERTIAL: InertialKM(RHO, ALPHA)}


def needed(name: str, rho: float = RHO, alpha: float = ALPHA) -> float:
    """Cocoercivity that the theorem of a method asks for.

    >>> needed("forward step", 1.0)
    0.5
    """
    if name == FORWARD:
        return rho / 2
    return rho * (1 - alpha + 2 * alpha**2) / (2 * (1 - alpha) ** 2)


def cocoercivity(residual: Tensor, z: Tensor, true: Tensor) -> float:
    """beta(z), from r(z), z and z*; NaN where r(z) = 0."""
    power = float((residual**2).sum())
    return float((residual * (z - true)).sum()) / power if power else math.nan


class Convergence:
    """See the module."""

    images = 12
    iterations = (20,)
    largest = True
    constants = (METHODS,)

    def units(self, settings: Settings) -> Sequence[str]:
        """One a picture."""
        return [f"picture {i}" for i in range(settings.images)]

    def measure(self, bench: Bench, unit: str) -> list[Row]:
        """Both methods on one picture."""
        i = int(unit.split()[1])
        drawn = bench.draw(i)
        return [{"picture": i, **_walk(bench, drawn, name)} for name in METHODS]

    def table(self, rows: Sequence[Row]) -> str:
        """Shares that satisfy the theorems, then the fits."""
        first = report.markdown_table(_SHARES, [_shares(rows, name) for name in METHODS]).rstrip()
        fits = [_fit_row(rows, name, what) for name in METHODS for what in ("end_db", "gain_db")]
        second = report.markdown_table(_FITS, fits).rstrip()
        return f"Step rho = {RHO:g}, inertia alpha = {ALPHA:g}.\n\n{first}\n\n{second}\n\n{_CAVEAT}"

    def figure(self, rows: Sequence[Row], folder: Path) -> Figure:
        """Least cocoercivity against final distance, a panel a method."""
        page = figures.page(8.4, 3.9)
        panels = page.subplots(1, 2, sharey=True)
        for k, (axes, name) in enumerate(zip(panels, METHODS, strict=True)):
            _draw(axes, rows, name, figures.look(k))
        panels[0].set_ylabel("distance to the true latent at the end, NMSE (dB)", color=figures.INK, fontsize=9)
        return page


EXPERIMENT = Convergence()

_SHARES = (
    "method",
    "theorem asks for",
    "least cocoercivity, median (quartiles)",
    "of r - r(z*)",
    "pictures that satisfy it",
    "95 % interval",
    "least at the start",
)
_FITS = (
    "method",
    "against the least cocoercivity",
    "mean, dB",
    "slope, dB per unit",
    "r",
    "p",
    "rank correlation",
    "its p",
)
_CAVEAT = (
    "Slopes are least-squares fits over pictures with their 95 % intervals, r is Pearson's: one picture far from "
    "the others can make both. It counts little in Spearman's rank correlation, which stands beside them; p-values are "
    "not corrected for being four. Where the cocoercivity is least at the "
    "start of the iterations, it tells how good the encoder's guess was, and a relation to the final distance need "
    "not be one of cause; the gain of the iterations over the encoder is fitted beside it for that reason."
)
_WHAT = {"end_db": "distance at the end, NMSE", "gain_db": "change since the encoder"}


def _walk(bench: Bench, drawn: Drawn, name: str) -> Row:
    model, budget = bench.model, max(bench.settings.iterations)
    path = follow(model, drawn.picture, DecoderInversion(METHODS[name], budget))
    target, true = model.encode(torch.from_numpy(images.to_float(drawn.picture[None]))), drawn.latent
    residuals = [decoder_residual(model, z, target) for z in path.latents[:-1]]
    at_true = decoder_residual(model, true, target)
    betas = [cocoercivity(r, z, true) for r, z in zip(residuals, path.latents, strict=False)]
    strict = [cocoercivity(r - at_true, z, true) for r, z in zip(residuals, path.latents, strict=False)]
    above = [k for k, r in enumerate(residuals) if k == 0 or float(r.norm()) > float(at_true.norm())]
    least = min(above, key=lambda k: betas[k])
    start, end = decibel(target, true), decibel(path.latents[-1], true)
    return {
        "method": name,
        "iterations": budget,
        "least_cocoercivity": betas[least],
        "least_at": least,
        "least_of_difference": float(np.nanmin(strict)),
        "floor": float(at_true.square().mean().sqrt()),
        "start_db": start,
        "end_db": end,
        "gain_db": end - start,
    }


def _shares(rows: Sequence[Row], name: str) -> list[str]:
    least, strict = (column(rows, what, method=name) for what in ("least_cocoercivity", "least_of_difference"))
    count, total = sum(value > needed(name) for value in least), len(least)
    low, high = wilson(count, total)
    starts = sum(at == 0 for at in column(rows, "least_at", method=name))
    cells = [name, f"{needed(name):.2f}", _quartiles(least), _quartiles(strict)]
    return [*cells, f"{count}/{total}", f"{low:.0%} to {high:.0%}", f"{starts}/{total}"]


def _quartiles(values: Sequence[float]) -> str:
    low, middle, high = np.nanquantile(values, (0.25, 0.5, 0.75))
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def _points(rows: Sequence[Row], name: str, what: str) -> tuple[list[float], list[float]]:
    """Least cocoercivity and another number of the pictures that have both."""
    pairs = zip(column(rows, "least_cocoercivity", method=name), column(rows, what, method=name), strict=True)
    finite = [pair for pair in pairs if all(map(math.isfinite, pair))]
    return [x for x, _ in finite], [y for _, y in finite]


def _fit(x: Sequence[float], y: Sequence[float]) -> Line | None:
    return line(x, y) if len(x) > 2 and np.ptp(x) > 0 and np.ptp(y) > 0 else None


def _fit_row(rows: Sequence[Row], name: str, what: str) -> list[str]:
    x, y = _points(rows, name, what)
    fit, cells = _fit(x, y), [name, _WHAT[what], mean(y).text(1) if y else ""]
    if fit is None:
        return [*cells, "too few pictures", "", "", "", ""]
    cells += [f"{fit.slope:.1f} ({fit.low:.1f} to {fit.high:.1f})", f"{fit.r:.2f}", f"{fit.p_value:.2g}"]
    rank = ranks(x, y)
    between = "" if math.isnan(rank.low) else f" ({rank.low:.2f} to {rank.high:.2f})"
    return [*cells, f"{rank.value:.2f}{between}", f"{rank.p_value:.2g}"]


def _draw(axes: Any, rows: Sequence[Row], name: str, look: figures.Look) -> None:
    x, y = _points(rows, name, "end_db")
    axes.plot(x, y, look.marker, color=look.colour, markersize=5, alpha=0.8, label="a picture")
    axes.axvline(needed(name), color=figures.INK, linewidth=1, linestyle=":", label="the theorem's condition")
    fit = _fit(x, y)
    if fit is not None:
        at = np.linspace(min(x), max(x), 50)
        low, middle, high = band(x, y, at)
        axes.plot(
            at, middle, color=look.colour, linewidth=1.2, label=f"fit, r = {fit.r:.2f} (ranks: {ranks(x, y).value:.2f})"
        )
        axes.fill_between(at, low, high, color=look.colour, alpha=0.15, linewidth=0, label="95 % interval")
    figures.plain(axes, "least cocoercivity over the iterations", "", name)
    axes.legend(fontsize=7, frameon=False)
