"""How exposed a set of published pictures is: which of them share a mark, and what an average of them shows of it.

Whoever has many pictures of one mark, and the model, needs no secret: the noises recovered from them have the mark in
common and little else, so their average is the mark, and the more of them the better.  Here the owner, who has the
secret, looks at that average and says how much of the mark is in it.  ``treering experiment averaging`` measured what
such an average is good for.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..marks import fourier
from ..marks.fourier import Cells
from ..marks.keyring import Keyring

ENOUGH = 5
"""Pictures of one mark from which its average forged the class in the study, and took it off pictures (at 17 dB PSNR;
with twenty at 20 dB)."""

Noise = NDArray[np.float32]
Complexes = NDArray[np.complex128]
Reader = Callable[[Any], tuple[int | None, int, Noise | None] | None]
"""From a picture to its class (None: not named), its nonce, and its recovered noise (None: no use in an average); None
for what is no picture, or one that was there before."""


@dataclass(frozen=True)
class Shared:
    """Pictures that have one mark.

    ``shown``: how much of the mark an average of their noises shows, as a correlation from 0 to 1; NaN where no noise
    was of use.
    """

    key: int
    nonce: int
    pictures: int
    shown: float

    @property
    def threat(self) -> str:
        """What they are enough for, in words; empty for nothing."""
        return "forge and remove" if self.pictures >= ENOUGH else ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        shown = None if math.isnan(self.shown) else round(self.shown, 4)
        return {"key": self.key, "nonce": self.nonce, "pictures": self.pictures, "shown": shown, "threat": self.threat}


@dataclass(frozen=True)
class Exposure:
    """Of ``read`` pictures: ``shared`` marks, most pictures first; ``common``: of the part that all classes have in
    common, how much an average of all of them shows (NaN: there is none, or nothing was of use)."""

    read: int
    shared: tuple[Shared, ...]
    common: float
    nonces: int

    @property
    def marked(self) -> int:
        """Pictures whose class was named."""
        return sum(one.pictures for one in self.shared)

    def sentences(self) -> list[str]:
        """For people who know nothing of all this."""
        forged = sorted({one.key for one in self.shared if one.threat})
        exposed = sum(one.pictures for one in self.shared if one.threat)
        told = [_averaged(forged, exposed), *_common(self.common, self.marked)]
        if forged and self.nonces == 1:
            told.append(
                "A keyring with more nonces gives each picture a mark of its own: `treering keys new --nonces`."
            )
        if self.marked:
            told.append("A single picture is enough to make another one from its noise, which then has its mark.")
        return told

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "read": self.read,
            "marked": self.marked,
            "nonces": self.nonces,
            "shared": [one.as_dict() for one in self.shared],
            "common": None if math.isnan(self.common) else round(self.common, 4),
            "sentences": self.sentences(),
        }


def _averaged(keys: Sequence[int], exposed: int) -> str:
    if not keys:
        return f"No mark is on {ENOUGH} of these pictures or more: no average of them forges a class or takes it off."
    named = ", ".join(map(str, keys[:10])) + (", ..." if len(keys) > 10 else "")
    what = f"class {named}" if len(keys) == 1 else f"the classes {named}"
    return (
        f"Somebody who collects these pictures can, without the secret, forge {what}, and take the mark off {exposed} "
        "of them at some loss of quality."
    )


def _common(shown: float, pictures: int) -> list[str]:
    """The common part tells the keyring and not the class, and it is on all pictures."""
    if math.isnan(shown) or pictures < ENOUGH:
        return []
    return [
        "The part that all classes share can be forged too, as it is on every picture: then the answer is: this "
        "keyring, class unreadable."
    ]


# From pictures


@dataclass
class Audit:
    """Takes pictures one by one and holds a sum of noises for each mark, so that memory does not grow with them."""

    keyring: Keyring
    read: int = 0
    _count: dict[tuple[int, int], int] = field(default_factory=lambda: defaultdict(int))
    _sums: dict[tuple[int, int], NDArray[np.float64]] = field(default_factory=dict)

    def add(self, key: int | None, nonce: int, noise: Noise | None) -> None:
        """One picture: its class (None: not named), its nonce, and the noise ``[C, h, w]`` that was recovered."""
        self.read += 1
        if key is None:
            return
        self._count[key, nonce] += 1
        if noise is not None:
            self._sums[key, nonce] = self._sums.get((key, nonce), 0.0) + noise.astype(np.float64)

    def exposure(self) -> Exposure:
        """What came of it."""
        cells = self.keyring.cells()
        common = cells.sync[cells.first].numpy()
        order = sorted(self._count, key=lambda mark: (-self._count[mark], mark))
        shared = tuple(Shared(*mark, self._count[mark], self._shown(mark, cells, ~common)) for mark in order)
        return Exposure(self.read, shared, self._common(cells, common), self.keyring.nonces)

    def _shown(self, mark: tuple[int, int], cells: Cells, which: NDArray[np.bool_]) -> float:
        if mark not in self._sums or not self.keyring.pattern.secret:
            return math.nan
        return correlation(self._sums[mark], cells, self.keyring.values_of([mark], cells)[0], which)

    def _common(self, cells: Cells, common: NDArray[np.bool_]) -> float:
        if not common.any() or not self._sums:
            return math.nan
        values = self.keyring.values_of([next(iter(self._sums))], cells)[0]
        total: NDArray[np.float64] = sum(self._sums.values(), np.zeros(self.keyring.shape))
        return correlation(total, cells, values, common)


def correlation(noise: NDArray[np.float64], cells: Cells, values: Complexes, which: NDArray[np.bool_]) -> float:
    """How much of the values ``[D]`` a noise ``[C, h, w]`` shows at some cells: 0 nothing, 1 all, up to a factor."""
    found = fourier.read(fourier.coefficients(torch.from_numpy(noise)[None].float(), cells), cells).numpy()[0]
    m, key = found[which], values[which]
    size = float(np.linalg.norm(m) * np.linalg.norm(key))
    return max(0.0, float((key @ m.conj()).real) / size) if size > 0 else math.nan


def audit(keyring: Keyring, pictures: Iterable[Any], read: Reader, told: Callable[[], None] = lambda: None) -> Exposure:
    """All pictures, by a reader; ``told`` is called after each."""
    found = Audit(keyring)
    for picture in pictures:
        if (one := read(picture)) is not None:
            found.add(*one)
        told()
    return found.exposure()
