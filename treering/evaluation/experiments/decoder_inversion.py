"""Gradient-free against gradient-based decoder inversion: error, time and memory (Hong et al. 2024, Figure 3 and
Table S1), with treering's default, the plain forward step and Anderson acceleration on the same axes.

The error is the normalised mean squared error of the latent, ||z - z*||^2 / ||z*||^2 in dB, where z* is
the latent that the 8-bit picture was decoded from, in float32 whatever number type is tried on it.  Times are
of the decoder inversion alone.

The published gradient-based inversion cannot run in 16 bit because its gradients underflow.  That is the
gradient of the *mean* squared error: divided by the 10^5 to 10^6 numbers of a picture it is too small for
float16.  The sum's is not, and Adam does not care for the scale; so it runs here, and both are shown.

Scheduled rates depend on the budget, so that every budget is a run of its own; a fixed rate is one run, which
also tells what its first few iterations do.
"""

from __future__ import annotations

import contextlib
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
from .peak import out_of_memory, peak
from .rows import Value, column, number, select
from .statistics import chosen_elsewhere, holm, mean, p_text, paired
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
"""The two of the paper's Table S1: 0.1 with the schedule, and 0.01 fixed."""
FREE_RATES: tuple[tuple[float, Rates], ...] = (*RATES, (0.01, "cosine"))
"""With that of its Table 2, in 32 bit, which is :data:`treering.inversion.METHODS`' ``adam``."""
FEW = (1, 2, 3, 5, 8)
"""Iterations at which the fast methods are shown, and in 32 bit the others that run at a fixed rate."""


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
            early = self.schedule == "fixed" and self.bits == 32
            return tuple(sorted({*(FEW if early else ()), *settings.iterations}))
        return FEW if self.family in (PLAIN, ANDERSON) else (0,)


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant(ENCODER),
        Variant(OURS),
        Variant(PLAIN),
        Variant(ANDERSON),
        *(Variant(FREE, bits, *rate) for bits, rates in ((32, FREE_RATES), (16, RATES)) for rate in rates),
        *(Variant(BASED, bits, *rate) for bits in (32, 16) for rate in RATES),
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
        """Table S1's layout, then few iterations, what is significant, what is gained, and what underflows."""
        parts = (_long_table(rows), _short_table(rows), _against_gradient(rows), _gained(rows), _comparisons(rows))
        return "\n\n".join((*parts, _underflow_table(rows)))

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
    groups = runs(variant.schedule, variant.budgets(bench.settings))
    with contextlib.suppress(torch.OutOfMemoryError):  # told by the rows
        follow(model, drawn.picture, variant.plan(1))  # the first call in a number type is slow
    for group in groups:
        yield from _run(model, variant, drawn, i, group)


def _run(model: LatentModel, variant: Variant, drawn: Drawn, i: int, budgets: tuple[int, ...]) -> Iterator[Row]:
    try:
        yield from _rows(model, variant, drawn, i, budgets)
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        nothing: Row = {"evaluations": None, "nmse_db": None, "seconds": None, "status": "out of memory"}
        yield from ({"picture": i, "method": variant.name, "iterations": budget, **nothing} for budget in budgets)


def _rows(model: LatentModel, variant: Variant, drawn: Drawn, i: int, budgets: tuple[int, ...]) -> Iterator[Row]:
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


def _budgets(rows: Sequence[Row]) -> list[int]:
    """Iterations that were asked for: those of the scheduled variants, which have no others."""
    names = {v.name for v in VARIANTS.values() if v.schedule == "cosine"}
    return sorted({int(number(row, "iterations")) for row in rows if row.get("method") in names})


def _cell(rows: Sequence[Row], name: str, budget: int) -> str:
    errors, seconds = (column(rows, what, method=name, iterations=budget) for what in ("nmse_db", "seconds"))
    if any(map(math.isnan, seconds)):
        return "out of memory"
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
    budgets = _budgets(rows)
    header = ("method", "bits", "rate", *(f"{n} iterations" for n in budgets), *_MEMORY)
    table = [
        [v.family, str(v.bits), v.rate_text, *(_cell(rows, v.name, n) for n in budgets), *_memory_cells(rows, v)]
        for v in VARIANTS.values()
        if v.family in (FREE, BASED)
    ]
    head = (
        f"Error of the latent (mean and 95 % interval over {_count(rows)}) and median seconds. 16 bit is "
        "bfloat16 on a CPU and float16 on a GPU; gradient-based runs in it with the summed loss, as the gradient of "
        "the published mean underflows (last table). Peak memory in a fresh process:"
    )
    return f"{head}\n\n{report.markdown_table(header, table).rstrip()}"


