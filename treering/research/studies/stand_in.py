"""Pictures and a detector that cost what they are told to: for studies of everything around a detector."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...batch import Item
from ...batch.engines.worker import Work
from ...types import Answer, Detection

CLASSES, SIDE = 7, 8
SETTINGS = {"study": "stand-in"}
_STAGES = ("encoder", "steps", "trimmed", "poses", "decoder")  # so that a line is as long as a real one: 1.5 kB


def draw(folder: Path, count: int) -> None:
    """Pictures of noise, all different."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):  # not by treering's own writer, which waits for the disk
        pixels = np.random.default_rng(i).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:06}.png")


def make(cost: float = 0.0, batch: int = 8) -> Work:
    """A detector that reads the class from the first pixel and takes ``cost`` seconds for each picture."""

    def detect(pictures: NDArray[np.uint8], notes: Sequence[tuple[str, ...]]) -> list[Detection]:
        if cost:
            time.sleep(cost * len(pictures))
        return [detection(int(one[0, 0, 0]) % CLASSES, note) for one, note in zip(pictures, notes, strict=True)]

    return Work(detect, SETTINGS, batch)


def detection(key: int, notes: tuple[str, ...] = ()) -> Detection:
    """A result with as many fields as a real one."""
    stages: tuple[dict[str, Any], ...] = tuple(
        {"stage": name, "evaluations": 7, "log10_p": -9.0, "log10_p_keyring": -11.5, "seconds": 0.1, "statuses": {}}
        for name in _STAGES
    )
    what = ("stand-in:0123456789abcdef", "0123456789abcdef", "safeguarded", 1, "converged", 0.0)
    return Detection(key, 1e-9, -9.0, Answer.KEY, key, 6.0, -9.0, *what, notes=notes, stages=stages)


def listed(count: int) -> Iterator[Item]:
    """Items as of a bucket's listing, with stamps, of pictures that are nowhere."""
    for i in range(count):
        name = f"{i // 1000:05}/{i:09}.png"
        yield Item(Path(name), name, i % CLASSES, address=f"memory://bucket/{name}", stamp=f"{i:032x}-1000")
