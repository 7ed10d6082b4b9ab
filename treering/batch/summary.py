"""What came out of a run: counts, and the files for people."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .. import files, report
from ..errors import InputError
from ..statistics import OTHERS, Confusion
from ..types import Answer, Class, Found, Key, order
from .items import FIGURE, SUMMARY, TABLE, Label, Unknown

Pairs = Counter[tuple[Label, Found]]
"""How many pictures of a label were found to be what."""


@dataclass(frozen=True)
class Summary:
    """What came out of a run.

    ``checked``: pictures detected now; ``resumed``: those with a result of an earlier run; ``copies``: those with
    the same bytes as one detected now; ``failed``: (file, sentence) of those that could not be read; together
    ``total``.  ``found``: pictures for every class found, None last.  ``confusion``: of pictures with a known label
    and a result; None if no label is known.  ``settings``: their hash, as in the lines.  ``notes``: sentences on
    what else to know.
    """

    total: int
    checked: int
    resumed: int
    copies: int
    failed: tuple[tuple[str, str], ...]
    found: Mapping[Found, int]
    confusion: Confusion | None
    settings: str
    seconds: float
    notes: tuple[str, ...] = field(default=())

    @property
    def not_assessable(self) -> int:
        """Pictures that were read and of which nothing can be said."""
        return self.found.get(Answer.NOT_ASSESSABLE, 0)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "total": self.total,
            "checked": self.checked,
            "resumed": self.resumed,
            "copies": self.copies,
            "failed": [{"file": name, "error": sentence} for name, sentence in self.failed],
            "found": {report.name(key): count for key, count in self.found.items()},
            "confusion": self.confusion and self.confusion.as_dict(),
            "settings": self.settings,
            "seconds": round(self.seconds, 3),
            "notes": list(self.notes),
        }


def counts(pairs: Pairs) -> dict[Found, int]:
    """Pictures for every class found: classes in their order, None, and the other answers that there were."""
    found = Counter[Found]()
    for (_, key), count in pairs.items():
        found[key] += count
    classes = sorted((key for key in found if isinstance(key, int | Key)), key=order)
    others = [answer for answer in OTHERS if found[answer]]
    return {key: found[key] for key in (*classes, None, *others)}


def confusion(pairs: Pairs) -> tuple[Confusion | None, list[str]]:
    """The matrix of the pictures whose label is known, if there are any, and what to say of the others."""
    known: Counter[tuple[Class | None, Found]] = Counter()
    for (true, key), n in pairs.items():
        if not isinstance(true, Unknown):
            named = isinstance(key, Key) and key.key == true  # a label without a keyring is that of the class found
            known[key if isinstance(key, Key) and named else true, key] += n
    unknown = pairs.total() - known.total()
    if not known:
        return None, []
    notes = [f"Pictures without a label, which are not in the confusion matrix: {unknown}."] if unknown else []
    return Confusion.of(known.elements()), notes


def publish(summary: Summary, output: Path, settings: Mapping[str, Any]) -> Summary:
    """Write the files for people; gives the summary with notes on them."""
    if summary.confusion:
        files.replace(output / TABLE, report.confusion_markdown(summary.confusion).encode())
        summary = replace(summary, notes=summary.notes + _draw(summary.confusion, output / FIGURE))
    else:
        old = [name for name in (TABLE, FIGURE) if (output / name).exists()]
        notes = tuple(f"{name} is of an earlier run: no labels are known in this one." for name in old)
        summary = replace(summary, notes=summary.notes + notes)
    content = {**summary.as_dict(), "settings": {"id": summary.settings, **settings}}
    files.replace(output / SUMMARY, (json.dumps(content, indent=2) + "\n").encode())
    return summary


def _draw(matrix: Confusion, path: Path) -> tuple[str, ...]:
    """Draw the figure; gives a note if that does not go, as without matplotlib."""
    try:
        report.confusion_figure(matrix, path)
    except InputError as error:
        return (f"{path.name} was not drawn. {error}",)
    return ()
