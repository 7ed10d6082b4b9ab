"""Several keyrings and models in one search: families of deployments, yearly rotation, a ring that was compromised.

Each pair of a model and a keyring is a hypothesis like all others: n of them get an n-th of the error budget each
(Bonferroni), whatever they have in common, so that the least p over its share is valid; that of a keyring of several
sizes is shared by those that fit the picture, as where it is searched alone.  Pairs of one model share all
that does not depend on the keyring: a picture goes through the encoder and the sampler once.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, SamplerError
from ..inversion import DecoderInversion
from ..marks.keyring import Keyring
from ..models import Model
from ..pictures.fit import chosen, fitted
from ..settings import Reading as Settings
from ..types import Answer, Detection
from . import sizes
from .assessable import one_colour
from .detector import Detector, Examined, Size
from .plan import UNREAD, Outcome
from .record import NOTHING, Reading, Watch

Pair = tuple[Model, Keyring]

Resized = tuple[int, Size, Size]
"""A model, the size that a picture is given in, and another one."""


class Detectors:
    """Reads marks of several keyrings, or of one in several models, from pictures.

    ``pairs``: models, each with a keyring whose marks fit it; ``names``: what results call the keyrings (None: their
    ids).  Everything else is as in :class:`Detector`, and the same for all.  Raises ``InputError`` for no pair and for
    the same pair twice, ``ModelError`` for one that does not fit.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        settings: Settings | None = None,
        *,
        names: Sequence[str] | None = None,
        method: str | DecoderInversion | None = None,
        every: bool | None = None,
        **changes: Any,
    ) -> None:
        check(pairs)
        self.names = list(names or (keyring.id for _, keyring in pairs))
        if len(self.names) != len(pairs):
            raise InputError(f"There are {len(self.names)} names for {len(pairs)} keyrings.")
        self.all = [
            Detector(model, keyring, settings, method=method, every=every, **changes) for model, keyring in pairs
        ]
        self.settings, self.every = self.all[0].settings, self.all[0].every
        self.model = self.all[0].model

    @property
    def size(self) -> Size | None:
        """Height and width of the pictures to bring, if all have this one size; None: bring them as they are."""
        first = self.all[0].keyring
        same = len(first.sizes) == 1 and all(one.keyring.sizes == first.sizes for one in self.all)
        return first.image_size if same else None

    def __call__(self, pictures: NDArray[np.uint8], notes: Sequence[Sequence[str]] = ()) -> list[Detection]:
        """One result a picture uint8 ``[B, H, W, 3]`` of any size; it does not depend on the others."""
        if np.ndim(pictures) != 4 or pictures.shape[3] != 3 or pictures.dtype != np.uint8:
            raise InputError(f"Pictures must be uint8 [B, H, W, 3], not {pictures.dtype} {list(pictures.shape)}.")
        rows = max(one.model.batching.rows("detect") for one in self.all)
        results: list[Detection] = []
        for i in range(0, len(pictures), rows):
            results += self._detect(pictures[i : i + rows], notes[i : i + rows])
        return results

    def _detect(self, pictures: NDArray[np.uint8], notes: Sequence[Sequence[str]]) -> list[Detection]:
        started = time.perf_counter()
        readings = list(zip(*self._begun(pictures), strict=True))  # [B][pairs]
        together = (time.perf_counter() - started) / len(pictures)
        told = [tuple(notes[i]) if i < len(notes) else () for i in range(len(pictures))]
        return [self._one(list(each), together, said) for each, said in zip(readings, told, strict=True)]

    def examine(self, picture: NDArray[np.uint8], notes: Sequence[str] = (), watch: Watch | None = None) -> Examined:
        """As a call, of one picture uint8 ``[H, W, 3]``, with what decided on the class: for evidence."""
        started = time.perf_counter()
        sides = self._sides([readings[0] for readings in self._begun(picture[None])])
        for side in sides:
            side.reading.watch = watch
        self._run(sides)
        found, side = self._result(sides, round(time.perf_counter() - started, 3), tuple(notes))
        return Examined(found, side.found.by_class, side.detector.keyring, len(sides) * side.sizes)

    def _begun(self, pictures: NDArray[np.uint8]) -> list[list[Reading]]:
        """Records of the pictures for every pair, each in the size of its keyring that fits them best.

        Pairs of one model and size have their numbers in common.
        """
        shared: dict[tuple[int, Size], list[Reading]] = {}
        found = []
        for one in self.all:
            size = chosen(one.keyring.sizes, (pictures.shape[1], pictures.shape[2]))
            what = id(one.model), size
            if what not in shared:
                shared[what] = one.begun(fitted(pictures, size))
            found.append([_beside(reading) for reading in shared[what]])
        return found

    def _one(self, readings: list[Reading], before: float, notes: tuple[str, ...]) -> Detection:
        started = time.perf_counter()
        sides = self._sides(readings)
        self._run(sides)
        return self._result(sides, round(before + time.perf_counter() - started, 3), notes)[0]

    def _sides(self, readings: Sequence[Reading]) -> list[_Side]:
        resized: dict[Resized, Reading] = {}
        return [_Side(one, reading, resized) for one, reading in zip(self.all, readings, strict=True)]

    def _run(self, sides: Sequence[_Side]) -> None:
        """A stage of every pair, the cheap ones first; then again in the next size of each."""
        lively = [side for side in sides if not one_colour(side.reading)]
        limit = math.log10(self.settings.fpr)
        rounds = len(self.all[0].stages) * max((side.sizes for side in lively), default=0)
        for _ in range(rounds):
            for side in lively:
                side.step(len(sides))
            if not self.every and any(side.found.log10_class <= limit for side in lively):
                break

    def _result(self, sides: list[_Side], seconds: float, notes: tuple[str, ...]) -> tuple[Detection, _Side]:
        told = [
            replace(side.result(seconds, notes), keyring_name=name)
            for side, name in zip(sides, self.names, strict=True)
        ]
        best, side = min(zip(told, sides, strict=True), key=lambda one: _order(one[0]))
        searched = [{**_who(one), "log10_p": one.log10_p, "log10_p_keyring": one.log10_p_keyring} for one in told]
        stages = [{**stage, **_who(one)} for one in told for stage in one.stages]
        return replace(best, stages=tuple(stages), searched=tuple(searched)), side


