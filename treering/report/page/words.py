"""Sentences that somebody who knows no statistics cannot misread."""

from __future__ import annotations

from ...text import chance
from ...types import Answer

NONE = (
    "That does not show that the picture has none: damage can remove a mark, and pictures that were made elsewhere "
    "have none either."
)


def verdict(answer: str, key: object) -> str:
    """What was found, in a line."""
    if answer == Answer.KEY.value:
        return f"Carries the mark of key {key}."
    if answer == Answer.KEYRING.value:
        return "Carries a mark of this keyring; of which key cannot be read."
    return "No mark was found." if answer == Answer.NONE.value else "It cannot be said whether there is a mark."


def certainty(answer: str, log10_p: float | None, reason: str = "") -> str:
    """How sure that is: one or two sentences."""
    if answer in (Answer.KEY.value, Answer.KEYRING.value) and log10_p is not None:
        return (
            f"Of pictures that were made without this keyring, {chance(log10_p)} would look like this. That is not "
            "the chance that this picture is one of them."
        )
    return NONE if answer == Answer.NONE.value else reason
