"""Pictures of one class that share a nonce more often than chance lets them: look-alikes, told after a run.

Every marked picture has a nonce that its seed drew, one of many.  Under one secret, pictures that look alike to a
reading are named together or not at all: a flock of false namings has one class *and* one nonce.  So have copies of one
picture, and pictures that somebody forged from the noise of one.  Nothing is named because of this, and nothing is
withdrawn: what is told can only make a reader more careful, so it changes no p-value.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import stats

from ..errors import ImageError
from ..pictures import images
from ..text import shown
from .items import Line
from .journal import parse

LEVEL = 0.01
"""A run in which all nonces were drawn as they should be is told of at most this often."""

TOLD = 5
"""Groups that are told one by one, and files that are named of each."""

Where = Callable[[str], Path | None]

Named = tuple[str, int, int, str]
"""File, class, nonce and digest of a picture that was named."""

_COPY, _SIDE = 0.95, 16


@dataclass(frozen=True)
class Group:
    """Pictures of one class and nonce: ``files``, of ``named`` pictures of that class; near-copies count once.

    ``keyring``: what people call it, where several were searched.
    """

    key: int
    nonce: int
    files: tuple[str, ...]
    named: int
    keyring: str = ""

    def sentence(self, nonces: int) -> str:
        """For people."""
        more = ", ..." if len(self.files) > TOLD else ""
        whose = f" of {shown(self.keyring)}" if self.keyring else ""
        return (
            f"{len(self.files)} of the {self.named} different pictures named key {self.key}{whose} share the nonce "
            f"{self.nonce} of {nonces}, which chance does not explain: they look alike to the reading, so all or none "
            f"may be marked, or they were made from the noise of one picture ({', '.join(self.files[:TOLD])}{more})."
        )


def notes(journal: Path, settings: str, nonces: Mapping[str, int], where: Where) -> list[str]:
    """Sentences on the groups among the results with these settings; none where a class has one nonce.

    ``nonces``: of a class, by the id of each keyring that was searched.  ``where``: the file of a picture by its name
    in the results, None where it is not at hand.
    """
    found: list[tuple[Group, int]] = []
    rings = {ring: count for ring, count in nonces.items() if count > 1}
    marks: dict[tuple[str, str], list[Named]] = defaultdict(list)
    for whose, one in named(journal, settings) if rings else ():
        marks[whose].append(one)
    for (ring, name), some in marks.items():
        if count := rings.get(ring or next(iter(nonces))):  # that alone was searched where none is told
            told = groups(some, where, count, len(rings))
            found += [(replace(group, keyring=name), count) for group in told]
    more = [f"{len(found) - TOLD} more groups of pictures share class and nonce."] if len(found) > TOLD else []
    return [group.sentence(count) for group, count in found[:TOLD]] + more


def named(journal: Path, settings: str) -> Iterator[tuple[tuple[str, str], Named]]:
    """Id of a keyring and what it is called, both empty where it was searched alone; file, class, nonce and digest of
    every picture that was named by it with these settings.
    """
    with journal.open("rb") as lines:
        for data in lines:
            try:
                line: Line = parse(data)
                key, nonce = line.get("key"), line.get("nonce")
            except (ValueError, KeyError, TypeError, RecursionError):
                continue
            if line["settings"] == settings and type(key) is int and type(nonce) is int:
                whose = str(line.get("keyring") or ""), str(line.get("keyring_name", ""))
                yield whose, (line["file"], key, nonce, line["sha256"])


def groups(found: Iterable[Named], where: Where, nonces: int, rings: int = 1) -> list[Group]:
    """Groups beyond chance: the number of pictures with a nonce is binomial, corrected for all classes and nonces.

    ``rings``: of how many keyrings these are one, which is corrected for too.
    """
    seen: set[str] = set()
    marks: dict[int, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    for file, key, nonce, digest in found:
        if digest not in seen:
            seen.add(digest)
            marks[key][nonce].append(file)
    tests = nonces * max(len(marks), 1) * rings
    return [
        Group(key, nonce, tuple(files), total)
        for key, own in sorted(marks.items())
        for nonce, files, total in _unlikely(own, where, nonces, tests)
    ]


def _unlikely(
    own: Mapping[int, list[str]], where: Where, nonces: int, tests: int
) -> Iterator[tuple[int, list[str], int]]:
    counts = Counter({nonce: len(files) for nonce, files in own.items()})
    for nonce, files in sorted(own.items()):
        if _p(len(files), counts.total(), nonces) * tests > LEVEL:
            continue
        different = _different([where(file) for file in files], files)  # pictures are read only where there are many
        total = counts.total() - len(files) + len(different)
        if _p(len(different), total, nonces) * tests <= LEVEL:
            yield nonce, different, total


def _p(count: int, total: int, nonces: int) -> float:
    """Probability that a given nonce is drawn by so many of ``total`` pictures."""
    return float(stats.binom.sf(count - 1, total, 1 / nonces))


# Copies


def _different(paths: Sequence[Path | None], files: Sequence[str]) -> list[str]:
    """One file of all that are near-copies of each other, mirrored or turned by quarters too."""
    kept: list[NDArray[np.float64]] = []
    names: list[str] = []
    for path, file in zip(paths, files, strict=True):
        small = None if path is None else thumbnail(path)
        if small is None or all(alike(small, other) < _COPY for other in kept):
            names.append(file)
            if small is not None:
                kept.append(small)
    return names


def thumbnail(path: Path) -> NDArray[np.float64] | None:
    """A picture at 16x16, grey, of mean 0 and norm 1; None if it cannot be read or has one colour."""
    try:
        picture = Image.fromarray(images.read(path).pixels).convert("L")
    except ImageError:
        return None
    small = np.asarray(picture.resize((_SIDE, _SIDE), Image.Resampling.BOX), np.float64)
    small = small - small.mean()
    norm = float(np.linalg.norm(small))
    return small / norm if norm > 0 else None


def alike(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """The largest correlation of two thumbnails under the eight symmetries of a square."""
    turned = (np.rot90(way, k) for way in (second, second[:, ::-1]) for k in range(4))
    return max(float((first * one).sum()) for one in turned)
