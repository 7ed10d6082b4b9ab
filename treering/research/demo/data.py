"""The training set on disk: rendered scenes, their captions, and later their latents."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import scenes

TRAIN_SEED, HELD_OUT_SEED = 1, 2

_log = logging.getLogger(__name__)


def render(work: Path, count: int, workers: int = 2) -> None:
    """Render ``count`` training scenes into ``work/pictures.npy`` and ``work/captions.txt``."""
    if (work / "captions.txt").exists():
        return
    work.mkdir(parents=True, exist_ok=True)
    shape = (count, scenes.SIZE, scenes.SIZE, 3)
    store = np.lib.format.open_memmap(work / "pictures.npy", "w+", np.uint8, shape)
    with ProcessPoolExecutor(workers) as pool:
        for i, picture in enumerate(pool.map(_picture, range(count), chunksize=32)):
            store[i] = picture
            if i % 1000 == 999:
                _log.info("rendered %d of %d", i + 1, count)
    store.flush()
    captions = [scenes.text(TRAIN_SEED, i) for i in range(count)]
    (work / "captions.txt").write_text("\n".join(captions) + "\n", encoding="utf-8")


def _picture(index: int) -> NDArray[np.uint8]:
    return scenes.scene(TRAIN_SEED, index)[0]


def pictures(work: Path) -> NDArray[np.uint8]:
    """Rendered pictures uint8 ``[N, 256, 256, 3]``, read from disk as they are used."""
    store: NDArray[np.uint8] = np.load(work / "pictures.npy", mmap_mode="r")
    return store


def captions(work: Path) -> list[str]:
    """One caption for each rendered picture."""
    return (work / "captions.txt").read_text(encoding="utf-8").splitlines()


def held_out(indices: Sequence[int]) -> tuple[NDArray[np.uint8], list[str]]:
    """Scenes that training never sees: pictures uint8 ``[N, 256, 256, 3]`` and captions."""
    drawn = [scenes.scene(HELD_OUT_SEED, i) for i in indices]
    return np.stack([picture for picture, _ in drawn]), [text for _, text in drawn]
