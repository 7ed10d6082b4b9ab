"""What every mark can do, and how it is read: the stages of :mod:`treering.reading`, with the mark's own values."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ... import inversion
from ...marks.keyring import Keyring
from ...models import LatentModel
from ...reading import Detector, plan
from ...reading.evidence import Values
from ...reading.tools import Tools
from ...settings import FPR, Reading
from ..common import Pictures

CLASSES = 2048
"""Classes of every mark; all are searched."""

SHARE = 0.75
"""Share of channel 0 that all classes have in common, where a mark has such a part."""


@dataclass(frozen=True)
class Found:
    """``key``: the best class; log10 p of it and of any mark, corrected for everything tried; the stage; seconds."""

    key: int
    log10_p: float
    log10_keyring: float
    stage: str
    seconds: float


Read = Callable[[Pictures], Found]
"""From one picture uint8 ``[H, W, 3]`` of the model's size."""


@dataclass(frozen=True)
class Mark:
    """A pattern of treering's own kinds: written by its keyring, read by the detector."""

    name: str
    keyring: Keyring

    def noise(self, key: int, seed: int) -> Tensor:
        """Marked noise float32 ``[1, C, h, w]``."""
        return self.keyring.noise(key, seed)

    def reader(self, model: LatentModel, effort: str) -> Read:
        """What reads this mark with an effort of :data:`treering.settings.EFFORTS`, until it is named.

        ``max`` too stops there, with its own shares: a picture that ``normal`` names costs little, and what is counted
        (named or not) is the same as if all stages had been run.
        """
        detector = Detector(model, self.keyring, effort=effort, every=False)

        def read(picture: Pictures) -> Found:
            found = detector(picture[None])[0]
            return Found(found.best_key, found.log10_p, found.log10_p_keyring, found.stage, found.seconds)

        return read


@dataclass(frozen=True)
class Peer(Mark):
    """A mark with values and a test of its own.

    ``write``: a class and a seed to noise ``[1, C, h, w]``.  ``slack``: decades by which p of the common part may be
    too small in a search, as its scores are only nearly normal.
    """

    values: Values
    write: Callable[[int, int], Tensor]
    slack: float = 0.0

    def noise(self, key: int, seed: int) -> Tensor:
        """Marked noise float32 ``[1, C, h, w]``."""
        self.keyring.check_classes([key])
        return self.write(key, seed)

    def reader(self, model: LatentModel, effort: str) -> Read:
        """As :meth:`Mark.reader`: the same stages, with these values in them."""
        tools = _PeerTools(model, self.keyring, self.values, Reading(effort=effort))

        def read(picture: Pictures) -> Found:
            started = time.perf_counter()
            found = plan.run(plan.EFFORTS[effort], tools.reading(picture), tools, FPR)
            match = found.by_class.finding.match
            seconds = round(time.perf_counter() - started, 3)
            any_mark = min(0.0, found.log10_keyring + self.slack)
            return Found(match.key if match else 0, found.log10_class, any_mark, found.by_class.stage, seconds)

        return read


class _PeerTools(Tools):
    """Tools with the values of a peer."""

    def __init__(self, model: LatentModel, keyring: Keyring, values: Values, settings: Reading) -> None:
        super().__init__(model, keyring, settings, inversion.METHODS[inversion.DEFAULT])
        self._peer = values

    @cached_property
    def values(self) -> Values:
        """The peer's."""
        return self._peer


def bits(label: bytes, secret: bytes, number: int, count: int) -> NDArray[np.float64]:
    """So many secret signs, +1 or -1."""
    data = hashlib.shake_256(label + secret + number.to_bytes(8, "little")).digest((count + 7) // 8)
    return 1 - 2 * np.unpackbits(np.frombuffer(data, np.uint8))[:count].astype(np.float64)
