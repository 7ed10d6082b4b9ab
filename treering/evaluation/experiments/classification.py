"""Which of three keys a picture carries, one decoder inversion against another (Hong et al. 2024, Table 2 and the
confusion matrices).

Pictures carry the paper's own watermark, picture i class i mod 3, and are read by every method: pixels to latent,
then naive inversion of the sampler with as many steps as it made the picture with, once with the prompt unknown
(empty, guidance 1) and once with the prompt and the guidance known, which is the paper's case.  Three rules judge:

- closed set: the paper's, argmin of mean |F - key|;
- gain fitted: the same after a gain was fitted for every key (:func:`treering.matching.closed_set_fitted`);
- classical: the classical p-value, which may also answer "none" (:func:`treering.matching.match_public`).

treering's exact test needs secret values, which the paper's public table has not.  So the same prompts and seeds
are drawn again, marked with treering's own pattern and not marked at all, for all methods but the gradient-based.

Times are medians and means over *all* pictures; the published code has the last picture's alone.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ... import images, inversion, matching, report, rings
from ...inversion import DecoderInversion
from ...keys import Keyring, Pattern
from ...models import LatentModel
from ...types import Match
from ...watermark import FPR, GUIDANCE, STEPS, Detector
from ..confusion import Rate
from . import figures
from .bench import Bench, Drawn, Row, Settings
from .peak import peak
from .statistics import holm, mcnemar

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

ENCODER, BASED, SHORT, FREE, OURS = (
    "encoder",
    "gradient-based",
    "gradient-based, shortened",
    "gradient-free",
    "treering",
)
METHODS = (ENCODER, BASED, SHORT, FREE, OURS)
EXACT = (ENCODER, FREE, OURS)
"""The methods that also read secret marks and unmarked pictures."""
PAPER, SECRET, PLAIN = "paper", "secret", "unmarked"
"""What a picture is marked with."""
UNKNOWN, KNOWN = PROMPTS = ("unknown", "known")
CLASSES = 3
LEVEL = 0.05
_FPR = f"{FPR:g}".replace("e-0", "e-")
_ZERO = "#8a949e"
_PROBE, _ROUNDS = 5, 3
CALIBRATION, MEMORY = "calibration", "memory"


def plans(settings: Settings, shortened: int) -> dict[str, DecoderInversion]:
    """Every method with its budget; ``shortened``: iterations of the shortened gradient-based one."""
    most = max(settings.iterations)
    based = inversion.METHODS["gradient"]
    return {
        ENCODER: inversion.METHODS["encoder"],
        BASED: based.with_budget(most),
        SHORT: based.with_budget(shortened),
        FREE: inversion.METHODS["adam"].with_budget(most),
        OURS: inversion.METHODS[inversion.DEFAULT],
    }


def paper_keyring(bench: Bench) -> Keyring:
    """The paper's three public keys."""
    return replace(bench.keyring, pattern=Pattern.paper(), classes=CLASSES)


class Classification:
    """See the module."""

    images = 12
    iterations = (100,)

    def units(self, settings: Settings) -> Sequence[str]:
        """How fast the methods are, their memory, and one unit a picture."""
        return [CALIBRATION, MEMORY, *(f"picture {i}" for i in range(settings.images))]

    def measure(self, bench: Bench, unit: str) -> list[Row]:
        """Rows of one unit."""
        if unit == CALIBRATION:
            return [calibrate(bench)]
        if unit == MEMORY:
            return list(_memory(bench))
        return list(_picture(bench, int(unit.split()[1])))

    def table(self, rows: Sequence[Row]) -> str:
        """Table 2's layout, the exact test, the confusion matrices, what is significant, and all that in words."""
        tests = comparisons(rows)
        parts = (_main_table(rows), _exact_table(rows), _matrices(rows), _tests_table(tests), _in_words(rows, tests))
        return "\n\n".join(part.rstrip() for part in parts)

    def figure(self, rows: Sequence[Row], folder: Path) -> Figure:
        """Confusion matrices: a column a method, the prompt unknown above and known below, then the exact test."""
        return _figure(rows)


