"""A mark like PRC's (Gunn, Zhao, Song, ICLR 2025): a pseudorandom error-correcting code in the signs of the noise.

A codeword begins with random bits, drawn anew for every picture; each further bit is the sum of two earlier ones, and
a secret permutation puts them in their places.  So all codewords meet the same sparse parity checks, of three places
each, and no two pictures of a class have noise in common.  The codeword is added to a one-time pad; here every class
has a pad of its own, in place of a message that would have to be decoded.  Channel 0 holds a header common to all
classes, as in :mod:`.gaussian_shading`: the checks alone cannot tell a pose.

The published reading takes the expected sign of every value, their product over each check, and a bound on the sum.
Here the test is exact: every check has a place that no check before it has, so that the checks are independent, and
the signs that a pad gives to them are independent and fair given the picture and the code.  A class is tested by the
sum of those signs times the products, rounded to whole numbers (:mod:`.signs`).
"""

from __future__ import annotations

import hashlib
import math
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special
from torch import Tensor

from ...marks.keyring import Keyring, plain_noise
from ...marks.patterns import Pattern
from ...models import LatentModel
from .gaussian_shading import SLACK, SignValues
from .mark import Peer, bits
from .signs import Integers, whole

FREE = 128
"""Bits of a codeword that are drawn for every picture."""

VARIANCE = 1.5
"""Of the error of a recovered value, in the expected sign: the paper's."""


class CodeValues(SignValues):
    """A code of one keyring, a pad for every class, and their test."""

    @property
    def count(self) -> int:
        """Places of a codeword: all values of all channels but the header's."""
        channels, height, width = self.keyring.shape
        return (channels - 1) * height * width

    @cached_property
    def code(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Place of each bit of a codeword ``[N]``; for each bit after the free ones the two that it is the sum of,
        ``[N - FREE, 2]``.
        """
        seed = hashlib.shake_256(b"prc-like, code" + self.keyring.secret).digest(16)
        rng = np.random.default_rng(int.from_bytes(seed, "little"))
        made = np.arange(FREE, self.count)
        first = rng.integers(0, made)
        second = rng.integers(0, made - 1)
        second += second >= first  # two that differ
        return rng.permutation(self.count), np.stack([first, second], 1)

    @cached_property
    def checks(self) -> NDArray[np.int64]:
        """Places of every parity check ``[N - FREE, 3]``."""
        place, sums = self.code
        return place[np.column_stack([sums, np.arange(FREE, self.count)])]

    def codeword(self, seed: int) -> NDArray[np.float64]:
        """Signs ``[N]`` of one codeword, which the seed of a picture stands for: all its checks have the product 1."""
        place, sums = self.code
        signs = np.ones(self.count)
        signs[:FREE] = bits(b"prc-like, codeword", self.keyring.secret, seed, FREE)
        for i, (first, second) in enumerate(sums, FREE):
            signs[i] = signs[first] * signs[second]
        placed = np.empty_like(signs)
        placed[place] = signs
        return placed

    def pad(self, key: int) -> NDArray[np.float64]:
        """Signs ``[N]`` of a class."""
        return bits(b"prc-like, pad", self.keyring.secret, key, self.count)

    @cached_property
    def known(self) -> NDArray[np.float32]:
        """What the pads of the classes that are searched make of every check: signs ``[K, N - FREE]``."""
        return np.stack([self.pad(key)[self.checks].prod(1) for key in self.searched]).astype(np.float32)

    def weighed(self, made: NDArray[np.float64]) -> Integers:
        """The product of the expected signs over every check ``[N - FREE]``."""
        size = math.sqrt(float((made[1:] ** 2).mean())) or 1.0
        expected = special.erf(made[1:].ravel() / size / math.sqrt(2 * VARIANCE * (1 + VARIANCE)))
        return whole(expected[self.checks].prod(1))


def mark(secret: bytes, model: LatentModel, classes: int) -> Peer:
    """Signs of all values: a header in channel 0, a codeword under the pad of the class in the others."""
    size = model.image_size
    keyring = Keyring(secret, Pattern(), model.shape, image_size=size, classes=classes, public=True)
    values = CodeValues(keyring)

    def write(key: int, seed: int) -> Tensor:
        signs = values.stream.copy()
        signs[1:] = (values.pad(key) * values.codeword(seed)).reshape(signs[1:].shape)
        return plain_noise(keyring.shape, seed).abs() * torch.from_numpy(signs).float()

    return Peer("PRC-like", keyring, values, write, SLACK)
