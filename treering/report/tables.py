"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..errors import InputError


def markdown_table(header: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown, with a newline at the end; columns that begin with a number are set right.

    Raises ``InputError`` if a row has more or fewer cells than the header.
    """
    lines = [[_cell(cell) for cell in line] for line in (header, *rows)]
    if any(len(line) != len(header) for line in lines):
        raise InputError(f"A row of the table does not have {len(header)} cells, as the header has.")
    columns = [list(column) for column in zip(*lines, strict=True)]
    right = [len(column) > 1 and column[1][:1] in "+-.0123456789" for column in columns]
    widths = [max(3, *map(len, column)) for column in columns]
    rule = ["-" * (width - 1) + ":" if flag else "-" * width for width, flag in zip(widths, right, strict=True)]
    return "".join(f"| {' | '.join(padded(line, widths, right))} |\n" for line in (lines[0], rule, *lines[1:]))


def padded(line: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> list[str]:
    """The cells of a line, set right or left in columns of these widths."""
    cells = zip(line, widths, right, strict=True)
    return [cell.rjust(width) if flag else cell.ljust(width) for cell, width, flag in cells]


def _cell(value: object) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")
