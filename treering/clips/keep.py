"""Which frames of a clip are kept, without knowing beforehand how many there are."""

from __future__ import annotations

from typing import Generic, TypeVar

import numpy as np

Frame = TypeVar("Frame")


def even(count: int, most: int) -> list[int]:
    """Up to ``most`` numbers below ``count``, evenly spread, the middle of each part: deterministic and increasing."""
    if count <= most:
        return list(range(count))
    return [int(i) for i in (np.arange(most) + 0.5) * count / most]


class Kept(Generic[Frame]):
    """At most ``most`` frames of a clip: evenly spread over it, or, ``together``, the first.

    While the clip goes on, up to twice as many are held: every one of a stride that doubles.
    """

    def __init__(self, most: int, together: bool = False) -> None:
        self.most, self.together = max(1, most), together
        self.stride = 1
        self._frames: list[Frame] = []

    def wants(self, number: int) -> bool:
        """Whether frame ``number``, from 0, is to be added."""
        return len(self._frames) < self.most if self.together else number % self.stride == 0

    @property
    def full(self) -> bool:
        """Whether no further frame will be wanted."""
        return self.together and len(self._frames) >= self.most

    def add(self, frame: Frame) -> None:
        """Keep a frame that was wanted."""
        self._frames.append(frame)
        if not self.together and len(self._frames) >= 2 * self.most:
            self._frames, self.stride = self._frames[::2], 2 * self.stride

    @property
    def frames(self) -> list[Frame]:
        """What is kept in the end."""
        return [self._frames[i] for i in even(len(self._frames), self.most)]
