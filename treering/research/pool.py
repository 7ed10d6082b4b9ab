"""Pictures of one key, kept in a folder, so that a study with more of them makes only the new ones.

A picture of a set depends on the set's mark and on its number alone: prompt and noise come from the seed of that
number, so that the same number in two sets is the same picture with another mark.  Beside each picture lies the noise
that was recovered from it, by the encoder and a few steps of the sampler, as somebody has it who has the model.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import files, inversion, writing
from ..errors import ImageError
from ..marks.keyring import Keyring, plain_noise
from ..marks.patterns import Pattern
from ..models import LatentModel
from ..models.batching import Batching
from ..pictures import images
from ..reading.tools import ENCODER, Noise, Tools
from ..settings import METHOD, Reading
from .common import SECRET, Note, Pictures, words

KEY = 0
"""The class of all marked pictures of a pool."""

NONCES = 1 << 20
"""Nonces of the pool's keyring: a picture of the set ``nonces`` has one of its own."""

STEPS = 5
"""Sampler steps of the recovered noise."""

_SEED, _GROUP = 9_000_000, 8


def keyring(model: LatentModel, nonces: int = NONCES) -> Keyring:
    """As new keyrings are, under the studies' secret."""
    pattern = replace(Pattern.synchronised(), channels=tuple(range(model.shape[0]))).widest(model.shape)
    return Keyring(SECRET, pattern, model.shape, image_size=model.image_size, nonces=nonces, public=True)


def rings(model: LatentModel) -> Keyring:
    """Tree-Ring's mark (Wen et al. 2023, section 3.2): rings up to radius 10 in one channel, one value each."""
    pattern = Pattern("rings", (0,), inner=1, outer=10)
    return Keyring(SECRET, pattern, model.shape, image_size=model.image_size, public=True)


@dataclass(frozen=True)
class Made:
    """A picture uint8 ``[H, W, 3]`` and its recovered noise float32 ``[C, h, w]``."""

    picture: Pictures
    noise: Noise


class Pool:
    """Sets of pictures of one model in a folder.

    ``plain``: unmarked.  ``one``: of one class and one nonce.  ``nonces``: of one class, each with a nonce of its own.
    ``apart``: the same without a synchronisation part, so that they have nothing in common.  ``rings``: Tree-Ring's,
    of one key.
    """

    SETS = ("plain", "one", "nonces", "apart", "rings")

    def __init__(self, model: LatentModel, folder: Path, note: Note = lambda text: None) -> None:
        self.model, self.folder, self.note = model, folder / f"pool-{model.fingerprint}", note
        self.keyring = keyring(model)

    @cached_property
    def tools(self) -> Tools:
        """What the noise is recovered with."""
        return Tools(self.model, self.keyring, Reading(), inversion.METHODS[METHOD])

    def fill(self, name: str, count: int) -> None:
        """Make what is missing of the first ``count`` pictures of a set, in groups that go through together."""
        missing = [i for i in range(count) if not self._whole(name, i)]
        for group in _grouped(missing):
            self._make(name, group)
            self.note(f"{name}: {group[-1] + 1} of {count}")

    def get(self, name: str, numbers: Sequence[int]) -> Iterator[Made]:
        """Pictures of a set, made where they are missing."""
        for i in numbers:
            if not self._whole(name, i):
                self._make(name, _around(i))
            yield self._load(name, i)

    def noises(self, name: str, numbers: Sequence[int]) -> NDArray[np.float32]:
        """Recovered noises ``[N, C, h, w]`` of a set."""
        return np.stack([one.noise for one in self.get(name, numbers)])

    # ------------------------------------------------------------------------------------- one picture

    def _paths(self, name: str, i: int) -> tuple[Path, Path]:
        return self.folder / name / f"{i:06d}.png", self.folder / name / f"{i:06d}.npy"

    def _whole(self, name: str, i: int) -> bool:
        return self._paths(name, i)[1].exists()

    def _load(self, name: str, i: int) -> Made:
        picture, noise = self._paths(name, i)
        try:
            return Made(images.read(picture).pixels, np.load(noise, allow_pickle=False))
        except (ImageError, OSError, ValueError):  # damaged: made anew
            self._make(name, _around(i))
            return Made(images.read(picture).pixels, np.load(noise, allow_pickle=False))

    def _make(self, name: str, numbers: Sequence[int]) -> None:
        seeds = [_SEED + i for i in numbers]
        noise = torch.cat([self._noise(name, i) for i in numbers])
        with together(self.model):
            latent = writing.latents(self.model, noise, [words(self.model, seed) for seed in seeds])
        pictures = writing.pictures(self.model, latent)
        (self.folder / name).mkdir(parents=True, exist_ok=True)
        for i, picture in zip(numbers, pictures, strict=True):
            self._keep(name, i, picture)

    def _keep(self, name: str, i: int, picture: Pictures) -> None:
        path, noise = self._paths(name, i)
        images.write(picture, path, overwrite=True)
        buffer = io.BytesIO()
        np.save(buffer, self.recovered(picture), allow_pickle=False)
        files.replace(noise, buffer.getvalue())  # last: with it a picture counts as made

    def _noise(self, name: str, i: int) -> Tensor:
        seed = _SEED + i
        if name == "plain":
            return plain_noise(self.model.shape, seed)
        if name == "rings":
            return rings(self.model).noise(KEY, seed)
        if name == "apart":
            alone = replace(self.keyring, pattern=replace(self.keyring.pattern, sync_share=0.0))
            return alone.noise(KEY, seed, nonce=i + 1)
        return self.keyring.noise(KEY, seed, nonce=0 if name == "one" else i + 1)

    def recovered(self, picture: Pictures) -> Noise:
        """The noise of a picture, float32 ``[C, h, w]``."""
        return self.tools.noise(self.tools.reading(picture), ENCODER, STEPS)


@contextmanager
def together(model: LatentModel, rows: int = 2 * _GROUP) -> Iterator[None]:
    """Within it the denoiser takes several pictures at once: faster, and other last bits than one by one."""
    before = model.batching
    model.batching = Batching({"denoiser": rows})
    try:
        yield
    finally:
        model.batching = before


def _around(i: int) -> list[int]:
    """The group of a number: always the same company, as the last bits of a picture depend on it."""
    start = i - i % _GROUP
    return list(range(start, start + _GROUP))


def _grouped(numbers: Sequence[int]) -> Iterator[list[int]]:
    for start in dict.fromkeys(i - i % _GROUP for i in numbers):
        yield _around(start)
