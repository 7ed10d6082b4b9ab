"""Whether p-values are uniform where there is no mark."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ...marks import fourier, matching, nulls
from ...marks.keyring import Keyring, plain_noise
from ...models import LatentModel
from ...reading import Detector
from ..common import Note, draw, fixed, write_table


def null(model: LatentModel, keyring: Keyring, output: Path, count: int, note: Note) -> str:
    """Whether p-values are uniform: ``count`` pictures, one marked with another secret, one of plain grey, each
    against 20 000 random secrets; share of p below a level, over that level."""
    levels, secrets, rows = (0.1, 0.01, 0.001, 0.0001), 20_000, []
    grey = np.full((*model.image_size, 3), 127, np.uint8)
    drawn = [draw(model, plain_noise(keyring.shape, 6_000_000 + i), 6_000_000 + i)[1] for i in range(count)]
    marked = draw(model, keyring.noise(0, 1), 1)[1]
    detector = Detector(model, keyring)
    cells, other = keyring.cells(), replace(keyring, secret=bytes(32), classes=secrets)
    names = [*(f"unmarked {i + 1}" for i in range(count)), "marked with another secret", "plain grey"]
    for name, picture in zip(names, [*drawn, marked, grey], strict=True):
        noise = detector.noise(detector.latent(picture[None]).value)
        means = fourier.read(fourier.coefficients(noise.cpu(), cells), cells).numpy()
        blocks = other.blocks()  # classes of another secret are as random as other secrets
        z = np.concatenate(
            [matching.scores(means, values, keyring.weights(), keyring.pattern.real)[0] for _, values in blocks]
        )
        p = np.exp(nulls.log_p(z))
        rows.append([name, *(fixed(float((p <= level).mean() / level), 2) for level in levels)])
        note(" | ".join(rows[-1]))
    return write_table(output / "null.md", ("picture", *(f"p <= {level:g}" for level in levels)), rows)
