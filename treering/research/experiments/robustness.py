"""What marks withstand: treering's and those of others, beside each other, on the same model, prompts and seeds.

A unit is one picture, one attack and one method, so that a run can be stopped anywhere, and a run with other attacks or
methods in the same folder measures only what is new.  A method is a mark (:mod:`treering.research.peers`) and an effort
of reading.  A picture counts if the right one of all classes is named at a p-value corrected for everything tried.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ... import report
from ...errors import InputError
from ...models import LatentModel
from ...reading.plan import EFFORTS
from ...settings import FPR
from ...statistics import Rate
from .. import attacks, peers
from ..attacks import Row as Attacked
from ..attacks import regeneration
from ..common import SECRET, Pictures, draw, fixed
from ..peers import gaussian_shading, ringid, signs
from ..peers.mark import SHARE, Found, Read
from .bench import Bench, Row, Settings
from .robustness_figure import figure
from .rows import number, select

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

LOOSE = 1e-3
"""A second false-positive rate, at which rates are told too."""

METHODS: dict[str, tuple[str, str]] = {
    f"{mark}, {effort}": (mark, effort) for mark in peers.MARKS for effort in ("fast", "normal", "max")
}
"""Every method: its mark and its effort."""

DEFAULT = (
    "treering, fast",
    "treering, normal",
    "treering, max",
    *(f"{m}, max" for m in peers.MARKS if m != "treering"),
)


def key_of(i: int) -> int:
    """The class of picture i."""
    return (13 + 977 * i) % peers.CLASSES


class Workshop:
    """Marks, readers and the last pictures of one model, each made when it is first asked for."""

    def __init__(self, model: LatentModel) -> None:
        self.model = model
        self._marks: dict[str, peers.Mark] = {}
        self._readers: dict[str, Read] = {}
        self._drawn: tuple[tuple[str, int], Pictures] | None = None
        self._hurt: tuple[tuple[str, int, str], Pictures] | None = None

    def mark(self, name: str) -> peers.Mark:
        """A mark of this model under the studies' secret."""
        if name not in self._marks:
            self._marks[name] = peers.make(name, SECRET, self.model)
        return self._marks[name]

    def reader(self, method: str) -> Read:
        """What reads by this method."""
        if method not in self._readers:
            mark, effort = METHODS[method]
            self._readers[method] = self.mark(mark).reader(self.model, effort)
        return self._readers[method]

    def picture(self, mark: str, i: int, seed: int) -> Pictures:
        """Picture i, marked."""
        if self._drawn is None or self._drawn[0] != (mark, seed):
            made = draw(self.model, self.mark(mark).noise(key_of(i), seed), seed)[1]
            self._drawn = (mark, seed), made
        return self._drawn[1]

    def attacked(self, mark: str, i: int, seed: int, row: Attacked) -> Pictures:
        """Picture i after an attack, at the model's size."""
        what = mark, seed, row.name
        if self._hurt is None or self._hurt[0] != what:
            attack = attacks.get(row.attack, lambda: self.model)
            self._hurt = what, _fit(attack(self.picture(mark, i, seed), row.strength, seed), self.model)
        return self._hurt[1]


def _fit(picture: Pictures, model: LatentModel) -> Pictures:
    size = model.image_size
    if picture.shape[:2] == size:
        return picture
    return np.asarray(Image.fromarray(picture).resize(size[::-1], Image.Resampling.LANCZOS))


@dataclass
class Robustness:
    """``attacks`` and ``methods``: what is measured, in the order of the table."""

    attacks: tuple[Attacked, ...] = attacks.DEFAULT
    methods: tuple[str, ...] = DEFAULT
    images: int = 10
    iterations: tuple[int, ...] = (1,)
    largest: bool = True
    constants: object = (
        *(FPR, peers.CLASSES, SHARE, EFFORTS, regeneration.STEPS),
        *(ringid.INNER, ringid.OUTER, ringid.SHARE),
        *(gaussian_shading.COPIES, gaussian_shading.INNER, gaussian_shading.OUTER, signs.LEVELS, signs.LARGEST),
    )
    _shop: Workshop | None = field(default=None, repr=False, compare=False)

    def units(self, settings: Settings) -> Sequence[str]:
        """Pictures, then marks, attacks and efforts, so that a picture is made once."""
        marks = dict.fromkeys(METHODS[method][0] for method in self.methods)
        return [
            f"picture {i}; {row.name}; {method}"
            for i in range(settings.images)
            for mark in marks
            for row in self.attacks
            for method in self.methods
            if METHODS[method][0] == mark
        ]

    def measure(self, bench: Bench, unit: str) -> list[Row]:
        """One reading."""
        if self._shop is None or self._shop.model is not bench.model:
            self._shop = Workshop(bench.model)
        head, attacked, method = unit.split("; ")
        i, mark = int(head.split()[1]), METHODS[method][0]
        row = next(row for row in self.attacks if row.name == attacked)
        picture = self._shop.attacked(mark, i, bench.seed(i), row)
        return [_row(i, row, method, self._shop.reader(method)(picture))]

    def table(self, rows: Sequence[Row]) -> str:
        """Rates by attack and method, then everything about each."""
        return "\n\n".join(part.rstrip() for part in (_head(rows), _rates(rows), _details(rows)))

    def figure(self, rows: Sequence[Row], folder: Path) -> Figure:
        """Rates at single strengths as a matrix, ladders as curves."""
        return figure(rows)


