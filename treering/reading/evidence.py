"""What a recovered noise says of one keyring, as given or in a pose: values of a search are made once a run.

Two questions, two numbers.  *Which class*: the class values alone, as the synchronisation part is common to all
classes.  *Any mark of this keyring*: the synchronisation part and the best class together.  Given the picture both
are independent, so that Fisher's combination holds: P (1 - ln P) for the product P of two p-values (Fisher 1932).
The class may be read in a pose that the synchronisation part chose, and pays nothing for that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special

from ..marks import cache, fourier, table
from ..marks.fourier import Cells
from ..marks.keyring import Keyring
from ..marks.matching import Block, Blocks
from ..marks.table import Table
from ..types import Match
from .affine import Floats
from .spectra import Complexes, Template, coefficients

CACHED = 1 << 26
"""Bytes of key values that are kept for a whole run; a larger search is screened by a table of their beginnings."""

Noise = NDArray[np.float32]


@dataclass(frozen=True)
class Evidence:
    """log10 p of the best class, corrected for all searched; of the synchronisation part (None without one).

    ``values``: the coefficients that were read, complex ``[N]``, in the order of the keyring's points.
    """

    match: Match
    log10_sync: float | None
    values: Complexes | None = field(default=None, repr=False, compare=False)

    @property
    def log10_keyring(self) -> float:
        """log10 p of any mark of this keyring."""
        if self.log10_sync is None:
            return self.match.log10_p
        return fisher(self.log10_sync, self.match.log10_p)


class Values:
    """The points of one keyring's marks in latents of its default size, and the values of the classes to search."""

    def __init__(self, keyring: Keyring, keys: Sequence[int] | None = None) -> None:
        self.keyring, self.keys = keyring, keys

    @property
    def classes(self) -> int:
        """Classes times nonces that are searched."""
        return len(self.searched) * self.keyring.nonces

    @property
    def searched(self) -> Sequence[int]:
        """The classes that are searched."""
        return range(self.keyring.classes) if self.keys is None else self.keys

    @cached_property
    def cells(self) -> Cells:
        """Where marks are written."""
        return self.keyring.cells()

    @cached_property
    def posable(self) -> bool:
        """Whether a pose can be searched: one secret complex value a frequency."""
        pattern = self.keyring.pattern
        return pattern.secret and not pattern.real and len(self.cells.count) == len(self.cells.index)

    @cached_property
    def points(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Channel ``[N]`` and frequency ``[N, 2]`` of every point."""
        return self.cells.channel.numpy(), self.cells.frequency.numpy()

    @cached_property
    def common(self) -> NDArray[np.bool_]:
        """Which points are the synchronisation part, ``[N]``."""
        return self.cells.sync.numpy()

    @property
    def synchronised(self) -> bool:
        """Whether all classes have a part in common."""
        return self.posable and bool(self.common.any())

    @cached_property
    def sync_template(self) -> Template:
        """The synchronisation part."""
        cells, values = self.keyring.synchronisation()
        return Template.of(cells.channel.numpy(), cells.frequency.numpy(), values, self.keyring.shape[1:])

    def mark_template(self, key: int, nonce: int = 0) -> Template:
        """Everything that one mark has."""
        return Template.of(*self.points, self.keyring.values([key], nonce)[0], self.keyring.shape[1:])

    def marks(self) -> list[tuple[int, int]]:
        """All (class, nonce) that are searched, where they are few."""
        return [(int(key), nonce) for key in self.searched for nonce in range(self.keyring.nonces)]

    @cached_property
    def small(self) -> bool:
        """Whether all values are kept and compared, as few as they are."""
        return self.classes * len(self.cells.count) * 16 <= CACHED

    @cached_property
    def table(self) -> Table | None:
        """The screen of a large search; None for a small one, and for one that has no table and takes its time."""
        if self.small or not table.fits(self.keyring, self.keys):
            return None
        return Table(self.keyring, self.keys, folder=cache.folder())

    @cached_property
    def _kept(self) -> list[Block]:
        return list(self.keyring.marks(self.keys))

    def blocks(self) -> Blocks:
        """Marks to search and their values, a block at a time."""
        return self._kept if self.small else self.keyring.marks(self.keys)

    def read(self, noise: Noise, pose: Floats | None = None) -> Evidence:
        """The best class and the synchronisation part of a noise ``[C, h, w]``, as given or in a pose ``[2, 3]``."""
        found = self.coefficients(noise, pose)
        return Evidence(self.match(found), self._sync(found) if self.synchronised else None, found)

    def match(self, found: Complexes) -> Match:
        """The best mark of a reading, coefficients complex ``[N]``, corrected for all that are searched."""
        if self.table is not None:
            return self.table.match(found)
        return self.keyring.pattern.match(torch.from_numpy(found)[None], self.cells, self.blocks())[0]

    def coefficients(self, noise: Noise, pose: Floats | None = None) -> Complexes:
        """What a noise ``[C, h, w]`` holds at the points of the marks, complex ``[N]``, as given or in a pose."""
        if pose is None:
            return fourier.coefficients(torch.from_numpy(noise)[None], self.cells)[0].numpy()
        return coefficients(noise, *self.points, pose, self.keyring.shape[1:])

    @cached_property
    def _sync_values(self) -> list[Complexes]:
        return [self.keyring.synchronisation(variant)[1] for variant in range(self.keyring.variants)]

    def _sync(self, found: Complexes) -> float:
        m = found[self.common]
        sd = math.sqrt(0.5 * float((np.abs(m) ** 2).sum()))
        if not sd > 0:
            return 0.0
        z = max(float((values @ m.conj()).real) / sd for values in self._sync_values)
        return min(0.0, float(special.log_ndtr(-z)) / math.log(10) + math.log10(len(self._sync_values)))


def fisher(first: float, second: float) -> float:
    """log10 of Fisher's combination of two independent p-values, from their log10."""
    log = (first + second) * math.log(10)
    return min(0.0, (log + math.log1p(-log)) / math.log(10)) if math.isfinite(log) else 0.0
