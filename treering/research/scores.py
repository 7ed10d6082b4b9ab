"""Scores of many random secrets on one picture, as cheap as they come, and how many lie in the tail.

A secret's synchronisation part is held against the picture under every pose of the lattice, 10^7 of them, by the
screen of :mod:`treering.reading.search`.  The spectrum of the picture under a warp is the same for all secrets, so it
is made once; what is left of a secret is one product of matrices.  Every score of a random secret is standard normal,
whatever the picture.  Scores of one secret depend on each other (neighbouring poses), those of two do not.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special
from torch import Tensor

from .. import files
from ..marks.keyring import Keyring, plain_noise
from ..models import LatentModel
from ..pictures import pages
from ..reading.evidence import Values
from ..reading.lattice import Lattice
from ..reading.search import _groups, _Scores
from ..reading.spectra import Screen, Template
from ..reading.tools import Noise
from .common import Pictures, draw

LEVELS = (1e-4, 1e-6, 1e-8)
"""Tails that are counted."""

_SEED = 6_000_000


@dataclass(frozen=True)
class Tail:
    """``scores``: how many; ``beyond``: how many of them beyond each of :data:`LEVELS`."""

    scores: int
    beyond: tuple[int, ...]


def secret(number: int, picture: str = "") -> bytes:
    """A wrong secret, by its number, another for every picture: what one secret has of energy shows in all its scores,
    and would show in all pictures together."""
    what = b"a secret that marked no picture" + number.to_bytes(8, "little") + picture.encode()
    return hashlib.sha256(what).digest()


def tails(noise: Noise, keyring: Keyring, secrets: Sequence[bytes], lattice: Lattice) -> list[Tail]:
    """For each secret, its scores on a noise ``[C, h, w]`` under all poses; a noise of zeros has none."""
    if not noise.any() or not secrets:
        return [Tail(0, (0,) * len(LEVELS)) for _ in secrets]
    templates = [Values(keyring.with_secret(one)).sync_template for one in secrets]
    counts = np.zeros((len(secrets), len(LEVELS)), np.int64)
    for part, rows, inverse in _parts(noise, templates[0], lattice):
        for i, template in enumerate(templates):
            part.real = torch.from_numpy(template.values.real).float()[:, None]
            part.imaginary = torch.from_numpy(template.values.imag).float()[:, None]
            counts[i] += _beyond(part, rows, inverse, len(lattice) // 2)
    again = len(lattice)  # the shift of nothing comes with both signs
    return [Tail(lattice.count + again, tuple(int(n) for n in row)) for row in counts]


def _parts(
    noise: Noise, template: Template, lattice: Lattice
) -> Iterator[tuple[_Scores, NDArray[np.int64], NDArray[np.float64]]]:
    half = len(lattice) // 2
    inverse = np.linalg.inv(lattice.matrix[:half]).astype(np.float64)
    reach = float(np.abs(template.frequency @ inverse).max())
    spectrum = _Kept(noise[list(template.channels)], reach)
    for rows, box in _groups(lattice):
        yield _Scores(spectrum, template, box, lattice.step), rows, inverse[rows]
        spectrum.kept = None


class _Kept(Screen):
    """A screen that keeps the spectrum of the warps that it was asked for last."""

    kept: tuple[Tensor, Tensor] | None = None

    def __call__(self, frequency: Tensor, inverse: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
        """As it is there."""
        self.kept = self.kept or super().__call__(frequency, inverse)
        return self.kept


def _beyond(part: _Scores, rows: NDArray[np.int64], inverse: NDArray[np.float64], half: int) -> NDArray[np.int64]:
    threshold = -special.ndtri_exp(np.log(np.asarray(LEVELS)))
    least = torch.full((2, len(rows)), float(threshold[0]))
    counts = np.zeros(len(LEVELS), np.int64)
    for _, _, z in part.above(rows, inverse, least, half):
        counts += (z[:, None] > threshold).sum(0)
    return counts


# Pictures


def kinds(model: LatentModel, keyring: Keyring, each: int = 1) -> dict[str, list[Pictures]]:
    """Pictures that do not carry the mark of a wrong secret: ``each`` of every kind.

    Made by the model, unmarked; marked with ``keyring``, which is another secret; one grey; the reference kinds.
    """
    plain = [draw(model, plain_noise(keyring.shape, _SEED + i), _SEED + i)[1] for i in range(each)]
    marked = [draw(model, keyring.noise(0, _SEED - 1 - i), _SEED - 1 - i)[1] for i in range(each)]
    drawn = {kind: [pages.draw(kind, model.image_size, i) for i in range(each)] for kind in pages.KINDS}
    noise = np.random.Generator(np.random.Philox(_SEED))
    grain = [noise.integers(0, 256, (*model.image_size, 3)).astype(np.uint8) for _ in range(each)]
    return {"unmarked": plain, "marked with another secret": marked, "white noise": grain, **drawn}


def rows_of(journal: files.Journal, run: str) -> Iterator[dict[str, Any]]:
    """Rows of a journal that belong to a run; damaged lines are measured again."""
    for _, line in journal.lines():
        with contextlib.suppress(ValueError, KeyError, TypeError):
            row = json.loads(line)
            if row["run"] == run:
                yield row


def run_of(*what: object) -> str:
    """A short hash of all that rows depend on."""
    return hashlib.sha256(repr(what).encode()).hexdigest()[:16]
