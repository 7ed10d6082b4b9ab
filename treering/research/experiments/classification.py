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
That pattern holds far more evidence (:data:`SECRET_MARK`): what it shows is what pattern and test do together.

Times are medians and means over *all* pictures; the published code has the last picture's alone.  What is measured
is in :mod:`.readings`; here it is counted, compared and drawn.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import report
from ...marks.keyring import Keyring
from ...marks.patterns import Pattern
from ...settings import FPR, GUIDANCE, STEPS
from ...statistics import Rate
from . import figures, readings
from .bench import Bench, Settings
from .readings import (
    BASED,
    CALIBRATION,
    CLASSES,
    EXACT,
    FREE,
    MEMORY,
    METHODS,
    OURS,
    PAPER,
    PLAIN,
    PROMPTS,
    READING,
    SECRET,
    SHORT,
    UNKNOWN,
)
from .rows import Row, column, number, select
from .statistics import LEVEL, holm, mcnemar

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

SECRET_MARK = (
    "The secret mark has independent values in all channels, the paper's six numbers in one, so this compares pattern "
    "and test together, not the tests."
)
_FPR = f"{FPR:g}".replace("e-0", "e-")
_ZERO = "#8a949e"


class Classification:
    """See the module."""

    images = 12
    iterations = (100,)
    largest = True
    constants = (METHODS, EXACT, CLASSES, readings.PROBE, readings.ROUNDS)

    def units(self, settings: Settings) -> Sequence[str]:
        """How fast the methods are, their memory, and one unit a picture."""
        return [CALIBRATION, MEMORY, *(f"picture {i}" for i in range(settings.images))]

    def measure(self, bench: Bench, unit: str) -> list[Row]:
        """Rows of one unit."""
        if unit == CALIBRATION:
            return [readings.calibrate(bench)]
        if unit == MEMORY:
            return list(readings.memory(bench))
        return list(readings.picture(bench, int(unit.split()[1])))

    def table(self, rows: Sequence[Row]) -> str:
        """Table 2's layout, the exact test, the confusion matrices, what is significant, and all that in words."""
        tests = comparisons(rows)
        parts = (_main_table(rows), _exact_table(rows), _matrices(rows), _tests_table(tests), _in_words(rows, tests))
        return "\n\n".join(part.rstrip() for part in parts)

    def figure(self, rows: Sequence[Row], folder: Path) -> Figure:
        """Confusion matrices: a column a method, a line a prompt and closed-set rule, and the exact test."""
        return _figure(rows)


EXPERIMENT = Classification()


# -------------------------------------------------------------------------------------- table


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


def _median(rows: Sequence[Row], name: str) -> float:
    """NaN where nothing is known."""
    values = [value for value in column(rows, name) if not math.isnan(value)]
    return median(values) if values else math.nan


def _seconds(rows: Sequence[Row], name: str) -> str:
    return f"{_median(rows, name):.3g} / {fmean(column(rows, name)):.3g}"


_SIZES = {
    "peak_mb": "peak memory of the decoder inversion, MB",
    "model_mb": "of it the model's weights, MB",
    "above_mb": "of it above the loaded model, MB",
}


def _main_table(rows: Sequence[Row]) -> str:
    table = [["any", "evaluations", *(_evaluations(_paper(rows, name, UNKNOWN)) for name in METHODS)]]
    for size, what in _SIZES.items():
        table.append(["any", what, *(_megabytes(rows, name, size) for name in METHODS)])
    spent = [_seconds(_paper(rows, name, UNKNOWN), "decoder_seconds") for name in METHODS]
    table.append(["any", "decoder inversion alone, s", *spent])
    for prompt in PROMPTS:
        table += _correct(rows, prompt)
        spent = [_seconds(_paper(rows, name, prompt), "seconds") for name in METHODS]
        table.append([prompt, "time per picture, s", *spent])
    steps, guidance = _sampler(rows)
    head = (
        f"**Which of three keys? The paper's watermark, {_count(rows)} pictures.** In brackets the share and its 95 % "
        f"interval; times are median / mean over the pictures; sampler steps each way: {steps}. The classical test "
        f"answers only at p <= {_FPR}. Known: read with the picture's prompt and guidance ({guidance:g}), as the paper "
        "does. Every picture has a prompt of its own, and the keys take turns."
    )
    return f"{head}{_solved(rows)}\n\n{_shortened(rows)}\n\n{report.markdown_table(('prompt', '', *METHODS), table)}"


