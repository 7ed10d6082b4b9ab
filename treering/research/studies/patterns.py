"""Patterns compared: evidence, diversity, and what can be seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ...marks.keyring import Keyring, plain_noise
from ...marks.patterns import Pattern
from ...models import LatentModel
from ...reading import Detector
from ..common import SECRET, Note, Pictures, draw, fixed, jpeg, write_table
from ..demo.quality import distance


def candidates() -> dict[str, Pattern]:
    """Patterns that were compared."""
    everything = (0, 1, 2, 3)
    return {
        **{f"rings, channel {c}, 1-10": Pattern("rings", (c,), (), 1, 10) for c in everything},
        "rings, all, 1-10": Pattern("rings", everything, (), 1, 10),
        "rings, all, 4-12": Pattern("rings", everything, (), 4, 12),
        "real, all, 1-10": Pattern("real", everything, (), 1, 10),
        "noise, all, 1-3": Pattern("noise", everything, (), 1, 3),
        "noise, all, 1-6": Pattern("noise", everything, (), 1, 6),
        "noise, all, 3-6": Pattern("noise", everything, (), 3, 6),
        "noise, all, 4-8": Pattern("noise", everything, (), 4, 8),
        "noise, all, 5-10": Pattern("noise", everything, (), 5, 10),
        "noise, all, 4-15": Pattern("noise", everything, (), 4, 15),
        "noise, all, 4 to the corners": Pattern("noise", everything, (), 4, 21),
        "noise, channel 0, 4-8": Pattern("noise", (0,), (), 4, 8),
        "mixed, rings 0-1, noise 2-3, 4-8": Pattern("mixed", (0, 1), (2, 3), 4, 8),
    }


@dataclass(frozen=True)
class Look:
    """How pictures of one key look beside unmarked ones of the same seeds and prompts."""

    diversity: float
    coherence: float
    radial: float


def look(marked: Pictures, plain: Pictures) -> Look:
    """Diversity, coherence and radial share of pictures ``[N, H, W, 3]``.

    ``diversity``: mean pairwise distance of marked pictures over that of unmarked ones.
    ``coherence``: mean cosine between the marked-minus-unmarked pictures of different seeds (0: the
    key leaves no common trace).  ``radial``: share of the mean difference that is radially symmetric
    about the corner or the centre, where coherent rings have their wave.
    """
    difference = (marked.astype(np.float32) - plain.astype(np.float32)) / 255
    flat = difference.reshape(len(difference), -1)
    unit = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    cosines = [float(unit[i] @ unit[j]) for i, j in combinations(range(len(unit)), 2)]
    return Look(distance(marked) / distance(plain), float(np.mean(cosines)), radial_share(difference.mean((0, 3))))


def radial_share(mean: NDArray[np.float32]) -> float:
    """Largest share of the energy of ``[H, W]`` in radial averages about the periodic corner or the centre."""
    height, width = mean.shape
    centred = mean - mean.mean()
    shares = []
    for row, column in ((0, 0), (height // 2, width // 2)):
        down = np.minimum((np.arange(height) - row) % height, (row - np.arange(height)) % height)
        across = np.minimum((np.arange(width) - column) % width, (column - np.arange(width)) % width)
        ring = np.hypot(down[:, None], across[None, :]).astype(int).ravel()
        counts = np.bincount(ring)
        profile = np.bincount(ring, centred.ravel()) / np.maximum(counts, 1)
        shares.append(float((counts * profile**2).sum() / (centred**2).sum()))
    return max(shares)


def patterns(model: LatentModel, keyring: Keyring, output: Path, count: int, note: Note) -> str:
    """Power against diversity and visibility, for kinds, radii and channels."""
    seeds = [3_000_000 + i for i in range(count)]
    plain = np.stack([draw(model, plain_noise(keyring.shape, seed), seed)[1] for seed in seeds])
    header = ("pattern", "cells", "z", "log10 p", "largest log10 p", "p <= 1e-6", "z, JPEG 25", "p <= 1e-6, JPEG 25")
    table, strips = [], {"unmarked": plain}
    for name, pattern in candidates().items():
        ring = replace(keyring, secret=SECRET, pattern=pattern)
        marked = np.stack([draw(model, ring.noise(0, seed), seed)[1] for seed in seeds])
        detector = Detector(model, ring)
        found = detector(marked)
        worse = detector(np.stack([jpeg(picture, 25) for picture in marked]))
        seen, strips[name] = look(marked, plain), marked
        logs = [d.log10_p for d in found]
        row = [name, str(len(ring.cells().count)), fixed(np.median([d.z for d in found]), 1), fixed(np.median(logs), 1)]
        row += [fixed(max(logs), 1), _share(found), fixed(np.median([d.z for d in worse]), 1), _share(worse)]
        table.append([*row, fixed(seen.diversity, 3), fixed(seen.coherence, 3), fixed(seen.radial, 3)])
        note(" | ".join(table[-1]))
    _strips(strips, output / "patterns.jpg")
    return write_table(output / "patterns.md", (*header, "diversity", "coherence", "radial"), table)


def _share(found: Sequence[Any]) -> str:
    return f"{sum(d.key == 0 for d in found)}/{len(found)}"


def _strips(rows: dict[str, Pictures], path: Path, width: int = 8, size: int = 128) -> None:
    """One labelled row of pictures for each pattern."""
    label = 200
    sheet = Image.new("RGB", (label + width * size, len(rows) * size), "white")
    pen = ImageDraw.Draw(sheet)
    for i, (name, pictures) in enumerate(rows.items()):
        pen.text((6, i * size + size // 2 - 6), name, fill="black")
        for j, picture in enumerate(pictures[:width]):
            sheet.paste(Image.fromarray(picture).resize((size, size)), (label + j * size, i * size))
    sheet.save(path, quality=88)
