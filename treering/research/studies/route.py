"""Corrected p-values of the whole plan under wrong secrets: one-sided, whether they are too small anywhere."""

from __future__ import annotations

import copy
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from ... import files
from ...marks.keyring import Keyring
from ...models import LatentModel
from ...reading import Detector, plan
from ...reading.record import Reading
from ...settings import FPR
from .. import pool, scores
from ..common import Note, fixed, write_table

EFFORT, NONCES, EACH = "normal", 64, 1
LEVELS = (0.5, 0.1, 0.01, 0.001)
QUESTIONS = {"class": "the class", "keyring": "the keyring"}
HEADER = (
    "pictures",
    "question",
    "readings",
    *(f"p <= {level:g}: found / allowed" for level in LEVELS),
    "least p",
    "chance of so many small ones, were p uniform",
)


def route(model: LatentModel, keyring: Keyring, output: Path, count: int, note: Note) -> str:
    """``count`` wrong secrets against one picture of every kind, by the plan of an effort, all stages run.

    What a reading recovers from a picture as given has nothing to do with the secret, so it is made once; a secret
    costs its searches, and the poses that it has undone in pixels.  Rows go to ``route.jsonl``; a rerun goes on.
    """
    ring = pool.keyring(model, NONCES)
    run = scores.run_of(model.fingerprint, ring.id, ring.classes, NONCES, EFFORT, plan.EFFORTS[EFFORT])
    busy = f"Another study is writing to {output}; wait for its end or choose another folder."
    with files.locked(output, busy), files.Journal(output / "route.jsonl") as journal:
        rows = {(row["picture"], row["secret"]): row for row in scores.rows_of(journal, run)}
        started = {
            f"{kind} {i}": Detector(model, ring).tools.reading(picture)
            for kind, some in scores.kinds(model, keyring, EACH).items()
            for i, picture in enumerate(some)
        }
        for n in range(count):
            for name in (name for name in started if (name, n) not in rows):
                rows[name, n] = {"run": run, "picture": name, "secret": n, **_read(model, ring, started, name, n)}
                journal.append([json.dumps(rows[name, n]).encode() + b"\n"])
            note(f"secret {n + 1} of {count}")
    kept = [row for (_, n), row in rows.items() if n < count]
    return write_table(output / "route.md", HEADER, _table(kept))


def _read(model: LatentModel, keyring: Keyring, started: dict[str, Reading], name: str, n: int) -> dict[str, float]:
    """One secret; what was recovered from the picture as given stays with it for the next."""
    detector = Detector(model, keyring.with_secret(scores.secret(n, name)), effort=EFFORT)
    reading = copy.copy(started[name])
    reading.done = []
    found = plan.run(detector.stages, reading, detector.tools, FPR, every=True)
    return {"class": found.log10_class, "keyring": found.log10_keyring}


def _table(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    kinds: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        kinds[row["picture"].rpartition(" ")[0]].append(row)
    kinds["all"] = list(rows)
    return [
        [kind, told, *_cells(np.power(10.0, [row[question] for row in some]))]
        for question, told in QUESTIONS.items()
        for kind, some in kinds.items()
    ]


def _cells(p: np.ndarray[Any, np.dtype[np.float64]]) -> list[str]:
    ratios = [f"{int((p <= level).sum())} / {level * len(p):.3g}" for level in LEVELS]
    test = stats.kstest(p, "uniform", alternative="greater")  # p below uniform somewhere
    return [str(len(p)), *ratios, f"{p.min():.2g}", fixed(float(test.pvalue), 3)]
