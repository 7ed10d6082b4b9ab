"""A detector that is a formula, pictures that it reads, and runs of both: what the tests of the batch room share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from treering.batch import Item, Summary, find, labels_from_folders, verify
from treering.errors import InputError
from treering.types import Answer, Detection

SETTINGS = {"model": "formula", "fpr": 1e-6}


class Formula:
    """A detector that reads the class from the first pixel (200 and more: none) and remembers what it has seen."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.seen: list[tuple[int, ...]] = []
        self.batches: list[int] = []
        self.stop_after = stop_after

    def __call__(self, pictures: NDArray[np.uint8], notes: Sequence[tuple[str, ...]]) -> list[Detection]:
        self.batches.append(len(pictures))
        if self.stop_after is not None and len(self.batches) > self.stop_after:
            raise KeyboardInterrupt
        self.seen += [tuple(map(int, picture[0, 0])) for picture in pictures]
        return [self.detection(picture, note) for picture, note in zip(pictures, notes, strict=True)]

    @staticmethod
    def detection(picture: NDArray[np.uint8], notes: tuple[str, ...]) -> Detection:
        first = int(picture[0, 0, 0])
        marked = first < 200
        p = 1e-9 if marked else 0.5
        best = first if marked else 3
        key = first if marked else None
        answer = Answer.NONE if key is None else Answer.KEY
        what = ("m", "k", "formula", 1, "converged", 0.0)
        return Detection(key, p, np.log10(p), answer, best, 6.0, float("-inf"), *what, notes=notes)


def paint(path: Path, key: int | None, number: int = 0, size: tuple[int, int] = (12, 8)) -> Path:
    """A small picture in which the formula finds the key; the number makes its bytes different."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (255 if key is None else key, number % 256, number // 256)).save(path)
    return path


def gallery(folder: Path, count: int = 7) -> list[Item]:
    """Pictures in folders key-0, key-1 and none, labelled."""
    for i in range(count):
        key = (0, 1, None)[i % 3]
        paint(folder / ("none" if key is None else f"key-{key}") / f"{i:03}.png", key, i)
    return labels_from_folders(find(folder))


def unlabelled(items: list[Item]) -> list[Item]:
    return [Item(item.path, item.name) for item in items]


def run(items: list[Item], output: Path, detect: Formula | None = None, batch: int = 2, **others) -> Summary:
    return verify(items, detect or Formula(), output, SETTINGS, batch, **others)


def lines(output: Path) -> list[dict]:
    return [json.loads(line) for line in (output / "results.jsonl").read_text().splitlines()]


def sentence(error: pytest.ExceptionInfo[InputError]) -> str:
    return str(error.value)