def _short_table(rows: Sequence[Row]) -> str:
    table = []
    for variant in VARIANTS.values():
        if variant.bits == 32 and variant.schedule == "fixed":
            for budget in _iterations(rows, variant):
                if not variant.rate or budget in FEW:
                    cell, memory = _cell(rows, variant.name, budget), _memory_cells(rows, variant)
                    table.append([_label(variant), str(budget or _span(rows, variant)), cell, *memory])
    head = "Few iterations, 32 bit:"
    return f"{head}\n\n{report.markdown_table(('method', 'iterations', 'error, time', *_MEMORY), table).rstrip()}"


def _count(rows: Sequence[Row]) -> str:
    count = len({row["picture"] for row in rows if "nmse_db" in row})
    return "1 picture" if count == 1 else f"{count} pictures"


def _iterations(rows: Sequence[Row], variant: Variant) -> list[int]:
    return sorted({int(number(row, "iterations")) for row in select(rows, method=variant.name)})


def _span(rows: Sequence[Row], variant: Variant) -> str:
    """Evaluations that a method took by itself, such as ``2 to 3``."""
    counts = sorted({f"{count:g}" for count in column(rows, "evaluations", method=variant.name)}, key=float)
    return " to ".join(dict.fromkeys((counts[0], counts[-1])))


def _by_picture(rows: Sequence[Row], name: str, budget: int) -> dict[Value, float]:
    return {row["picture"]: number(row, "nmse_db") for row in select(rows, method=name, iterations=budget)}


def _pairs(first: dict[Value, float], second: dict[Value, float]) -> tuple[list[float], list[float]]:
    """The values of the pictures that have both, where they are finite."""
    both = [i for i in first if math.isfinite(first[i]) and math.isfinite(second.get(i, math.nan))]
    return [first[i] for i in both], [second[i] for i in both]


def _difference(pair: tuple[list[float], list[float]], p: float) -> str:
    return f"{mean(np.subtract(*pair).tolist()).text(1)} dB ({p_text(p)})" if pair[0] else ""


def _against_gradient(rows: Sequence[Row]) -> str:
    """Gradient-free less gradient-based, at the same rate and as many iterations."""
    budgets, lines = _budgets(rows), [(bits, rate) for bits in (32, 16) for rate in RATES]
    pairs = [
        _pairs(*(_by_picture(rows, Variant(family, bits, *rate).name, n) for family in (FREE, BASED)))
        for bits, rate in lines
        for n in budgets
    ]
    corrected = holm([paired(*pair) for pair in pairs])
    cells = iter(_difference(pair, p) for pair, p in zip(pairs, corrected, strict=True))
    table = [[str(bits), rate_text(*rate), *(next(cells) for _ in budgets)] for bits, rate in lines]
    head = (
        "Error of gradient-free less that of gradient-based after as many iterations (negative: gradient-free's is "
        f"smaller), over the same pictures; p by paired t-tests with Holm's correction for all {len(pairs)}:"
    )
    header = ("bits", "rate", *(f"{n} iterations" for n in budgets))
    return f"{head}\n\n{report.markdown_table(header, table).rstrip()}"


def _gained(rows: Sequence[Row]) -> str:
    """The three headlines of the paper, for gradient-free and for treering's default, over gradient-based in 32 bit."""
    theirs = _family_points(rows, BASED, 32)
    lines = []
    for family, bits in ((FREE, 32), (FREE, 16), (OURS, 32)):
        parts = [*_faster(_family_points(rows, family, bits), theirs), *_less_memory(rows, family, bits)]
        if parts:
            lines.append(f"- {family}, {bits} bit: {'; '.join(parts)}.")
    return "Over gradient-based in 32 bit, any rate, mean errors and median times:\n\n" + "\n".join(lines)


