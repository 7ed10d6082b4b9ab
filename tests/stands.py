"""Detectors for workers: they are made there, from these functions' names."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from batch_tools import SETTINGS, Formula
from numpy.typing import NDArray

from treering.batch.engines.worker import Work
from treering.errors import ModelError
from treering.marks.keyring import Keyring
from treering.types import Detection


def make(cost: float = 0.0, batch: int = 2, settings: dict[str, Any] | None = None) -> Work:
    """The formula, with a price in seconds for each picture."""
    formula = Formula()

    def detect(pictures: NDArray[np.uint8], notes: Sequence[tuple[str, ...]]) -> list[Detection]:
        time.sleep(cost * len(pictures))
        return formula(pictures, notes)

    return Work(detect, SETTINGS if settings is None else settings, batch)


def deadly(key: int, log: str) -> Work:
    """A worker that dies of every picture of this class."""
    formula = Formula()

    def detect(pictures: NDArray[np.uint8], notes: Sequence[tuple[str, ...]]) -> list[Detection]:
        if (pictures[:, 0, 0, 0] == key).any():
            with Path(log).open("a") as file:
                file.write("x")
            os.kill(os.getpid(), 9)
        return formula(pictures, notes)

    return Work(detect, SETTINGS, 2)


def mortal(key: int, log: str) -> Work:
    """A worker that is killed at the first picture of this class, and once only: whoever comes after it lives."""
    formula = Formula()

    def detect(pictures: NDArray[np.uint8], notes: Sequence[tuple[str, ...]]) -> list[Detection]:
        if (pictures[:, 0, 0, 0] == key).any() and not Path(log).exists():
            Path(log).write_text(str(os.getpid()))
            os.kill(os.getpid(), 9)
        return formula(pictures, notes)

    return Work(detect, SETTINGS, 2)


def broken(sentence: str) -> Work:
    """A worker that cannot begin."""
    raise ModelError(sentence)


def mistaken() -> Work:
    """A worker with a bug."""

    def detect(pictures: NDArray[np.uint8], notes: Sequence[tuple[str, ...]]) -> list[Detection]:
        raise KeyError("a bug")

    return Work(detect, SETTINGS, 2)


def with_keyring(keyring: str) -> Work:
    """A worker that reads a keyring's file."""
    Keyring.load(Path(keyring))
    return make()
