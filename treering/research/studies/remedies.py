"""What helps a marked picture that holds little evidence: each remedy on the weakest of some pictures, paired.

Seeds of this study are not those on which anything was tuned.  A picture is read as it is and cut to half of its area.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...checking import Evidence, Recipe, evidence, less_guidance, make, more_steps, other_seed
from ...marks.keyring import Keyring
from ...marks.patterns import Pattern
from ...models import LatentModel
from ...reading import Detector
from ...settings import CHECK_LEVEL
from ..common import SECRET, fixed, words, write_table

SEED, CLASSES = 880_000, 100
SHARE = 1 / 4
"""Of the pictures, the weakest, that are made anew."""

HEADER = ("remedy", "pictures", "median as made", "median cut to half", "worst cut to half", "of the weak now reached")


@dataclass(frozen=True)
class Way:
    """A remedy: what it makes of a recipe, and of the pattern."""

    name: str
    recipe: Callable[[Recipe], Recipe] = lambda recipe: recipe
    rings: tuple[int, int] | None = None
    secret: bytes = SECRET


WAYS = (
    Way("none"),
    Way("another seed", other_seed(1)),
    Way("another nonce, as another secret", secret=SECRET[::-1]),
    Way("half of the guidance beyond 1", less_guidance),
    Way("guidance 1", lambda recipe: replace(recipe, guidance=1.0)),
    Way("twice the steps", more_steps),
    Way("rings 3 to 16", rings=(3, 16)),
    Way("less guidance, another seed", lambda recipe: less_guidance(other_seed(2)(recipe))),
)


def _keyring(model: LatentModel, way: Way) -> Keyring:
    pattern = Pattern.synchronised()
    if way.rings:
        pattern = replace(pattern, inner=way.rings[0], outer=way.rings[1])
    return Keyring(way.secret, pattern, classes=CLASSES, shape=model.shape, image_size=model.image_size, public=True)


def _recipe(model: LatentModel, i: int) -> Recipe:
    return Recipe((13 + 37 * i) % CLASSES, words(model, SEED + i), SEED + i)


def _read(model: LatentModel, way: Way, numbers: list[int]) -> list[Evidence]:
    keyring = _keyring(model, way)
    detector = Detector(model, keyring, fpr=CHECK_LEVEL)
    recipes = [way.recipe(_recipe(model, i)) for i in numbers]
    return [evidence(detector, make(model, keyring, one), one.key) for one in recipes]


def remedies(
    model: LatentModel, keyring: Keyring, output: Path, count: int = 24, note: Callable[[str], None] = lambda text: None
) -> str:
    """The weakest quarter of ``count`` pictures under every remedy; log10 p of the right one of 100 classes."""
    first = _read(model, WAYS[0], list(range(count)))
    note(f"read {count} pictures")
    order = sorted(range(count), key=lambda i: -first[i].weaker)
    weak = order[: max(1, round(SHARE * count))]
    rows = [_row("none, all pictures", first), _row("none", [first[i] for i in weak])]
    for way in WAYS[1:]:
        rows.append(_row(way.name, _read(model, way, weak)))
        note(way.name)
    return write_table(output / "remedies.md", HEADER, rows)


def _row(name: str, found: list[Evidence]) -> list[str]:
    given, half = (np.array([getattr(one, field) for one in found]) for field in ("log10_p", "log10_p_half"))
    reached = sum(one.reaches(CHECK_LEVEL) for one in found)
    cells = (float(np.median(given)), float(np.median(half)), float(half.max()))
    return [name, str(len(found)), *(fixed(cell, 1) for cell in cells), f"{reached}/{len(found)}"]