def _family_points(rows: Sequence[Row], family: str, bits: int) -> list[tuple[float, float]]:
    """Seconds and error of every variant and budget."""
    variants = [v for v in VARIANTS.values() if (v.family, v.bits) == (family, bits)]
    return [(x, y) for v in variants for x, y, _ in _points(rows, v)]


def _faster(ours: Sequence[tuple[float, float]], theirs: Sequence[tuple[float, float]]) -> Iterator[str]:
    """At equal error, how much sooner at most; at equal time, how much better at most."""
    sooner = [(t / min(fits), e) for t, e in theirs if (fits := [s for s, f in ours if f <= e])]
    better = [(e - min(fits), t) for t, e in theirs if (fits := [f for s, f in ours if s <= t])]
    if sooner:
        ratio, error = max(sooner)
        yield f"up to {ratio:.2g} times as fast to an error as small (at {error:.1f} dB)"
    elif ours and theirs:
        yield "never at an error as small"
    if better:
        gap, seconds = max(better)
        how = f"{gap:.1f} dB better" if gap > 0 else f"{-gap:.1f} dB worse"
        yield f"at equal time at most {how} (at {seconds:.2g} s)"


def _less_memory(rows: Sequence[Row], family: str, bits: int) -> Iterator[str]:
    ours, theirs = (column(rows, "above_mb", family=f, bits=b) for f, b in ((family, bits), (BASED, 32)))
    if ours and theirs and ours[0] > 0 and theirs[0] > 0:
        yield f"{100 * (1 - ours[0] / theirs[0]):.0f} % less memory above the loaded model"


def _comparisons(rows: Sequence[Row]) -> str:
    """treering's default against every family at its best, which is chosen on the other pictures."""
    families = [pair for pair in dict.fromkeys((v.family, v.bits) for v in VARIANTS.values()) if pair != (OURS, 32)]
    found = {family: _choices(rows, *family) for family in families}
    pairs = {family: (mine, chosen_elsewhere(settings)) for family, (mine, settings) in found.items() if settings}
    corrected = holm([paired(*pair) for pair in pairs.values()])
    lines = [
        f"- {family}, {bits} bit: {_difference(pair, p)}"
        for ((family, bits), pair), p in zip(pairs.items(), corrected, strict=True)
    ]
    head = (
        "Error of treering's default (the forward step, stopped by itself) less that of every family at its best rate "
        "and iterations, which are chosen for each picture on the others (negative: treering's is smaller); p by "
        "paired t-tests with Holm's correction:"
    )
    return f"{head}\n\n" + "\n".join(lines)


def _choices(rows: Sequence[Row], family: str, bits: int) -> tuple[list[float], dict[tuple[str, int], list[float]]]:
    """Errors of treering's default, and those of every setting of a family over the same pictures."""
    mine = _by_picture(rows, Variant(OURS).name, 0)
    every = {
        (variant.name, budget): _by_picture(rows, variant.name, budget)
        for variant in VARIANTS.values()
        if (variant.family, variant.bits) == (family, bits)
        for budget in _iterations(rows, variant)
    }
    both = [i for i in mine if all(i in errors for errors in every.values())]
    settings = {where: [errors[i] for i in both] for where, errors in every.items()}
    return [mine[i] for i in both], settings if both else {}


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
            style = {"linestyle": _dash(variant), "marker": look.marker}
            front_most = {"markersize": 9, "zorder": 5} if variant.family == OURS else {"markersize": 4}
            figures.bars(axes, x, y, half, color=look.colour, label=_label(variant), **style, **front_most)
    _draw_front(axes, every)
    axes.set_xscale("log")
    low, high = figures.room([y for _, y in every], most=_worst(rows))  # not of the intervals, which may be huge
    axes.set_ylim(low, high)
    beyond = ", above the frame: diverged" if any(y > high for _, y in every) else ""
    figures.plain(axes, "time for a picture (s)", "error of the latent, NMSE (dB)", f"Error against time{beyond}")


def _worst(rows: Sequence[Row]) -> float:
    """The error beyond which a method is lost: twice the encoder's distance, which is where all begin."""
    encoder = column(rows, "nmse_db", method=Variant(ENCODER).name)
    return float(np.mean(encoder)) + 6.0 if encoder else 0.0


def _dash(variant: Variant) -> str:
    return {(0.1, "cosine"): "--", (0.01, "cosine"): ":"}.get((variant.rate, variant.schedule), "-")


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
