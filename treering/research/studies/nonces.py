"""What nonces cost: decades of p, and seconds of a search, for some numbers of classes."""

from __future__ import annotations

import math
import time
from itertools import product
from pathlib import Path

import numpy as np

from ...marks.keyring import Keyring, plain_noise, usual_nonces
from ...marks.patterns import Pattern
from ...marks.table import Table
from ...models import LatentModel
from ...reading.evidence import Noise, Values
from ..common import SECRET, Note, fixed, write_table

CLASSES, NONCES = (20, 100, 2048), (1, 16, 64, 256, 1024)
MOST = 1 << 18
"""Marks of the largest search."""

HEADER = (
    "classes",
    "nonces",
    "marks",
    "decades of p paid",
    "s before the first picture",
    "s a search",
    "table MB",
    "default",
)


def nonces(model: LatentModel, keyring: Keyring, output: Path, count: int, note: Note) -> str:
    """``count`` searches of each number of marks, in plain noise; processor seconds, nothing kept on the disk."""
    noise = plain_noise(model.shape, 1)[0].numpy()
    rows = []
    for classes, many in product(CLASSES, NONCES):
        if classes * many <= MOST:
            rows.append(_row(model, noise, classes, many, count))
            note(" | ".join(rows[-1]))
    return write_table(output / "nonces.md", HEADER, rows)


def _row(model: LatentModel, noise: Noise, classes: int, many: int, count: int) -> list[str]:
    pattern = Pattern.synchronised()
    ring = Keyring(SECRET, pattern, model.shape, image_size=model.image_size, classes=classes, nonces=many)
    values = Values(ring)
    started = time.process_time()
    if not values.small:
        values.__dict__["table"] = Table(values.keyring)  # made here, and not taken from the disk
    first = time.process_time() - started + _timed(values, noise)
    each = [_timed(values, noise) for _ in range(count)]
    later = float(np.median(each))
    megabytes = "-" if values.table is None else fixed(values.table.values.nbytes / 1e6, 0)
    usual = "yes" if many == usual_nonces(classes, pattern) else ""
    counts = [str(classes), str(many), f"{classes * many:,}", fixed(math.log10(many), 1)]
    return [*counts, fixed(max(0.0, first - later), 2), fixed(later, 3), megabytes, usual]


def _timed(values: Values, noise: Noise) -> float:
    started = time.process_time()
    values.read(noise)
    return time.process_time() - started
