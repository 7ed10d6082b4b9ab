"""Gradient-free against gradient-based decoder inversion: error, time and memory (Hong et al. 2024, Figure 3 and
Table S1), with treering's default, the plain forward step and Anderson acceleration on the same axes.

The error is the normalised mean squared error of the latent, ||z - z*||^2 / ||z*||^2 in dB, where z* is
the latent that the 8-bit picture was decoded from, in float32 whatever number type is tried on it.  Times are
of the decoder inversion alone.

The published gradient-based inversion cannot run in 16 bit because its gradients underflow.  That is the
gradient of the *mean* squared error: divided by the 10^5 to 10^6 numbers of a picture it is too small for
float16.  The sum's is not, and Adam does not care for the scale; so it runs here, and both are shown.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from ... import images, report
from ...inversion import DEFAULT, METHODS, DecoderInversion, Gradient
from ...models import LatentModel
from ...solvers import Adam, Anderson, ForwardStep, Method, Rates
from ..studies import decibel
from . import figures
from .bench import Bench, Drawn, Row, Settings
from .peak import peak
from .rows import column, number, select
from .statistics import holm, mean, p_text, paired
from .watched import follow, rate_text, runs

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

FREE, BASED, OURS, PLAIN, ANDERSON, ENCODER = (
    "gradient-free",
    "gradient-based",
    "treering's default",
    "forward step",
    "Anderson",
    "encoder",
)
RATES: tuple[tuple[float, Rates], ...] = ((0.1, "cosine"), (0.01, "fixed"))
"""The paper's two: 0.1 with the schedule, and 0.01 fixed."""
FEW = (1, 2, 3, 5, 8)
"""Iterations at which the fast methods are shown."""


@dataclass(frozen=True)
class Variant:
    """One method in one number type at one rate."""

    family: str
    bits: int = 32
    rate: float = 0.0
    schedule: Rates = "fixed"

    @property
    def name(self) -> str:
        """For rows and units."""
        return ", ".join([self.family, f"{self.bits} bit", *([self.rate_text] if self.rate else [])])

    @property
    def rate_text(self) -> str:
        """``0.1 scheduled`` or ``0.01 fixed``."""
        return rate_text(self.rate, self.schedule)

    @property
    def most(self) -> int:
        """Evaluations that the method takes by itself, at most."""
        return METHODS[DEFAULT].budget if self.family == OURS else 0

    def plan(self, budget: int) -> DecoderInversion:
        """How to invert, with so many iterations where there is a choice."""
        if self.family in (OURS, ENCODER):
            return METHODS[DEFAULT if self.family == OURS else "encoder"]
        methods: dict[str, Method | Gradient] = {
            FREE: Adam(self.rate, schedule=self.schedule),
            BASED: Gradient(self.rate, self.schedule),
            PLAIN: ForwardStep(1.0),
            ANDERSON: Anderson(3),
        }
        return DecoderInversion(methods[self.family], budget, name=self.name)

    def budgets(self, settings: Settings) -> tuple[int, ...]:
        """Iterations at which the error is noted; 0 where the method knows by itself."""
        if self.family in (FREE, BASED):
            return settings.iterations
        return FEW if self.family in (PLAIN, ANDERSON) else (0,)


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant(ENCODER),
        Variant(OURS),
        Variant(PLAIN),
        Variant(ANDERSON),
        *(Variant(family, bits, *rate) for family in (FREE, BASED) for bits in (32, 16) for rate in RATES),
    )
}


def dtype(bench: Bench, bits: int) -> str:
    """The number type of so many bits on the bench's device."""
    return bench.half if bits == 16 else "float32"


