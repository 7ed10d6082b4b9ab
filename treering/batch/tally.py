"""Answers and labels as numbers and counts."""

from __future__ import annotations

from collections import Counter

from ..types import Answer, Found, Key
from .items import UNKNOWN, Label, Unknown

Pairs = Counter[tuple[Label, Found]]
"""How many pictures of a label were found to be what: only those that there were."""

_OTHERS: dict[int, Found] = {-1: None, -2: Answer.KEYRING, -3: Answer.NOT_ASSESSABLE}
_NUMBERS = {answer: number for number, answer in _OTHERS.items()}


def number_of(found: Found) -> int | str:
    """An answer for a column of numbers; a class is itself, that of one of several keyrings a text."""
    if isinstance(found, Key):
        return f"{found.key} {found.keyring}"
    return found if isinstance(found, int) else _NUMBERS[found]


def answer_of(number: int | str) -> Found:
    """The answer that is this number or text."""
    if isinstance(number, str):
        key, _, keyring = number.partition(" ")
        return Key(keyring, int(key))
    return number if number >= 0 else _OTHERS[number]


def number_of_label(label: Label) -> int | str:
    """A label for a column of numbers, as an answer."""
    return -2 if isinstance(label, Unknown) else number_of(label)


def label_of(number: int | str) -> Label:
    """The label that is this number or text."""
    if isinstance(number, str):
        answer = answer_of(number)
        return answer if isinstance(answer, Key) else UNKNOWN
    return number if number >= 0 else (None if number == -1 else UNKNOWN)
