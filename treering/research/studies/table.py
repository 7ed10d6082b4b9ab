"""Tables of up to a million marks: seconds to make and to load, memory, seconds a picture, and the screen's ranks."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ... import inversion, writing
from ...marks import fourier, nulls
from ...marks.keyring import Keyring
from ...marks.patterns import Pattern
from ...marks.table import SURVIVORS, Table
from ...models import LatentModel
from ...reading.tools import ENCODER, Tools
from ...settings import FPR, METHOD, Reading
from ..common import SECRET, Note, draw, fixed, jpeg, write_table
from ..memory import peak

MARKS = (10_000, 100_000, 1_000_000)
EXACT = 10_000
"""Marks up to which the search without a table is timed too."""

STEPS, QUALITY = 2, 25
HEADER = (
    "marks",
    "values each",
    "s to make and keep",
    "of all processors",
    "s to load",
    "table MB",
    "peak MB (before)",
    "s a picture",
    "of them the screen",
    "s without a table",
    "named, by all true values, of: clean",
    "JPEG 25",
    f"rank in the screen: median, worst, within {SURVIVORS}",
)
_SEED = 7_000_000
_PROGRAM = """
import json, sys
from pathlib import Path
from treering.research.studies.table import measured
print(json.dumps(measured(Path(sys.argv[1]), int(sys.argv[2]))))
"""


def table(model: LatentModel, keyring: Keyring, output: Path, count: int, note: Note) -> str:
    """``count`` pictures of as many classes, as they are and as JPEG 25, by encoder and two steps; each size of table
    in a process of its own."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours = _keyring(keyring, MARKS[0])
        ours.save(folder / "keyring.json")
        found, keys = readings(model, ours, count)
        np.savez(folder / "readings.npz", found=found, keys=keys)
        for marks in MARKS:
            done = subprocess.run(
                [sys.executable, "-c", _PROGRAM, name, str(marks)], capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise RuntimeError(f"A table of {marks} marks failed: {done.stderr.strip()}")
            rows.append(_row(marks, json.loads(done.stdout)))
            note(" | ".join(rows[-1]))
    return write_table(output / "table.md", HEADER, rows)


def _keyring(like: Keyring, classes: int) -> Keyring:
    """As new keyrings are, for the same latents."""
    pattern = Pattern.synchronised()
    return Keyring(SECRET, pattern, like.shape, image_size=like.image_size, classes=classes, public=True)


def readings(model: LatentModel, keyring: Keyring, count: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Coefficients complex ``[2, count, N]`` of pictures as they are and as JPEG, and their classes ``[count]``."""
    tools, cells = Tools(model, keyring, Reading(), inversion.METHODS[METHOD]), keyring.cells()
    keys = [key for key, _ in writing.draw_marks(keyring, range(MARKS[0]), count, _SEED)]
    found: list[list[NDArray[Any]]] = [[], []]
    for i, key in enumerate(keys):
        picture = draw(model, keyring.noise(key, _SEED + i), _SEED + i)[1]
        for of, seen in zip(found, (picture, jpeg(picture, QUALITY)), strict=True):
            noise = torch.from_numpy(tools.noise(tools.reading(seen), ENCODER, STEPS))
            of.append(fourier.coefficients(noise[None], cells)[0].numpy())
    return np.asarray(found), np.asarray(keys)


def measured(folder: Path, marks: int) -> dict[str, Any]:
    """One size of table, in this process."""
    kept, cache = np.load(folder / "readings.npz"), folder / f"tables-{marks}"
    keyring = replace(Keyring.load(folder / "keyring.json"), classes=marks)
    before = peak() / 1e6
    spent = sum(os.times()[:4])
    made, table = _timed(lambda: Table(keyring, folder=cache))
    told = {"length": len(table.order), "size": table.values.nbytes / 1e6, "made": made, "loaded": None}
    told["spent"] = sum(os.times()[:4]) - spent
    if any(cache.glob("*.table")):
        del table
        told["loaded"], table = _timed(lambda: Table(keyring, folder=cache))
    return told | _searched(table, kept["found"], kept["keys"].tolist()) | {"before": before, "peak": peak() / 1e6}


def _searched(table: Table, found: NDArray[Any], keys: list[int]) -> dict[str, Any]:
    """Seconds, marks named and ranks of the right ones, clean and as JPEG."""
    scores = [[_timed(partial(table.scores, one)) for one in of] for of in found]
    best = [[_timed(partial(table.best, one)) for one in of] for of in found]
    return {
        "screen": float(np.median([seconds for of in scores for seconds, _ in of])),
        "best": float(np.median([seconds for of in best for seconds, _ in of])),
        "exact": _timed(partial(_exact, table.keyring, found[0, 0]))[0] if table.tests <= EXACT else None,
        "named": [
            sum(_named(one.z, table) and one.key == key for (_, one), key in zip(of, keys, strict=True)) for of in best
        ],
        "could": [
            sum(_named(_true(table, one, key), table) for one, key in zip(of, keys, strict=True)) for of in found
        ],
        "ranks": [[int((s > s[key]).sum()) for (_, s), key in zip(of, keys, strict=True)] for of in scores],
    }


def _named(z: float, table: Table) -> bool:
    return float(nulls.log_p(z, table.tests)) <= math.log(FPR)


def _true(table: Table, found: NDArray[Any], key: int) -> float:
    """z of a mark by its true values, whatever the screen says of it."""
    cells, block = table.cells, ([key], [0], table.keyring.values([key]))
    return table.keyring.pattern.match(torch.from_numpy(found)[None], cells, [block])[0].z


def _exact(keyring: Keyring, found: NDArray[Any]) -> int:
    return keyring.pattern.match(torch.from_numpy(found)[None], keyring.cells(), keyring.marks())[0].key


def _timed(work: Any) -> tuple[float, Any]:
    started = time.perf_counter()
    found = work()
    return time.perf_counter() - started, found


def _row(marks: int, told: dict[str, Any]) -> list[str]:
    seconds = [told["made"], told["spent"], told["loaded"], told["best"], told["screen"], told["exact"]]
    made, spent, loaded, best, screen, exact = ("-" if s is None else fixed(s, 2) for s in seconds)
    ranks = np.asarray(told["ranks"])
    within = (ranks < SURVIVORS).sum()
    row = [f"{marks:,}", str(told["length"]), made, spent, loaded, fixed(told["size"], 0)]
    row += [f"{told['peak']:.0f} ({told['before']:.0f})", best, screen, exact]
    row += [f"{named}, {could}, {ranks.shape[1]}" for named, could in zip(told["named"], told["could"], strict=True)]
    return [*row, f"{np.median(ranks):.0f}, {ranks.max()}, {within}/{ranks.size}"]
