"""Cocoercivity along the iterations against where they end (the theory figure of Hong et al. 2024).

Write r(z) = E(D(z)) - E(x) and let z* be the latent that the picture was decoded from.  At an iterate z the
*cocoercivity* is

    beta(z) = <r(z), z - z*> / ||r(z)||^2,

and r is beta-cocoercive about z* along the iterations if beta(z_k) >= beta > 0 for every k.

- Theorem 1 of the paper (forward step, z <- z - rho r(z)): with r beta-cocoercive and 0 < rho < 2 beta the
  distance to z* falls in every step, for ||z - rho r - z*||^2 = ||z - z*||^2 - rho (2 beta(z) - rho) ||r||^2.
  Counted as satisfied where min beta(z_k) > rho / 2.
- Theorem 2 of the paper (inertial Krasnoselskii-Mann, inertia alpha): I - rho r is the relaxation, by
  lambda = rho / (2 beta), of the nonexpansive map I - 2 beta r, and inertial KM iterations with constant
  0 <= alpha < 1 converge if lambda (1 - alpha + 2 alpha^2) < (1 - alpha)^2 (Maulen, Fierro and Peypouquet,
  "Inertial Krasnoselskii-Mann iterations", 2024).  Counted as satisfied where
  min beta(z_k) > rho (1 - alpha + 2 alpha^2) / (2 (1 - alpha)^2).

Both are conditions along the path that was walked: evidence for the assumption, not a proof of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ... import images, report
from ...inversion import DecoderInversion
from ...models import LatentModel
from ...solvers import ForwardStep, InertialKM, Method
from ..confusion import wilson
from ..studies import decibel
from . import figures
from .bench import Bench, Drawn, Row, Settings
from .statistics import Line, line, mean
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

    def units(self, settings: Settings) -> Sequence[str]:
        """One a picture."""
        return [f"picture {i}" for i in range(settings.images)]

    def measure(self, bench: Bench, unit: str) -> list[Row]:
        """Both methods on one picture."""
        i = int(unit.split()[1])
        drawn = bench.draw(i)
        return [{"picture": i, **_walk(bench, drawn, name)} for name in METHODS]

    def table(self, rows: Sequence[Row]) -> str:
        """Fit, and shares that satisfy the theorems."""
        header = (
            "method",
            "theorem asks for",
            "least cocoercivity, mean",
            "pictures that satisfy it",
            "95 % interval",
            "distance at the end, dB",
            "slope, dB per unit",
            "r",
            "p",
        )
        text = f"rho = {RHO:g}, alpha = {ALPHA:g}. {_CAVEAT}"
        return f"{report.markdown_table(header, [_table_row(rows, name) for name in METHODS]).rstrip()}\n\n{text}"

    def figure(self, rows: Sequence[Row], folder: Path) -> Figure:
        """Least cocoercivity against final distance, a panel a method."""
        page = figures.page(8.4, 3.9)
        panels = page.subplots(1, 2, sharey=True)
        for k, (axes, name) in enumerate(zip(panels, METHODS, strict=True)):
            _draw(axes, rows, name, figures.look(k))
        panels[0].set_ylabel("distance to the true latent at the end, NMSE (dB)", color=figures.INK, fontsize=9)
        return page


EXPERIMENT = Convergence()
_CAVEAT = (
    "The slope is a least-squares fit of the final distance to the least cocoercivity, with its 95 % interval; "
    "negative: the more cocoercive, the nearer."
)


def _walk(bench: Bench, drawn: Drawn, name: str) -> Row:
    model, budget = bench.model, max(bench.settings.iterations)
    path = follow(model, drawn.picture, DecoderInversion(METHODS[name], budget))
    target = model.encode(torch.from_numpy(images.to_float(drawn.picture[None])))
    betas = [cocoercivity(_residual(model, z, target), z, drawn.latent) for z in path.latents[:-1]]
    return {
        "method": name,
        "iterations": budget,
        "least_cocoercivity": min(betas),
        "start_db": decibel(target, drawn.latent),
        "end_db": decibel(path.latents[-1], drawn.latent),
    }


def _residual(model: LatentModel, z: Tensor, target: Tensor) -> Tensor:
    return model.encode(model.decode(z).clamp(-1, 1)) - target


def _columns(rows: Sequence[Row], name: str) -> tuple[list[float], list[float]]:
    chosen = [row for row in rows if row["method"] == name]
    least = [float(row["least_cocoercivity"] or 0) for row in chosen]
    return least, [float(row["end_db"] or 0) for row in chosen]


def _fit(least: Sequence[float], ends: Sequence[float]) -> Line | None:
    return line(least, ends) if len(least) > 2 and np.ptp(least) > 0 else None


def _table_row(rows: Sequence[Row], name: str) -> list[str]:
    least, ends = _columns(rows, name)
    count = sum(value > needed(name) for value in least)
    low, high = wilson(count, len(least))
    cells = [name, f"{needed(name):.2f}", mean(least).text(), f"{count}/{len(least)}", f"{low:.0%} to {high:.0%}"]
    fit = _fit(least, ends)
    if fit is None:
        return [*cells, mean(ends).text(1), "too few pictures", "", ""]
    slope = f"{fit.slope:.1f} ({fit.low:.1f} to {fit.high:.1f})"
    return [*cells, mean(ends).text(1), slope, f"{fit.r:.2f}", f"{fit.p_value:.2g}"]


def _draw(axes: Any, rows: Sequence[Row], name: str, look: figures.Look) -> None:
    least, ends = _columns(rows, name)
    axes.plot(least, ends, look.marker, color=look.colour, markersize=5, alpha=0.8, label="a picture")
    axes.axvline(needed(name), color=figures.INK, linewidth=1, linestyle=":", label="the theorem's condition")
    fit = _fit(least, ends)
    if fit is not None:
        x = np.linspace(min(least), max(least), 50)
        axes.plot(x, fit.intercept + fit.slope * x, color=look.colour, linewidth=1.2, label=f"fit, r = {fit.r:.2f}")
        low, high = _band(least, ends, x)
        axes.fill_between(x, low, high, color=look.colour, alpha=0.15, linewidth=0, label="95 % interval")
    figures.plain(axes, "least cocoercivity over the iterations", "", name)
    axes.legend(fontsize=7, frameon=False)


def _band(x: Sequence[float], y: Sequence[float], at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % interval of the fitted mean."""
    from scipy import stats

    data, fit = np.asarray(x), line(x, y)
    left = np.asarray(y) - fit.intercept - fit.slope * data
    deviation = math.sqrt(float((left**2).sum()) / (len(data) - 2))
    spread = np.sqrt(1 / len(data) + (at - data.mean()) ** 2 / ((data - data.mean()) ** 2).sum())
    reach = float(stats.t.ppf(0.975, len(data) - 2)) * deviation * spread
    centre = fit.intercept + fit.slope * at
    return centre - reach, centre + reach