EXPERIMENT = Classification()


# ------------------------------------------------------------------------------------ measure


def invert(model: LatentModel, picture: NDArray[np.uint8], plan: DecoderInversion) -> tuple[Tensor, int, float]:
    """Latent ``[1, C, h, w]`` of a picture uint8 ``[H, W, 3]``, evaluations, and seconds."""
    pixels = torch.from_numpy(images.to_float(picture[None]))
    solution, seconds = _timed(model, lambda: inversion.invert_decoder(model, pixels, plan))
    return solution.value, int(solution.evaluations[0]), seconds


def noise_of(bench: Bench, latent: Tensor, words: str | None) -> tuple[Tensor, float]:
    """Noise ``[1, C, h, w]`` of a latent, and seconds; ``words``: the prompt, if it is known."""
    detector = Detector(
        bench.model, bench.keyring, prompt=words or "", guidance=1.0 if words is None else GUIDANCE, steps=STEPS
    )
    return _timed(bench.model, lambda: detector.noise(latent))


def _timed(model: LatentModel, work: Callable[[], Any]) -> tuple[Any, float]:
    _finish(model)
    started = time.perf_counter()
    result = work()
    _finish(model)
    return result, time.perf_counter() - started


def _finish(model: LatentModel) -> None:
    """A GPU works on after the call has returned."""
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)


def calibrate(bench: Bench) -> Row:
    """How many gradient-based iterations take the time of gradient-free: seconds of both, by turns, on picture 0.

    The number is kept in the journal, so that a run that goes on uses the same.
    """
    drawn, most = bench.draw(0, 0, paper_keyring(bench)), max(bench.settings.iterations)
    few = min(_PROBE, most)
    probes = {name: plan.with_budget(few) for name, plan in plans(bench.settings, 1).items()}
    seconds: dict[str, list[float]] = {name: [] for name in (ENCODER, BASED, FREE)}
    for _ in range(1 + _ROUNDS):
        for name, times in seconds.items():
            times.append(invert(bench.model, drawn.picture, probes[name])[2])
    encoder, based, free = (median(times[1:]) for times in seconds.values())  # the first round warms up
    each = [max(total - encoder, 1e-9) / few for total in (based, free)]
    count = min(max(round(most * each[1] / each[0]), 1), most)
    return {"kind": CALIBRATION, "iterations": count, "based_seconds": each[0], "free_seconds": each[1]}


def calibrated(bench: Bench) -> int:
    """What :func:`calibrate` found earlier in this run; measured now if there was no such unit."""
    found = bench.known.get(CALIBRATION) or [calibrate(bench)]
    return int(number(found[0], "iterations"))


def _memory(bench: Bench) -> Iterator[Row]:
    """Peak memory of every method; it does not depend on the number of iterations."""
    for name, plan in plans(bench.settings, max(bench.settings.iterations)).items():
        used = peak(bench.settings, plan, bench.settings.dtype)
        sizes = {"peak_mb": used.total_mb, "model_mb": used.model_mb, "above_mb": used.above_mb}
        yield {"kind": MEMORY, "method": name, **sizes}


def _picture(bench: Bench, i: int) -> Iterator[Row]:
    every = plans(bench.settings, calibrated(bench))
    drawn = bench.draw(i, i % CLASSES, paper_keyring(bench))
    invert(bench.model, drawn.picture, every[BASED].with_budget(1))  # the first call of a process is slow
    yield from _readings(bench, i, PAPER, drawn, every)
    few = {name: every[name] for name in EXACT}
    yield from _readings(bench, i, SECRET, bench.draw(i, i % CLASSES), few)
    yield from _readings(bench, i, PLAIN, bench.draw(i), few)


