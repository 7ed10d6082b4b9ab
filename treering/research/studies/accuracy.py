"""Right class, false positives and p-values on fresh pictures."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ... import files, inversion
from ...inversion import DecoderInversion
from ...marks.keyring import Keyring, plain_noise
from ...models import LatentModel
from ...reading import Detector
from ...solvers import Adam
from ...statistics import wilson
from ..common import Note, draw, fixed, write_table

ACCURACY_METHODS: dict[str, str | DecoderInversion] = {
    "encoder": "encoder",
    "Adam (paper), 20": DecoderInversion(Adam(0.01), 20),
    "default": inversion.DEFAULT,
}


def accuracy(model: LatentModel, keyring: Keyring, output: Path, count: int, note: Note) -> str:
    """Right class, false positives and p-values on fresh pictures: three marked for every two unmarked.

    Every picture's rows are appended to ``accuracy.jsonl`` as they are known; a rerun continues.
    """
    what = (model.fingerprint, keyring.id, keyring.steps, keyring.classes, ACCURACY_METHODS)
    run = hashlib.sha256(repr(what).encode()).hexdigest()[:16]  # rows of other settings do not count
    detectors = {name: Detector(model, keyring, method=plan) for name, plan in ACCURACY_METHODS.items()}
    busy = f"Another study is writing to {output}; wait for its end or choose another folder."
    with files.locked(output, busy), files.Journal(output / "accuracy.jsonl") as journal:
        rows = [row for row in _rows(journal, run) if row["picture"] < count]
        for i in sorted(set(range(count)) - {row["picture"] for row in rows}):
            key, seed = (i % 5 if i % 5 < 3 else None), 4_000_000 + i
            noise = plain_noise(keyring.shape, seed) if key is None else keyring.noise(key, seed)
            picture = draw(model, noise, seed)[1]
            found = {name: detector(picture[None])[0] for name, detector in detectors.items()}
            results = {n: {"key": d.key, "log10_p": d.log10_p, "seconds": d.seconds} for n, d in found.items()}
            rows.append({"run": run, "picture": i, "key": key, "found": results})
            journal.append([json.dumps(rows[-1]).encode() + b"\n"])
            note(f"picture {i + 1} of {count}")
    header = ("method", "right class", "95 % interval", "false positives", "wrong class", "median log10 p", "median s")
    return write_table(output / "accuracy.md", header, [_accuracy_row(name, rows) for name in ACCURACY_METHODS])


def _accuracy_row(name: str, rows: list[dict[str, Any]]) -> list[str]:
    pairs = [(row["key"], row["found"][name]) for row in rows]
    marked = [(key, found) for key, found in pairs if key is not None]
    right = sum(found["key"] == key for key, found in marked)
    wrong = sum(found["key"] not in (key, None) for key, found in marked)
    false = [found["key"] is not None for key, found in pairs if key is None]
    low, high = wilson(right, len(marked))
    median = float(np.median([found["log10_p"] for _, found in marked]))
    seconds = float(np.median([found["seconds"] for _, found in pairs]))
    counts = [f"{right}/{len(marked)}", f"{low:.1%} - {high:.1%}", f"{sum(false)}/{len(false)}", str(wrong)]
    return [name, *counts, fixed(median, 1), fixed(seconds, 2)]


def _rows(journal: files.Journal, run: str) -> Iterator[dict[str, Any]]:
    for _, line in journal.lines():
        with contextlib.suppress(ValueError, KeyError, TypeError):  # damaged: that picture is measured again
            row = json.loads(line)
            if row["run"] == run:
                yield {name: row[name] for name in ("run", "picture", "key", "found")}
