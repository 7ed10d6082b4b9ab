"""Which poses are found blind, and what that costs: pictures in other poses, read as any picture is.

Every picture has a secret of its own.  One of 100 classes is searched; the same reading says what would be named among
more, as the class is read from its own values alone and pays for the number of classes and nothing else.  Readings go
on until they would name one of a million; where ``normal`` names none, ``max`` reads too.  Rows are kept in
``poses.jsonl``, and a run that was stopped goes on where it was.  Seconds are those of the processor.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ...marks.keyring import Keyring
from ...marks.patterns import Pattern
from ...models import LatentModel
from ...reading import Detector
from ...settings import FPR
from ...statistics import Rate
from ..changes import POSES
from ..common import Note, Pictures, draw, fixed, write_table

SEARCHED, CLASSES = 100, (100, 10_000, 1_000_000)
"""Classes that are searched, and numbers of classes for which the table says what would be named."""

NORMAL, MOST = EFFORTS = ("normal", "max")
_SEED = 6_000_000


@dataclass(frozen=True)
class Row:
    """One reading: log10 p of the right class (0 if another is likelier) and of any mark of the keyring, both
    corrected for everything; the stage that decided; CPU seconds; the least log10 p of a wrong class, 0 for none.
    """

    picture: int
    pose: str
    effort: str
    log10_p: float
    log10_p_keyring: float
    stage: str
    seconds: float
    wrong: float

    def names(self, classes: int) -> bool:
        """Whether the right one of so many classes would be named at :data:`treering.settings.FPR`."""
        return self.log10_p + math.log10(classes / SEARCHED) <= math.log10(FPR)


def poses(model: LatentModel, keyring: Keyring, output: Path, count: int, note: Note) -> str:
    """``count`` pictures in every pose."""
    path = output / "poses.jsonl"
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    rows = {(row.picture, row.pose, row.effort): row for row in (Row(**json.loads(line)) for line in lines)}
    for i in range(count):
        wanted = [(name, effort) for name in POSES for effort in EFFORTS if _wanted(rows, i, name, effort)]
        ring, picture = _marked(model, keyring, i) if wanted else (keyring, np.empty(0, np.uint8))
        for name, effort in wanted:
            if not _wanted(rows, i, name, effort):  # as another effort has named it meanwhile
                continue
            row = rows[i, name, effort] = _read(model, ring, picture, i, name, effort)
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(row)) + "\n")
            note(f"picture {i + 1} of {count}, {name}, {effort}: log10 p {row.log10_p:.1f}")
    return _table(output, [row for row in rows.values() if row.picture < count])


def _wanted(rows: dict[tuple[int, str, str], Row], i: int, name: str, effort: str) -> bool:
    if (i, name, effort) in rows:
        return False
    before = rows.get((i, name, NORMAL))
    return effort == NORMAL or before is None or not before.names(CLASSES[-1])


def _marked(model: LatentModel, keyring: Keyring, i: int) -> tuple[Keyring, Pictures]:
    """A picture of class 0 under a secret of its own."""
    secret = hashlib.sha256(b"treering pose study" + keyring.secret + i.to_bytes(4, "little")).digest()
    size, pattern = model.image_size, Pattern.synchronised()
    ring = Keyring(secret, pattern, model.shape, image_size=size, classes=SEARCHED, public=True)
    return ring, draw(model, ring.noise(0, _SEED + i), _SEED + i)[1]


def _read(model: LatentModel, ring: Keyring, picture: Pictures, i: int, name: str, effort: str) -> Row:
    """One picture in one pose."""
    changed = POSES[name](picture, np.random.default_rng([_SEED, i, list(POSES).index(name)]))[0]
    detector = Detector(model, ring, effort=effort, fpr=FPR * SEARCHED / CLASSES[-1], every=False)
    started = time.process_time()
    found = detector(changed[None])[0]
    seconds = round(time.process_time() - started, 3)
    right = found.best_key == 0
    levels = (found.log10_p, 0.0) if right else (0.0, found.log10_p)
    return Row(i, name, effort, levels[0], found.log10_p_keyring, found.stage, seconds, levels[1])


def _table(output: Path, rows: Sequence[Row]) -> str:
    """Rates by pose, with Wilson intervals, and median seconds."""
    header = ["pose", *(f"{effort}, one of {classes:,}" for effort in EFFORTS for classes in CLASSES), "any mark"]
    header += ["median s, normal", "max", "named by"]
    body = [_line(pose, [row for row in rows if pose in ("", row.pose)]) for pose in (*POSES, "")]
    text = write_table(output / "poses.md", header, body)
    wrong = sum(row.wrong <= math.log10(FPR) for row in rows)
    return f"{text}\nWrong classes named: {wrong} of {len(rows)} readings."


def _line(pose: str, some: Sequence[Row]) -> list[str]:
    normal, most = ([row for row in some if row.effort == effort] for effort in EFFORTS)
    more = {(row.picture, row.pose): row for row in most}
    best = [min(row, more.get((row.picture, row.pose), row), key=lambda one: one.log10_p) for row in normal]
    cells = [_rate([row.names(classes) for row in those]) for those in (normal, best) for classes in CLASSES]
    levels = [min(row.log10_p_keyring, more.get((row.picture, row.pose), row).log10_p_keyring) for row in normal]
    seconds = [fixed(float(np.median([row.seconds for row in those])), 1) if those else "" for those in (normal, most)]
    stages = Counter(row.stage for row in best if row.names(SEARCHED))
    told = ", ".join(f"{stage} {number}" for stage, number in stages.most_common())
    return [pose or "all", *cells, _rate([level <= math.log10(FPR) for level in levels]), *seconds, told]


def _rate(hits: Sequence[bool]) -> str:
    if not hits:
        return ""
    rate = Rate(sum(hits), len(hits))
    low, high = rate.interval
    return f"{rate.count}/{rate.total} ({low:.2f}-{high:.2f})"
