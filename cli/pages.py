"""What ``treering detect`` says of a picture that may hold several."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from treering.text import LEAST, p_text
from treering.types import PARTS

if TYPE_CHECKING:
    from treering.reading.pages import Mark, Page
    from treering.types import Detection

    Result = Detection | Page


def answer(result: Result) -> str:
    """The answer in a word."""
    found = result.answer
    return found if isinstance(found, str) else found.value


def evidence(log10_p: float) -> str:
    """The p-value; below what a secret has to give, that it is below, and how strong the evidence is."""
    return f"p = {p_text(log10_p)}" if log10_p >= LEAST else f"p < 1e{LEAST} (1e{log10_p:.0f})"


def page_lines(page: Page) -> Iterator[str]:
    """A page that is marked in places: how much of it, then mark after mark."""
    count = len(page.marks)
    marks = "1 mark" if count == 1 else f"{count} marks"
    notes = f"  ({' '.join(page.whole.notes)})" if page.whole.notes else ""
    yield (
        f"{PARTS:<8}  {marks} in {page.share:.0%} of the picture; no mark was found in the rest."
        f"  {page.seconds:.1f} s{notes}"
    )
    for mark in page.marks:
        yield f"  {mark_text(mark)}"


def mark_text(mark: Mark) -> str:
    """One mark of a page."""
    top, left, bottom, right = mark.box
    name = "keyring" if mark.key is None else f"key {mark.key}"
    level = mark.log10_p_keyring if mark.key is None else mark.log10_p
    place = f"{right - left}x{bottom - top} pixels at {left},{top}"
    return f"{name:<8}  {evidence(level):<18}  {place}, {mark.share:.1%} of the picture"
