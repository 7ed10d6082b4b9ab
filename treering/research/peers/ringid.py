"""A mark like RingID's (Ci et al., ECCV 2024, section 4): signs of rings in one channel, Gaussian noise in another.

The rings tell classes apart: 11 of them, so 2 048 classes.  The noise key is what is recognised; half of it is common
to all classes here, so that the pose can be searched, and half is the class's own.

The test is exact over the secret: the score of a class is a normal number (the noise) plus a weighted sum of 11 random
signs (the rings), and its tail is the mean over all 2 048 signs of the normal tails.
"""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special
from torch import Tensor

from ...marks import fourier
from ...marks.keyring import Keyring, plain_noise
from ...marks.patterns import Pattern
from ...models import LatentModel
from ...reading.affine import Floats
from ...reading.evidence import Evidence, Noise, Values
from ...reading.spectra import Complexes
from ...types import Match
from .mark import Peer, bits

INNER, OUTER, SHARE = 3, 13, 0.5
RINGS = OUTER - INNER + 1


class RingValues(Values):
    """Signs in place of the ring values of a ``mixed`` keyring."""

    @cached_property
    def posable(self) -> bool:
        """The noise finds the pose."""
        return True

    @cached_property
    def _ringed(self) -> NDArray[np.bool_]:
        """Which cells are rings, ``[D]``."""
        ringed: NDArray[np.bool_] = (self.cells.count > 1).numpy()
        return ringed

    @cached_property
    def mask(self) -> NDArray[np.float64]:
        """The secret signs that all classes' signs are turned over by, ``[R]``."""
        return bits(b"ringid-like", self.keyring.secret, 0, RINGS)

    def signs(self, keys: NDArray[np.int64]) -> NDArray[np.float64]:
        """Signs of the rings of these classes ``[K, R]``: the digits of their numbers, turned over."""
        return self.mask * (1.0 - 2.0 * ((keys[:, None] >> np.arange(RINGS)) & 1))

    @cached_property
    def known(self) -> tuple[NDArray[np.int64], Complexes]:
        """All classes that are searched, and their values ``[K, D]``."""
        keys = np.asarray(list(self.searched), np.int64)
        return keys, self.values_of(keys)

    def values_of(self, keys: NDArray[np.int64]) -> Complexes:
        """Values of these classes at all cells, complex ``[K, D]``."""
        values = self.keyring.values(keys.tolist())
        values[:, self._ringed] = self.signs(keys)
        return values

    def read(self, noise: Noise, pose: Floats | None = None) -> Evidence:
        """The best class, by its own noise and rings, and the common noise."""
        found = self.coefficients(noise, pose)
        keys, values = self.known
        total = np.zeros(len(self.cells.count), np.complex128)
        np.add.at(total, self.cells.cell.numpy(), found)  # sums over rings
        own = ~self.common[self.cells.first.numpy()]
        score = (values[:, own] @ total[own].conj()).real
        best = int(score.argmax())
        level = self._log10_p(float(score[best]), total, own) + math.log10(len(keys))
        deviation = self._deviation(total, own) or math.inf
        match = Match(int(keys[best]), float(score[best]) / deviation, min(0.0, level), 0.0)
        return Evidence(match, self._sync(found))

    def _deviation(self, total: Complexes, own: NDArray[np.bool_]) -> float:
        """Of the part of a score that comes from noise."""
        return math.sqrt(0.5 * float((np.abs(total[own & ~self._ringed]) ** 2).sum()))

    def _log10_p(self, score: float, total: Complexes, own: NDArray[np.bool_]) -> float:
        deviation = self._deviation(total, own)
        if not deviation > 0:
            return 0.0
        rings = self.signs(np.arange(1 << RINGS)) @ total[self._ringed].real  # every value of the signs' sum
        logs = special.log_ndtr((rings - score) / deviation)
        return float(special.logsumexp(logs) - RINGS * math.log(2)) / math.log(10)


def mark(secret: bytes, model: LatentModel, classes: int) -> Peer:
    """Rings 3 to 13: signs in the last channel, noise in the first."""
    last = model.shape[0] - 1
    pattern = Pattern("mixed", (last,), (0,), INNER, OUTER, sync_channels=(0,), sync_share=SHARE)
    size = model.image_size
    keyring = Keyring(secret, pattern, model.shape, image_size=size, classes=classes, public=True)
    values = RingValues(keyring)

    def write(key: int, seed: int) -> Tensor:
        one = torch.from_numpy(values.values_of(np.array([key]))[0])
        return fourier.imprint(plain_noise(keyring.shape, seed), values.cells, one)

    return Peer("RingID-like", keyring, values, write)