EXPERIMENT = Robustness()


def chosen(attacked: str | None, methods: str | None) -> Robustness:
    """The experiment with other attacks (:func:`treering.research.attacks.rows`) or methods, in words.

    ``methods``: names of :data:`METHODS`, or of marks for all their efforts, with ; between them.  Raises
    ``InputError`` for unknown ones.
    """
    rows = attacks.rows(attacked) if attacked is not None else attacks.DEFAULT
    names = [name for word in methods.split(";") for name in _named(word.strip())] if methods is not None else DEFAULT
    return Robustness(rows, tuple(dict.fromkeys(names)))


def _named(word: str) -> list[str]:
    found = [name for name, (mark, _) in METHODS.items() if word in (name, mark, "all")]
    if not found:
        raise InputError(
            f"There is no method {word!r}: use marks, such as {'; '.join(peers.MARKS)}, or 'treering, max'."
        )
    return found


def _row(i: int, row: Attacked, method: str, found: Found) -> Row:
    mark, effort = METHODS[method]
    right = found.key == key_of(i)
    return {
        "picture": i,
        "attack": row.attack,
        "strength": row.strength,
        "label": row.label,
        "method": method,
        "mark": mark,
        "effort": effort,
        "true": key_of(i),
        "found": found.key,
        "right": right and found.log10_p <= math.log10(FPR),
        "right_loose": right and found.log10_p <= math.log10(LOOSE),
        "log10_p": found.log10_p,
        "log10_p_keyring": found.log10_keyring,
        "stage": found.stage,
        "seconds": found.seconds,
    }


# --------------------------------------------------------------------------------------- the table


def rate(rows: Sequence[Row], name: str = "right") -> Rate:
    """How many of the rows are right."""
    return Rate(sum(bool(row[name]) for row in rows), len(rows))


def _names(rows: Sequence[Row], column: str) -> list[str]:
    return list(dict.fromkeys(str(row[column]) for row in rows))


def _labels(rows: Sequence[Row]) -> list[str]:
    return _names(rows, "label")


def _head(rows: Sequence[Row]) -> str:
    pictures = len({row["picture"] for row in rows})
    return (
        f"Right one of {peers.CLASSES} classes at p <= {FPR:g}, corrected for all that was tried, of {pictures} "
        "pictures each; every mark on the same prompts and seeds, read by the same stages:"
    )


def _rates(rows: Sequence[Row]) -> str:
    methods = _names(rows, "method")
    lines = [[label, *(_count(select(rows, label=label, method=m)) for m in methods)] for label in _labels(rows)]
    lines.append(["all", *(_count(select(rows, method=m)) for m in methods)])
    return report.markdown_table(("attack", *methods), lines)


def _count(rows: Sequence[Row]) -> str:
    found = rate(rows)
    return f"{found.count}/{found.total}"


def _details(rows: Sequence[Row]) -> str:
    header = ("attack", "method", f"right at {FPR:g}", f"right at {LOOSE:g}", "median log10 p", "median s", "stages")
    lines = [
        [label, method, _interval(some, "right"), _interval(some, "right_loose"), *_medians(some), _stages(some)]
        for label in _labels(rows)
        for method in _names(rows, "method")
        if (some := select(rows, label=label, method=method))
    ]
    head = "Rates with Wilson's 95 % intervals; log10 p of the right class, 0 where another one was the best:"
    return f"{head}\n\n{report.markdown_table(header, lines)}"


def _interval(rows: Sequence[Row], name: str) -> str:
    found = rate(rows, name)
    low, high = found.interval
    return f"{found.count}/{found.total} ({low:.2f}-{high:.2f})"


def _medians(rows: Sequence[Row]) -> tuple[str, str]:
    levels = [number(row, "log10_p") if row["found"] == row["true"] else 0.0 for row in rows]
    seconds = [number(row, "seconds") for row in rows]
    return fixed(float(np.median(levels)), 1), fixed(float(np.median(seconds)), 2)


def _stages(rows: Sequence[Row]) -> str:
    """Which stages named the right class."""
    right = [row for row in rows if row["right"]]
    return ", ".join(f"{stage} {len(select(right, stage=stage))}" for stage in _names(right, "stage")) or "none"
