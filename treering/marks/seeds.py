"""What the seed of a picture stands for: its plain noise, its class where one is drawn, and its nonce."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from .bounds import Shape

if TYPE_CHECKING:
    from torch import Tensor

    from .keyring import Keyring


def plain_noise(shape: Shape, seed: int, count: int = 1, stream: int = 0) -> Tensor:
    """Unmarked noise float32 ``[count, C, h, w]``, one generator for every picture.

    ``stream``: noise of one seed and several streams is independent; pictures are drawn from stream 0.
    """
    import torch

    if seed < 0:
        raise InputError("A seed must not be negative.")
    # Philox takes the whole seed; torch's CPU generator looks at 32 bits, which can be tried one by one.
    spawned = (stream,) if stream else ()
    sources = (np.random.SeedSequence(seed + i, spawn_key=spawned) for i in range(count))
    generators = (np.random.Generator(np.random.Philox(source)) for source in sources)
    return torch.from_numpy(np.stack([generator.standard_normal(shape, np.float32) for generator in generators]))


def draw_marks(keyring: Keyring, keys: Sequence[int], count: int, seed: int) -> list[tuple[int, int]]:
    """A class out of ``keys``, all equally likely, and a nonce for each of ``count`` pictures: (class, nonce).

    Those of picture i depend on ``seed + i`` alone, and its nonce is the one that :func:`treering.writing.embed` draws
    for that seed, whatever the class.  Raises ``InputError`` for classes that the keyring does not have and for a
    negative seed.
    """
    keyring.check_classes(keys)
    if seed < 0:
        raise InputError("A seed must not be negative.")
    seeds = range(seed, seed + count)
    return [(int(keys[_drawn("class", one, len(keys))]), draw_nonce(one, keyring.nonces)) for one in seeds]


def draw_nonce(seed: int, nonces: int) -> int:
    """The nonce, below ``nonces``, of the picture of a seed, whatever its class."""
    return _drawn("nonce", seed, nonces)


def _drawn(what: str, seed: int, count: int) -> int:
    """A number below ``count``, at most 2^63, that a seed stands for; uniform to 1 in 2^65."""
    label = f"treering {what} of a picture 2".encode()
    number = seed.to_bytes(max(8, (seed.bit_length() + 7) // 8), "little")
    return int.from_bytes(hashlib.shake_256(label + number).digest(16), "little") % count