@dataclass(eq=False)
class _Side:
    """One pair on its way through a picture; p-values are those that the whole search has paid for.

    ``resized``: records of the picture in other sizes, whose numbers all pairs of a model have in common.
    """

    detector: Detector
    reading: Reading
    resized: dict[Resized, Reading]
    found: Outcome = UNREAD
    failed: str | None = None
    _walk: Iterator[Outcome] | None = None

    @property
    def sizes(self) -> int:
        """In how many sizes the picture is read."""
        return len(self.detector.sizes_of(self.reading))

    def step(self, pairs: int) -> None:
        """Run the next stage, if there is one; a model whose sampler cannot be undone says nothing of any picture."""
        self._walk = self._walk or self.detector.walk(self.reading, self._other)
        try:
            found = next(self._walk, None)
        except SamplerError as error:
            self.failed, found = str(error), None
        if found is None:
            return
        self.found = replace(
            found,
            log10_class=min(NOTHING, found.log10_class + math.log10(pairs)),
            log10_keyring=min(NOTHING, found.log10_keyring + math.log10(pairs)),
        )

    def _other(self, size: Size) -> Reading:
        """The record of the picture in another size, with findings of its own."""
        picture = self.reading.picture
        what = id(self.detector.model), (picture.shape[0], picture.shape[1]), size
        if what not in self.resized:
            self.resized[what] = self.detector.tools_for(size).reading(sizes.resized(picture, size))
        return _beside(self.resized[what])

    def result(self, seconds: float, notes: tuple[str, ...]) -> Detection:
        """What this pair says."""
        nothing = self.failed or one_colour(self.reading)
        return self.detector.result(self.reading, None if nothing else self.found, seconds, notes, self.failed)


_RANK = (Answer.KEY, Answer.KEYRING, Answer.NOT_ASSESSABLE, Answer.NONE)
"""What outweighs what: where one model failed, nothing that the others did not find is known not to be there."""


def _who(one: Detection) -> dict[str, str]:
    return {"keyring": one.keyring, "keyring_name": one.keyring_name, "model": one.model}


def _order(one: Detection) -> tuple[int, float]:
    """The surest answer first."""
    least = one.log10_p_keyring if one.answer is Answer.KEYRING else one.log10_p
    return _RANK.index(one.answer), least


def _beside(reading: Reading) -> Reading:
    """A record with the same numbers, and findings of its own."""
    return replace(reading, calls=Counter(reading.calls), done=[])


def check(pairs: Sequence[Pair]) -> None:
    """Raise ``InputError`` unless there is a pair, and none twice."""
    if not pairs:
        raise InputError("At least one keyring is to be searched.")
    seen = Counter((id(model), keyring.id) for model, keyring in pairs)
    twice = next((keyring for model, keyring in pairs if seen[id(model), keyring.id] > 1), None)
    if twice is not None:
        raise InputError(f"The keyring {twice.id} is named twice; each is searched once.")
