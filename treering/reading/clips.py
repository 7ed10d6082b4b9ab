"""Clips read frame by frame: evidence added up over frames, everything else decided once a clip.

All frames carry the same key at the same frequencies (:mod:`treering.marks.clips`), and spectra are linear: adding the
scores of one key over frames is scoring it against the mean of the recovered noises.  So a clip is read as *one* noise,
and all that is known of a picture's p-value holds: the values of a wrong key are random given the clip, whatever its
frames have in common with each other, and the deviation of the score follows from the mean spectrum.  Frames that were
dropped, doubled, re-timed or trimmed change which frames are in the mean, and nothing that would have to be searched;
which frames are looked at is decided without the secret, so that it costs nothing either.

Borders and poses are of the clip: decided on one frame or a few, undone in all that are read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ..clips import keep
from ..errors import InputError
from ..types import Detection
from .affine import Floats
from .detector import Detector, Size
from .plan import EFFORTS
from .record import Finding, Reading, Watch
from .stages import Stage
from .tools import ENCODER, Noise, Tools, Undone

Frames = NDArray[np.uint8]

FEW = 4
"""Frames that are enough to begin with, and to undo poses in."""


@dataclass(eq=False)
class ClipReading(Reading):
    """A clip on its way.  ``parts``: its frames, each a reading of its own.

    ``picture`` is the frame of most contrast, where borders and flat places show; ``noises`` are means over frames.
    """

    parts: list[Reading] = field(default_factory=list)

    def some(self, count: int) -> list[Reading]:
        """Frames, evenly spread."""
        return [self.parts[i] for i in keep.even(len(self.parts), count)]

    def take_over(self, parts: Sequence[Reading]) -> None:
        """What became of the frames' solver calls becomes the clip's."""
        for part in parts:
            self.calls += part.calls
            part.calls.clear()
            self.failed |= part.failed


class ClipTools(Tools):
    """As :class:`Tools`, for clips: a noise is the mean of the noises of frames."""

    def clip(self, frames: Frames) -> ClipReading:
        """A new record of a clip uint8 ``[K, H, W, 3]``."""
        parts = [self.reading(frame) for frame in frames]
        shown = frames[int(np.argmax([frame.std() for frame in frames]))]
        return ClipReading(shown, np.any([part.alive for part in parts], 0), parts=parts)

    def prepare(self, readings: Sequence[Reading], method: str, steps: int) -> None:
        """Recover the noises of clips, frame by frame."""
        for reading in readings:
            if not isinstance(reading, ClipReading):
                super().prepare([reading], method, steps)
            elif (method, steps) not in reading.noises:
                reading.noises[method, steps] = self.mean(reading, reading.parts, method, steps)
                reading.solutions[method] = reading.parts[0].solutions[method]

    def mean(self, reading: ClipReading, parts: Sequence[Reading], method: str, steps: int) -> Noise:
        """Mean noise of these frames, as many at a time as the networks take together."""
        rows = self.model.batching.rows("detect")
        for i in range(0, len(parts), rows):
            super().prepare(parts[i : i + rows], method, steps)
        reading.take_over(parts)
        return _mean([part.noises[method, steps] for part in parts])

    def undo(self, reading: Reading, pose: Floats, zoom: float = 1.0) -> Undone:
        """A few frames in which a pose ``[2, 3]`` is undone in pixels."""
        if not isinstance(reading, ClipReading):
            return super().undo(reading, pose, zoom)
        undone = tuple(super(ClipTools, self).undo(part, pose, zoom) for part in reading.some(FEW))
        reading.take_over(reading.some(FEW))
        return UndoneClip(undone[0].latent, np.any([one.shown for one in undone], 0), undone)

    def undone(self, reading: Reading, undone: Undone, steps: int) -> Noise:
        """The mean noise of such frames."""
        if not isinstance(undone, UndoneClip):
            return super().undone(reading, undone, steps)
        return _mean([super(ClipTools, self).undone(reading, one, steps) for one in undone.parts])


@dataclass(frozen=True, eq=False)
class UndoneClip(Undone):
    """Frames of a clip in which a pose was undone; ``parts``: each of them."""

    parts: tuple[Undone, ...] = ()


def _mean(noises: Sequence[Noise]) -> Noise:
    """Mean of noises ``[C, h, w]``; summed in float64, so that rounding does not grow with the number of frames."""
    mean: Noise = np.asarray(np.stack(noises).mean(0, dtype=np.float64), np.float32)
    return mean


@dataclass(frozen=True)
class Some:
    """A few frames of the clip as given, which is enough for most clips."""

    name: str
    share: float
    steps: int
    count: int = FEW

    def run(self, reading: Reading, tools: Tools) -> Finding | None:
        """Read them; nothing where the clip has no more, as the next stage reads all."""
        if not isinstance(reading, ClipReading) or not isinstance(tools, ClipTools) or len(reading.parts) <= self.count:
            return None
        noise = tools.mean(reading, reading.some(self.count), ENCODER, self.steps)
        evidence = tools.values.read(noise)
        return Finding(evidence.match.log10_p, evidence.log10_keyring, evidence.match)


def stages(way: str) -> tuple[Stage, ...]:
    """The stages of an effort, for clips: those of pictures, with a look at a few frames before the first."""
    plan = EFFORTS[way]
    if way not in _STEPS:
        return plan
    half = plan[0].share / 2
    return (Some("a few frames", half, _STEPS[way]), replace(plan[0], share=half), *plan[1:])  # type: ignore[type-var]


_STEPS = {"fast": 2, "normal": 2, "max": 2}
"""Steps of that look, by effort."""


def either(detector: Detector) -> Callable[[Frames, Sequence[Sequence[str]]], list[Detection]]:
    """What reads pictures ``[B, H, W, 3]`` by this detector, and clips ``[B, K, H, W, 3]`` with the same settings."""
    kept: list[ClipDetector] = []

    def read(pixels: Frames, notes: Sequence[Sequence[str]] = ()) -> list[Detection]:
        if np.ndim(pixels) != 5:
            return detector(pixels, notes)
        if not kept:
            kept.append(ClipDetector(detector.model, detector.keyring, detector.settings, every=detector.every))
        return kept[0](pixels, notes)

    return read


class ClipDetector(Detector):
    """Reads marks from clips that a picture model makes or could have made, frame by frame.

    Called with clips uint8 ``[B, K, H, W, 3]`` of frames of the model's size, in any number and order.  Settings as for
    :class:`Detector`.
    """

    tools: ClipTools

    def _made_tools(self) -> ClipTools:
        return ClipTools(self.model, self.keyring, self.settings, self.plan)

    def _sizes(self, given: Size) -> Sequence[Size]:
        """Clips are read in the size that their frames were brought to."""
        return (given,)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """What is done to a clip, cheap first."""
        return stages(self.settings.way)

    def __call__(
        self,
        pictures: Frames,
        notes: Sequence[Sequence[str]] = (),
        watches: Sequence[Watch | None] = (),
    ) -> list[Detection]:
        """One result a clip ``[K, H, W, 3]``; ``notes``: what to say beside each; ``watches``: nobody is told."""
        wanted = (*self.keyring.image_size, 3)
        if np.ndim(pictures) != 5 or tuple(pictures.shape[2:]) != wanted or pictures.dtype != np.uint8:
            given = f"{pictures.dtype} {list(pictures.shape)}"
            raise InputError(f"Clips must be uint8 [B, K, {wanted[0]}, {wanted[1]}, 3], not {given}.")
        if not pictures.shape[1]:
            raise InputError("A clip has at least one frame.")
        results = []
        for i, frames in enumerate(pictures):
            results.append(self._one(self.tools.clip(frames), 0.0, tuple(notes[i]) if i < len(notes) else ()))
        return results
