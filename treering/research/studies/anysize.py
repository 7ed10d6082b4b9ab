"""One key in pictures of several sizes: read as made, after a resize, and as JPEG; and how many rings a size bears."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from ... import writing
from ...marks.keyring import Keyring
from ...marks.patterns import Pattern
from ...models import LatentModel
from ...pictures.fit import chosen
from ...reading import Detector
from ..common import Note, Pictures, fixed, jpeg, words, write_table
from .patterns import look

Size = tuple[int, int]
SIZES = ((256, 256), (320, 320), (192, 320), (384, 256))
"""Height and width of what is made; the demo was trained on the first."""
RINGS = (((256, 256), 11), ((256, 256), 15), ((384, 384), 15), ((384, 384), 23))
"""Sizes, and the outermost rings that are compared there."""
HEADER = ("made at", "rings", "given", "right class", "median log10 p", "diversity")


def anysize(model: LatentModel, keyring: Keyring, output: Path, count: int, note: Note) -> str:
    """``count`` pictures a row, 100 classes, effort fast; diversity of one class as in the study of patterns."""
    family = {"channels": model.shape[0], "factor": model.factor, "sizes": SIZES, "public": True}
    ring = Keyring(keyring.secret, Pattern.synchronised(), **family)
    rows, text = list[list[str]](), ""
    for row in (*_sizes(model, ring, count), *_rings(model, ring, count)):
        rows.append(row)
        note(" | ".join(row))
        text = write_table(output / "anysize.md", HEADER, rows)
    return text


def _sizes(model: LatentModel, ring: Keyring, count: int) -> Iterator[list[str]]:
    for size in SIZES:
        made = [_made(model, ring, size, seed, seed % 3) for seed in range(count)]
        for name, change in _changes(size).items():
            found = _read(model, ring, [change(picture) for picture in made])
            yield [_times(size), _range(ring), name, *found, ""]


def _changes(size: Size) -> dict[str, Callable[[Pictures], Pictures]]:
    """What is done to a picture of a size."""
    half = (size[0] // 2, size[1] // 2)
    changes = {"as made": _same, "JPEG 75": lambda picture: jpeg(picture, 75)}
    changes[f"resized to {_times(half)}"] = lambda picture: _resized(picture, half)
    for other in SIZES:
        if other != size and other[0] * size[1] == other[1] * size[0]:
            changes[f"resized to {_times(other)}"] = lambda picture, other=other: _resized(picture, other)  # type: ignore[misc]
    return changes


def _same(picture: Pictures) -> Pictures:
    return picture


def _rings(model: LatentModel, ring: Keyring, count: int) -> Iterator[list[str]]:
    for size, outer in RINGS:
        sizes = tuple(dict.fromkeys((model.image_size, size)))
        wide = replace(ring, pattern=replace(ring.pattern, outer=outer), sizes=sizes)
        marked, plain = ([_made(model, wide, size, seed, key) for seed in range(count)] for key in (0, None))
        diversity = look(np.stack(marked), np.stack(plain)).diversity if count > 1 else float("nan")
        yield [_times(size), _range(wide), "as made", *_read(model, wide, marked, classes=1), fixed(diversity, 3)]


def _made(model: LatentModel, ring: Keyring, size: Size, seed: int, key: int | None) -> Pictures:
    return writing.embed(model, ring, key, [words(model, seed)], 40 + seed, size=size)[0]


def _read(model: LatentModel, ring: Keyring, pictures: Sequence[Pictures], classes: int = 3) -> list[str]:
    """Pictures with the classes 0, 1, ..., 0, 1, ... as their files would be read."""
    reader, found = Detector(model, ring, effort="fast"), []
    for picture in pictures:
        size = chosen(ring.sizes, (picture.shape[0], picture.shape[1]))
        found.append(reader(_resized(picture, size)[None])[0])
    named = sum(one.key == i % classes for i, one in enumerate(found))
    return [f"{named}/{len(found)}", fixed(float(np.median([one.log10_p for one in found])), 1)]


def _resized(picture: Pictures, size: Size) -> Pictures:
    if picture.shape[:2] == size:
        return picture
    return np.asarray(Image.fromarray(picture).resize(size[::-1], Image.Resampling.LANCZOS))


def _range(ring: Keyring) -> str:
    return f"{ring.pattern.inner}-{ring.pattern.outer}"


def _times(size: Size) -> str:
    return f"{size[1]}x{size[0]}"
