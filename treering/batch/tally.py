"""Answers and labels as numbers and counts."""

from __future__ import annotations

from collections import Counter

from ..types import Answer, Found
from .items import UNKNOWN, Label, Unknown

Pairs = Counter[tuple[Label, Found]]
"""How many pictures of a label were found to be what: only those that there were."""

_OTHERS: dict[int, Found] = {-1: None, -2: Answer.KEYRING, -3: Answer.NOT_ASSESSABLE}
_NUMBERS = {answer: number for number, answer in _OTHERS.items()}


def number_of(found: Found) -> int:
    """An answer for a table of numbers; a class is itself."""
    return found if isinstance(found, int) else _NUMBERS[found]


def answer_of(number: int) -> Found:
    """The answer that is this number."""
    return number if number >= 0 else _OTHERS[number]


def number_of_label(label: Label) -> int:
    """A label for a table of numbers; a class is itself."""
    return -2 if isinstance(label, Unknown) else number_of(label)


def label_of(number: int) -> Label:
    """The label that is this number."""
    return number if number >= 0 else (None if number == -1 else UNKNOWN)
