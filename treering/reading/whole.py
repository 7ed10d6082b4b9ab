"""Clips that a video model makes as a whole: all frames of a window go through its networks together.

The mean over the latent's frames is what is read, as for clips frame by frame (:mod:`.clips`).  Where the autoencoder
joins frames (a causal one takes the first alone and then so many at a time), a clip that was trimmed or re-timed falls
into other groups than it was made in: which start and which speed is a hypothesis each, and all are paid for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .. import inversion
from ..errors import InputError
from ..inversion import DecoderInversion, Gradient, Safeguarded
from ..marks.keyring import Keyring
from ..models.adapter import PipelineModel
from ..models.batching import Batching
from ..pictures import images
from ..pictures.borders import flat
from ..pictures.poses import undo_affine
from ..settings import Reading as Settings
from .affine import Floats
from .clips import ClipDetector, ClipReading, ClipTools, Frames
from .record import Finding, Reading
from .stages import Given, Posed, Stage
from .tools import ENCODER, Noise, Tools, Undone

SPEEDS = (1.0, 4 / 5, 5 / 4, 1 / 2, 2.0)
"""Frames of the clip as made for one of the clip as given: 24 to 30 frames a second and back, doubled, halved."""

WINDOWS = 4
"""Windows of a long clip that are read."""


class Planes:
    """A model of clips as its single frames are: what a detector asks of a picture model.

    ``frames``: of one window (None: the clips that the model makes unless told otherwise).  ``size``: height and width
    in pixels (None: the model's own).  ``call``: what else the pipeline's call takes.
    """

    captions = None
    offset = (0.0, 0.0)

    def __init__(
        self, model: PipelineModel, size: tuple[int, int] | None = None, frames: int | None = None, **call: Any
    ) -> None:
        self.model, self.call, self.batching = model, call, Batching({})
        found = model.layout(size, frames)
        if found.frames is None or len(found.shape) != 4:
            raise InputError(f"The model {model.name} makes pictures, not clips.")
        self.frames, self.image_size = found.frames, found.size
        self.shape = (found.shape[0], found.shape[2], found.shape[3])
        self.factor = found.size[0] // found.shape[2]
        many = found.shape[1] > 1 and found.frames > found.shape[1]
        self.joined = (found.frames - 1) // (found.shape[1] - 1) if many else 1
        self.name = model.name

    @property
    def fingerprint(self) -> str:
        """Of the pipeline."""
        return self.model.fingerprint

    @property
    def device(self) -> torch.device:
        """Where the pipeline computes."""
        return self.model.device

    def windows(self, count: int) -> Iterator[NDArray[np.int64]]:
        """Which of ``count`` frames make each window; of a clip too short for one, the last is repeated."""
        whole = min(count, self.frames)
        length = max(1 + self.joined * ((whole - 1) // self.joined), min(self.frames, 1 + self.joined))
        pace = -(-length // self.joined) * self.joined
        starts = [start for start in range(0, WINDOWS * pace, pace) if start + length <= count] or [0]
        for start in starts:
            yield np.minimum(start + np.arange(length), count - 1)


class WholeTools(ClipTools):
    """As :class:`ClipTools`, with all frames of a window together."""

    def __init__(self, planes: Planes, keyring: Keyring, settings: Settings, plan: DecoderInversion) -> None:
        super().__init__(planes, keyring, settings, plan)  # type: ignore[arg-type]
        self.planes = planes
        if isinstance(plan.method, Gradient):
            raise InputError("The method gradient is for pictures; name another one for clips of a video model.")

    def prepare(self, readings: Sequence[Reading], method: str, steps: int) -> None:
        """Recover the noises of clips."""
        for reading in readings:
            if (method, steps) not in reading.noises:
                noise = self.recovered(reading, _frames(reading), steps, method)
                reading.noises[method, steps] = np.where(reading.alive, noise, np.float32(0))

    def recovered(self, reading: Reading, frames: Frames, steps: int, method: str = ENCODER) -> Noise:
        """Frames ``[K, H, W, 3]`` to the mean noise ``[C, h, w]`` of all windows and frames of the latent.

        ``steps``: of the noise inversion; 0 for the settings' or the keyring's.
        """
        total, count = np.zeros(self.planes.shape), 0
        for window in self.planes.windows(len(frames)):
            pixels = torch.from_numpy(images.to_float(frames[window])).transpose(0, 1)[None]  # [1, 3, F, H, W]
            noise = self._back(self._latent(pixels, method), steps)  # [1, C, F', h, w]
            total += noise.double().sum((0, 2)).cpu().numpy()
            count += noise.shape[2]
        if not np.isfinite(total).all():
            reading.failed["sampler"] = "The noise inversion of the clip gave numbers that are not finite."
            return np.zeros(self.planes.shape, np.float32)
        return (total / count).astype(np.float32)

    def _latent(self, pixels: torch.Tensor, method: str) -> torch.Tensor:
        if method == ENCODER or self.plan.method is None or isinstance(self.plan.method, Safeguarded):
            return self.planes.model.encode(pixels)
        return inversion.invert_decoder(self.planes.model, pixels, self.plan).value

    def _back(self, latent: torch.Tensor, steps: int) -> torch.Tensor:
        said, model = self.settings, self.planes.model
        steps = steps or said.steps or self.keyring.steps
        evaluations = 1 if said.scheme == "naive" else 8
        return model.recover(
            latent, said.prompt, steps=steps, guidance=said.guidance, evaluations=evaluations, **self.planes.call
        )

    def undo(self, reading: Reading, pose: Floats, zoom: float = 1.0) -> Undone:
        """A clip in which a pose ``[2, 3]`` is undone in pixels; a video model has one size, so that zoom is 1."""
        cell, done = self.planes.factor, [undo_affine(frame, pose, self.size) for frame in _frames(reading)]
        frames, covered = np.stack([pixels for pixels, _ in done]), done[0][1]
        shown = covered.reshape(self.planes.shape[1], cell, self.planes.shape[2], cell).mean((1, 3)) > 0.5
        return UndoneWhole(torch.empty(0), shown & ~flat(frames[0], cell), frames)

    def undone(self, reading: Reading, undone: Undone, steps: int) -> Noise:
        """The mean noise of such a clip."""
        if not isinstance(undone, UndoneWhole):
            raise TypeError("A clip of a video model is undone as a whole.")
        return np.where(undone.shown, self.recovered(reading, undone.frames, steps), np.float32(0))


@dataclass(frozen=True, eq=False)
class UndoneWhole(Undone):
    """A clip in which a pose was undone: its frames ``[K, H, W, 3]``."""

    frames: Frames


def _frames(reading: Reading) -> Frames:
    if isinstance(reading, ClipReading):
        return np.stack([part.picture for part in reading.parts])
    return reading.picture[None]


@dataclass(frozen=True)
class Timed:
    """Other starts and other speeds, where the autoencoder joins frames; each has an equal part of the share."""

    name: str
    share: float

    def run(self, reading: Reading, tools: Tools) -> Finding | None:
        """Read all of them."""
        if not isinstance(tools, WholeTools) or tools.planes.joined == 1:
            return None
        frames = _frames(reading)
        ways = list(_ways(len(frames), tools.planes.joined))
        found = [tools.values.read(tools.recovered(reading, frames[way], 0)) for way in ways]
        best, less = min(found, key=lambda one: one.match.log10_p), np.log10(len(ways))
        keyring = min(one.log10_keyring for one in found)
        by_class, by_keyring = (min(0.0, float(p + less)) for p in (best.match.log10_p, keyring))
        return Finding(by_class, by_keyring, best.match, tried=len(ways))


def _ways(count: int, joined: int) -> Iterator[NDArray[np.int64]]:
    """Which frames to read for each start and speed, besides the clip as given; fixed by the clip's length alone."""
    for speed in SPEEDS:
        for start in range(joined):
            if (speed, start) == (1.0, 0):
                continue
            length = max(1, int((count - 1) / speed) + 1 - start)
            yield np.minimum(np.round((start + np.arange(length)) * speed), count - 1).astype(np.int64)


_GIVEN = Given("as given", 1.0, ENCODER, 0)
STAGES: dict[str, tuple[Stage, ...]] = {
    "fast": (_GIVEN,),
    "normal": (replace(_GIVEN, share=1 / 2), Timed("start and speed", 1 / 4), Posed("pose", 1 / 4, 0)),
    "max": (replace(_GIVEN, share=1 / 2), Timed("start and speed", 1 / 4), Posed("pose", 1 / 4, 0, keep=3, most=100)),
    "single": (Given("as given", 1.0, "plan", 0),),
}
"""Stages by effort, cheap first."""


class WholeDetector(ClipDetector):
    """Reads marks from clips of a video model.

    Called with clips uint8 ``[B, K, H, W, 3]``: frames one after the other, of the model's size.  ``size``, ``frames``
    and ``call``: see :class:`Planes`; settings as for :class:`treering.reading.Detector`.
    """

    def __init__(
        self,
        model: PipelineModel,
        keyring: Keyring,
        settings: Settings | None = None,
        *,
        frames: int | None = None,
        call: dict[str, Any] | None = None,
        method: str | None = None,
        **changes: Any,
    ) -> None:
        planes = Planes(model, keyring.image_size, frames, **(call or {}))
        self.planes = planes
        super().__init__(planes, keyring, settings, method=method, **changes)  # type: ignore[arg-type]

    tools: WholeTools

    def _made_tools(self) -> WholeTools:
        return WholeTools(self.planes, self.keyring, self.settings, self.plan)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """What is done to a clip, cheap first."""
        return STAGES[self.settings.way]
