"""Marks on pages: how many are found, how many falsely, and what it takes.

Marked and unmarked pictures take turns on every page; each is read as made, and at half of its size as JPEG 75; and a
page of unmarked pictures alone as made.  A marked part is found if its class is named with a box that shares at least
half of its place; a mark that is named and lies on no part of that class is false.  Seconds are those of the processor.
Every page is on disk as soon as it was read, so that a run that was stopped goes on.
"""

from __future__ import annotations

import io
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ... import writing
from ...marks.keyring import Keyring
from ...marks.patterns import Pattern
from ...models import LatentModel
from ...pictures.borders import Box
from ...pictures.edges import common, shared
from ...reading import Detector
from ...reading import pages as reading
from ..collages import LAYOUTS, Page
from ..common import SECRET, Pictures, fixed, words, write_table

SEED, CLASSES, POOL = 660_000, 100, 9
"""Seed of the pictures, classes of the keyring, and pictures of each kind (marked or not) to choose from."""

EFFORT = "normal"

HEADER = ("page", "read", "pages", "marked parts", "found", "falsely named", "boxes looked into", "median CPU s")
MADE, HALVED, PLAIN = "as made", "half size, JPEG 75", "nothing marked"

Picture = tuple[Pictures, int | None]


@dataclass(frozen=True)
class Row:
    """One page that was read."""

    number: int
    layout: str
    how: str
    marked: int
    found: int
    false: int
    looked: int
    seconds: float


def pages(
    model: LatentModel, keyring: Keyring, output: Path, count: int = 2, note: Callable[[str], None] = lambda text: None
) -> str:
    """``count`` pages of every layout, searched by a keyring of 100 classes."""
    ring = Keyring(
        SECRET, Pattern.synchronised(), classes=CLASSES, shape=model.shape, image_size=model.image_size, public=True
    )
    reader = reading.Pages(Detector(model, ring, effort=EFFORT))
    path, rows, table = output / "pages.jsonl", list[Row](), ""
    known = [Row(**json.loads(line)) for line in path.read_text("utf-8").splitlines()] if path.exists() else []
    before = {(row.number, row.layout, row.how): row for row in known}
    pool: list[tuple[Picture, Picture]] = []
    for number, name, how in ((i, name, how) for i in range(count) for name in LAYOUTS for how in HOWS):
        row = before.get((number, name, how))
        if row is None:
            pool = pool or [*_pictures(model, ring)]
            row = _row(reader, pool, number, name, how)
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(row)) + "\n")
        rows.append(row)
        table = write_table(output / "pages.md", HEADER, [*_lines(rows), *_sums(rows)])  # of those so far
        note(f"{name}, {how}: {row.found} of {row.marked}")
    return table


HOWS = (MADE, HALVED, PLAIN)
"""How a page is read."""


def _pictures(model: LatentModel, ring: Keyring) -> Iterator[tuple[Picture, Picture]]:
    """Pairs of a marked picture and one without a mark."""
    for i in range(POOL):
        key, seed = (7 + 11 * i) % CLASSES, SEED + 2 * i
        marked = writing.embed(model, ring, key, words(model, seed), seed)[0]
        yield (marked, key), (writing.embed(model, ring, None, words(model, seed + 1), seed + 1)[0], None)


def _halved(pixels: Pictures) -> Pictures:
    buffer = io.BytesIO()
    size = (pixels.shape[1] // 2, pixels.shape[0] // 2)
    Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=75)
    return np.asarray(Image.open(buffer))


def _truth(page: Page, keys: Sequence[int | None], smaller: int) -> list[tuple[int, Box]]:
    """Classes and boxes of the marked parts."""
    found = []
    for part, key in zip(page.parts, keys, strict=True):
        top, left, bottom, right = (side // smaller for side in part.box)
        if key is not None:
            found.append((key, (top, left, bottom, right)))
    return found


def _row(reader: reading.Pages, pool: Sequence[tuple[Picture, Picture]], number: int, name: str, how: str) -> Row:
    """One page, read."""
    rng = np.random.default_rng([SEED, number, *name.encode()])
    chosen = [picture for i in rng.permutation(len(pool)) for picture in pool[i]]
    if how == PLAIN:
        chosen = [picture for picture in chosen if picture[1] is None]
    page = LAYOUTS[name]([picture for picture, _ in chosen], rng)
    keys = [chosen[part.number][1] for part in page.parts]
    pixels, smaller = (_halved(page.pixels), 2) if how == HALVED else (page.pixels, 1)
    truth = _truth(page, keys, smaller)
    started = time.process_time()
    read = reader(pixels)
    seconds = time.process_time() - started
    named = [(mark.key, mark.box) for mark in read.marks if mark.key is not None]
    found = sum(any(key == k and shared(box, b) >= 0.5 for k, b in named) for key, box in truth)
    false = sum(not any(k == key and common(b, box) for k, b in truth) for key, box in named)
    return Row(number, name, how, len(truth), found, false, read.looked, seconds)


def _lines(rows: Sequence[Row]) -> Iterator[list[str]]:
    for name, how in dict.fromkeys((row.layout, row.how) for row in rows):
        yield _line(name, how, [row for row in rows if (row.layout, row.how) == (name, how)])


def _sums(rows: Sequence[Row]) -> Iterator[list[str]]:
    for how in dict.fromkeys(row.how for row in rows):
        yield _line("all", how, [row for row in rows if row.how == how])


def _line(name: str, how: str, some: Sequence[Row]) -> list[str]:
    sums = (sum(getattr(row, field) for row in some) for field in ("marked", "found", "false"))
    looked, seconds = (statistics.median(getattr(row, field) for row in some) for field in ("looked", "seconds"))
    return [name, how, str(len(some)), *map(str, sums), fixed(looked, 0), fixed(seconds, 1)]
