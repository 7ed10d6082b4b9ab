"""Gaussian Shading (Yang et al., CVPR 2024, section 4): a message in the signs of the initial noise.

Every bit of a message is spread over 64 places of the latent, the whole is encrypted with a stream cipher's key, and
the sign of each value of the noise is one bit of the result: the noise stays white.  So given the picture all signs
of a class are independent and fair, and a class is tested *softly*: the sum of its signs times the recovered values,
rounded to whole numbers, has an exactly known distribution (:mod:`.signs`).  The published reading counts signs, or
votes on each bit, and loses a third and more of log10 p.

Here channel 0 holds a header common to all classes, which finds the pose; the class is in the others.  A search scores
the header at the frequencies where treering has its own: such a score is a sum of fair signs of unit variance, and
exceeds z at most 3.18 times as often as a normal number (Bentkus and Dzindzalieta, Bernoulli 21 (2015) 1231).
"""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...marks import fourier
from ...marks.fourier import Carrier, Cells
from ...marks.keyring import Keyring, plain_noise
from ...marks.patterns import Pattern
from ...models import LatentModel
from ...reading.affine import Floats
from ...reading.evidence import Evidence, Noise, Values
from ...reading.spectra import Template, coefficients
from ...types import Match
from .mark import Peer, bits
from .signs import Integers, log10_tail, whole

COPIES = 64
"""Places of one bit."""

SLACK = math.log10(3.18)
INNER, OUTER = 4, 15
"""Rings of the header that a search looks at."""


class SignValues(Values):
    """Signs of every class, and their test."""

    @cached_property
    def posable(self) -> bool:
        """The header finds the pose."""
        return True

    @property
    def synchronised(self) -> bool:
        """The header is common to all."""
        return True

    @cached_property
    def stream(self) -> NDArray[np.float64]:
        """The cipher's signs ``[C, h, w]``: the same for all pictures of a keyring."""
        shape = self.keyring.shape
        return bits(b"gaussian shading, stream", self.keyring.secret, 0, math.prod(shape)).reshape(shape)

    def signs(self, key: int) -> NDArray[np.float64]:
        """Signs of a class ``[C, h, w]``."""
        channels, height, width = self.keyring.shape
        count = (channels - 1) * height * width
        message = bits(b"gaussian shading, message", self.keyring.secret, key, -(-count // COPIES))
        spread = np.tile(message, COPIES)[:count].reshape(channels - 1, height, width)
        return self.stream * np.concatenate([np.ones((1, height, width)), spread])

    @cached_property
    def known(self) -> NDArray[np.float32]:
        """Signs of the classes that are searched, without the header: ``[K, N]``."""
        return np.stack([self.signs(key)[1:].ravel() for key in self.searched]).astype(np.float32)

    @cached_property
    def cells(self) -> Cells:
        """Every frequency of every channel."""
        channels, height, width = self.keyring.shape
        carriers = tuple(Carrier(channel, False) for channel in range(channels))
        return fourier.cells(self.keyring.shape, carriers, 1, math.ceil(math.hypot(height, width) / 2))

    @cached_property
    def sync_template(self) -> Template:
        """The header's signs at rings 4 to 15."""
        cells = fourier.cells(self.keyring.shape, (Carrier(0, False),), INNER, OUTER)
        header = np.zeros_like(self.stream)
        header[0] = self.stream[0]
        values = fourier.coefficients(torch.from_numpy(header)[None], cells)[0].numpy()
        return Template.of(cells.channel.numpy(), cells.frequency.numpy(), values, self.keyring.shape[1:])

    def read(self, noise: Noise, pose: Floats | None = None) -> Evidence:
        """The best class, and the header."""
        made = self._made(noise, pose)
        weights, own = whole(made), self.weighed(made)
        scores = self.known @ own.astype(np.float32)  # whole numbers below 2^24: exact
        best = int(scores.argmax())
        level = log10_tail(own, int(scores[best])) + math.log10(len(scores))
        size = math.sqrt(float((own**2).sum())) or math.inf
        match = Match(int(self.searched[best]), float(scores[best]) / size, min(0.0, level), 0.0)
        header = int((weights[0] * self.stream[0]).sum())
        return Evidence(match, log10_tail(weights[0], header))

    def weighed(self, made: NDArray[np.float64]) -> Integers:
        """What the signs of a class are weighed with, of a noise ``[C, h, w]``: whole numbers ``[N]``."""
        return whole(made)[1:].ravel()

    def _made(self, noise: Noise, pose: Floats | None) -> NDArray[np.float64]:
        """The noise on the grid on which it was made ``[C, h, w]``."""
        if pose is None:
            return noise.astype(np.float64)
        cells, shape = self.cells, self.keyring.shape
        found = torch.from_numpy(coefficients(noise, *self.points, pose, shape[1:]))
        flat = torch.zeros(math.prod(shape), dtype=found.dtype)
        flat[cells.index], flat[cells.mirror] = found, found.conj()
        return fourier.noise(flat.view(shape)).numpy()


def mark(secret: bytes, model: LatentModel, classes: int) -> Peer:
    """Signs of all values: a header in channel 0, 64 copies of every bit in the others."""
    size = model.image_size
    keyring = Keyring(secret, Pattern(), model.shape, image_size=size, classes=classes, public=True)
    values = SignValues(keyring)

    def write(key: int, seed: int) -> Tensor:
        return plain_noise(keyring.shape, seed).abs() * torch.from_numpy(values.signs(key)).float()

    return Peer("Gaussian Shading", keyring, values, write, SLACK)
