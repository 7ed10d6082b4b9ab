"""Help that fits the terminal: also the paragraphs that click leaves as they are, such as lists and examples."""

from __future__ import annotations

import re
import textwrap

import click

_ROW = re.compile(r"^( *\S+(?: \S+)*?) {2,}\S")


class Columns(click.HelpFormatter):
    """As click's, but in a paragraph marked with \\b a line that is too long goes on below its own text."""

    def write_text(self, text: str) -> None:
        """Write paragraphs; none is wider than the terminal."""
        room = max(self.width - self.current_indent, 11)
        super().write_text("\n\n".join(_folded(paragraph, room) for paragraph in text.split("\n\n")))


def _folded(paragraph: str, room: int) -> str:
    """Break the long lines of a paragraph that is not to be filled."""
    first, _, rest = paragraph.lstrip("\n").partition("\n")
    if first.strip() != "\b":
        return paragraph
    return "\n".join((first, *(_line(line, room) for line in rest.split("\n"))))


def _line(line: str, room: int) -> str:
    if len(line) <= room:
        return line
    row = _ROW.match(line)
    indent = row.end() - 1 if row else len(line) - len(line.lstrip()) + 2
    if indent > room - 10:
        indent = 2
    return textwrap.fill(line, room, subsequent_indent=" " * indent, break_on_hyphens=False, break_long_words=False)


class Narrow(click.Context):
    """A context whose help is written in columns."""

    formatter_class = Columns


def in_columns(command: click.Command) -> click.Command:
    """The command and those below it, with help that fits."""
    command.context_class = Narrow
    for below in getattr(command, "commands", {}).values():
        in_columns(below)
    return command