def _readings(bench: Bench, i: int, mark: str, drawn: Drawn, methods: dict[str, DecoderInversion]) -> Iterator[Row]:
    """One row for every method and prompt."""
    head: Row = {"kind": "reading", "picture": i, "mark": mark, "true": None if mark == PLAIN else i % CLASSES}
    for name, plan in methods.items():
        latent, evaluations, seconds = invert(bench.model, drawn.picture, plan)
        for prompt in PROMPTS:
            noise, more = noise_of(bench, latent, drawn.prompt if prompt == KNOWN else None)
            spent: Row = {"decoder_seconds": seconds, "seconds": seconds + more}
            how: Row = {"method": name, "prompt": prompt, "evaluations": evaluations}
            yield {**head, **how, **spent, **verdicts(bench, noise, mark)}


def verdicts(bench: Bench, noise: Tensor, mark: str) -> Row:
    """What the rules that apply to a mark say of noise ``[1, C, h, w]``."""
    public, row = paper_keyring(bench), Row()
    if mark == PAPER:
        row |= closed_sets(public, noise)
    if mark != SECRET:
        row |= _test("classical", Detector(bench.model, public).match(noise)[0])
    if mark != PAPER:
        row |= _test("exact", Detector(bench.model, bench.keyring, keys=range(CLASSES)).match(noise)[0])
    return row


def closed_sets(public: Keyring, noise: Tensor) -> Row:
    """The two rules that always name a key, but where the noise is not finite."""
    if not bool(torch.isfinite(noise).all()):
        return {"closed_set": None, "gain_fitted": None}
    cells, values = public.cells(), public.values(range(CLASSES))
    reading = rings.coefficients(noise.cpu(), cells).numpy(), values, cells.cell.numpy()
    return {
        "closed_set": int(matching.closed_set(*reading)[0]),
        "gain_fitted": int(matching.closed_set_fitted(*reading)[0]),
    }


def _test(name: str, match: Match) -> Row:
    return {name: match.key if match.log10_p <= math.log10(FPR) else None, f"{name}_log10_p": match.log10_p}


# -------------------------------------------------------------------------------------- table


def select(rows: Sequence[Row], **where: Any) -> list[Row]:
    """The rows that agree with ``where``."""
    return [row for row in rows if all(row.get(name) == value for name, value in where.items())]


def number(row: Row, column: str) -> float:
    """A number of a row; NaN where there is none."""
    value = row.get(column)
    return math.nan if value is None else float(value)


def _paper(rows: Sequence[Row], method: str, prompt: str) -> list[Row]:
    return select(rows, mark=PAPER, method=method, prompt=prompt)


def right(rows: Sequence[Row], rule: str) -> list[bool]:
    """Whether the rule named the true key, row by row."""
    return [row[rule] == row["true"] for row in rows]


def share(flags: Sequence[bool]) -> str:
    """``7/12 (58 %, 32 to 81)``: share and Wilson's interval in percent."""
    rate = Rate(sum(flags), len(flags))
    low, high = (f"{100 * end:.0f}" for end in rate.interval)
    return f"{rate.count}/{rate.total} ({100 * rate.count / rate.total:.0f} %, {low} to {high})"


def _median(rows: Sequence[Row], column: str) -> float:
    return median(number(row, column) for row in rows)


def _seconds(rows: Sequence[Row], column: str) -> str:
    return f"{_median(rows, column):.3g} / {fmean(number(row, column) for row in rows):.3g}"


def _main_table(rows: Sequence[Row]) -> str:
    table = [["any", "evaluations", *(_evaluations(_paper(rows, name, UNKNOWN)) for name in METHODS)]]
    for column, what in (("peak_mb", "peak memory, MB"), ("above_mb", "of it above the loaded model, MB")):
        table.append(["any", what, *(_megabytes(rows, name, column) for name in METHODS)])
    spent = [_seconds(_paper(rows, name, UNKNOWN), "decoder_seconds") for name in METHODS]
    table.append(["any", "decoder inversion alone, s", *spent])
    for prompt in PROMPTS:
        table += _correct(rows, prompt)
        spent = [_seconds(_paper(rows, name, prompt), "seconds") for name in METHODS]
        table.append([prompt, "time per picture, s", *spent])
    head = (
        f"**Which of three keys? The paper's watermark, {_count(rows)} pictures.** In brackets the share and its 95 % "
        f"interval; times are median / mean over the pictures; {STEPS} sampler steps each way. The classical test "
        f"answers only at p <= {_FPR}. Known: read with the picture's prompt and guidance ({GUIDANCE:g}), as the paper "
        "does."
    )
    return f"{head}\n\n{report.markdown_table(('prompt', '', *METHODS), table)}"


