"""Which poses are found blind, and what that costs: the search in the noise, then the best poses undone in pixels.

Every picture has a secret of its own.  A share of channel 0's points is the synchronisation part: it alone decides
about the pose, so that the class part, read once, is corrected by the number of classes and nothing else.  Rows are
kept in ``poses.jsonl``, and a run that was stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special

from ... import inversion
from ...marks.keyring import Keyring
from ...models import LatentModel
from ...models.schedule import probe
from ...pictures import images
from ...reading.affine import Floats, Integers, affine, chain, linear
from ...reading.lattice import LEFT_OVER, Fine, Lattice, nearest, wide
from ...reading.offset import Turned, measure
from ...reading.search import Candidate, Frame, confirm, search
from ...reading.spectra import Complexes, Template, coefficients
from ...statistics import Rate
from ..changes import POSES, lively, undone
from ..common import Note, Pictures, draw, fixed, write_table

SHARE = 0.75
"""Share of channel 0's points that all classes have in common."""

STEPS, KEEP, CLASSES, FPR = 5, 2, (100, 10_000, 1_000_000), 1e-6

DECISIVE = -9.0
"""log10 of the corrected p of the synchronisation part in pixels at which no further pose is tried."""

ROUNDS = 3
"""How often a pose is undone in pixels at most, as long as something is left over."""

CLIMBS, NEAR = 2, Fine((0.0,), (1.0,), (-0.5, 0.0, 0.5))
"""How often the neighbours of a pose are tried in pixels, and which."""

THROWN_AWAY = 4
"""Pictures under secrets of their own from which the offset of the model's noise is measured."""

FRAMES = (*((15.0 * i, 1.0) for i in range(24)), (0.0, 0.75), (0.0, 1.5))
"""How a picture is read again, where one reading finds nothing: a turn undone (degrees), at a share of its size."""

_SEED = 6_000_000


def shared(channel: Integers, frequency: Integers, share: float, carrier: int = 0) -> NDArray[np.bool_]:
    """Which points are the synchronisation part: evenly spread over each ring of one channel, ``[N]``.

    Point i of a ring, in order of (down, across), is one if floor((i + 1) share) > floor(i share) (Bresenham's line).
    """
    chosen = np.zeros(len(channel), np.bool_)
    ring = np.floor(np.hypot(*frequency.T) + 0.5).astype(np.int64)
    for radius in np.unique(ring):
        members = np.flatnonzero((channel == carrier) & (ring == radius))
        members = members[np.lexsort((frequency[members, 1], frequency[members, 0]))]
        place = np.arange(len(members) + 1) * share + 1e-9
        chosen[members] = np.floor(place[1:]) > np.floor(place[:-1])
    return chosen


@dataclass(frozen=True)
class Mark:
    """One keyring's points, and which of them are the synchronisation part."""

    keyring: Keyring
    share: float = SHARE

    @cached_property
    def points(self) -> tuple[Integers, Integers]:
        """Channel ``[N]`` and frequency ``[N, 2]``."""
        cells = self.keyring.cells()
        return cells.channel.numpy(), cells.frequency.numpy()

    @cached_property
    def common(self) -> NDArray[np.bool_]:
        """The synchronisation part, ``[N]``."""
        return shared(*self.points, self.share)

    @cached_property
    def values(self) -> Complexes:
        """Values of the class that is embedded and of 100 others at all points, ``[101, N]``."""
        return self.keyring.values(range(101))

    def template(self, whole: bool = False) -> Template:
        """The synchronisation part, or everything that the embedded class has."""
        used = np.ones_like(self.common) if whole else self.common
        channel, frequency = self.points
        return Template.of(channel[used], frequency[used], self.values[0, used], self.keyring.shape[1:])

    def classes(self, noise: NDArray[np.float32], pose: Floats) -> dict[str, float]:
        """log10 p of the right class by the class part, uncorrected, and the least of 100 wrong ones."""
        channel, frequency = self.points
        m = coefficients(noise, channel[~self.common], frequency[~self.common], pose, self.keyring.shape[1:])
        z = (self.values[:, ~self.common] @ m.conj()).real / math.sqrt(0.5 * (np.abs(m) ** 2).sum())
        logs = special.log_ndtr(-z) / math.log(10)
        return {"class": float(logs[0]), "wrong": float(logs[1:].min())}


