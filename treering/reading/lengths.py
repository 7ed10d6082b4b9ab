"""Clips of any length that a video model makes: one detector for each number of frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..errors import InputError
from ..marks.keyring import Keyring
from ..models import Model
from ..models.adapter import PipelineModel
from ..settings import Reading as Settings
from ..types import Detection
from .clips import ClipDetector, Frames, either
from .detector import Detector
from .whole import WholeDetector

LONGEST = 128
"""Frames of a clip that are read at most; they are read together, one after the other."""

Read = Callable[[Frames, Sequence[Sequence[str]]], list[Detection]]


class AnyLength:
    """Called with clips uint8 ``[B, K, H, W, 3]`` of frames one after the other, or pictures ``[B, H, W, 3]``.

    A picture is a clip of one frame.  ``together``: so many frames of a clip are enough, the first ones.
    """

    def __init__(self, model: PipelineModel, keyring: Keyring, settings: Settings | None = None) -> None:
        self.model, self.keyring, self.settings = model, keyring, settings
        self.together = min(model.frames or 1, LONGEST)
        self._last: tuple[int, WholeDetector] | None = None

    def __call__(self, pixels: Frames, notes: Sequence[Sequence[str]] = ()) -> list[Detection]:
        """One result a clip or picture; ``notes``: what to say beside each."""
        frames = pixels if np.ndim(pixels) == 5 else pixels[:, None]
        return self._of(min(frames.shape[1], self.together))(frames, notes)

    def _of(self, frames: int) -> WholeDetector:
        if self._last is None or self._last[0] != frames:
            self._last = frames, WholeDetector(self.model, self.keyring, self.settings, frames=frames)
        return self._last[1]


def clips_by(model: Model, keyring: Keyring, settings: Settings) -> AnyLength | ClipDetector:
    """What reads clips of this model, whether it makes them as a whole or frame by frame."""
    if isinstance(model, PipelineModel) and model.clips:
        return AnyLength(model, keyring, settings)
    return ClipDetector(model, keyring, settings)


def anything(model: Model, keyring: Keyring, pictures: Callable[[], Detector], settings: Settings) -> AnyLength | Read:
    """What reads pictures and clips alike; ``pictures`` makes the detector of a picture model."""
    if isinstance(model, PipelineModel) and model.clips:
        return AnyLength(model, keyring, settings)
    return either(pictures())


def check_pictures(model: Model) -> None:
    """Raise ``InputError`` for a model that makes clips, where single pictures are asked for."""
    if isinstance(model, PipelineModel) and model.clips:
        raise InputError(f"The model {model.name} makes clips, not pictures; --frames says how many frames.")
