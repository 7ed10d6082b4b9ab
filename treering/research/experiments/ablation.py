"""Optimizer ablation of Hong et al. 2024 (Tables S2a and S2b): forward step, inertial KM and Adam on
r(z) = E(D(z)) - E(x), with and without the learning-rate schedule.

The paper's rates (0.1 with the schedule, 0.01 fixed) suit Adam, whose steps do not depend on the size of
the residual.  The two plain methods are also run at 1, the natural step where E(D(.)) is near the identity.
Inertial KM is scored at its iterate, not at the extrapolated point.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import report
from ...inversion import DecoderInversion
from ...solvers import Adam, ForwardStep, InertialKM, Method, Rates
from ..common import decibel
from . import figures
from .bench import Bench, Row, Settings
from .rows import column, number
from .statistics import chosen_elsewhere, holm, mean, p_text, paired
from .watched import follow, rate_text, runs

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

FORWARD, INERTIAL, ADAM = "forward step", "inertial KM", "Adam"
ALPHA = 0.3
"""Inertia of the inertial KM iterations, as in :data:`treering.inversion.METHODS`."""
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
        return rate_text(self.rate, self.schedule)

    @property
    def method(self) -> Method:
        """The solver's method."""
        if self.optimizer == ADAM:
            return Adam(self.rate, schedule=self.schedule)
        if self.optimizer == INERTIAL:
            return InertialKM(self.rate, ALPHA, self.schedule)
        return ForwardStep(self.rate, self.schedule)

    def runs(self, budgets: tuple[int, ...]) -> list[tuple[int, ...]]:
        """Which budgets one path serves; inertial KM ends each with a step that it takes only at the end."""
        return runs("cosine" if self.optimizer == INERTIAL else self.schedule, budgets)


SETTINGS = {
    setting.name: setting
    for optimizer in (FORWARD, INERTIAL, ADAM)
    for setting in (Setting(optimizer, *rate) for rate in (RATES if optimizer == ADAM else (*RATES, *NATURAL)))
}


class Ablation:
    """See the module."""

    images = 3
    iterations = (20, 50)
    largest = False
    constants = (SETTINGS, ALPHA)

    def units(self, settings: Settings) -> Sequence[str]:
        """One a picture and optimizer."""
        return [f"picture {i}: {name}" for i in range(settings.images) for name in SETTINGS]

    def measure(self, bench: Bench, unit: str) -> list[Row]:
        """Error after every budget; a fixed rate is one run, a scheduled one depends on its budget."""
        kind, name = unit.split(": ", 1)
        setting, i = SETTINGS[name], int(kind.split()[1])
        drawn, budgets = bench.draw(i), bench.settings.iterations
        rows: list[Row] = []
        for group in setting.runs(budgets):
            path = follow(bench.model, drawn.picture, DecoderInversion(setting.method, max(group)))
            for budget in group:
                latent, seconds = path.after(budget)
                row: Row = {"optimizer": setting.optimizer, "rate": setting.rate, "schedule": setting.schedule}
                error = decibel(latent, drawn.latent)
                rows.append({"picture": i, **row, "iterations": budget, "nmse_db": error, "seconds": seconds})
        return rows

    def table(self, rows: Sequence[Row]) -> str:
        """Rates down, iterations across, one block an optimizer; and what is significant."""
        budgets = _budgets(rows)
        header = ("optimizer", "rate", *(f"{n} iterations" for n in budgets))
        table = [[s.optimizer, s.rate_text, *(_cell(rows, s, n) for n in budgets)] for s in SETTINGS.values()]
        head = (
            "Error of the latent, NMSE in dB (mean and 95 % interval over pictures); the inertia of inertial KM is "
            f"{ALPHA:g}:"
        )
        parts = (head, report.markdown_table(header, table), _schedules(rows, budgets), _verdicts(rows, budgets[-1]))
        return "\n\n".join(part.rstrip() for part in parts)

    def figure(self, rows: Sequence[Row], folder: Path) -> Figure:
        """Error against iterations, a panel an optimizer."""
        page = figures.page(9.6, 3.6)
        panels = page.subplots(1, 3, sharey=True)
        for axes, optimizer in zip(panels, (FORWARD, INERTIAL, ADAM), strict=True):
            for setting in SETTINGS.values():
                if setting.optimizer == optimizer:
                    _draw(axes, rows, setting)
            axes.set_xscale("log")
            axes.set_xticks(_budgets(rows), [str(n) for n in _budgets(rows)], minor=False)
            axes.set_xticks([], minor=True)
            figures.plain(axes, "iterations", "", optimizer)
        _limit(panels[0], rows)
        page.legend(
            *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=6, fontsize=8, frameon=False
        )
        panels[0].set_ylabel("error of the latent, NMSE (dB)", color=figures.INK, fontsize=9)
        return page


