"""Secrets that name pages of text, flat areas, gradients or interfaces are drawn again.

p-values hold over secrets, for each picture by itself.  Under *one* secret pictures that look alike to a reading share
their fate: what is recovered from one page of text is nearly what is recovered from another, so a secret that falsely
names one names many, a *flock*.  A new secret is therefore held against reference pages of such kinds
(:mod:`treering.pictures.pages`) and drawn again where it says much of one of them, long before it would name it.  That
helps for pages that are laid out as one of these, and for no others: pages of another layout are not alike.

Secrets that are taken are not quite random any more.  The p-values of all questions about all pages are valid, so a
random secret is refused with a probability of at most :data:`REFUSED` (Bonferroni), whatever the pages and the model.
Hence for every picture P(p <= x | taken) <= x / (1 - REFUSED): the keyring remembers that share, and a detector
divides every p by it (:func:`treering.reading.plan.outcome`).
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from .. import files
from ..marks.keyring import MARKS, Keyring
from ..pictures import images, pages
from .evidence import Values

if TYPE_CHECKING:
    from ..models import LatentModel

REFUSED = 0.1
"""Share of secrets that may be refused."""

EACH = 3
"""Reference pages of a kind."""

STEPS = 5
"""Sampler steps of their reading."""

Noises = NDArray[np.float32]
"""What was recovered from reference pages: ``[P, C, h, w]``."""


def reference(model: LatentModel, each: int = EACH) -> dict[str, Noises]:
    """Noises of reference pages by their kind, each page with a layout of its own: ``[each, C, h, w]``."""
    return {
        kind: recovered(model, [pages.draw(kind, model.image_size, i) for i in range(each)]) for kind in pages.KINDS
    }


def recovered(model: LatentModel, pictures: Sequence[NDArray[np.uint8]]) -> Noises:
    """Noises of pictures, by the encoder and :data:`STEPS` steps."""
    latents = [model.encode(torch.from_numpy(images.to_float(one[None]))) for one in pictures]
    return np.stack([model.recover(latent, steps=STEPS)[0].cpu().float().numpy() for latent in latents])


def together(noises: Mapping[str, Noises]) -> Noises:
    """All kinds in one, ``[P, C, h, w]``."""
    return np.concatenate(list(noises.values()))


def stored(path: Path | None) -> Noises:
    """Noises of all kinds from a file that ships with a model; of no pages where there is none."""
    from safetensors.numpy import load_file

    if path is None:
        return np.zeros((0, 1, 1, 1), np.float32)
    return together({kind: noises.astype(np.float32) for kind, noises in sorted(load_file(path).items())})


def keep(noises: Mapping[str, Noises], path: Path) -> None:
    """Write such a file."""
    from safetensors.numpy import save

    files.replace(path, save({kind: one.astype(np.float16) for kind, one in noises.items()}))


def careful(keyring: Keyring, noises: Noises) -> Keyring:
    """The keyring with a secret that says little of these pages, its own if that will do.

    Where there is nothing to test (no pages, public values) it stays as it is.
    """
    if not len(noises) or not keyring.pattern.secret or noises.shape[1:] != keyring.shape:
        return keyring
    while not _taken(keyring, noises):
        keyring = keyring.with_secret(secrets.token_bytes(len(keyring.secret)))
    return replace(keyring, accepted=1 - REFUSED)


def _taken(keyring: Keyring, noises: Noises) -> bool:
    least = REFUSED / (len(noises) * 2)  # two questions each: the class, and the part that classes share
    return all(one > math.log10(least) for one in evidence(keyring, noises))


def evidence(keyring: Keyring, noises: Noises) -> list[float]:
    """log10 p of the best class and of the synchronisation part for every page, corrected for all marks.

    Of keyrings with more marks than :data:`treering.marks.keyring.MARKS`, whose search takes long, one mark alone.
    """
    small = keyring.classes * keyring.nonces <= MARKS
    values = Values(keyring if small else replace(keyring, classes=1, nonces=1))
    found = [values.read(noise) for noise in noises]
    return [p for one in found for p in (one.match.log10_p, one.log10_sync) if p is not None]