def _sampler(rows: Sequence[Row]) -> tuple[int, float]:
    """Steps and guidance, which rows of earlier runs do not tell."""
    row = select(rows, kind=READING)[0]
    return int(number(row, "sampler_steps")) if "sampler_steps" in row else STEPS, (
        number(row, "guidance") if "guidance" in row else GUIDANCE
    )


def _solved(rows: Sequence[Row]) -> str:
    """How often the sampler's steps were solved, where they are not taken backwards as they stand."""
    found = [row for row in select(rows, kind=READING) if "solved" in row]
    if not found:
        return ""
    parts = []
    for prompt in PROMPTS:
        these = select(found, prompt=prompt)
        residual = median(column(these, "residual"))
        solved = sum(bool(row["solved"]) for row in these)
        parts.append(f"{prompt}: {solved} of {len(these)}, median residual {residual:.2g}")
    return f" The sampler's step was solved, prompt {'; '.join(parts)}; not solved, its best iterate is read."


def _shortened(rows: Sequence[Row]) -> str:
    """How the budget of the shortened method was chosen."""
    (row,) = select(rows, kind=CALIBRATION)
    count, wanted, most = (int(number(row, name)) for name in ("iterations", "wanted", "most"))
    based, free = (f"{number(row, name):.3g} s" for name in ("based_seconds", "free_seconds"))
    return (
        f"{SHORT.capitalize()}: {count} iterations. By a calibration on picture 0 ({based} an iteration of "
        f"gradient-based, {free} of gradient-free, beyond the encoder) {wanted} take the time of {most} gradient-free "
        f"ones; the limits, 1 and {most}, were {'not hit' if wanted == count else 'hit'}."
    )


def _count(rows: Sequence[Row]) -> int:
    return len({row["picture"] for row in rows if row.get("kind") == READING})


def _evaluations(rows: Sequence[Row]) -> str:
    counts = sorted(int(number(row, "evaluations")) for row in rows)
    return " to ".join(dict.fromkeys(str(n) for n in (counts[0], counts[-1])))


RULES = {"closed_set": "closed set (paper)", "gain_fitted": "gain fitted", "classical": "classical test"}


def _correct(rows: Sequence[Row], prompt: str) -> Iterator[list[str]]:
    for rule, text in RULES.items():
        cells = [share(right(_paper(rows, name, prompt), rule)) for name in METHODS]
        yield [prompt, f"correct, {text}", *cells]


def _megabytes(rows: Sequence[Row], method: str, name: str) -> str:
    size = _median(select(rows, kind=MEMORY, method=method), name)
    return "unknown" if math.isnan(size) else f"{size:.0f}"


