"""What decides a reading of a model of one step: the latent, the prompt, or how far the step is solved.

``python -m treering.research onestep --model demo-flow``.  Marked pictures are read from four latents (the true one,
which nobody has; the encoder's; those of two decoder inversions), with the prompt unknown and known, and the step
undone by one evaluation (naive) up to :data:`MOST`, by Anderson acceleration.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ... import inversion, writing
from ...errors import InputError
from ...inversion import DecoderInversion
from ...marks.keyring import Keyring
from ...models import LatentModel
from ...models.rectified import RectifiedFlowModel
from ...pictures import images
from ...solvers import Adam
from ...types import Solution, Status
from ..common import Note, fixed, words, write_table

EVALUATIONS = (0, 1, 2, 5, 10, 20)
"""Of the denoiser; with none the latent itself is read as if it were noise."""
UNKNOWN, KNOWN = "unknown", "known"
KEYS = 3

PLANS: dict[str, DecoderInversion] = {
    "encoder": inversion.METHODS["encoder"],
    "Adam (paper), 20": DecoderInversion(Adam(0.01), 20),
    f"default: {inversion.DEFAULT}": inversion.METHODS[inversion.DEFAULT],
}
TRUE = "the true latent"

Figures = tuple[float, float, float, float, float]
"""log10 p, whether the right key is best, RMS error of the noise, residual of the step, whether it was solved."""


def onestep(model: LatentModel, keyring: Keyring, output: Path, count: int, note: Note) -> str:
    """Evidence by latent, prompt and evaluations, medians over ``count`` marked pictures."""
    if not isinstance(model, RectifiedFlowModel) or model.few_steps != 1:
        raise InputError("This study is of models of one step: name one, such as --model demo-flow.")
    rows: dict[tuple[str, str, int], list[Figures]] = {}
    far: dict[str, list[float]] = {}
    for i in range(count):
        for latent, error, prompt, n, figures in _picture(model, keyring, i):
            rows.setdefault((latent, prompt, n), []).append(figures)
            far.setdefault(latent, []).append(error)
        note(f"picture {i + 1} of {count}")
    header = ("latent", "its error", "prompt", "evaluations", "median log10 p", "right key", "noise error", "residual")
    table = [
        [latent, fixed(float(np.median(far[latent])), 3), prompt, str(n), *_cells(found)]
        for (latent, prompt, n), found in rows.items()
    ]
    return write_table(output / "onestep.md", (*header, "solved"), table)


def _cells(found: list[Figures]) -> Iterator[str]:
    log10_p, right, error, residual, solved = np.array(found).T
    yield fixed(float(np.median(log10_p)), 1)
    yield f"{int(right.sum())}/{len(found)}"
    yield fixed(float(np.median(error)), 3)
    unchecked = bool(np.isnan(residual).any())
    yield "" if unchecked else fixed(float(np.median(residual)), 4)
    yield "" if unchecked else f"{int(solved.sum())}/{len(found)}"


def _picture(model: RectifiedFlowModel, keyring: Keyring, i: int) -> Iterator[tuple[str, float, str, int, Figures]]:
    """All readings of marked picture i, with the RMS error of the latent that each begins with."""
    seed, key = 9_000_000 + i, i % KEYS
    prompt, noise = words(model, seed), keyring.noise(key, seed)
    true = writing.latents(model, noise, [prompt])
    picture = writing.pictures(model, true)
    for name, latent in {TRUE: true, **_latents(model, picture)}.items():
        error = _rms(latent - true)
        for text, said in ((UNKNOWN, ""), (KNOWN, prompt)):
            for n in EVALUATIONS:
                if n or text == UNKNOWN:
                    found = model.recovered(latent, said, steps=1, evaluations=n) if n else None
                    value = latent if found is None else found.value
                    yield name, error, text, n, (*_read(keyring, value, key), _rms(value - noise), *_solved(found))


def _latents(model: RectifiedFlowModel, picture: NDArray[np.uint8]) -> dict[str, Tensor]:
    pixels = torch.from_numpy(images.to_float(picture))
    return {name: inversion.invert_decoder(model, pixels, plan).value for name, plan in PLANS.items()}


def _read(keyring: Keyring, noise: Tensor, key: int) -> tuple[float, float]:
    match = keyring.match(noise, range(KEYS))[0]
    return match.log10_p, float(match.key == key)


def _solved(found: Solution | None) -> tuple[float, float]:
    if found is None:
        return math.nan, math.nan
    return float(found.residual[0]), float(found.status[0] is Status.CONVERGED)


def _rms(x: Tensor) -> float:
    return float(x.square().mean().sqrt())