EXPERIMENT = Ablation()


def _errors(rows: Sequence[Row], setting: Setting, budget: int) -> list[float]:
    """By picture, in the order of the rows."""
    how: Row = {"optimizer": setting.optimizer, "rate": setting.rate, "schedule": setting.schedule}
    return column(rows, "nmse_db", iterations=budget, **how)


def _cell(rows: Sequence[Row], setting: Setting, budget: int) -> str:
    return mean(_errors(rows, setting, budget)).text()


def _budgets(rows: Sequence[Row]) -> list[int]:
    return sorted({int(number(row, "iterations")) for row in rows})


def _schedules(rows: Sequence[Row], budgets: Sequence[int]) -> str:
    """Error with the schedule less the error without, over the same pictures."""
    fixed = [setting for setting in SETTINGS.values() if setting.schedule == "fixed"]
    pairs = [
        (_errors(rows, replace(setting, schedule="cosine"), budget), _errors(rows, setting, budget))
        for setting in fixed
        for budget in budgets
    ]
    corrected = iter(holm([paired(*pair) for pair in pairs]))
    cells = iter(f"{mean(np.subtract(*pair).tolist()).text()} ({p_text(next(corrected))})" for pair in pairs)
    table = [[setting.optimizer, f"{setting.rate:g}", *(next(cells) for _ in budgets)] for setting in fixed]
    head = (
        "Error with the schedule less the error at the fixed rate, dB, over the same pictures (negative: the schedule "
        f"is better); p by paired t-tests with Holm's correction for all {len(pairs)}:"
    )
    return f"{head}\n\n{report.markdown_table(('optimizer', 'rate', *(f'{n} iterations' for n in budgets)), table)}"


def _verdicts(rows: Sequence[Row], budget: int) -> str:
    """The best rate of every optimizer, and the paired differences between optimizers."""
    errors = {name: _by_setting(rows, name, budget) for name in (FORWARD, INERTIAL, ADAM)}
    lines = [f"- best of {name}: {_best(found)}" for name, found in errors.items()]
    pairs = ((INERTIAL, FORWARD), (ADAM, FORWARD), (ADAM, INERTIAL))
    chosen = {name: chosen_elsewhere(found) for name, found in errors.items()}
    corrected = holm([paired(chosen[first], chosen[second]) for first, second in pairs])
    for (first, second), p in zip(pairs, corrected, strict=True):
        gap = mean(np.subtract(chosen[first], chosen[second]).tolist())
        lines.append(f"- {first} less {second}, each at its best rate: {gap.text()} dB ({p_text(p)})")
    head = (
        "iterations (for the differences the rate of every picture is chosen on the others; p by paired t-tests with "
        "Holm's correction):"
    )
    return f"After {budget} {head}\n\n" + "\n".join(lines)


def _by_setting(rows: Sequence[Row], optimizer: str, budget: int) -> dict[str, list[float]]:
    choices = [setting for setting in SETTINGS.values() if setting.optimizer == optimizer]
    return {setting.rate_text: _errors(rows, setting, budget) for setting in choices}


def _best(errors: dict[str, list[float]]) -> str:
    return min(errors, key=lambda name: float(np.nan_to_num(np.mean(errors[name]), nan=1e9)))


def _limit(axes: Any, rows: Sequence[Row]) -> None:
    """Means decide what is seen, up to 0 dB: beyond, nothing is left of the latent, and intervals may be huge."""
    means = [mean(_errors(rows, s, n)).value for s in SETTINGS.values() for n in _budgets(rows)]
    axes.set_ylim(*figures.room([value for value in means if math.isfinite(value)], most=0.0))


def _draw(axes: Any, rows: Sequence[Row], setting: Setting) -> None:
    budgets = _budgets(rows)
    means = [mean(_errors(rows, setting, budget)) for budget in budgets]
    place = (*RATES, *NATURAL).index((setting.rate, setting.schedule))
    beside = [budget * 1.03 ** (place - 2.5) for budget in budgets]  # so that no interval hides another
    look = figures.look(place)
    style = {"color": look.colour, "marker": look.marker, "linestyle": look.dash, "markersize": 4}
    figures.bars(
        axes, beside, [m.value for m in means], [m.half_width for m in means], label=setting.rate_text, **style
    )
