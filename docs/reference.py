"""Write ``reference.md``: what ``--help`` says of every command.  Run it when an option changes: a test looks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

os.environ["COLUMNS"] = "100"

import click

from treering_cli.helping import Narrow
from treering_cli.main import main

PAGE = Path(__file__).parent / "reference.md"
HEAD = "# Reference\n\nWhat `--help` says of every command. This page is written by `python docs/reference.py`.\n"


def commands(group: click.Group, name: str) -> Iterator[tuple[str, click.Command]]:
    """Every command with its whole name, in the order of the help."""
    context = click.Context(group, info_name=name)
    for word in group.list_commands(context):
        command = group.get_command(context, word)
        if command is not None:
            yield f"{name} {word}", command
            if isinstance(command, click.Group):
                yield from commands(command, f"{name} {word}")


def page() -> str:
    """The page as it ought to be."""
    parts = [HEAD]
    for name, command in [("treering", main), *commands(main, "treering")]:
        context = Narrow(command, info_name=name, max_content_width=100, terminal_width=100, show_default=True)
        parts.append(f"## `{name}`\n\n```text\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
