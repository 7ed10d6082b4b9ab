"""What a reading finds after which damage, from the robustness experiments, as the file that reports tell it from.

``python -m treering.research power --output treering/report`` writes ``power.json`` there.  Nothing is measured here:
it counts the rows of ``results/experiments/robustness*``, which ``treering experiment robustness`` has written.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from ... import files, report
from ...errors import InputError
from ...marks.keyring import Keyring
from ...models import LatentModel
from ...report.power import FILE, FORMAT, VERSION
from ...settings import FPR
from ...statistics import Rate
from .. import attacks, peers
from ..common import Note

MARK = "treering"
EXPERIMENTS = Path(__file__).parents[1] / "results" / "experiments"
_ROWS, _SETTINGS = "rows.csv", "settings.json"

WORDS: dict[str, str] = {
    "none": "nothing: as it was made",
    "mirror": "mirrored",
    "flip": "upside down",
    "quarter-turn": "turned by 90 degrees",
    "rotation": "turned by {0:g} degrees, corners black",
    "turn": "turned by {0:g} degrees, cropped to what is left",
    "crop": "cropped to {0:.0%} of the area",
    "shift": "moved by {0:.1%} of a side",
    "screenshot": "on a page, {0:.0%} of its sides",
    "squeeze": "squeezed to {0:.0%} of the width",
    "resize": "shrunk to {0:.0%} of each side and back",
    "jpeg": "JPEG of quality {0:g}",
    "noise": "noise of {0:g} of full scale",
    "blur": "blurred, deviation {0:g} pixels",
    "mixed": "mirrored, turned, cropped, JPEG of quality {0:g}",
}
"""What attacks do, for people who read a report."""


def power(model: LatentModel, keyring: Keyring, output: Path, count: int, note: Note) -> str:
    """Write the file; gives a table of what is in it."""
    content = counted(EXPERIMENTS)
    files.make_folder(output)
    files.replace(output / FILE, (json.dumps(content, indent=1) + "\n").encode())
    lines = [
        [effort, words, report.rate_text(Rate(found, of))]
        for effort, table in content["tables"].items()
        for words, found, of in table
    ]
    return report.markdown_table(("effort", "damage", "named"), lines)


def counted(results: Path) -> dict[str, Any]:
    """The content of the file, from a folder of experiments; raises ``InputError`` where none of them is there."""
    tables: dict[str, list[list[Any]]] = {}
    models = set()
    for folder in sorted(results.iterdir()):
        if not folder.name.startswith("robustness") or not (folder / _ROWS).is_file():
            continue
        models.add(json.loads((folder / _SETTINGS).read_text(encoding="utf-8"))["model"])
        with (folder / _ROWS).open(encoding="utf-8", newline="") as file:
            for effort, table in _tables(list(csv.DictReader(file))).items():
                if effort not in tables or _pictures(table) >= _pictures(tables[effort]):
                    tables[effort] = table
    if not tables:
        raise InputError("There are no results of `treering experiment robustness` to count.")
    head = {"format": FORMAT, "version": VERSION, "source": "treering experiment robustness"}
    setting = {"model": ", ".join(sorted(models)), "classes": peers.CLASSES, "nonces": 1, "fpr": FPR}
    return {**head, **setting, "tables": dict(sorted(tables.items()))}


def _tables(rows: list[dict[str, str]]) -> dict[str, list[list[Any]]]:
    """By effort: damage in words, how many were named, of how many; in the order of the rows."""
    found: dict[str, dict[str, list[Any]]] = {}
    for row in rows:
        if row["mark"] == MARK:
            words = _words(attacks.Row(row["attack"], float(row["strength"]), row["label"]))
            entry = found.setdefault(row["effort"], {}).setdefault(words, [words, 0, 0])
            entry[1] += row["right"] == "True"
            entry[2] += 1
    return {effort: list(table.values()) for effort, table in found.items()}


def _words(row: attacks.Row) -> str:
    return WORDS[row.attack].format(row.strength).replace("%", " %") if row.attack in WORDS else row.label


def _pictures(table: list[list[Any]]) -> int:
    return max(of for _, _, of in table)
