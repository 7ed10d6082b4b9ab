"""``treering verify`` itself: pictures a second by effort, beside the single reading that was the default before plans.

Two folders, of marked and of unmarked pictures, are checked by whole processes with one thread, each way in turn, in
rounds; seconds are those of the processor, so that other work on the machine is unfair to none.  What a process takes
before its first picture is that of a folder with one, and is taken off.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from ... import writing
from ...marks.keyring import Keyring
from ...models import LatentModel
from ...pictures import images
from ..common import SECRET, Note, fixed, words, write_table

SEED, CLASSES, NONCES, ROUNDS = 8_500_000, 100, 64, 1
SHARES = (0.01, 1.0)
"""Shares of marked pictures in a folder, for which pictures a second are told."""

OLD = "before: one full reading"
WAYS = {
    OLD: ("--method", "safeguarded"),
    "--effort normal": ("--effort", "normal"),
    "--effort fast": ("--effort", "fast"),
}
MARKED, PLAIN, ONE = "marked", "unmarked", "one"
HEADER = (
    "verify",
    "CPU s before the first",
    "a marked picture",
    "an unmarked one",
    "marked: right",
    "unmarked: named",
    *(f"pictures a CPU second, {share:.0%} marked" for share in SHARES),
)
_PROGRAM = "from treering_cli.main import main; main()"


@dataclass(frozen=True)
class Run:
    """One process: CPU seconds, and how many pictures were named rightly, and at all."""

    seconds: float
    right: int
    named: int


def verifying(model: LatentModel, keyring: Keyring, output: Path, count: int, note: Note) -> str:
    """``count`` marked and as many unmarked pictures; writes ``verifying.md``."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ring = Keyring.for_model(model, classes=CLASSES, nonces=NONCES).with_secret(SECRET)
        ring.save(folder / "keyring.json")
        _make(model, ring, folder, count)
        note("made the pictures")
        runs: dict[tuple[str, str], list[Run]] = {}
        for i in range(ROUNDS):
            for way, part in ((way, part) for part in (ONE, MARKED, PLAIN) for way in WAYS):
                runs.setdefault((way, part), []).append(_run(model, folder, way, part, f"{i}"))
                note(f"round {i + 1}: {part}, {way}")
    return write_table(output / "verifying.md", HEADER, list(_rows(runs, count)))


def _make(model: LatentModel, ring: Keyring, folder: Path, count: int) -> None:
    """Pictures whose names begin with their class."""
    for part in (MARKED, PLAIN, ONE):
        (folder / part).mkdir()
    for i in range(count):
        seed, key = SEED + i, 37 * i % CLASSES
        images.write(writing.embed(model, ring, key, words(model, seed), seed)[0], folder / MARKED / f"{key}-{i}.png")
        plain = writing.embed(model, ring, None, words(model, seed + 500_000), seed + 500_000)[0]
        images.write(plain, folder / PLAIN / f"none-{i}.png")
    first = next((folder / MARKED).iterdir())
    (folder / ONE / first.name).write_bytes(first.read_bytes())


def _run(model: LatentModel, folder: Path, way: str, part: str, name: str) -> Run:
    """One ``treering verify``."""
    results = folder / "results" / f"{list(WAYS).index(way)}-{part}-{name}"
    words = ["verify", str(folder / part), "--keyring", str(folder / "keyring.json"), "--json"]
    spent = sum(os.times()[2:4])
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *words, "--output", str(results), "--model", model.name, *WAYS[way]],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TREERING_CONFIG": "off"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"treering verify failed: {done.stderr.strip()}")
    lines = [json.loads(line) for line in (results / "results.jsonl").read_text("utf-8").splitlines()]
    found = [(line["file"].split("-")[0], line.get("key")) for line in lines]
    right = sum(str(key) == true for true, key in found)
    return Run(sum(os.times()[2:4]) - spent, right, sum(key is not None for _, key in found))


def _rows(runs: dict[tuple[str, str], list[Run]], count: int) -> Iterator[list[str]]:
    each = {way: _each(runs, way, count) for way in WAYS}
    for way, (marked, plain) in each.items():
        rates = []
        for share in SHARES:
            rate, old = (1 / (share * m + (1 - share) * p) for m, p in ((marked, plain), each[OLD]))
            rates.append(f"{fixed(rate, 1)} ({fixed(rate / old, 1)}x)")
        first, named = runs[way, MARKED][0], runs[way, PLAIN][0]
        cells = [fixed(median(run.seconds for run in runs[way, ONE]), 1), fixed(marked, 2), fixed(plain, 2)]
        yield [way, *cells, f"{first.right}/{count}", f"{named.named}/{count}", *rates]


def _each(runs: dict[tuple[str, str], list[Run]], way: str, count: int) -> tuple[float, float]:
    """CPU seconds of a further marked picture and of an unmarked one; at least a thousandth."""
    one, marked, plain = (median(run.seconds for run in runs[way, part]) for part in (ONE, MARKED, PLAIN))
    further = max((marked - one) / (count - 1), 1e-3)
    return further, max((plain - one + further) / count, 1e-3)