class DecoderInversionExperiment:
    """See the module."""

    images = 3
    iterations = (20, 50, 100)
    largest = False
    constants = (VARIANTS, FEW)

    def units(self, settings: Settings) -> Sequence[str]:
        """One a picture and variant; then memory, and what underflows."""
        pictures = [f"picture {i}: {name}" for i in range(settings.images) for name in VARIANTS]
        return [*pictures, *(f"memory: {name}" for name in _for_memory()), "underflow"]

    def measure(self, bench: Bench, unit: str) -> list[Row]:
        """Rows of one unit."""
        if unit == "underflow":
            return list(underflow(bench))
        kind, name = unit.split(": ", 1)
        variant = VARIANTS[name]
        if kind == "memory":
            return [_memory(bench, variant)]
        i = int(kind.split()[1])
        return list(_errors(bench, variant, i))

    def table(self, rows: Sequence[Row]) -> str:
        """Table S1's layout, then the fast methods, then what is significant."""
        return "\n\n".join((_long_table(rows), _short_table(rows), _comparisons(rows), _underflow_table(rows)))

    def figure(self, rows: Sequence[Row], folder: Path) -> Figure:
        """Error against time, and error against memory, with their Pareto fronts."""
        page = figures.page(9.6, 4.6)
        left, right = page.subplots(1, 2, sharey=True)
        _draw_time(left, rows)
        _draw_memory(right, rows)
        page.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=7, frameon=False)
        return page


EXPERIMENT = DecoderInversionExperiment()


# ------------------------------------------------------------------------------------ measure


def _errors(bench: Bench, variant: Variant, i: int) -> Iterator[Row]:
    """Error after every budget; a fixed rate is one run, a scheduled one depends on its budget."""
    drawn, model = bench.draw(i), bench.model_as(dtype(bench, variant.bits))
    follow(model, drawn.picture, variant.plan(1))  # the first call in a number type is slow
    budgets = variant.budgets(bench.settings)
    for group in runs(variant.schedule, budgets):
        yield from _run(model, variant, drawn, i, group)


def _run(model: LatentModel, variant: Variant, drawn: Drawn, i: int, budgets: tuple[int, ...]) -> Iterator[Row]:
    path = follow(model, drawn.picture, variant.plan(max(budgets)))
    for budget in budgets:
        latent, seconds = path.after(budget or len(path.latents))
        yield {
            "picture": i,
            "method": variant.name,
            "iterations": budget,
            "evaluations": min(budget or variant.most, int(path.solution.evaluations[0])),
            "nmse_db": decibel(latent, drawn.latent),
            "seconds": seconds,
            "status": path.solution.status[0].name.lower(),
        }


def _for_memory() -> list[str]:
    """One variant for every family and number type: the rate needs no memory."""
    seen = {(v.family, v.bits): v.name for v in reversed(VARIANTS.values())}
    return [name for name in VARIANTS if name in seen.values()]


def _memory(bench: Bench, variant: Variant) -> Row:
    used = peak(bench.settings, variant.plan(100), dtype(bench, variant.bits))
    return {
        "family": variant.family,
        "bits": variant.bits,
        "peak_mb": used.total_mb,
        "model_mb": used.model_mb,
        "above_mb": used.above_mb,
    }


def underflow(bench: Bench) -> Iterator[Row]:
    """Share of the gradient at z = E(x) that is exactly zero: of the mean and of the sum of squared errors."""
    drawn = bench.draw(0)
    for name in ("float32", "bfloat16", "float16"):
        for loss in ("mean", "sum"):
            row: Row = {"dtype": name, "loss": loss}
            try:
                share, finite = _zeros(bench.model_as(name), drawn, loss)
            except RuntimeError as error:  # a device without this number type
                yield {**row, "zero_share": None, "finite": str(error).splitlines()[0]}
            else:
                yield {**row, "zero_share": share, "finite": "yes" if finite else "no"}


def _zeros(model: LatentModel, drawn: Drawn, loss: str) -> tuple[float, bool]:
    pixels = torch.from_numpy(images.to_float(drawn.picture[None])).to(model.device)
    z = model.encode(pixels).requires_grad_(True)
    square = (model.decode_with_gradient(z) - pixels) ** 2
    total: torch.Tensor = square.mean() if loss == "mean" else square.sum()
    total.backward()  # type: ignore[no-untyped-call]
    gradient = cast(torch.Tensor, z.grad)
    return float((gradient == 0).float().mean()), bool(torch.isfinite(gradient).all())


# -------------------------------------------------------------------------------------- table


def _budgets(rows: Sequence[Row], families: Sequence[str]) -> list[int]:
    names = {v.name for v in VARIANTS.values() if v.family in families}
    return sorted({int(number(row, "iterations")) for row in rows if row.get("method") in names})


