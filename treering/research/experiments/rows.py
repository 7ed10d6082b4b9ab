"""Rows of an experiment: plain dictionaries, and what is asked of them.  A value that is missing is NaN, never 0."""

from __future__ import annotations

import math
from collections.abc import Sequence

Value = str | int | float | None
Row = dict[str, Value]


def select(rows: Sequence[Row], **where: Value) -> list[Row]:
    """The rows that have these values in these columns."""
    return [row for row in rows if all(row.get(name) == value for name, value in where.items())]


def number(row: Row, name: str) -> float:
    """A number of a row; NaN where there is none."""
    value = row.get(name)
    return math.nan if value is None else float(value)


def column(rows: Sequence[Row], name: str, **where: Value) -> list[float]:
    """The numbers in a column of the rows that agree with ``where``."""
    return [number(row, name) for row in select(rows, **where)]


def by_picture(rows: Sequence[Row], name: str, **where: Value) -> dict[Value, float]:
    """The numbers in a column of the rows that agree with ``where``, by their picture."""
    return {row["picture"]: number(row, name) for row in select(rows, **where)}


def matched(first: dict[Value, float], second: dict[Value, float]) -> tuple[list[float], list[float]]:
    """The numbers of the pictures that have two finite ones, in one order."""
    both = [i for i in first if math.isfinite(first[i]) and math.isfinite(second.get(i, math.nan))]
    return [first[i] for i in both], [second[i] for i in both]