def _count(rows: Sequence[Row]) -> int:
    return len({row["picture"] for row in rows if row.get("kind") == "reading"})


def _evaluations(rows: Sequence[Row]) -> str:
    counts = sorted(int(number(row, "evaluations")) for row in rows)
    return " to ".join(dict.fromkeys(str(n) for n in (counts[0], counts[-1])))


RULES = {"closed_set": "closed set (paper)", "gain_fitted": "gain fitted", "classical": "classical test"}


def _correct(rows: Sequence[Row], prompt: str) -> Iterator[list[str]]:
    for rule, text in RULES.items():
        cells = [share(right(_paper(rows, name, prompt), rule)) for name in METHODS]
        yield [prompt, f"correct, {text}", *cells]


def _megabytes(rows: Sequence[Row], method: str, column: str) -> str:
    return f"{_median(select(rows, kind=MEMORY, method=method), column):.0f}"


def _exact_table(rows: Sequence[Row]) -> str:
    table = [line for prompt in PROMPTS for line in _exact_lines(rows, prompt)]
    head = (
        f"**treering's exact test at p <= {_FPR}, {CLASSES} classes searched.** The same prompts and seeds, with "
        "secret marks of treering's own pattern, and unmarked. The gradient-based methods were left out to save time."
    )
    return f"{head}\n\n{report.markdown_table(('prompt', 'pictures', '', *EXACT), table)}"


def _exact_lines(rows: Sequence[Row], prompt: str) -> Iterator[list[str]]:
    marked, plain = (
        {name: select(rows, mark=mark, method=name, prompt=prompt) for name in EXACT} for mark in (SECRET, PLAIN)
    )
    tests: dict[str, Callable[[Row], bool]] = {
        "right key": lambda row: row["exact"] == row["true"],
        "wrong key": lambda row: row["exact"] not in (row["true"], None),
        "none": lambda row: row["exact"] is None,
    }
    for text, test in tests.items():
        yield [prompt, "marked", text, *(share([test(row) for row in marked[name]]) for name in EXACT)]
    yield [prompt, "marked", "median log10 p", *(f"{_median(marked[name], 'exact_log10_p'):.1f}" for name in EXACT)]
    for rule, text in (("exact", "a key found"), ("classical", "one of the paper's, classical test")):
        cells = [share([row[rule] is not None for row in plain[name]]) for name in EXACT]
        yield [prompt, "unmarked", text, *cells]


def matrix(rows: Sequence[Row], rule: str, none: bool = False) -> list[list[int]]:
    """Counts ``[L][L]``, true by found, of classes and, with ``none``, none."""
    labels = [*range(CLASSES), *([None] if none else [])]
    return [[sum(r["true"] == true and r[rule] == found for r in rows) for found in labels] for true in labels]


def _matrices(rows: Sequence[Row]) -> str:
    table = [[name, *(_brackets(matrix(_paper(rows, name, p), "closed_set")) for p in PROMPTS)] for name in METHODS]
    head = "**Confusion matrices, closed-set rule.** Rows: the true keys 0, 1, 2 (the paper's 1, 2, 3). Columns: found."
    return f"{head}\n\n{report.markdown_table(('method', *(f'prompt {p}' for p in PROMPTS)), table)}"


def _brackets(counts: Sequence[Sequence[int]]) -> str:
    return f"[{'; '.join(' '.join(map(str, row)) for row in counts)}]"


# ------------------------------------------------------------------------------- significance


@dataclass(frozen=True)
class Comparison:
    """One method against gradient-free, picture by picture; ``p_value`` after Holm's correction."""

    method: str
    prompt: str
    right: int
    free: int
    total: int
    single: float
    p_value: float

    @property
    def verdict(self) -> str:
        """In words."""
        return f"significant at {LEVEL:.0%}".replace("%", " %") if self.p_value < LEVEL else "not significant"


