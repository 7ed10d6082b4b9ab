"""What the page of a report tells, as plain data: rows, cases, counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ...statistics import Confusion
from ..power import Power
from .tally import Tally

FAILED = "failed"
"""The answer of a picture that could not be read."""


@dataclass(frozen=True, slots=True)
class Row:
    """One picture and what was found in it; every text may come from a stranger.

    ``answer``: as in a result line, or :data:`FAILED`.  ``key``: the name of the class, if one is named.  ``true``: its
    label, ``""`` where there is none.  ``wrong``: the answer is not the label.  ``log10_p``: of the class, or of the
    keyring where that is the answer; None where nothing was read.  ``why``: reason or error.  ``copy``: another picture
    has the same bytes.
    """

    file: str
    digest: str | None
    answer: str
    key: str = ""
    true: str = ""
    wrong: bool = False
    log10_p: float | None = None
    log10_p_keyring: float | None = None
    pose: str = ""
    stage: str = ""
    why: str = ""
    notes: str = ""
    seconds: float | None = None
    copy: bool = False


@dataclass(frozen=True)
class Case:
    """A picture worth looking at.

    ``given`` and ``made``: JPEG files, as it came and with its pose undone (None: as it came, or not to be had).
    ``missing``: why there is no picture.
    """

    row: Row
    remark: str = ""
    given: bytes | None = None
    made: bytes | None = None
    missing: str = ""


@dataclass(frozen=True)
class Group:
    """Cases of one kind, under a heading."""

    title: str
    text: str
    cases: tuple[Case, ...]


@dataclass(frozen=True)
class Reasons:
    """How many pictures have one reason, and the first of them."""

    reason: str
    count: int
    files: tuple[str, ...]


@dataclass(frozen=True)
class Page:
    """Everything a report tells.

    ``source``: what was checked, in a word.  ``facts``: with what, as pairs of words.  ``fpr``: up to which p a mark
    is named; None where it is not known.  ``rows``: of the table, sorted by file; ``left_out``: how many have no room
    there.  ``warnings``: sentences to be read before all else.  ``notes``: sentences to be read after.  ``names``: what
    classes are called, by the words for them; a name may come from a stranger too.  ``effort``: of the reading, and
    ``power``: what it finds after which damage; None where that was not measured.
    """

    source: str
    facts: Mapping[str, str]
    fpr: float | None
    tally: Tally
    confusion: Confusion | None
    groups: tuple[Group, ...]
    unassessed: tuple[Reasons, ...]
    failed: tuple[Reasons, ...]
    rows: tuple[Row, ...]
    left_out: int = 0
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())
    names: Mapping[str, str] = field(default_factory=dict)
    effort: str = ""
    power: Power | None = None