def _exact_table(rows: Sequence[Row]) -> str:
    table = [line for prompt in PROMPTS for line in _exact_lines(rows, prompt)]
    head = (
        f"**treering's exact test at p <= {_FPR}, {CLASSES} classes searched.** The same prompts and seeds, with "
        f"secret marks of treering's own pattern, and unmarked. {SECRET_MARK} The gradient-based methods were left out "
        "to save time."
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


def matrix(rows: Sequence[Row], rule: str) -> list[list[int]]:
    """Counts of the classes, true by found; last comes none, where there are unmarked pictures or no answers."""
    none = [None] if any(row["true"] is None for row in rows) else []
    nothing = [None] if none or any(row[rule] is None for row in rows) else []
    trues, founds = [*range(CLASSES), *none], [*range(CLASSES), *nothing]
    return [[sum(r["true"] == true and r[rule] == found for r in rows) for found in founds] for true in trues]


def _matrices(rows: Sequence[Row]) -> str:
    rules = ("closed_set", "gain_fitted")
    table = [
        [name, *(_brackets(matrix(_paper(rows, name, p), rule)) for rule in rules for p in PROMPTS)] for name in METHODS
    ]
    head = (
        "**Confusion matrices.** Rows: the true keys 0, 1, 2 (the paper's 1, 2, 3). Columns: found; a fourth, where "
        "there is one, is none."
    )
    header = ("method", *(f"{RULES[rule]}, prompt {p}" for rule in rules for p in PROMPTS))
    return f"{head}\n\n{report.markdown_table(header, table)}"


def _brackets(counts: Sequence[Sequence[int]]) -> str:
    return f"[{'; '.join(' '.join(map(str, row)) for row in counts)}]"


# ------------------------------------------------------------------------------- significance


@dataclass(frozen=True)
class Comparison:
    """One reading of the same pictures against another: ``right`` against ``other`` of ``total``.

    ``rule`` and ``against`` say which; ``p_value``: after Holm's correction within the question that is asked.
    """

    rule: str
    method: str
    prompt: str
    against: str
    right: int
    other: int
    total: int
    single: float
    p_value: float

    @property
    def verdict(self) -> str:
        """In words."""
        return f"significant at {LEVEL:.0%}".replace("%", " %") if self.p_value < LEVEL else "not significant"


def comparisons(rows: Sequence[Row]) -> list[Comparison]:
    """McNemar's tests: every method against gradient-free, by both closed-set rules; then rule against rule."""
    others = [(name, prompt) for prompt in PROMPTS for name in METHODS if name != FREE]
    every = [(name, prompt) for prompt in PROMPTS for name in METHODS]
    by_rule = [_family(rows, [((rule, name, p), (rule, FREE, p)) for name, p in others]) for rule in _BOTH]
    rules = _family(rows, [((_BOTH[1], name, p), (_BOTH[0], name, p)) for name, p in every])
    return [comparison for family in (*by_rule, rules) for comparison in family]


_BOTH = ("closed_set", "gain_fitted")
_Reading = tuple[str, str, str]
"""Rule, method, prompt."""


def _family(rows: Sequence[Row], pairs: Sequence[tuple[_Reading, _Reading]]) -> list[Comparison]:
    """The tests of one question, corrected together."""
    flags = [(_by_picture(rows, *first), _by_picture(rows, *second)) for first, second in pairs]
    single = [mcnemar(*pair) for pair in flags]
    return [
        Comparison(*_names(*both), sum(ours), sum(theirs), len(ours), p, corrected)
        for both, (ours, theirs), p, corrected in zip(pairs, flags, single, holm(single), strict=True)
    ]


def _names(first: _Reading, second: _Reading) -> tuple[str, str, str, str]:
    """Rule, method and prompt of the first reading, and what sets the second apart."""
    (rule, method, prompt), (other_rule, other, _) = first, second
    return RULES[rule], method, prompt, other if rule == other_rule else RULES[other_rule]


def _by_picture(rows: Sequence[Row], rule: str, method: str, prompt: str) -> list[bool]:
    return right(sorted(_paper(rows, method, prompt), key=lambda row: int(number(row, "picture"))), rule)


def _tests_table(tests: Sequence[Comparison]) -> str:
    header = ("rule", "method", "prompt", "correct", "against", "its correct", "p", "p, corrected", "difference")
    head = (
        "**What is significant?** Exact McNemar tests on the same pictures: methods against gradient-free, by the "
        "paper's rule and by the gain-fitted one, then rule against rule; Holm's correction within each of these three."
    )
    return f"{head}\n\n{report.markdown_table(header, map(_test_line, tests))}"


def _test_line(test: Comparison) -> list[str]:
    counts = [f"{count}/{test.total}" for count in (test.right, test.other)]
    tested = (f"{test.single:.2g}", f"{test.p_value:.2g}", test.verdict)
    return [test.rule, test.method, test.prompt, counts[0], test.against, counts[1], *tested]


# ------------------------------------------------------------------------------------ in words


def _in_words(rows: Sequence[Row], tests: Sequence[Comparison]) -> str:
    found = [test for test in tests if test.p_value < LEVEL]
    sentences = [*map(_claim, found), *_costs(rows), *_leanings(rows), *_exact_words(rows)]
    if len(found) < len(tests):
        sentences.append(
            f"{len(tests) - len(found)} of {len(tests)} comparisons are not significant. That does not mean equal: "
            f"{_count(rows)} pictures show large differences only."
        )
    return "\n".join(f"- {sentence}" for sentence in sentences)


def _claim(test: Comparison) -> str:
    how = "more" if test.right > test.other else "less"
    counts = f"{test.right} against {test.other} of {test.total}"
    said = f"{test.verdict} (corrected p = {test.p_value:.2g})"
    who = f"{test.method}, {test.rule},"
    return f"Prompt {test.prompt}: {who} was {how} often right than {test.against}, {counts}; the difference is {said}."


def _costs(rows: Sequence[Row]) -> Iterator[str]:
    for name in (BASED, OURS):
        for what, cost, found in (
            ("seconds", "decoder_seconds", {n: _paper(rows, n, UNKNOWN) for n in METHODS}),
            ("memory beyond the loaded model", "above_mb", {n: select(rows, kind=MEMORY, method=n) for n in METHODS}),
        ):
            spent, free = _median(found[name], cost), _median(found[FREE], cost)
            if free > 0 and not math.isnan(spent):
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
    """Lines: prompts by closed-set rules; columns: methods, then the exact test."""
    page = figures.page(9.8, 7.9)
    grid = page.subplots(len(PROMPTS) * len(_BOTH), len(METHODS) + 1)
    places = [(prompt, rule) for prompt in PROMPTS for rule in _BOTH]
    for line, (prompt, rule) in zip(grid, places, strict=True):
        for axes, name in zip(line, METHODS, strict=False):
            found = _paper(rows, name, prompt)
            mesh = _panel(axes, matrix(found, rule), _rate(right(found, rule), "right"))
        line[0].set_ylabel(f"prompt {prompt}\n{RULES[rule]}\n\ntrue key", color=figures.INK, fontsize=8.5)
        for axes in line[1:-1]:
            axes.set_yticks([])
    for axes, prompt in zip(grid[:: len(_BOTH), -1], PROMPTS, strict=True):
        _exact_panel(axes, rows, prompt)
    for axes in grid[1 :: len(_BOTH), -1]:
        axes.set_axis_off()
    for axes in grid[:-1, :-1].flat:  # said below them all
        axes.set_xlabel("")
    for axes, name in zip(grid[0], METHODS, strict=False):
        _head(axes, name.replace(", shortened", ",\nshortened"))
    _head(grid[0, -1], f"{OURS}, exact test\non secret marks", 27)
    grid[1, -1].text(0, 0.6, textwrap.fill(SECRET_MARK, 24), color=figures.INK, fontsize=7, va="center")
    _bar(page.colorbar(mesh, ax=grid, ticks=[0, 0.5, 1], shrink=0.3, aspect=22, pad=0.012))
    return page


def _exact_panel(axes: Any, rows: Sequence[Row], prompt: str) -> None:
    """Marked and unmarked pictures in one matrix, and their rates apart."""
    marked, plain = (select(rows, mark=mark, method=OURS, prompt=prompt) for mark in (SECRET, PLAIN))
    rates = (_rate(right(marked, "exact"), "right"), _rate([row["exact"] is not None for row in plain], "false"))
    _panel(axes, matrix([*marked, *plain], "exact"), "\n".join(rates))


def _rate(flags: Sequence[bool], what: str) -> str:
    return f"{sum(flags)}/{len(flags)} {what} ({100 * sum(flags) / max(1, len(flags)):.0f} %)"


def _panel(axes: Any, counts: list[list[int]], title: str) -> Any:
    """One matrix of counts, true by found; none, where there is one, is set apart."""
    shares = [[count / max(1, sum(row)) for count in row] for row in counts]
    mesh = axes.pcolormesh(shares, cmap="Blues", vmin=0, vmax=1, edgecolors="white", linewidth=1.5)
    for y, row in enumerate(counts):
        for x, count in enumerate(row):
            colour = _ZERO if not count else "white" if shares[y][x] > 0.55 else figures.INK
            axes.text(x + 0.5, y + 0.5, str(count), ha="center", va="center_baseline", color=colour, fontsize=9.5)
    _axes_of_classes(axes, len(counts), len(counts[0]))
    axes.set_title(title, color=figures.INK, fontsize=8)
    return mesh


def _axes_of_classes(axes: Any, down: int, across: int) -> None:
    axes.set_aspect("equal")
    axes.invert_yaxis()
    lines = ((axes.yaxis, down, axes.axhline), (axes.xaxis, across, axes.axvline))
    for axis, count, line in lines:
        axis.set_ticks([i + 0.5 for i in range(count)], [*map(str, range(CLASSES)), "none"][:count])
        if count > CLASSES:
            line(CLASSES, color=figures.INK, linewidth=1)
    axes.tick_params(length=0, labelsize=7.5, labelcolor=figures.INK)
    axes.set_xlabel("found key", color=figures.INK, fontsize=8.5)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _head(axes: Any, text: str, above: float = 20) -> None:
    """A column's name, so many points above its first panel, whose title lies between."""
    place = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "center", "va": "bottom"}
    axes.annotate(text, (0.5, 1), (0, above), color=figures.INK, fontsize=9, fontweight="bold", **place)


def _bar(bar: Any) -> None:
    bar.ax.set_yticklabels(["0 %", "50 %", "100 %"], color=figures.INK, fontsize=8)
    bar.set_label("share of the row", color=figures.INK, fontsize=8)
    bar.outline.set_visible(False)