def comparisons(rows: Sequence[Row]) -> list[Comparison]:
    """McNemar's test of every method against gradient-free, closed-set rule, both prompts."""
    names = [(name, prompt) for prompt in PROMPTS for name in METHODS if name != FREE]
    pairs = [(_by_picture(rows, name, prompt), _by_picture(rows, FREE, prompt)) for name, prompt in names]
    single = [mcnemar(first, second) for first, second in pairs]
    return [
        Comparison(name, prompt, sum(first), sum(second), len(first), p, corrected)
        for (name, prompt), (first, second), p, corrected in zip(names, pairs, single, holm(single), strict=True)
    ]


def _by_picture(rows: Sequence[Row], method: str, prompt: str) -> list[bool]:
    return right(sorted(_paper(rows, method, prompt), key=lambda row: int(number(row, "picture"))), "closed_set")


def _tests_table(tests: Sequence[Comparison]) -> str:
    header = ("method", "prompt", "correct", "gradient-free", "p", "p, corrected", "difference")
    head = (
        "**Against gradient-free, closed-set rule.** Exact McNemar test on the same pictures, with Holm's correction "
        f"for {len(tests)} tests."
    )
    return f"{head}\n\n{report.markdown_table(header, map(_test_line, tests))}"


def _test_line(test: Comparison) -> list[str]:
    counts = [f"{count}/{test.total}" for count in (test.right, test.free)]
    return [test.method, test.prompt, *counts, f"{test.single:.2g}", f"{test.p_value:.2g}", test.verdict]


# ------------------------------------------------------------------------------------ in words


def _in_words(rows: Sequence[Row], tests: Sequence[Comparison]) -> str:
    sentences = [*(_claim(test) for test in tests), *_costs(rows), *_leanings(rows), *_exact_words(rows)]
    if any(test.verdict == "not significant" for test in tests):
        sentences.append(f"Not significant does not mean equal: {_count(rows)} pictures show large differences only.")
    return "\n".join(f"- {sentence}" for sentence in sentences)


def _claim(test: Comparison) -> str:
    order = (test.right > test.free) - (test.right < test.free)
    how = {1: "more often right than", 0: "as often right as", -1: "less often right than"}[order]
    counts = f"{test.right} against {test.free} of {test.total}"
    said = f"{test.verdict} (p = {test.p_value:.2g})"
    return f"Prompt {test.prompt}: {test.method} was {how} gradient-free, {counts}; the difference is {said}."


def _costs(rows: Sequence[Row]) -> Iterator[str]:
    for name in (BASED, OURS):
        for what, column, found in (
            ("seconds", "decoder_seconds", {n: _paper(rows, n, UNKNOWN) for n in METHODS}),
            ("memory beyond the loaded model", "above_mb", {n: select(rows, kind=MEMORY, method=n) for n in METHODS}),
        ):
            spent, free = _median(found[name], column), _median(found[FREE], column)
            if free:
                yield f"Decoder inversion, {what}: {name} took {spent / free:.2g} times what gradient-free took."


def weakest() -> int:
    """The paper's key of least energy, to which the closed-set rule leans where inversion shrinks amplitudes."""
    public = Keyring(bytes(32), Pattern.paper(), classes=CLASSES)
    energy = (np.abs(public.values(range(CLASSES))) ** 2) @ public.cells().count.numpy()
    return int(energy.argmin())


def _leanings(rows: Sequence[Row]) -> Iterator[str]:
    for prompt in PROMPTS:
        found = select(rows, mark=PAPER, prompt=prompt)
        wrong = [row for row in found if row["closed_set"] != row["true"]]
        leaning = sum(row["closed_set"] == weakest() for row in wrong)
        fitted = right(found, "gain_fitted").count(False)
        yield (
            f"Prompt {prompt}, all methods: the closed-set rule was wrong in {len(wrong)} of {len(found)} readings, "
            f"{leaning} times with key {weakest()}, the one of least energy; with a gain fitted, {fitted} were wrong."
        )


