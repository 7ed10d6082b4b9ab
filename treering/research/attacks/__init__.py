"""Attacks on pictures: one file a family, one table of all, and the selections that were published.

To add one, write its function in the file of its family and its line in that file's ``ATTACKS``.  All are written from
the papers' text; where a published implementation is known to be wrong, this one is not (:mod:`.colours`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import InputError
from . import blurs, colours, combinations, covers, files, poses, regeneration
from .attack import Attack, Through

if TYPE_CHECKING:
    from ...models import LatentModel

FAMILIES: dict[str, tuple[Attack | Through, ...]] = {
    "pose": poses.ATTACKS,
    "colours": colours.ATTACKS,
    "fine detail": blurs.ATTACKS,
    "parts lost": covers.ATTACKS,
    "file formats": files.ATTACKS,
    "networks": regeneration.ATTACKS,
    "combinations": combinations.ATTACKS,
}
"""All attacks by family."""

ATTACKS: dict[str, Attack | Through] = {one.name: one for family in FAMILIES.values() for one in family}
"""All attacks by name."""


def get(name: str, model: Callable[[], LatentModel], autoencoder: Path | None = None) -> Attack:
    """An attack by its name; ``model`` is asked for only where it is needed.

    ``autoencoder``: folder of the one that :data:`~.regeneration.OTHER` goes through.  Raises ``InputError`` for an
    unknown name, ``ModelError`` for a folder without an autoencoder.
    """
    found = named(name)
    if autoencoder is not None and isinstance(found, Through) and name == regeneration.OTHER:
        found = replace(found, function=regeneration.vae_of(autoencoder))
    return found.on(model()) if isinstance(found, Through) else found


def named(name: str) -> Attack | Through:
    """An attack by its name, without a model; raises ``InputError`` for an unknown one."""
    if name not in ATTACKS:
        raise InputError(f"There is no attack {name!r}; `treering attack --list` shows all.")
    return ATTACKS[name]


@dataclass(frozen=True)
class Row:
    """An attack at one strength, and what tables call it."""

    attack: str
    strength: float
    label: str

    @property
    def name(self) -> str:
        """``blur:4``: the same for the same attack and strength, whatever it is called."""
        return f"{self.attack}:{self.strength:g}"


def _ladder(name: str, *strengths: float) -> tuple[Row, ...]:
    if not strengths and ATTACKS[name].strengths == poses.ONCE:
        return (Row(name, 1, name),)
    return tuple(Row(name, s, f"{name} {s:g}") for s in strengths or ATTACKS[name].strengths)


DEFAULT = (
    Row("none", 1, "none"),
    Row("jpeg", 25, "JPEG 25"),
    Row("blur", 4, "blur 4 px"),
    Row("noise", 0.1, "noise .1"),
    Row("resize", 0.25, "resize 1/4"),
    Row("brightness", 2, "brightness x 2"),
    Row("drop", 0.2, "drop 20 %"),
    Row("keep", 0.2, "keep 20 %"),
    Row("crop", 0.5625, "crop 75 % x 75 %"),
    Row("rotation", 75, "turn by 75"),
    Row("rotation", 5, "turn by 5"),
    Row("mirror", 1, "mirror"),
    Row("diffusion", 0.3, "regeneration .3"),
)
"""What peers were compared on: each kind once, and two turns."""

_ON_LADDERS = ("jpeg", "blur", "noise", "crop", "turn", "diffusion")

SETS: dict[str, tuple[Row, ...]] = {
    "default": DEFAULT,
    # Wen et al., NeurIPS 2023, section 4: rotation, JPEG, crop and rescale, blur, noise, colour jitter.
    "tree-ring": (
        Row("rotation", 75, "rotation 75"),
        Row("jpeg", 25, "JPEG 25"),
        # RandomResizedCrop of scale 0.75 and ratio 0.75, as their scripts have it: all of the height, 3/4 of the width.
        Row("squeeze", 0.75, "crop 75 %, stretched"),
        Row("blur", 4, "blur (8 x 8)"),
        Row("noise", 0.1, "noise .1"),
        Row("brightness-jitter", 6, "brightness jitter 6"),
    ),
    # Yang et al., CVPR 2024, section 5.1: nine kinds of noise.  60 and 80 % are of each side, as their code has it.
    "gaussian-shading": (
        Row("jpeg", 25, "JPEG 25"),
        Row("keep", 0.36, "crop to 60 % of each side, the rest black"),
        Row("drop", 0.64, "drop 80 % of each side"),
        Row("blur", 4, "blur 4"),
        Row("median", 7, "median 7"),
        Row("noise", 0.05, "noise .05"),
        Row("salt-pepper", 0.05, "salt and pepper .05"),
        Row("resize", 0.25, "resize 25 %"),
        Row("brightness-jitter", 6, "brightness 6"),
    ),
    # An et al., ICML 2024: ladders of distortions, their combinations, and regeneration once, twice, four times.
    "waves": (
        *_ladder("rotation", 9, 18, 27, 36, 45),
        *_ladder("crop", 0.9, 0.8, 0.7, 0.6, 0.5),
        *_ladder("drop", 0.05, 0.1, 0.15, 0.2, 0.25),
        *_ladder("brightness", 1.2, 1.4, 1.6, 1.8, 2.0),
        *_ladder("contrast", 1.2, 1.4, 1.6, 1.8, 2.0),
        *_ladder("blur", 4, 8, 12, 16, 20),
        *_ladder("noise", 0.02, 0.04, 0.06, 0.08, 0.1),
        *_ladder("jpeg", 90, 70, 50, 30, 10),
        *(row for name in ("geometric", "photometric", "degradation", "all") for row in _ladder(name)),
        *_ladder("vae"),
        *_ladder("diffusion", 0.04, 0.08, 0.12, 0.16, 0.2),
        *_ladder("diffusion-2", 0.02, 0.04, 0.06, 0.08, 0.1),
        *_ladder("diffusion-4", 0.01, 0.02, 0.03, 0.04, 0.05),
    ),
    # Ci et al., ECCV 2024, section 5: as Tree-Ring, with noise that is clipped and does not wrap.
    "ringid": (
        Row("none", 1, "clean"),
        Row("rotation", 75, "rotation 75"),
        Row("jpeg", 25, "JPEG 25"),
        Row("squeeze", 0.75, "crop and scale 75 %"),
        Row("blur", 4, "blur 8"),
        Row("noise", 0.1, "noise .1"),
        Row("brightness-jitter", 6, "brightness [0, 6]"),
    ),
    "poses": tuple(row for name in (*(one.name for one in poses.ATTACKS), "mixed") for row in _ladder(name)),
    "formats": tuple(row for one in files.ATTACKS for row in _ladder(one.name)),
    "curves": (Row("none", 1, "none"), *(row for name in _ON_LADDERS for row in _ladder(name))),
    "all": tuple(row for name in ATTACKS if name != regeneration.OTHER for row in _ladder(name)),
}
"""Selections by name; ``all`` has every strength of every attack that needs nothing from elsewhere."""


def rows(text: str) -> tuple[Row, ...]:
    """Attacks in words: names of :data:`SETS`, or attacks with or without a strength, such as ``jpeg:25,crop``.

    Every row once.  Raises ``InputError`` for what is neither.
    """
    found: dict[str, Row] = {}
    for word in text.split(","):
        for row in _rows(word.strip()):
            found.setdefault(row.name, row)
    return tuple(found.values())


def _rows(word: str) -> tuple[Row, ...]:
    if word in SETS:
        return SETS[word]
    name, colon, text = word.partition(":")
    if not colon:
        return _ladder(named(name).name)
    try:
        strength = float(text)
    except ValueError:
        raise InputError(f"{word!r} is not an attack with a strength such as jpeg:25.") from None
    named(name).check(strength)
    return _ladder(name, strength)


__all__ = ["ATTACKS", "DEFAULT", "FAMILIES", "SETS", "Attack", "Row", "Through", "get", "named", "rows"]
