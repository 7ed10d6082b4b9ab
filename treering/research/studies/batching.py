"""Pictures that go through a network together: what it saves, and whether a picture's result depends on the others.

The policy itself is :mod:`treering.models.batching`; this measures what it is based on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from ...marks.keyring import Keyring
from ...models import LatentModel
from ...models.batching import PARTS, Batching, Part
from ..common import Note, fixed, words, write_table
from ..experiments.timing import timed

ROWS = (1, 2, 4, 8)
PICTURES = max(ROWS)


def batching(model: LatentModel, keyring: Keyring, output: Path, count: int, note: Note) -> str:
    """Seconds a picture (median of ``count``) and the largest change of a result, by part and rows at once."""
    usual, table = model.batching, list[list[str]]()
    try:
        for part, call in calls(model):
            table += list(_rows(model, part, call, count))
            note(" | ".join(table[-1]))
    finally:
        model.batching = usual
    return write_table(output / "batching.md", ("part", "pictures at once", "s a picture", "largest change"), table)


def calls(model: LatentModel) -> Iterator[tuple[Part, Callable[[], Tensor]]]:
    """What each part is asked, of ``PICTURES`` different pictures."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn((PICTURES, *model.shape), generator=generator)
    pixels = torch.rand((PICTURES, 3, *model.image_size), generator=generator) * 2 - 1
    f, rows = model.denoiser([words(model, i) for i in range(PICTURES)]), torch.arange(PICTURES)
    work = (lambda: model.encode(pixels), lambda: model.decode(noise), lambda: f(noise, 500.0, rows))
    return zip(PARTS, work, strict=True)


def _rows(model: LatentModel, part: Part, call: Callable[[], Tensor], count: int) -> Iterator[list[str]]:
    alone = None
    for rows in ROWS:
        model.batching = Batching({part: rows})
        runs = [timed(model, call) for _ in range(1 + count)]
        alone = runs[0][0] if alone is None else alone
        seconds = median(seconds for _, seconds in runs[1:]) / PICTURES
        change = float((runs[0][0] - alone).abs().max())
        yield [part, str(rows), fixed(seconds, 4), f"{change:.1e}" if change else "none"]
