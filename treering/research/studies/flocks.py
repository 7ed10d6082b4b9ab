"""Flocks under one secret: how alike pages of a kind are to a reading, and what choosing the secret does about it."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ...marks import fourier
from ...marks.keyring import Keyring
from ...models import LatentModel
from ...pictures.pages import draw
from ...reading import flocks as pages
from ...settings import FPR
from .. import pool
from ..common import Note, Pictures, fixed, write_table

Floats = NDArray[np.float64]

DRAWS = 20_000
"""Draws of a conditional normal distribution."""

STAGES = 8.0
"""What the stages of a plan and the two questions divide a share of the error by."""

HEADER = (
    "kind",
    "layout",
    "pages",
    "likeness of two, median",
    "if one page is named, also named of 100 others",
    "the same with chosen secrets",
    "false namings left by the choice",
)


def flocks(model: LatentModel, keyring: Keyring, output: Path, count: int, note: Note) -> str:
    """``count`` pages of each kind beside the reference pages, class part alone, at the level of one naming.

    Given a page, its score and those of others are jointly normal over secrets, with the likeness (cosine) of what was
    read as their correlation; so what is rare is drawn where it happens: given that a page is named.
    """
    ring = pool.keyring(model, 64)
    reference = pages.reference(model)
    pages.keep(reference, output / "pages.safetensors")
    rows = []
    for kind, layouts in product(reference, ("of a reference page", "one other", "of its own each")):
        noises = pages.recovered(model, [_page(model, kind, layouts, i) for i in range(count)])
        rows.append([kind, layouts, str(count), *_row(ring, noises, pages.together(reference))])
        note(" | ".join(rows[-1]))
    return write_table(output / "flocks.md", HEADER, rows)


def _page(model: LatentModel, kind: str, layouts: str, i: int) -> Pictures:
    number = 1000 + i
    layout = {"of a reference page": 0, "one other": 1000, "of its own each": number}[layouts]
    return draw(kind, model.image_size, number, layout)


def _row(keyring: Keyring, noises: pages.Noises, reference: pages.Noises) -> list[str]:
    unit, known = _unit(keyring, noises), _unit(keyring, reference)
    alike = unit @ unit.T
    tests = keyring.classes * keyring.nonces
    named = -float(special.ndtri(FPR / STAGES / tests))
    refused = -float(special.ndtri(pages.REFUSED / (2 * len(reference)) / tests))
    rng, with_any, with_chosen, left = np.random.default_rng(0), [], [], []
    for i in range(len(unit)):
        taken, flock = _given(rng, unit, known, i, named, refused)
        left.append(taken.mean())
        with_any.append(flock.mean())
        with_chosen.append(flock[taken].mean() if taken.any() else 0.0)
    off = alike[~np.eye(len(alike), dtype=bool)]
    shares = (fixed(100 * float(np.mean(some)), 1) for some in (with_any, with_chosen))
    return [fixed(float(np.median(off)), 2), *shares, f"{np.mean(left):.0%}"]


def _given(
    rng: np.random.Generator, unit: Floats, known: Floats, i: int, named: float, refused: float
) -> tuple[NDArray[np.bool_], Floats]:
    """Given that page i is named by one mark: whether the secret would be taken, and the share of others named too."""
    tail = special.log_ndtr(-named) + np.log(rng.uniform(size=DRAWS))
    z = -special.ndtri_exp(tail)  # a normal number beyond the level
    both = np.concatenate([known, np.delete(unit, i, 0)])
    pull = both @ unit[i]
    rest = both @ both.T - np.outer(pull, pull)
    values, vectors = np.linalg.eigh(rest)
    noise = rng.standard_normal((DRAWS, len(both))) @ (vectors * np.sqrt(np.maximum(values, 0))).T
    scores = z[:, None] * pull + noise
    return (scores[:, : len(known)] < refused).all(1), (scores[:, len(known) :] >= named).mean(1)


def _unit(keyring: Keyring, noises: pages.Noises) -> Floats:
    """What the class part sees of each page, as real vectors of length 1: ``[P, 2 D]``."""
    import torch

    cells = keyring.cells()
    own = ~cells.sync.numpy()
    found = fourier.coefficients(torch.from_numpy(noises), cells).numpy()[:, own]
    parts = np.concatenate([found.real, found.imag], 1)
    size: Floats = np.linalg.norm(parts, axis=1, keepdims=True)
    return parts / np.maximum(size, math.ulp(1.0))