def _cell(rows: Sequence[Row], name: str, budget: int) -> str:
    errors, seconds = (column(rows, what, method=name, iterations=budget) for what in ("nmse_db", "seconds"))
    return f"{mean(errors).text(1)} dB, {np.median(seconds):.2g} s" if errors else ""


def _memory_cells(rows: Sequence[Row], variant: Variant) -> list[str]:
    found = select(rows, family=variant.family, bits=variant.bits)
    if not found:
        return [""] * 3
    total, model, above = (number(found[0], name) for name in ("peak_mb", "model_mb", "above_mb"))
    if math.isnan(total):
        return ["out of memory", "", ""]
    return [f"{total:.0f}", f"{total - model:.0f}", "unknown" if math.isnan(above) else f"{above:.0f}"]


_MEMORY = ("peak MB", "peak less model MB", "peak above loaded MB")


def _long_table(rows: Sequence[Row]) -> str:
    budgets = _budgets(rows, (FREE, BASED))
    header = ("method", "bits", "rate", *(f"{n} iterations" for n in budgets), *_MEMORY)
    table = [
        [v.family, str(v.bits), v.rate_text, *(_cell(rows, v.name, n) for n in budgets), *_memory_cells(rows, v)]
        for v in VARIANTS.values()
        if v.family in (FREE, BASED)
    ]
    head = "Error of the latent (mean and 95 % interval over pictures) and median seconds:"
    return f"{head}\n\n{report.markdown_table(header, table).rstrip()}"


def _short_table(rows: Sequence[Row]) -> str:
    families = (ENCODER, OURS, PLAIN, ANDERSON)
    table = []
    for variant in VARIANTS.values():
        if variant.family in families:
            for budget in _iterations(rows, variant):
                cell, memory = _cell(rows, variant.name, budget), _memory_cells(rows, variant)
                table.append([variant.family, str(budget or _span(rows, variant)), cell, *memory])
    head = "Beside the paper, 32 bit:"
    return f"{head}\n\n{report.markdown_table(('method', 'iterations', 'error, time', *_MEMORY), table).rstrip()}"


def _iterations(rows: Sequence[Row], variant: Variant) -> list[int]:
    return sorted({int(number(row, "iterations")) for row in select(rows, method=variant.name)})


def _span(rows: Sequence[Row], variant: Variant) -> str:
    """Evaluations that a method took by itself, such as ``2 to 3``."""
    counts = [int(count) for count in column(rows, "evaluations", method=variant.name)]
    return str(max(counts)) if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"


def _best(rows: Sequence[Row], family: str, bits: int) -> tuple[str, int] | None:
    """Variant and iterations of the least mean error in a family."""
    means = {
        (variant.name, budget): float(np.mean(column(rows, "nmse_db", method=variant.name, iterations=budget)))
        for variant in VARIANTS.values()
        if (variant.family, variant.bits) == (family, bits)
        for budget in _iterations(rows, variant)
    }
    finite = {where: value for where, value in means.items() if math.isfinite(value)}
    return min(finite, key=finite.__getitem__) if finite else None


def _comparisons(rows: Sequence[Row]) -> str:
    families = ((ENCODER, 32), (FREE, 32), (FREE, 16), (BASED, 32), (BASED, 16))
    chosen = [pair for pair in (_best(rows, *family) for family in families) if pair]
    pairs = [_pairs(rows, name, budget) for name, budget in chosen]
    corrected = holm([paired(*pair) for pair in pairs])
    lines = [
        f"- {name}{f', {budget} iterations' if budget else ''}: "
        f"{mean(np.subtract(*pair).tolist()).text(1)} dB ({p_text(p)})"
        for (name, budget), pair, p in zip(chosen, pairs, corrected, strict=True)
        if pair[0]
    ]
    return (
        "Error of treering's default less that of the best setting of each family, over the same pictures (negative: "
        "treering's is smaller). The settings were chosen on these pictures, which favours them; p by paired t-tests "
        "with Holm's correction:\n\n" + "\n".join(lines)
    )


