"""What a library says of its trouble, as part of one of our sentences."""

from __future__ import annotations

LONGEST = 300
"""Characters of a foreign message that are passed on."""


def first_line(error: BaseException) -> str:
    """First line of an error's text, printable characters only (its kind, if it says nothing).

    >>> first_line(ValueError("no\\x1b[31m such file\\nand more"))
    'no[31m such file'
    """
    lines = str(error).strip().splitlines()
    return printable(lines[0]) if lines and printable(lines[0]) else type(error).__name__


def printable(text: object) -> str:
    """Any text without control characters, on one line, of at most ``LONGEST`` characters."""
    clean = "".join(character for character in str(text) if character.isprintable())
    return clean if len(clean) <= LONGEST else f"{clean[:LONGEST]}..."
