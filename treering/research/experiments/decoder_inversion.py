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
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from ...models import LatentModel
from ...models.batching import out_of_memory
from ...pictures import images
from ..common import decibel
from . import figures
from .bench import Bench, Drawn, Row, Settings
from .decoder_tables import points, tables
from .peak import peak
from .rows import column
from .variants import ENCODER, FEW, OURS, VARIANTS, Variant
from .watched import follow, runs

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure


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
        """See :mod:`.decoder_tables`."""
        return tables(rows)

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
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        nothing: Row = {"evaluations": None, "nmse_db": None, "seconds": None, "status": "out of memory"}
        yield from ({"picture": i, "method": variant.name, "iterations": budget, **nothing} for budget in budgets)


def _rows(model: LatentModel, variant: Variant, drawn: Drawn, i: int, budgets: tuple[int, ...]) -> Iterator[Row]:
    path = follow(model, drawn.picture, variant.plan(max(budgets)))
    spent = int(path.solution.evaluations[0])
    for budget in budgets:
        latent, seconds = path.after(budget or len(path.latents))
        yield {
            "picture": i,
            "method": variant.name,
            "iterations": budget,
            "evaluations": min(budget, spent) if budget else spent,
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
    with model.precision():
        square = (model.decode_with_gradient(z) - pixels) ** 2
        total: torch.Tensor = square.mean() if loss == "mean" else square.sum()
        total.backward()  # type: ignore[no-untyped-call]
    gradient = cast(torch.Tensor, z.grad)
    return float((gradient == 0).float().mean()), bool(torch.isfinite(gradient).all())


# ------------------------------------------------------------------------------------- figure


def front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The Pareto front of (cost, error), both to be small, by cost."""
    best, kept = math.inf, []
    for cost, error in sorted(points):
        if error < best:
            best = error
            kept.append((cost, error))
    return kept


def _looks() -> dict[str, figures.Look]:
    families = list(dict.fromkeys((v.family, v.bits) for v in VARIANTS.values()))
    return {v.name: figures.look(families.index((v.family, v.bits))) for v in VARIANTS.values()}


def _draw_time(axes: Any, rows: Sequence[Row]) -> None:
    looks, every = _looks(), []
    for variant in VARIANTS.values():
        found, look = points(rows, variant), looks[variant.name]
        every += [(x, y) for x, y, _ in found]
        if found:
            x, y, half = zip(*found, strict=True)
            style = {"linestyle": _dash(variant), "marker": look.marker}
            front_most = {"markersize": 9, "zorder": 5} if variant.family == OURS else {"markersize": 4}
            figures.bars(axes, x, y, half, color=look.colour, label=variant.label, **style, **front_most)
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
        errors = [y for v in variants for _, y, _ in points(rows, v)]
        if errors and memory and math.isfinite(memory[0]):
            look = looks[variants[0].name]
            axes.plot(memory[0], min(errors), look.marker, color=look.colour, markersize=6)
            every.append((memory[0], min(errors)))
    _draw_front(axes, every)
    figures.plain(axes, "peak memory above the loaded model (MB)", "", "Least error against memory")
