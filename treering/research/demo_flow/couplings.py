"""Pairs of noise and the latent that a deterministic sampler makes of it, on disk (Liu et al. 2023, Rectified Flow).

Pair i is a function of i alone: its caption, its noise and, through the sampler, its latent.  Both are kept as float16,
and the noise is rounded *before* the sampler sees it, so that the pair on disk is the pair that was computed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..demo import networks, scenes

_log = logging.getLogger(__name__)

SHAPE = (networks.LATENT_CHANNELS, networks.LATENT_SIZE, networks.LATENT_SIZE)
WORDLESS = 0.1
"""Share of the pairs without a prompt."""

Sampler = Callable[[Tensor, list[str]], Tensor]
"""Noise ``[B, 4, 32, 32]`` and a caption a row (empty: none) to latents of the same shape."""


@dataclass(frozen=True)
class Couplings:
    """``count`` pairs in a file, of the captions and noises of ``seed``."""

    path: Path
    count: int
    seed: int
    batch: int = 16

    def caption(self, index: int) -> str:
        """What picture ``index`` shows; empty for a share of ``WORDLESS``."""
        wordless = np.random.default_rng([self.seed, index, 1]).random() < WORDLESS
        return "" if wordless else scenes.text(self.seed, index)

    def noise(self, index: int) -> NDArray[np.float16]:
        """Noise ``[4, 32, 32]`` of pair ``index``."""
        return np.random.default_rng([self.seed, index, 2]).standard_normal(SHAPE, np.float32).astype(np.float16)

    def make(self, sampler: Sampler) -> None:
        """Fill what is missing of the file; a run that was stopped goes on where it was."""
        store, begun = self._store(), time.monotonic()
        first = self._filled(store)
        for i in range(first, self.count, self.batch):
            indices = range(i, min(i + self.batch, self.count))
            noise = np.stack([self.noise(j) for j in indices])
            latent = sampler(torch.from_numpy(noise.astype(np.float32)), [self.caption(j) for j in indices])
            store[indices.start : indices.stop, 1] = latent.numpy().astype(np.float16)
            store[indices.start : indices.stop, 0] = noise  # last: a row counts as filled by it
            store.flush()
            if i % (10 * self.batch) == 0:
                pace = (time.monotonic() - begun) / (indices.stop - first)
                _log.info("%s: %d of %d pairs, %.2f s a pair", self.path.name, indices.stop, self.count, pace)

    def pairs(self) -> NDArray[np.float16]:
        """``[N, 2, 4, 32, 32]``, noise first; raises ``RuntimeError`` if some are missing."""
        store = np.load(self.path, mmap_mode="r")
        if self._filled(store) < self.count:
            raise RuntimeError(f"{self.path} is not complete; make the couplings first.")
        return np.asarray(store[: self.count])

    def _store(self) -> np.memmap[Any, np.dtype[np.float16]]:
        if not self.path.exists():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            part = self.path.with_suffix(".part.npy")
            store = np.lib.format.open_memmap(part, "w+", np.float16, (self.count, 2, *SHAPE))
            store[:, 0, 0, 0, 0] = np.nan
            store.flush()
            part.replace(self.path)
        opened = np.lib.format.open_memmap(self.path, "r+")
        if len(opened) < self.count:
            raise RuntimeError(f"{self.path} was begun for {len(opened)} pairs, not {self.count}; remove it.")
        return opened

    def _filled(self, store: NDArray[np.float16]) -> int:
        """Rows that are done; an interrupted batch is computed again, so that its company is the same."""
        missing = np.flatnonzero(np.isnan(store[: self.count, 0, 0, 0, 0]))
        return int(missing[0]) // self.batch * self.batch if len(missing) else self.count
