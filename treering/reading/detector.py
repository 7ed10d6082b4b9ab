"""Detect: which rooms do what, in which order, and nothing else."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

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
from ..settings import Reading
from ..types import Answer, Detection, Match, Solution
from .assessable import unreadable

ROWS = 8
"""Pictures that go through the networks together on a GPU."""

KEPT = 1 << 28
"""Bytes of values that are kept from picture to picture; those of larger searches are made anew for each batch."""


class Detector:
    """Reads marks of one keyring from pictures.

    ``settings``: how; ``changes`` are its fields by name.  ``method`` may also be a plan of decoder inversion.
    Raises ``ModelError`` if the keyring's marks do not fit the model.
    """

    def __init__(
        self,
        model: LatentModel,
        keyring: Keyring,
        settings: Reading | None = None,
        *,
        method: str | DecoderInversion | None = None,
        **changes: Any,
    ) -> None:
        keyring.check_fits(model)
        if isinstance(method, str):
            changes["method"] = method
        self.model, self.keyring = model, keyring
        self.settings = replace(settings or Reading(), **changes)
        keyring.check_classes(self.settings.keys)
        self.plan = method if isinstance(method, DecoderInversion) else _plan(self.settings)

    @cached_property
    def schedule(self) -> Schedule:
        """The sampler's steps."""
        return probe(self.model.scheduler(), self.settings.steps or self.keyring.steps)

    @cached_property
    def _fingerprint(self) -> str:
        return f"{self.model.name}:{self.model.fingerprint}"

    @cached_property
    def _values(self) -> list[Any] | None:
        """Values of all classes that are searched, made once for all pictures; None where they take too much memory."""
        keys = range(self.keyring.classes) if self.settings.keys is None else self.settings.keys
        count = len(keys) * self.keyring.nonces * len(self.keyring.cells().count)  # complex128, 16 bytes each
        return list(self.keyring.blocks(keys)) if 16 * count <= KEPT else None

    def latent(self, pictures: NDArray[np.uint8]) -> Solution:
        """Pictures uint8 ``[B, H, W, 3]`` to latents."""
        pixels = torch.from_numpy(images.to_float(pictures))
        return inversion.invert_decoder(self.model, pixels, self.plan)

    def noise(self, latent: Tensor) -> Tensor:
        """Latents to noise, both ``[B, C, h, w]``."""
        f = self.model.denoiser([self.settings.prompt] * len(latent), self.settings.guidance)
        return inversion.invert_sampler(self.schedule, f, latent, self.settings.scheme)

    def match(self, noise: Tensor) -> list[Match]:
        """Noise ``[B, C, h, w]`` against the keyring."""
        return self.keyring.match(noise, self.settings.keys, blocks=self._values)

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
        noise = self.noise(solution.value)
        reasons = unreadable(pictures, solution, noise)
        matches = self.match(torch.nan_to_num(noise, 0.0, 0.0, 0.0))
        seconds = round((time.perf_counter() - started) / len(pictures), 3)
        return [
            self._result(match, solution, reasons[i], i, seconds, tuple(notes[i]) if i < len(notes) else ())
            for i, match in enumerate(matches)
        ]

    def _result(
        self, match: Match, solution: Solution, reason: str | None, i: int, seconds: float, notes: tuple[str, ...]
    ) -> Detection:
        p = 10.0**match.log10_p if math.isfinite(match.log10_p) else 1.0
        found = p <= self.settings.fpr  # holds whatever became of the numbers: p is of the values that there are
        return Detection(
            answer=Answer.KEY if found else Answer.NOT_ASSESSABLE if reason else Answer.NONE,
            key=match.key if found else None,
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
            reason=None if found else reason,
            notes=notes,
        )


def _plan(settings: Reading) -> DecoderInversion:
    return inversion.method(settings.method).with_budget(settings.iterations)