def _pairs(rows: Sequence[Row], name: str, budget: int) -> tuple[list[float], list[float]]:
    """Errors of treering's default and of another, of the pictures that have both."""
    mine, other = (
        {row["picture"]: number(row, "nmse_db") for row in select(rows, method=method, iterations=count)}
        for method, count in ((Variant(OURS).name, 0), (name, budget))
    )
    both = sorted(set(mine) & set(other), key=str)
    return [mine[i] for i in both], [other[i] for i in both]


def _underflow_table(rows: Sequence[Row]) -> str:
    table = []
    for row in rows:
        if "zero_share" in row:
            share = "unknown" if row["zero_share"] is None else report.percent(number(row, "zero_share"))
            table.append([row["dtype"], row["loss"], share, row["finite"]])
    head = (
        "Gradient of the squared error of the pixels with respect to z, at z = E(x) of the first picture. The mean's "
        "is the sum's divided by the number of values in a picture:"
    )
    header = ("networks", "loss", "entries that are exactly zero", "finite")
    return f"{head}\n\n{report.markdown_table(header, table).rstrip()}"


# ------------------------------------------------------------------------------------- figure


def front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The Pareto front of (cost, error), both to be small, by cost."""
    best, kept = math.inf, []
    for cost, error in sorted(points):
        if error < best:
            best = error
            kept.append((cost, error))
    return kept


def _points(rows: Sequence[Row], variant: Variant) -> list[tuple[float, float, float]]:
    """Median seconds, mean error and half of its interval, for every budget."""
    points = []
    for budget in _iterations(rows, variant):
        errors = mean(column(rows, "nmse_db", method=variant.name, iterations=budget))
        seconds = column(rows, "seconds", method=variant.name, iterations=budget)
        if math.isfinite(errors.value):
            points.append((float(np.median(seconds)), errors.value, errors.half_width))
    return points


def _looks() -> dict[str, figures.Look]:
    families = list(dict.fromkeys((v.family, v.bits) for v in VARIANTS.values()))
    return {v.name: figures.look(families.index((v.family, v.bits))) for v in VARIANTS.values()}


def _draw_time(axes: Any, rows: Sequence[Row]) -> None:
    looks, every = _looks(), []
    for variant in VARIANTS.values():
        points, look = _points(rows, variant), looks[variant.name]
        every += [(x, y) for x, y, _ in points]
        if points:
            x, y, half = zip(*points, strict=True)
            style = {"linestyle": "--" if variant.schedule == "cosine" else "-", "marker": look.marker}
            front_most = {"markersize": 9, "zorder": 5} if variant.family == OURS else {"markersize": 4}
            figures.bars(axes, x, y, half, color=look.colour, label=_label(variant), **style, **front_most)
    _draw_front(axes, every)
    axes.set_xscale("log")
    low, high = min(y for _, y in every), max(y for _, y in every)
    axes.set_ylim(low - 0.2 * (high - low), high + 0.2 * (high - low))  # an interval of few pictures may be huge
    figures.plain(axes, "time for a picture (s)", "error of the latent, NMSE (dB)", "Error against time")


def _label(variant: Variant) -> str:
    return variant.name if variant.rate else variant.family


def _draw_front(axes: Any, points: Sequence[tuple[float, float]]) -> None:
    if points:
        x, y = zip(*front(points), strict=True)
        axes.step(x, y, where="post", color=figures.FAINT, linewidth=5, zorder=0, label="Pareto front")


def _draw_memory(axes: Any, rows: Sequence[Row]) -> None:
    """The least error that each family reaches against its memory."""
    looks, every = _looks(), []
    for family, bits in dict.fromkeys((v.family, v.bits) for v in VARIANTS.values()):
        variants = [v for v in VARIANTS.values() if (v.family, v.bits) == (family, bits)]
        memory = column(rows, "above_mb", family=family, bits=bits)
        errors = [y for v in variants for _, y, _ in _points(rows, v)]
        if errors and memory and math.isfinite(memory[0]):
            look = looks[variants[0].name]
            axes.plot(memory[0], min(errors), look.marker, color=look.colour, markersize=6)
            every.append((memory[0], min(errors)))
    _draw_front(axes, every)
    figures.plain(axes, "peak memory above the loaded model (MB)", "", "Least error against memory")
