"""Many pictures of one key, averaged: removed, forged, with a nonce for each picture and without."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from ... import files, report
from ...marks.keyring import Keyring
from ...models import LatentModel
from .. import averaging as tried
from .. import scores
from ..common import Note, fixed
from ..pool import STEPS, Pool

LEVELS = (1, 5, 20, 100, 1000)
"""Pictures that are averaged."""

VICTIMS = 6
"""Pictures that each average is tried on."""

GROUPS, NONCES = (5, 20, 100), (1, 16, 64, 256, 1024, 1 << 20)

SETS = {"one": "the same mark in all", "nonces": "a nonce for each"}

HEADER = (
    "pictures averaged",
    "marks",
    "attack",
    "class named",
    "median log10 p",
    "keyring named",
    "median log10 p of the keyring",
    "median PSNR, dB",
)


def averaging(model: LatentModel, keyring: Keyring, output: Path, count: int, note: Note) -> str:
    """Averages of up to ``count`` pictures of one class; the pool of pictures in ``output`` grows with it.

    Rows are appended to ``averaging.jsonl``; a rerun with more pictures does what is new.
    """
    pool = Pool(model, output, note)
    run = scores.run_of(model.fingerprint, pool.keyring.id, tried.TESTS, tried.VICTIMS, STEPS)
    busy = f"Another study is writing to {output}; wait for its end or choose another folder."
    with files.locked(output, busy), files.Journal(output / "averaging.jsonl") as journal:
        rows = {_what(row): row for row in scores.rows_of(journal, run)}
        for unit in _units(count):
            if any((*unit, i) not in rows for i in range(VICTIMS)):
                fresh = list(_measure(pool, run, *unit))
                journal.append([json.dumps(row).encode() + b"\n" for row in fresh])
                rows |= {_what(row): row for row in fresh}
                note(" ".join(map(str, unit)))
    units = list(_units(count))
    table = [_row(unit, [rows[(*unit, i)] for i in range(VICTIMS)]) for unit in units]
    parts = [report.markdown_table(HEADER, table), _pairs(pool, min(count, 100)), _needed()]
    return write_text(output / "averaging.md", parts)


def write_text(path: Path, parts: Sequence[str]) -> str:
    """Several tables in one file."""
    text = "\n\n".join(part.rstrip() for part in parts)
    files.replace(path, (text + "\n").encode())
    return text


def _units(count: int) -> Iterator[tuple[int, str, str]]:
    yield from ((0, name, "none") for name in SETS)
    for n in (n for n in LEVELS if n <= count):
        yield from ((n, name, attack) for name, attack in product(SETS, tried.ATTACKS))


def _what(row: dict[str, Any]) -> tuple[int, str, str, int]:
    return row["n"], row["set"], row["attack"], row["victim"]


def _measure(pool: Pool, run: str, n: int, name: str, attack: str) -> Iterator[dict[str, Any]]:
    """One attack on all victims."""
    read, attacker = tried.Reader(pool), tried.Attacker(pool, name, n)
    kind, act = tried.ATTACKS.get(attack, ("remove", None))
    for i in range(VICTIMS):
        number = tried.VICTIMS + i
        victim = next(pool.get(name if kind == "remove" else "plain", [number]))
        marks = tried.nonces_of(name, [number] if kind == "remove" else range(n))
        made = victim.picture if act is None else act(attacker, victim, number)
        new = act is None or attack == "forge, through the model"
        seen = read(made, marks, None if new else victim.picture)
        told = {"class": seen.log10_class, "keyring": seen.log10_keyring, "psnr": None if new else seen.psnr}
        yield {"run": run, "n": n, "set": name, "attack": attack, "victim": i, **told}


def _row(unit: tuple[int, str, str], rows: list[dict[str, Any]]) -> list[str]:
    n, name, attack = unit
    cells = [str(n), SETS[name], attack]
    for column in ("class", "keyring"):
        levels = [row[column] for row in rows]
        cells += [f"{sum(level <= -6 for level in levels)}/{len(levels)}", fixed(float(np.median(levels)), 1)]
    quality = [row["psnr"] for row in rows if row["psnr"] is not None]
    return [*cells, fixed(float(np.median(quality)), 1) if quality else "-"]


def _pairs(pool: Pool, count: int) -> str:
    """How alike the noises of two pictures are that share a nonce, and of two that do not."""
    sets = [pool.noises(name, range(count)) for name in ("one", "nonces")]
    mean, upper = sets[1].mean(0), np.triu_indices(count, 1)
    same, other = ((unit @ unit.T)[upper] for unit in (tried.band(pool, noises, mean) for noises in sets))
    level = float(np.median(other) + 4.75 * other.std())  # one pair of a million that share nothing lies above
    rows = [
        [
            what,
            str(len(some)),
            *(fixed(float(np.quantile(some, q)), 3) for q in (0.01, 0.5, 0.99)),
            f"{(some > level).mean():.1%}",
        ]
        for what, some in (("share a nonce", same), ("do not", other))
    ]
    header = (
        "two pictures",
        "pairs",
        "cosine, 1 %",
        "median",
        "99 %",
        "above the level that one other pair in 10^6 passes",
    )
    return report.markdown_table(header, rows)


def _needed() -> str:
    """Pictures of a class until some nonce, or a given one, has a group of them."""
    rng = np.random.default_rng(0)
    rows = []
    for nonces, group in product(NONCES, GROUPS):
        some = tried.needed(nonces, group, rng, 20) if nonces * group < 1 << 22 else None
        told = "-" if some is None else f"{some:.0f}"
        rows.append([f"{nonces:,}", str(group), told, f"{nonces * group:,}"])
    return report.markdown_table(
        (
            "nonces",
            "pictures that share one",
            "pictures of the class until some nonce has them (median)",
            "until a given one has (mean)",
        ),
        rows,
    )
