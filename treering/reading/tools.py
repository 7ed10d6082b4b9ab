"""What stages read with: one model, one keyring, one way of reading; the numbers of a picture, made when asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import inversion
from ..inversion import DecoderInversion
from ..marks.keyring import Keyring
from ..models import Model
from ..pictures import images
from ..pictures.borders import flat
from ..pictures.poses import undo_affine
from ..settings import Reading as Settings
from ..types import Solution, Status
from .affine import Floats, affine
from .evidence import Values
from .record import Reading, Way
from .spectra import Complexes

ENCODER = "encoder"
SOLVED = 20
"""Evaluations of the denoiser for a step that is solved."""
ENOUGH = 5
"""Evaluations beyond which solving the step of a model of few makes a reading worse: it fits what was lost on the way.
(`python -m treering.research onestep`: the evidence is greatest at 5, and at 20 below that of a naive step.)"""
Noise = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Undone:
    """A picture in which a pose was undone in pixels: its latent ``[1, C, h, w]``, and which cells show something."""

    latent: Tensor
    shown: NDArray[np.bool_]


class Tools:
    """``plan``: the decoder inversion of the stages that take more than the encoder."""

    def __init__(self, model: Model, keyring: Keyring, settings: Settings, plan: DecoderInversion) -> None:
        self.model, self.keyring, self.settings, self.plan = model, keyring, settings, plan

    @cached_property
    def values(self) -> Values:
        """The keyring's points and the values of the classes to search."""
        return Values(self.keyring, self.settings.keys)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the pictures that are read."""
        return self.keyring.image_size

    @property
    def ratio(self) -> float:
        """Width by height of the model's pictures."""
        height, width = self.size
        return width / height

    def reading(self, picture: NDArray[np.uint8]) -> Reading:
        """A new record of a picture uint8 ``[H, W, 3]``."""
        return Reading(picture, self._alive(picture))

    def again(self, picture: NDArray[np.uint8], way: Way) -> Complexes:
        """The values of a picture uint8 ``[H, W, 3]``, complex ``[N]``, read once more in a way that was told.

        No secret is needed: where marks are written follows from the pattern alone.
        """
        reading = self.reading(picture)
        if way.undone is None:
            return self.values.coefficients(self.noise(reading, way.method, way.steps), way.within)
        noise = self.undone(reading, self.undo(reading, way.undone), way.steps)
        return self.values.coefficients(noise, way.within)

    def _alive(self, picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
        alive = ~flat(picture, self.model.factor)
        # A picture of few colours keeps its flat cells: without them there would be nothing left to read.
        return alive if alive.mean() > 0.25 else np.ones_like(alive)

    # -------------------------------------------------------------------------------- numbers

    def prepare(self, readings: Sequence[Reading], method: str, steps: int) -> None:
        """Recover the noises of several pictures together."""
        fresh = [reading for reading in readings if (method, steps) not in reading.noises]
        if not fresh:
            return
        self._latents(fresh, method)
        latent = torch.cat([reading.solutions[method].value for reading in fresh])
        found = self.back(latent, steps)
        for i, reading in enumerate(fresh):
            reading.keep(method, steps, found.value[i])
            reading.calls[f"sampler: {found.status[i].name.lower()}"] += 1
            if found.status[i] is Status.NONFINITE:
                reading.failed["sampler"] = f"The noise inversion of {method} gave numbers that are not finite."

    def noise(self, reading: Reading, method: str, steps: int) -> Noise:
        """The noise of a picture, float32 ``[C, h, w]``, zero in cells of one colour."""
        self.prepare([reading], method, steps)
        return reading.noises[method, steps]

    def _latents(self, readings: Sequence[Reading], method: str) -> None:
        fresh = [reading for reading in readings if method not in reading.solutions]
        if not fresh:
            return
        found = self.decoded(np.stack([reading.picture for reading in fresh]), method)
        for i, reading in enumerate(fresh):
            reading.solutions[method] = _row(found, i)
            reading.calls[f"{method}: {found.status[i].name.lower()}"] += 1
            if found.status[i] is Status.NONFINITE or not torch.isfinite(found.value[i]).all():
                reading.failed["decoder"] = f"The decoder inversion {method} gave numbers that are not finite."

    def decoded(self, pictures: NDArray[np.uint8], method: str) -> Solution:
        """Pictures uint8 ``[B, H, W, 3]`` to latents, by the encoder or by the plan."""
        pixels = torch.from_numpy(images.to_float(pictures))
        plan = inversion.METHODS[ENCODER] if method == ENCODER else self.plan
        return inversion.invert_decoder(self.model, pixels, plan)

    def back(self, latent: Tensor, steps: int) -> Solution:
        """Latents to noise, both ``[B, C, h, w]``.

        A model that was distilled to few steps has no more to undo: what a stage would spend on ``steps`` of them it
        spends on solving those few.  What the settings name holds for every model.
        """
        few = getattr(self.model, "few_steps", None)
        if few is not None:
            spent = 1 if self.settings.steps else min(steps // few, ENOUGH)
            solved = SOLVED if self.settings.scheme == "fixed-point" else spent
            count, evaluations = self.settings.steps or few, max(solved, 1)
            prompt, guidance = self.settings.prompt, self.settings.guidance
            return self.model.recovered(latent, prompt, steps=count, guidance=guidance, evaluations=evaluations)
        given = self.settings
        tries = 1 if given.scheme == "naive" else SOLVED
        return self.model.recovered(latent, given.prompt, steps=steps, guidance=given.guidance, evaluations=tries)

    def undo(self, reading: Reading, pose: Floats, zoom: float = 1.0) -> Undone:
        """A picture in which a pose ``[2, 3]`` is undone in pixels: the encoder's pass, from which any steps start.

        ``zoom``: size of the frame as made in shares of the model's own.
        """
        cell = self.model.factor
        step = cell if zoom == 1 else 8 * cell  # of sizes that every network takes
        size = tuple(max(step, round(side * zoom / step) * step) for side in self.size)
        pixels, covered = undo_affine(reading.picture, pose, (size[0], size[1]))
        shown = covered.reshape(size[0] // cell, cell, size[1] // cell, cell).mean((1, 3)) > 0.5
        return Undone(self.decoded(pixels[None], ENCODER).value, shown & ~flat(pixels, cell))

    def half(self, reading: Reading, steps: int, moved: tuple[float, float] = (0.0, 0.0)) -> Noise:
        """The noise of the picture read at half its size, whose parts are nearer to their size as made.

        ``moved``: by how much its content is (down, across), in shares of the picture, before that is undone.
        """
        name = f"half {moved}"
        if (name, steps) not in reading.noises:
            small = self.undo(reading, affine(np.eye(2), np.asarray(moved)), 0.5)
            reading.noises[name, steps] = self.undone(reading, small, steps)
        return reading.noises[name, steps]

    def undone(self, reading: Reading, undone: Undone, steps: int) -> Noise:
        """The noise of such a picture ``[C, h, w]``; zero where nothing was shown.

        Numbers that are not finite are told in ``reading.failed`` and count for nothing.
        """
        found = self.back(undone.latent, steps)
        reading.calls[f"sampler: {found.status[0].name.lower()}"] += 1
        noise = found.value[0].detach().cpu().float().numpy()
        if not np.isfinite(noise).all():
            reading.failed["pose"] = "A reading in another pose gave numbers that are not finite."
            return np.zeros_like(noise)
        return np.where(undone.shown, noise, np.float32(0))


def _row(found: Solution, i: int) -> Solution:
    one = slice(i, i + 1)
    return Solution(
        found.value[one], found.residual[one], found.evaluations[one], found.status[one], found.trace[:, one]
    )
