"""Whether single scores are standard normal where there is no mark, far out in the tail."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

from scipy import stats

from ... import files, inversion
from ...marks.keyring import Keyring
from ...marks.patterns import Pattern
from ...models import LatentModel
from ...reading.lattice import wide
from ...reading.tools import ENCODER, Tools
from ...settings import METHOD, Reading
from .. import scores
from ..common import Note, fixed, write_table

STEPS = 5
"""Sampler steps of the noise that is searched."""

BLOCK = 10
"""Secrets of a unit of work."""

EACH = 2
"""Pictures of a kind."""


def null(model: LatentModel, keyring: Keyring, output: Path, count: int, note: Note) -> str:
    """``count`` wrong secrets against every picture under all poses of a search, 10^7 scores each: how many scores lie
    beyond a level, over how many should.  Rows are appended to ``null.jsonl``; a rerun with more secrets goes on."""
    ring = replace(keyring, derivation=2, pattern=Pattern.synchronised(), nonces=1, variants=1)
    run = scores.run_of(model.fingerprint, ring.id, STEPS, scores.LEVELS, scores.secret(0, ""))
    busy = f"Another study is writing to {output}; wait for its end or choose another folder."
    with files.locked(output, busy), files.Journal(output / "null.jsonl") as journal:
        rows = {(row["picture"], row["secret"]): row for row in scores.rows_of(journal, run)}
        _measure(model, ring, count, rows, run, journal, note)
    kept = [row for (_, number), row in rows.items() if number < count]
    return write_table(output / "null.md", _header(), _table(kept))


def _measure(
    model: LatentModel,
    keyring: Keyring,
    count: int,
    rows: dict[tuple[str, int], dict[str, Any]],
    run: str,
    journal: files.Journal,
    note: Note,
) -> None:
    """What is missing, block by block through all pictures, so that a stop leaves every kind as many."""
    tools = Tools(model, keyring, Reading(), inversion.METHODS[METHOD])
    lattice = wide(ratio=tools.ratio)
    pictures = {
        f"{kind} {i}": tools.noise(tools.reading(picture), ENCODER, STEPS)
        for kind, some in scores.kinds(model, keyring, EACH).items()
        for i, picture in enumerate(some)
    }
    for start in range(0, count, BLOCK):
        for name, noise in pictures.items():
            numbers = [n for n in range(start, min(start + BLOCK, count)) if (name, n) not in rows]
            found = scores.tails(noise, keyring, [scores.secret(n, name) for n in numbers], lattice)
            fresh = {
                (name, n): {"run": run, "picture": name, "secret": n, "scores": tail.scores, "beyond": tail.beyond}
                for n, tail in zip(numbers, found, strict=True)
            }
            journal.append([json.dumps(row).encode() + b"\n" for row in fresh.values()])
            rows |= fresh
        note(f"secret {min(start + BLOCK, count)} of {count}")


def _header() -> tuple[str, ...]:
    levels = [f"p <= {level:g}: found / expected" for level in scores.LEVELS]
    return ("pictures", "secrets", "scores", *levels, f"secrets with one beyond {scores.LEVELS[-1]:g}")


def _table(rows: list[dict[str, Any]]) -> list[list[str]]:
    kinds: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        kinds[row["picture"].rpartition(" ")[0]].append(row)
    return [_row(kind, some) for kind, some in kinds.items()] + [_row("all", rows)]


def _row(kind: str, rows: list[dict[str, Any]]) -> list[str]:
    total = sum(row["scores"] for row in rows)
    cells = [_ratio(rows, i, level, total) for i, level in enumerate(scores.LEVELS)]
    least = sum(row["beyond"][-1] > 0 for row in rows)
    return [kind, str(len(rows)), f"{total:.2g}", *cells, f"{least} of {len(rows)}"]


def _ratio(rows: list[dict[str, Any]], i: int, level: float, total: int) -> str:
    """Found over expected, with the error that the spread between secrets gives: scores of one secret are not
    independent."""
    found = [row["beyond"][i] for row in rows]
    if not total or len(found) < 2:
        return "-"
    error = float(stats.sem(found)) * len(found) / (total * level)
    return f"{sum(found)} / {total * level:.0f} = {fixed(sum(found) / (total * level), 3)} +- {fixed(error, 3)}"
