"""What somebody can do who has many pictures of one key and no secret: averages, taken away or added."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special

from .. import writing
from ..marks import fourier, matching
from ..models.walk import sample
from ..reading.evidence import Values, fisher
from ..reading.tools import ENCODER, Noise
from .common import Pictures, words
from .pool import KEY, STEPS, Made, Pool

Floats = NDArray[np.float64]

TESTS = 100 * 64
"""Marks that a search covers: a new keyring's classes times nonces."""

VICTIMS = 900_000
"""Number of the first picture of a set that is attacked and never averaged."""

_READINGS = (2, STEPS)


@dataclass(frozen=True)
class Seen:
    """log10 of the corrected p-values of a class and of any mark; PSNR against the picture before, dB (nan: none)."""

    log10_class: float
    log10_keyring: float
    psnr: float = math.nan


class Attacker:
    """Averages of the first ``n`` pictures of the set ``name``, and as many unmarked ones of other seeds."""

    def __init__(self, pool: Pool, name: str, n: int) -> None:
        self.pool, self.name, self.n = pool, name, n

    @cached_property
    def pattern(self) -> Floats:
        """The mean marked picture less the mean unmarked one, ``[H, W, 3]``."""
        return self._mean(self.name, range(self.n)) - self._mean("plain", range(self.n, 2 * self.n))

    @cached_property
    def noise(self) -> Floats:
        """The mean recovered noise of the marked pictures less that of the unmarked ones, ``[C, h, w]``."""
        own, plain = self.pool.noises(self.name, range(self.n)), self.pool.noises("plain", range(self.n, 2 * self.n))
        mean: Floats = own.mean(0, dtype=np.float64) - plain.mean(0, dtype=np.float64)
        return mean

    def _mean(self, name: str, numbers: Sequence[int]) -> Floats:
        total: Floats = np.zeros((*self.pool.model.image_size, 3))
        for one in self.pool.get(name, numbers):
            total += one.picture
        return total / len(numbers)

    # ------------------------------------------------------------------------------------- what is done

    def remove_in_pixels(self, victim: Made, seed: int) -> Pictures:
        """A marked picture less the pattern."""
        return _bytes(victim.picture - self.pattern)

    def forge_in_pixels(self, victim: Made, seed: int) -> Pictures:
        """An unmarked picture and the pattern."""
        return _bytes(victim.picture + self.pattern)

    def remove_by_model(self, victim: Made, seed: int) -> Pictures:
        """A marked picture, its noise recovered, freed of what it has of the mean noise, and made anew."""
        share = float((victim.noise * self.noise).sum() / (self.noise**2).sum())
        return self._anew(victim.noise - share * self.noise)

    def forge_by_model(self, victim: Made, seed: int) -> Pictures:
        """A picture of any prompt that begins from the mean noise, brought to the deviation of noise."""
        model = self.pool.model
        unit = torch.from_numpy(self.noise / self.noise.std()).float()[None]
        return writing.generate(model, unit, [words(model, seed)])[0]

    def _anew(self, noise: Floats) -> Pictures:
        """Without prompt, in as many steps as the noise was recovered in."""
        model = self.pool.model
        f = model.denoiser([""], 1.0)
        latent = sample(self.pool.tools.schedule(STEPS), f, torch.from_numpy(noise).float()[None])
        return writing.pictures(model, latent)[0]


def _bytes(values: Floats) -> Pictures:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


ATTACKS = {
    "remove, in pixels": ("remove", Attacker.remove_in_pixels),
    "remove, through the model": ("remove", Attacker.remove_by_model),
    "forge, in pixels": ("forge", Attacker.forge_in_pixels),
    "forge, through the model": ("forge", Attacker.forge_by_model),
}
"""What is done by an average: whether marked or unmarked pictures are taken, and how."""


class Reader:
    """Reads as ``detect --effort fast``, for given marks of the pool's keyring."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.values = Values(pool.keyring, [KEY])

    def __call__(self, picture: Pictures, nonces: Sequence[int], before: Pictures | None = None) -> Seen:
        """The best of these nonces, corrected for all marks of a search (or all of these), readings and questions."""
        reading = self.pool.tools.reading(picture)
        found = [self._one(self.pool.tools.noise(reading, ENCODER, steps), nonces) for steps in _READINGS]
        paid = math.log10(2 * len(_READINGS))
        by_class, by_keyring = (min(0.0, min(one) + paid) for one in zip(*found, strict=True))
        return Seen(by_class, by_keyring, math.nan if before is None else psnr(before, picture))

    def _one(self, noise: Noise, nonces: Sequence[int]) -> tuple[float, float]:
        cells, keyring = self.values.cells, self.pool.keyring
        coefficients = fourier.coefficients(torch.from_numpy(noise)[None], cells)
        means = fourier.read(coefficients, cells).numpy()
        values = keyring.values_of([(KEY, nonce) for nonce in nonces], cells)
        z = float(matching.scores(means, values, keyring.weights(), False).max())
        tests = max(TESTS, len(nonces))
        by_class = min(0.0, float(special.log_ndtr(-z)) / math.log(10) + math.log10(tests))
        sync = self.values._sync(coefficients[0].numpy())
        return by_class, fisher(sync, by_class)


def psnr(first: Pictures, second: Pictures) -> float:
    """Peak signal to noise in dB."""
    error = float(((first.astype(np.float64) - second) ** 2).mean())
    return 10 * math.log10(255**2 / max(error, 1e-9))


def nonces_of(name: str, numbers: Sequence[int]) -> list[int]:
    """Nonces of the pictures of a set, each once."""
    return [0] if name == "one" else [i + 1 for i in numbers]


# Pictures that share a nonce


def band(pool: Pool, noises: NDArray[np.float32], mean: NDArray[np.float32]) -> Floats:
    """Phases of what recovered noises hold where marks of this pattern are written, as unit vectors ``[N, D]``.

    ``mean``: of pictures with many marks, which is taken away before: it holds what all pictures have in common, the
    part that classes share and what pictures are like.  Phases, as content is strong where it is, and marks are even.
    """
    found = fourier.coefficients(torch.from_numpy(noises - mean), pool.keyring.cells()).numpy()
    unit = found / np.maximum(np.abs(found), 1e-9)
    parts: Floats = np.concatenate([unit.real, unit.imag], 1) / math.sqrt(found.shape[1])
    return parts


def needed(nonces: int, group: int, rng: np.random.Generator, draws: int = 200) -> float:
    """Median number of pictures of a class at which some nonce has ``group`` of them."""
    counts = [_until(nonces, group, rng) for _ in range(draws)]
    return float(np.median(counts))


def _until(nonces: int, group: int, rng: np.random.Generator) -> int:
    drawn = rng.integers(0, nonces, nonces * group)
    order = np.argsort(drawn, kind="stable")
    ordered = drawn[order]
    same = ordered[group - 1 :] == ordered[: len(ordered) - group + 1]  # runs of a nonce, in the order of drawing
    return int(order[group - 1 :][same].min(initial=nonces * group - 1)) + 1
