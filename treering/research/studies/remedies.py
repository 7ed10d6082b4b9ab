"""What helps a marked picture that holds little evidence: each remedy on the weakest of some pictures, paired.

Seeds of this study are not those on which anything was tuned.  A picture is read as it is and cut to half of its area,
as ``embed --check`` reads it.  Every reading is on disk as soon as it is known, so that a run that was stopped goes on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from ...checking import Evidence, Recipe, evidence, less_guidance, make, more_steps, no_guidance, other_seed
from ...marks.keyring import Keyring
from ...marks.patterns import Pattern
from ...marks.seeds import draw_nonce
from ...models import LatentModel
from ...reading import Detector
from ...settings import CHECK_LEVEL
from ..common import SECRET, fixed, words, write_table

SEED, CLASSES, NONCES = 880_000, 100, 64
SHARE = 1 / 4
"""Of the pictures, the weakest, that are made anew."""

LEVELS = (1e-6, CHECK_LEVEL, 1e-12)
"""p-values that both readings of a picture are to reach, for each of which the table says how many do."""

NONE = "none"
HEADER = (
    "remedy",
    "pictures",
    "median as made",
    "median cut to half",
    "weaker of both: lower quartile",
    "median",
    "upper quartile",
    "stronger than before",
    *(f"both at {level:g}" for level in LEVELS),
)

Change = Callable[[Recipe], Recipe]


def _other_nonce(recipe: Recipe) -> Recipe:
    """Another mark of the class in the same noise."""
    return replace(recipe, nonce=((recipe.nonce or 0) + NONCES // 2) % NONCES)


def _other_noise(number: int) -> Change:
    """As the remedy, with the nonce of the new seed."""

    def change(recipe: Recipe) -> Recipe:
        drawn = other_seed(number)(recipe)
        return replace(drawn, nonce=draw_nonce(drawn.seed, NONCES))

    return change


WAYS: dict[str, Change] = {
    NONE: lambda recipe: recipe,
    "another nonce": _other_nonce,
    "another seed: noise and nonce": _other_noise(1),
    "half of the guidance beyond 1": less_guidance,
    "guidance 1": no_guidance,
    "twice the steps": more_steps,
    "less guidance, another seed": lambda recipe: less_guidance(_other_noise(2)(recipe)),
}
"""Remedies: what each makes of a recipe."""


@dataclass(frozen=True)
class _Study:
    """Readings by way and picture, kept in a file."""

    model: LatentModel
    keyring: Keyring
    detector: Detector
    path: Path
    known: dict[tuple[str, int], Evidence]

    @classmethod
    def open(cls, model: LatentModel, path: Path) -> _Study:
        """Go on where the file ends."""
        pattern, size = Pattern.synchronised(), model.image_size
        ring = Keyring(SECRET, pattern, model.shape, image_size=size, classes=CLASSES, nonces=NONCES, public=True)
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []
        known = {(row.pop("way"), row.pop("picture")): Evidence(**row) for row in rows}
        return cls(model, ring, Detector(model, ring, fpr=CHECK_LEVEL), path, known)

    def read(self, way: str, i: int) -> Evidence:
        """Picture i made in one way, and read."""
        if (way, i) not in self.known:
            recipe = WAYS[way](self._recipe(i))
            found = evidence(self.detector, make(self.model, self.keyring, recipe), recipe.key, recipe.nonce)
            self.known[way, i] = found
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"way": way, "picture": i, **asdict(found)}) + "\n")
        return self.known[way, i]

    def _recipe(self, i: int) -> Recipe:
        seed = SEED + i
        return Recipe((13 + 37 * i) % CLASSES, words(self.model, seed), seed, nonce=draw_nonce(seed, NONCES))


def remedies(
    model: LatentModel, keyring: Keyring, output: Path, count: int = 40, note: Callable[[str], None] = lambda text: None
) -> str:
    """The weakest quarter of ``count`` pictures under every remedy; log10 p of the right one of 100 classes."""
    study = _Study.open(model, output / "remedies.jsonl")
    first = []
    for i in range(count):
        first.append(study.read(NONE, i))
        note(f"picture {i + 1} of {count}")
    order = sorted(range(count), key=lambda i: -first[i].weaker)
    weak = order[: max(1, round(SHARE * count))]
    before = [first[i] for i in weak]
    rows = [_row("none, all pictures", first), _row("none, the weakest", before)]
    for way in list(WAYS)[1:]:
        rows.append(_row(way, [study.read(way, i) for i in weak], before))
        note(way)
    return write_table(output / "remedies.md", HEADER, rows)


def _row(name: str, found: Sequence[Evidence], before: Sequence[Evidence] = ()) -> list[str]:
    given, half, weaker = (np.array([getattr(one, what) for one in found]) for what in _LEVELS)
    medians = (float(np.median(given)), float(np.median(half)), *np.percentile(weaker, (25, 50, 75)).tolist())
    better = sum(new.weaker < old.weaker for new, old in zip(found, before, strict=False))
    reached = [f"{sum(one.reaches(level) for one in found)}/{len(found)}" for level in LEVELS]
    cells = [fixed(cell, 1) for cell in medians]
    return [name, str(len(found)), *cells, f"{better}/{len(before)}" if before else "", *reached]


_LEVELS = ("log10_p", "log10_p_half", "weaker")
