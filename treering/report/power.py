"""What a reading would have found after which damage: measured once, shipped as ``power.json``, told by reports.

``python -m treering.research power --output treering/report`` makes the file from the robustness experiments.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from ..statistics import Rate

FILE, FORMAT, VERSION = "power.json", "treering power", 1


@dataclass(frozen=True)
class Damage:
    """Something that happens to a marked picture, in words, and how often its mark is named all the same."""

    words: str
    named: Rate


@dataclass(frozen=True)
class Power:
    """``damages``: the worst first.  Measured at this ``effort``, on this ``model``, among ``classes`` times
    ``nonces`` marks, named up to ``fpr``."""

    effort: str
    damages: tuple[Damage, ...]
    model: str
    classes: int
    nonces: int
    fpr: float


@cache
def power(effort: str) -> Power | None:
    """What was measured at an effort; None where nothing was."""
    content = json.loads(files(__package__).joinpath(FILE).read_text(encoding="utf-8"))
    if effort not in content["tables"]:
        return None
    table = [Damage(words, Rate(found, of)) for words, found, of in content["tables"][effort]]
    table.sort(key=lambda one: one.named.value or 0.0)
    setting = {name: content[name] for name in ("model", "classes", "nonces", "fpr")}
    return Power(effort, tuple(table), **setting)
