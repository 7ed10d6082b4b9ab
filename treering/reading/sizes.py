"""Sizes of pictures: which of a keyring's one picture may have been made in, and what comes of trying them all.

A mark lies at frequencies in cycles a picture, so that no size changes it; but a model makes another noise of a picture
that is read in another size than it was made in.  Which sizes are tried depends on the picture's sides alone, and each
has an equal share of the error budget.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..pictures.fit import alike
from .plan import Outcome
from .record import NOTHING, Done, Reading

Size = tuple[int, int]


def fitting(sizes: Sequence[Size], given: Size) -> tuple[Size, ...]:
    """Sizes (height, width) whose aspect is that of a picture read in the size ``given``, which comes first."""
    return (given, *(size for size in alike(sizes, given) if size != given))


def resized(picture: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """A picture uint8 ``[H, W, 3]`` in another size (Lanczos)."""
    return np.asarray(Image.fromarray(picture).resize(size[::-1], Image.Resampling.LANCZOS))


def shared(found: Outcome, count: int) -> Outcome:
    """An outcome that had one of ``count`` equal shares."""
    more = math.log10(count)
    by_class, by_keyring = (min(NOTHING, level + more) for level in (found.log10_class, found.log10_keyring))
    return Outcome(by_class, by_keyring, found.by_class, found.by_keyring)


def best(first: Outcome, second: Outcome) -> Outcome:
    """The better answer to each of the two questions."""
    by_class = min(first, second, key=lambda one: one.log10_class)
    by_keyring = min(first, second, key=lambda one: one.log10_keyring)
    return Outcome(by_class.log10_class, by_keyring.log10_keyring, by_class.by_class, by_keyring.by_keyring)


def absorb(reading: Reading, other: Reading, size: Size, before: int = 0) -> None:
    """Tell of a reading in another size as of more stages of the same picture's; ``before``: stages told already."""
    reading.done += [_named(done, size) for done in other.done[before:]]
    reading.solutions |= {f"{name} at {_times(size)}": one for name, one in other.solutions.items()}
    reading.failed |= other.failed


def _named(done: Done, size: Size) -> Done:
    return replace(done, stage=f"{done.stage}, at {_times(size)}")


def _times(size: Size) -> str:
    return f"{size[1]}x{size[0]}"
