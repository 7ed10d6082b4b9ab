"""A confusion matrix and its rates as text."""

from __future__ import annotations

from collections.abc import Sequence

from ..statistics import Confusion, Rate
from ..types import Answer, Found, Key
from .tables import markdown_table, padded

CORNER = "true \\ found"
"""Heading of the corner of a confusion matrix."""


# Text


def percent(share: float) -> str:
    """A share, 0 to 1, as ``97.5 %``; never 0 or 100 by rounding alone."""
    for digits in range(1, 8):
        text = f"{100 * share:.{digits}f}"
        if float(text) not in (0, 100) or share in (0, 1):
            return f"{text} %"
    return f"{100 * share:.2g} %"


def rate_text(rate: Rate) -> str:
    """A rate in words: ``97.5 % (39 of 40; 95 % interval 87.1 % to 99.6 %)``."""
    if rate.value is None:
        return "unknown (of 0)"
    return f"{percent(rate.value)} ({rate.count} of {rate.total}; {interval_text(rate)})"


def interval_text(rate: Rate) -> str:
    """The interval of a rate in words."""
    low, high = rate.interval
    return f"{100 * rate.confidence:g} % interval {percent(low)} to {percent(high)}"


def rate_lines(confusion: Confusion) -> list[str]:
    """The rates of a confusion matrix, one line each; what did not occur at all is left out of the last two."""
    lines = [
        f"Accuracy: {rate_text(confusion.accuracy)}",
        f"False positives, a key found in an unmarked picture: {rate_text(confusion.false_positives)}",
        f"Wrong key found in a marked picture: {rate_text(confusion.wrong_class)}",
        f"Nothing found in a marked picture: {rate_text(confusion.missed)}",
    ]
    if confusion.keyring:
        lines.append(f"A mark of this keyring, but no class, in a marked picture: {rate_text(confusion.unread)}")
    if confusion.not_assessable:
        lines.append(f"Not assessable: {rate_text(confusion.unassessed)}")
    return lines


def confusion_text(confusion: Confusion) -> str:
    """The matrix as plain text, without a newline at the end; a dot is a zero off the diagonal.

    Classes of no picture and columns in which nothing was found are left out; ``none`` is last.
    """
    header, rows = _table(confusion, zero=".")
    lines = [header, *rows]
    first, *widths = (max(map(len, column)) for column in zip(*lines, strict=True))
    count = header.index("none") - 1
    classes = [max([2, *widths[:count]])] * count  # one width for all, so that the diagonal is straight
    return "\n".join(_aligned(line, [first, *classes, *widths[count:]]) for line in lines)


def confusion_markdown(confusion: Confusion) -> str:
    """The matrix and its rates in Markdown, with a newline at the end."""
    header, rows = _table(confusion, zero="0")
    rates = "\n".join(f"- {line}" for line in rate_lines(confusion))
    return f"{markdown_table(header, rows)}\n{rates}\n"


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = padded(line, widths, [False] + [True] * (len(line) - 1))
    return "  ".join((first, *others))


def name(label: Found) -> str:
    """An answer as people read it: a class, ``none``, ``keyring`` or ``not assessable``; a keyring before its class."""
    if isinstance(label, Answer):
        return label.value
    if isinstance(label, Key):
        return f"{label.keyring} {label.key}"
    return "none" if label is None else str(label)


def shown(confusion: Confusion) -> tuple[list[int], list[int]]:
    """Indices of the rows and columns worth showing; none, the last, always is."""
    last = len(confusion.labels) - 1
    rows = [i for i, total in enumerate(confusion.totals) if total or i == last]
    found = [i for i, column in enumerate(zip(*confusion.counts, strict=True)) if any(column)]
    return rows, sorted({*rows, *found})


def _table(confusion: Confusion, zero: str) -> tuple[list[str], list[list[str]]]:
    rows, columns = shown(confusion)
    header = [CORNER, *(name(confusion.labels[j]) for j in columns), *map(name, others(confusion)), "total"]
    return header, [_row(confusion, i, columns, zero) for i in rows]


def others(confusion: Confusion) -> dict[Answer, tuple[int, ...]]:
    """Columns of answers that are no label; those that did not occur are left out."""
    columns = {Answer.KEYRING: confusion.keyring, Answer.NOT_ASSESSABLE: confusion.not_assessable}
    return {answer: column for answer, column in columns.items() if column}


def _row(confusion: Confusion, i: int, columns: Sequence[int], zero: str) -> list[str]:
    counts = confusion.counts[i]
    cells = [str(counts[j]) if counts[j] or i == j else zero for j in columns]
    more = [str(column[i]) if column[i] else zero for column in others(confusion).values()]
    return [name(confusion.labels[i]), *cells, *more, str(confusion.totals[i])]
