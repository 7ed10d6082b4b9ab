"""Detect: which rooms do what, in which order, and nothing else."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import inversion
from ..errors import InputError
from ..inversion import DecoderInversion
from ..marks.keyring import Keyring
from ..models import LatentModel
from ..models.schedule import Schedule, probe
from ..pictures import images
from ..types import Detection, Match, Solution

FPR = 1e-6
"""False-positive rate of detection."""

ROWS = 8
"""Pictures that go through the networks together on a GPU."""


@dataclass(frozen=True)
class Detector:
    """Reads marks of one keyring from pictures.

    ``method``: a name of :data:`treering.inversion.METHODS` or a plan.  ``keys``: classes to search
    (None: all of the keyring).  ``fpr``: the p-value up to which a class is named, after correction
    for all classes searched.  ``prompt`` and ``guidance``: empty and 1, unless the prompt is known.
    """

    model: LatentModel
    keyring: Keyring
    method: str | DecoderInversion = inversion.DEFAULT
    fpr: float = FPR
    keys: Sequence[int] | None = None
    prompt: str = ""
    guidance: float = 1.0
    steps: int | None = None
    scheme: Literal["naive", "fixed-point"] = "naive"

    def __post_init__(self) -> None:
        self.keyring.check_fits(self.model)
        if not 0 < self.fpr < 1:
            raise InputError("The false-positive rate must lie between 0 and 1.")
        self.keyring.check_classes(self.keys)

    @cached_property
    def plan(self) -> DecoderInversion:
        """The decoder inversion to use."""
        return inversion.method(self.method) if isinstance(self.method, str) else self.method

    @cached_property
    def schedule(self) -> Schedule:
        """The sampler's steps."""
        return probe(self.model.scheduler(), self.keyring.steps if self.steps is None else self.steps)

    @cached_property
    def _fingerprint(self) -> str:
        return f"{self.model.name}:{self.model.fingerprint}"

    def latent(self, pictures: NDArray[np.uint8]) -> Solution:
        """Pictures uint8 ``[B, H, W, 3]`` to latents."""
        pixels = torch.from_numpy(images.to_float(pictures))
        return inversion.invert_decoder(self.model, pixels, self.plan)

    def noise(self, latent: Tensor) -> Tensor:
        """Latents to noise, both ``[B, C, h, w]``."""
        f = self.model.denoiser([self.prompt] * len(latent), self.guidance)
        return inversion.invert_sampler(self.schedule, f, latent, self.scheme)

    def match(self, noise: Tensor) -> list[Match]:
        """Noise ``[B, C, h, w]`` against the keyring."""
        return self.keyring.match(noise, self.keys)

    def __call__(self, pictures: NDArray[np.uint8], notes: Sequence[Sequence[str]] = ()) -> list[Detection]:
        """One result a picture uint8 ``[B, H, W, 3]``; it does not depend on the others.

        ``notes``: what to say beside each result.  On a GPU several pictures go through the networks
        together: then they are independent up to rounding, and ``seconds`` is their mean.
        """
        wanted = (*self.keyring.image_size, 3)
        if np.ndim(pictures) != 4 or tuple(pictures.shape[1:]) != wanted or pictures.dtype != np.uint8:
            given = f"{pictures.dtype} {list(pictures.shape)}"
            raise InputError(
                f"Pictures must be uint8 [B, {wanted[0]}, {wanted[1]}, 3], not {given}; "
                "images.read(path, keyring.image_size) makes them fit."
            )
        rows = 1 if self.model.device.type == "cpu" else ROWS
        results: list[Detection] = []
        for i in range(0, len(pictures), rows):
            results += self._detect(pictures[i : i + rows], notes[i : i + rows])
        return results

    def _detect(self, pictures: NDArray[np.uint8], notes: Sequence[Sequence[str]]) -> list[Detection]:
        started = time.perf_counter()
        solution = self.latent(pictures)
        matches = self.match(self.noise(solution.value))
        seconds = round((time.perf_counter() - started) / len(pictures), 3)
        return [
            self._result(match, solution, i, seconds, tuple(notes[i]) if i < len(notes) else ())
            for i, match in enumerate(matches)
        ]

    def _result(self, match: Match, solution: Solution, i: int, seconds: float, notes: tuple[str, ...]) -> Detection:
        p = 10.0**match.log10_p if math.isfinite(match.log10_p) else 1.0
        return Detection(
            key=match.key if p <= self.fpr else None,
            p_value=p,
            log10_p=match.log10_p,
            best_key=match.key,
            z=match.z,
            classical_log10_p=match.classical_log10_p,
            model=self._fingerprint,
            keyring=self.keyring.id,
            method=self.plan.name,
            evaluations=int(solution.evaluations[i]),
            status=solution.status[i].name.lower(),
            seconds=seconds,
            notes=notes,
        )
