"""What a picture costs in each stage of a reading, marked and unmarked, and how many are read a second.

Beside the efforts stands what was the default before there was a plan: one reading by the full decoder inversion.  The
same pictures go to all of them, one after another, in one process and one thread, so that a busy machine is as unfair
to one as to the other; seconds are those of the processor.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from ... import report
from ...marks.keyring import Keyring, plain_noise
from ...marks.patterns import Pattern
from ...models import LatentModel
from ...reading import Detector
from ...settings import METHOD
from ...types import Detection
from ..common import SECRET, Note, Pictures, draw, fixed
from ..common import jpeg as compressed

CLASSES = 100
"""Classes of the keyring; all are searched."""

SEED = 9_000_000
"""Of the first picture."""

OLD = "before: one full reading"
SHARES = (0.01, 1.0)
"""Shares of marked pictures in a folder, for which pictures a second are told."""


@dataclass
class Spent:
    """What one way of reading spent on pictures of one kind."""

    seconds: list[float] = field(default_factory=list)
    stages: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    named: list[bool] = field(default_factory=list)

    def add(self, found: Detection, seconds: float, key: int | None) -> None:
        """Count one reading; ``key``: of the picture."""
        self.seconds.append(seconds)
        self.named.append(found.key is not None and found.key == key)
        for stage in found.stages:  # which know the clock alone
            self.stages[stage["stage"]].append(stage["seconds"] * seconds / max(found.seconds, 1e-9))

    @property
    def mean(self) -> float:
        """Seconds a picture."""
        return float(np.mean(self.seconds))


def stages(model: LatentModel, keyring: Keyring, output: Path, count: int, note: Note) -> str:
    """Seconds by stage for ``count`` pictures of each kind, and pictures a second; writes ``stages.md``."""
    ring = Keyring(SECRET, Pattern.synchronised(), classes=CLASSES, shape=model.shape, image_size=model.image_size)
    readers = {OLD: Detector(model, ring, method=METHOD)}
    readers |= {effort: Detector(model, ring, effort=effort) for effort in ("fast", "normal")}
    spent: dict[tuple[str, str], Spent] = defaultdict(Spent)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for i, (kind, picture, key) in enumerate(_pictures(model, ring, count)):
            for name, reader in readers.items():
                if i == 0:
                    reader(picture[None])  # whatever is made once
                started = time.process_time()
                found = reader(picture[None])[0]
                spent[name, kind].add(found, time.process_time() - started, key)
            note(f"{kind} {i + 1}")
    finally:
        torch.set_num_threads(threads)
    text = f"{_seconds(spent)}\n{_rates(spent)}"
    (output / "stages.md").write_text(text.rstrip() + "\n", encoding="utf-8")
    return text


KINDS = ("marked", "marked, JPEG 50", "marked, mirrored", "unmarked")


def _pictures(model: LatentModel, ring: Keyring, count: int) -> Iterator[tuple[str, Pictures, int | None]]:
    """Kind, picture and class, kind by kind in turn."""
    for i in range(count):
        seed, key = SEED + i, i % CLASSES
        made = draw(model, ring.noise(key, seed), seed)[1]
        changed = (made, compressed(made, 50), np.ascontiguousarray(made[:, ::-1]))
        yield from ((kind, one, key) for kind, one in zip(KINDS, changed, strict=False))
        yield KINDS[-1], draw(model, plain_noise(model.shape, seed + 500_000), seed + 500_000)[1], None


def _seconds(spent: dict[tuple[str, str], Spent]) -> str:
    header = ("reading", "pictures", "seconds", "named", "seconds of stages (of those in which they were run)")
    lines = [
        [name, kind, fixed(one.mean, 2), _named(one.named, kind), _stages(one)] for (name, kind), one in spent.items()
    ]
    return "Seconds a picture, one thread:\n\n" + str(report.markdown_table(header, lines))


def _named(named: Sequence[bool], kind: str) -> str:
    return "" if kind == KINDS[-1] else f"{sum(named)}/{len(named)}"


def _stages(one: Spent) -> str:
    parts = (f"{stage} {fixed(float(np.mean(each)), 2)} ({len(each)})" for stage, each in one.stages.items())
    return ", ".join(parts)


def _rates(spent: dict[tuple[str, str], Spent]) -> str:
    """Pictures a second of folders with few and with only marked pictures, as given, beside what it was."""
    rows = []
    for name in dict.fromkeys(name for name, _ in spent):
        rates = [1 / _mixed(spent, name, share) for share in SHARES]
        times = [rate * _mixed(spent, OLD, share) for rate, share in zip(rates, SHARES, strict=True)]
        rows.append([name, *(f"{fixed(rate, 1)} ({fixed(more, 1)}x)" for rate, more in zip(rates, times, strict=True))])
    header = ("reading", *(f"pictures a second, {share:.0%} marked" for share in SHARES))
    return "As given, and how many times what it was:\n\n" + str(report.markdown_table(header, rows))


def _mixed(spent: dict[tuple[str, str], Spent], name: str, share: float) -> float:
    return share * spent[name, KINDS[0]].mean + (1 - share) * spent[name, KINDS[-1]].mean