def _exact_words(rows: Sequence[Row]) -> Iterator[str]:
    for prompt in PROMPTS:
        marked, plain = (select(rows, mark=mark, method=OURS, prompt=prompt) for mark in (SECRET, PLAIN))
        wrong = sum(row["exact"] not in (row["true"], None) for row in marked)
        false, classical = (sum(row[rule] is not None for row in plain) for rule in ("exact", "classical"))
        yield (
            f"Prompt {prompt}, {OURS}: the exact test named the right key in {sum(right(marked, 'exact'))} and a wrong "
            f"one in {wrong} of {len(marked)} marked pictures, and found a key in {false} of {len(plain)} unmarked; "
            f"in {classical} of those the classical test found one of the paper's keys."
        )


# ------------------------------------------------------------------------------------- figure


def _figure(rows: Sequence[Row]) -> Figure:
    page = figures.page(9.0, 4.1)
    grid = page.subplots(len(PROMPTS), len(METHODS) + 1)
    for line, prompt in zip(grid, PROMPTS, strict=True):
        for axes, name in zip(line, METHODS, strict=False):
            found = _paper(rows, name, prompt)
            mesh = _panel(axes, matrix(found, "closed_set"), right(found, "closed_set"))
        found = [row for mark in (SECRET, PLAIN) for row in select(rows, mark=mark, method=OURS, prompt=prompt)]
        _panel(line[-1], matrix(found, "exact", none=True), right(found, "exact"))
        line[0].set_ylabel(f"prompt {prompt}\n\ntrue key", color=figures.INK, fontsize=9)
        for axes in line[1:-1]:
            axes.set_yticks([])
    for axes, name in zip(grid[0], (*METHODS, f"{OURS}, exact test\non secret marks"), strict=True):
        _head(axes, name.replace(", shortened", ",\nshortened"))
    _bar(page.colorbar(mesh, ax=grid, ticks=[0, 0.5, 1], shrink=0.45, aspect=22, pad=0.012))
    return page


def _panel(axes: Any, counts: list[list[int]], correct: Sequence[bool]) -> Any:
    """One matrix of counts, true by found; none, where there is one, is set apart."""
    shares = [[count / max(1, sum(row)) for count in row] for row in counts]
    mesh = axes.pcolormesh(shares, cmap="Blues", vmin=0, vmax=1, edgecolors="white", linewidth=1.5)
    for y, row in enumerate(counts):
        for x, count in enumerate(row):
            colour = _ZERO if not count else "white" if shares[y][x] > 0.55 else figures.INK
            axes.text(x + 0.5, y + 0.5, str(count), ha="center", va="center_baseline", color=colour, fontsize=9.5)
    _axes_of_classes(axes, [*map(str, range(CLASSES)), "none"][: len(counts)])
    rate = f"{100 * sum(correct) / max(1, len(correct)):.0f} % right ({sum(correct)}/{len(correct)})"
    axes.set_title(rate, color=figures.INK, fontsize=8.5)
    return mesh


def _axes_of_classes(axes: Any, labels: Sequence[str]) -> None:
    axes.set_aspect("equal")
    axes.invert_yaxis()
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks([i + 0.5 for i in range(len(labels))], labels)
    if len(labels) > CLASSES:
        axes.axhline(CLASSES, color=figures.INK, linewidth=1)
        axes.axvline(CLASSES, color=figures.INK, linewidth=1)
    axes.tick_params(length=0, labelsize=7.5, labelcolor=figures.INK)
    axes.set_xlabel("found key", color=figures.INK, fontsize=8.5)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _head(axes: Any, text: str) -> None:
    """A column's name, above the title of its first panel."""
    place = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "center", "va": "bottom"}
    axes.annotate(text, (0.5, 1), (0, 20), color=figures.INK, fontsize=9, fontweight="bold", **place)


def _bar(bar: Any) -> None:
    bar.ax.set_yticklabels(["0 %", "50 %", "100 %"], color=figures.INK, fontsize=8)
    bar.set_label("share of the row", color=figures.INK, fontsize=8)
    bar.outline.set_visible(False)
