"""The tables of the decoder-inversion experiment, from its rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from ... import report
from .rows import Row, Value, by_picture, column, matched, number, select
from .statistics import chosen_elsewhere, holm, mean, p_text, paired
from .variants import BASED, FEW, FREE, OURS, RATES, VARIANTS, Variant
from .watched import rate_text


def tables(rows: Sequence[Row]) -> str:
    """Table S1's layout, then few iterations, what is significant, what is gained, and what underflows."""
    parts = (_long_table(rows), _short_table(rows), _against_gradient(rows), _gained(rows), _comparisons(rows))
    return "\n\n".join((*parts, _underflow_table(rows)))


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
                    table.append([variant.label, str(budget or _span(rows, variant)), cell, *memory])
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


def _errors(rows: Sequence[Row], name: str, budget: int) -> dict[Value, float]:
    return by_picture(rows, "nmse_db", method=name, iterations=budget)


def _difference(pair: tuple[list[float], list[float]], p: float) -> str:
    return f"{mean(np.subtract(*pair).tolist()).text(1)} dB ({p_text(p)})" if pair[0] else ""


def _against_gradient(rows: Sequence[Row]) -> str:
    """Gradient-free less gradient-based, at the same rate and as many iterations."""
    budgets, lines = _budgets(rows), [(bits, rate) for bits in (32, 16) for rate in RATES]
    pairs = [
        matched(*(_errors(rows, Variant(family, bits, *rate).name, n) for family in (FREE, BASED)))
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
    return [(x, y) for v in variants for x, y, _ in points(rows, v)]


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
    mine = _errors(rows, Variant(OURS).name, 0)
    every = {
        (variant.name, budget): _errors(rows, variant.name, budget)
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


def points(rows: Sequence[Row], variant: Variant) -> list[tuple[float, float, float]]:
    """Median seconds, mean error and half of its interval, for every budget."""
    found = []
    for budget in _iterations(rows, variant):
        errors = mean(column(rows, "nmse_db", method=variant.name, iterations=budget))
        seconds = column(rows, "seconds", method=variant.name, iterations=budget)
        if math.isfinite(errors.value):
            found.append((float(np.median(seconds)), errors.value, errors.half_width))
    return found