@dataclass
class Confirmed:
    """The pose that the synchronisation part likes best, the noise in which it was seen, and its least p / w so far."""

    pose: Candidate
    noise: NDArray[np.float32]
    level: float


class Reader:
    """Pictures to noise by the encoder and few naive steps, and seconds by stage."""

    def __init__(self, model: LatentModel, lattice: Lattice) -> None:
        self.model, self.lattice = model, lattice
        self.schedule, self.f = probe(model.scheduler(), model.few_steps or STEPS), model.denoiser([""])
        self.seconds: dict[str, float] = {}
        self.offset = (0.0, 0.0)

    @contextmanager
    def clock(self, stage: str) -> Iterator[None]:
        """Note the seconds of a stage."""
        started = time.perf_counter()
        yield
        self.seconds[stage] = round(time.perf_counter() - started, 3)

    def noise(self, picture: Pictures) -> NDArray[np.float32]:
        """One picture ``[H, W, 3]`` to noise ``[C, h, w]``."""
        latent = self.model.encode(torch.from_numpy(images.to_float(picture[None])))
        return inversion.invert_sampler(self.schedule, self.f, latent)[0].numpy()

    def undo(self, picture: Pictures, pose: Floats, size: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The noise of a picture with a pose undone in pixels, and the cells that count."""
        pixels, covered = undone(picture, pose, size, self.model.factor)
        return self.noise(pixels), covered

    def confirmed(self, picture: Pictures, template: Template, found: Sequence[Candidate]) -> Confirmed:
        """The best of a few poses after undoing each in pixels, by the synchronisation part alone."""
        best: Confirmed | None = None
        for pose in (way for one in found for way in one.ways()):
            for one in self.rounds(picture, template, pose):
                if best is not None:
                    one.level = min(one.level, best.level)
                if best is None or one.pose.z > best.pose.z:
                    best = one
                best.level = one.level
            if best and best.level <= DECISIVE:
                break
        if best is None:
            raise ValueError("There is no pose to confirm.")
        return best

    def rounds(self, picture: Pictures, template: Template, pose: Candidate) -> Iterator[Confirmed]:
        """A pose undone in pixels, and what was left over, until nothing is."""
        for _ in range(ROUNDS):
            noise, covered = self.undo(picture, pose.affine, len(picture))
            noise = np.where(covered, noise, np.float32(0))
            pose = confirm(noise, template, pose, LEFT_OVER, self.offset)
            yield Confirmed(pose, noise, pose.level)
            if np.allclose(pose.within, np.eye(2, 3)):
                return

    def climb(self, picture: Pictures, template: Template, pose: Candidate) -> Confirmed:
        """A pose undone a quarter of a cell beside where it was, all eight neighbours and itself, as long as it helps.

        A picture that is undone 2 pixels beside its place has lost a third of z, and its noise does not say where to.
        """
        best = next(self.rounds(picture, template, pose))
        for _ in range(CLIMBS):
            start = best.pose
            for offset, share in zip(NEAR.offsets(), NEAR.log_shares().ravel(), strict=True):
                moved = chain(start.affine, np.column_stack([np.eye(2), offset]))
                beside = Candidate(moved, np.eye(2, 3), -math.inf, start.log10_weight + share / math.log(10))
                one = next(self.rounds(picture, template, beside))
                one.level = best.level = min(one.level, best.level)
                best = one if one.pose.z > best.pose.z else best
            if best.pose is start:
                break
        return best

    def again(self, picture: Pictures, template: Template) -> list[Candidate]:
        """Candidates of readings with a turn undone, or at another size: all parts of one lattice, searched once."""
        found: list[Candidate] = []
        owners = nearest(self.lattice, [(turn, span) for turn, span in FRAMES])
        for (turn, span), chosen in zip(FRAMES, owners, strict=True):
            frame = linear(False, turn, 1.0)
            still = affine(frame, np.zeros(2))
            noise, covered = self.undo(picture, still, round(len(picture) * span / 64) * 64)
            part = self.lattice.part(chosen, frame)
            found += search(noise, template, part, 2, covered=covered, frame=Frame(still, self.offset))
        return sorted(found, key=lambda one: one.level)


def poses(model: LatentModel, keyring: Keyring, output: Path, count: int, note: Note) -> str:
    """Rates of ``count`` pictures a pose, as :func:`table` has them.

    First one reading of every picture, then more of those in which it decided nothing.
    """
    reader, rows = Reader(model, wide()), _Rows(output / "poses.jsonl")
    reader.offset = offset_of(reader, keyring)
    note("noise against pixels: {:.3f} cells down, {:.3f} across".format(*reader.offset))
    for again in (False, True):
        for i in range(count):
            wanted = [name for name in POSES if rows.wants(i, name, again)]
            for row in _picture(reader, keyring, i, wanted, again) if wanted else ():
                rows.add(row)
            note(f"{i + 1} of {count}")
    return table(output, list(rows.known.values()))


def offset_of(reader: Reader, keyring: Keyring) -> tuple[float, float]:
    """How the model's noise lies against its pixels, from a few flipped and turned pictures."""
    readings = []
    for i in range(THROWN_AWAY):
        mark, picture = _marked(reader.model, keyring, -1 - i)
        for name in ("flip", "quarter turn"):
            changed, truth = POSES[name](picture, np.random.default_rng(i))
            readings.append(Turned(reader.noise(changed), mark.template(whole=True), truth))
    return measure(readings)


def _marked(model: LatentModel, keyring: Keyring, i: int) -> tuple[Mark, Pictures]:
    """A picture under a secret of its own; numbers below zero are for what is tuned."""
    secret = hashlib.sha256(b"treering pose study" + keyring.secret + i.to_bytes(4, "little", signed=True)).digest()
    mark = Mark(keyring.with_secret(secret))
    return mark, draw(model, mark.keyring.noise(0, _SEED + i), _SEED + i)[1]


class _Rows:
    """Results by picture and pose, each on disk as soon as it is known; a second reading adds to the first."""

    def __init__(self, path: Path) -> None:
        self.path, self.known = path, dict[tuple[int, str], dict[str, Any]]()
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            self._merge(json.loads(line))

    def _merge(self, row: dict[str, Any]) -> None:
        before = self.known.get((row["picture"], row["pose"]), {"seconds": {}})
        self.known[row["picture"], row["pose"]] = before | row | {"seconds": before["seconds"] | row["seconds"]}

    def add(self, row: dict[str, Any]) -> None:
        """Keep a row."""
        self._merge(row)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def wants(self, picture: int, pose: str, again: bool) -> bool:
        """Whether there is something left to do."""
        row = self.known.get((picture, pose))
        if not again:
            return row is None
        return row is not None and "again" not in row and row.get("pixels", {}).get("sync", 0.0) > DECISIVE


def _picture(reader: Reader, keyring: Keyring, i: int, names: Sequence[str], again: bool) -> Iterator[dict[str, Any]]:
    """Rows of one picture under a secret of its own."""
    mark, picture = _marked(reader.model, keyring, i)
    for name in names:
        changed = POSES[name](picture, np.random.default_rng([_SEED, i, list(POSES).index(name)]))[0]
        reader.seconds = {}
        found = more(reader, mark, changed) if again else once(reader, mark, changed)
        yield {"picture": i, "pose": name} | found | {"seconds": reader.seconds}


def once(reader: Reader, mark: Mark, picture: Pictures) -> dict[str, Any]:
    """One reading: what the synchronisation part says of the pose, and the class in the pose that it chose."""
    template = mark.template()
    with reader.clock("read"):
        noise = np.where(lively(picture, reader.model.factor), reader.noise(picture), np.float32(0))
    with reader.clock("search"):
        found = search(noise, template, reader.lattice, KEEP, frame=Frame(offset=reader.offset))
    with reader.clock("search, whole key"):
        whole = search(noise, mark.template(whole=True), reader.lattice, 1)
    if not found:
        return {}
    with reader.clock("confirm"):
        best = reader.confirmed(picture, template, found)
    given = mark.classes(noise, np.eye(2, 3))
    return {
        "given": given,
        "whole": {"sync": whole[0].level},
        "noise": _said(mark, Confirmed(found[0], noise, found[0].level)),
        "pixels": _said(mark, best),
    }


def more(reader: Reader, mark: Mark, picture: Pictures) -> dict[str, Any]:
    """More readings, turned and at other sizes, the best of their poses, and its neighbours in pixels."""
    template = mark.template()
    noise = np.where(lively(picture, reader.model.factor), reader.noise(picture), np.float32(0))
    found = search(noise, template, reader.lattice, 1, frame=Frame(offset=reader.offset))
    with reader.clock("again"):
        found = sorted(found + reader.again(picture, template), key=lambda one: one.level)
    with reader.clock("confirm again"):
        best = reader.confirmed(picture, template, found[:KEEP])
    with reader.clock("climb"):
        climbed = reader.climb(picture, template, best.pose)
    return {"again": _said(mark, best), "climbed": _said(mark, climbed)}


def _said(mark: Mark, found: Confirmed) -> dict[str, float]:
    return {"sync": found.level, "z": found.pose.z} | mark.classes(found.noise, found.pose.within)


# ------------------------------------------------------------------------------------------ the table


def chosen(row: dict[str, Any], stage: str) -> dict[str, float]:
    """What a stage says; after more readings, whatever the synchronisation part likes best."""
    nothing = {"sync": 0.0, "class": 0.0, "z": 0.0}
    if stage != "again":
        return row.get(stage, nothing)
    best = max((row.get(name, nothing) for name in ("pixels", "again", "climbed")), key=lambda found: found["z"])
    return best | {"sync": best["sync"] + math.log10(2)}  # two searches of the lattice, each with half


def named(row: dict[str, Any], stage: str, classes: int) -> bool:
    """Whether the right class is named at :data:`FPR`, as given or in the pose found, each with half of it."""
    limit = math.log10(FPR / (2 * classes))
    return min(row.get("given", {}).get("class", 0.0), chosen(row, stage)["class"]) <= limit


def table(output: Path, rows: Sequence[dict[str, Any]]) -> str:
    """Rates by pose, with Wilson intervals, and median seconds."""
    stages = [(stage, classes) for stage in ("noise", "pixels", "again") for classes in CLASSES]
    header = ["pose", "whole key", "sync, noise", "sync, pixels", "sync, again"]
    header += [f"{stage}, {classes}" for stage, classes in stages]
    body = []
    for pose in (*POSES, ""):
        those = [row for row in rows if pose in ("", row["pose"])]
        cells = [_rate([chosen(row, stage)["sync"] <= math.log10(FPR) for row in those]) for stage in _SYNC]
        cells += [_rate([named(row, stage, classes) for row in those]) for stage, classes in stages]
        body.append([pose or "all", *cells])
    text = write_table(output / "poses.md", header, body)
    return "\n".join((text, _seconds(rows), _wrong(rows)))


_SYNC = ("whole", "noise", "pixels", "again")


def _rate(hits: Sequence[bool]) -> str:
    rate = Rate(sum(hits), len(hits))
    low, high = rate.interval
    return f"{rate.count}/{rate.total} ({low:.2f}-{high:.2f})"


def _seconds(rows: Sequence[dict[str, Any]]) -> str:
    stages = ("read", "search", "search, whole key", "confirm", "again", "confirm again", "climb")
    spent = {stage: [row["seconds"][stage] for row in rows if stage in row["seconds"]] for stage in stages}
    parts = [f"{stage} {fixed(float(np.median(v)), 2)} ({len(v)})" for stage, v in spent.items() if v]
    return "Median seconds where a stage ran (pictures): " + ", ".join(parts) + "."


def _wrong(rows: Sequence[dict[str, Any]]) -> str:
    least = [row[stage]["wrong"] + 2 for row in rows for stage in ("noise", "again") if stage in row]
    named_wrongly = sum(level + math.log10(2) <= math.log10(FPR) for level in least)
    return f"Least corrected log10 p of 100 wrong classes: {min(least, default=0):.1f}; named wrongly: {named_wrongly}."
