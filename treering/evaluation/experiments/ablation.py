"""Optimizer ablation of Hong et al. 2024 (Tables S2a and S2b): forward step, inertial KM and Adam on
r(z) = E(D(z)) - E(x), with and without the learning-rate schedule.

The paper's rates (0.1 with the schedule, 0.01 fixed) suit Adam, whose steps do not depend on the size of
the residual.  The two plain methods are also run at 1, the natural step where E(D(.)) is near the identity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ... import report
from ...inversion import DecoderInversion
from ...solvers import Adam, ForwardStep, InertialKM, Method, Rates
from ..studies import decibel
from . import figures
from .bench import Bench, Row, Settings
from .statistics import mean, paired
from .watched import follow

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

FORWARD, INERTIAL, ADAM = "forward step", "inertial KM", "Adam"
ALPHA = 0.5
"""Inertia of the inertial KM iterations."""
RATES: tuple[tuple[float, Rates], ...] = ((0.1, "cosine"), (0.1, "fixed"), (0.01, "cosine"), (0.01, "fixed"))
NATURAL: tuple[tuple[float, Rates], ...] = ((1.0, "cosine"), (1.0, "fixed"))


@dataclass(frozen=True)
class Setting:
    """One optimizer at one rate."""

    optimizer: str
    rate: float
    schedule: Rates

    @property
    def name(self) -> str:
        """For rows and units."""
        return f"{self.optimizer}, {self.rate_text}"

    @property
    def rate_text(self) -> str:
        """``0.1 scheduled`` or ``0.1 fixed``."""
        return f"{self.rate:g} {'scheduled' if self.schedule == 'cosine' else 'fixed'}"

    @property
    def method(self) -> Method:
        """The solver's method."""
        if self.optimizer == ADAM:
            return Adam(self.rate, schedule=self.schedule)
        if self.optimizer == INERTIAL:
            return InertialKM(self.rate, ALPHA, self.schedule)
        return ForwardStep(self.rate, self.schedule)


SETTINGS = {
    setting.name: setting
    for optimizer in (FORWARD, INERTIAL, ADAM)
    for setting in (Setting(optimizer, *rate) for rate in (RATES if optimizer == ADAM else (*RATES, *NATURAL)))
}


class Ablation:
    """See the module."""

    images = 3
    iterations = (20, 50)

    def units(self, settings: Settings) -> Sequence[str]:
        """One a picture and optimizer."""
        return [f"picture {i}: {name}" for i in range(settings.images) for name in SETTINGS]

    def measure(self, bench: Bench, unit: str) -> list[Row]:
        """Error after every budget; a fixed rate is one run, a scheduled one depends on its budget."""
        kind, name = unit.split(": ", 1)
        setting, i = SETTINGS[name], int(kind.split()[1])
        drawn, budgets = bench.draw(i), bench.settings.iterations
        rows: list[Row] = []
        for group in [(budget,) for budget in budgets] if setting.schedule == "cosine" else [budgets]:
            path = follow(bench.model, drawn.picture, DecoderInversion(setting.method, max(group)))
            for budget in group:
                latent, seconds = path.after(budget)
                row: Row = {"optimizer": setting.optimizer, "rate": setting.rate, "schedule": setting.schedule}
                error = decibel(latent, drawn.latent)
                rows.append({"picture": i, **row, "iterations": budget, "nmse_db": error, "seconds": seconds})
        return rows

    def table(self, rows: Sequence[Row]) -> str:
        """Rates down, iterations across, one block an optimizer; and what is significant."""
        budgets = sorted({int(row["iterations"] or 0) for row in rows})
        header = ("optimizer", "rate", *(f"{n} iterations" for n in budgets))
        table = [[s.optimizer, s.rate_text, *(_cell(rows, s, n) for n in budgets)] for s in SETTINGS.values()]
        head = "Error of the latent, NMSE in dB (mean and 95 % interval over pictures):"
        text = f"{head}\n\n{report.markdown_table(header, table).rstrip()}\n\n{_verdicts(rows, budgets[-1])}"
        return text

    def figure(self, rows: Sequence[Row], folder: Path) -> Figure:
        """Error against iterations, a panel an optimizer."""
        page = figures.page(9.6, 3.6)
        panels = page.subplots(1, 3, sharey=True)
        for axes, optimizer in zip(panels, (FORWARD, INERTIAL, ADAM), strict=True):
            for setting in SETTINGS.values():
                if setting.optimizer == optimizer:
                    _draw(axes, rows, setting)
            figures.plain(axes, "iterations", "", optimizer)
            axes.legend(fontsize=7, frameon=False)
        panels[0].set_ylabel("error of the latent, NMSE (dB)", color=figures.INK, fontsize=9)
        return page


EXPERIMENT = Ablation()


def _errors(rows: Sequence[Row], setting: Setting, budget: int) -> list[float]:
    """By picture, in the order of the rows."""
    wanted = (setting.optimizer, setting.rate, setting.schedule, budget)
    columns = ("optimizer", "rate", "schedule", "iterations")
    return [float(row["nmse_db"] or 0) for row in rows if tuple(row[c] for c in columns) == wanted]


def _cell(rows: Sequence[Row], setting: Setting, budget: int) -> str:
    return mean(_errors(rows, setting, budget)).text()


def _verdicts(rows: Sequence[Row], budget: int) -> str:
    """The best rate of every optimizer, and the paired differences between optimizers."""
    best = {}
    for optimizer in (FORWARD, INERTIAL, ADAM):
        choices = [s for s in SETTINGS.values() if s.optimizer == optimizer]
        best[optimizer] = min(choices, key=lambda s: float(np.nan_to_num(np.mean(_errors(rows, s, budget)), nan=1e9)))
    lines = [f"- best of {name}: {setting.rate_text}" for name, setting in best.items()]
    for first, second in ((INERTIAL, FORWARD), (ADAM, FORWARD), (ADAM, INERTIAL)):
        a, b = (_errors(rows, best[name], budget) for name in (first, second))
        gap = mean(np.subtract(a, b).tolist())
        lines.append(f"- {first} less {second}, each at its best rate: {gap.text()} dB (paired p = {paired(a, b):.2g})")
    return f"After {budget} iterations:\n\n" + "\n".join(lines)


def _draw(axes: object, rows: Sequence[Row], setting: Setting) -> None:
    budgets = sorted({int(row["iterations"] or 0) for row in rows})
    means = [mean(_errors(rows, setting, budget)) for budget in budgets]
    look = figures.look((*RATES, *NATURAL).index((setting.rate, setting.schedule)))
    axes.errorbar(  # type: ignore[attr-defined]
        budgets,
        [m.value for m in means],
        np.nan_to_num([m.half_width for m in means]),
        color=look.colour,
        marker=look.marker,
        linestyle=look.dash,
        markersize=4,
        linewidth=1.2,
        capsize=2,
        label=setting.rate_text,
    )
