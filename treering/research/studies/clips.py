"""Clips: how a mark is written over frames, and what it survives; the demo model, frame by frame."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import special
from torch import Tensor

from ... import clips as files
from ...clips.read import FRAMES as MOST
from ...clips.read import fitted
from ...filming import embed_clip
from ...marks import clips as over_frames
from ...marks import fourier
from ...marks.keyring import Keyring
from ...models import LatentModel
from ...pictures import images
from ...reading.clips import ClipDetector
from ...reading.tools import ENCODER
from ...statistics import wilson
from ...writing import generate
from ..attacks.clips import ATTACKS, Frames, dropped, h264, through
from ..common import SECRET, Note, fixed, words, write_table

FRAMES, STEPS, GUIDANCE, KEY = 8, 10, 3.0, 3
LONG = 16
"""Frames of the clips of the second table."""

SPEEDS = (1 / 2, 2 / 3, 3 / 4, 4 / 5, 1.0, 5 / 4, 4 / 3, 3 / 2, 2.0)
"""Speeds that are tried where every frame has a mark of its own."""


def clips(model: LatentModel, keyring: Keyring, output: Path, count: int, note: Note) -> str:
    """Both tables; each has keyrings of its own for one frame, whatever ``keyring`` is."""
    keyring = Keyring.for_model(model).with_secret(SECRET)
    first = schemes(model, keyring, output, max(1, count // 2), note)
    return f"{first}\n{survival(model, keyring, output, count, note)}"


# How a mark is written


@dataclass(frozen=True)
class Scheme:
    """``turn``: degrees from frame to frame, None for independent frames.  ``share``: of the mark, None where every
    frame has a mark of its own."""

    turn: float | None
    share: float | None

    def noise(self, keyring: Keyring, seed: int, key: int = KEY) -> Tensor:
        """Noise of a clip ``[C, F, h, w]``."""
        if self.share is not None:
            return over_frames.noise(keyring, key, seed, FRAMES, share=self.share, turn=self.turn)[0]
        plain = over_frames.unmarked(keyring.shape, seed, FRAMES, self.turn)[0].transpose(0, 1)
        values = torch.from_numpy(keyring.values(own_marks(key)))
        return fourier.imprint(plain, keyring.cells(), values).transpose(0, 1)


def own_marks(key: int) -> list[int]:
    """Classes whose values stand for the marks of single frames."""
    return [1000 * (key + 1) + frame for frame in range(FRAMES)]


SCHEMES = {
    "frames alike, share of the mean": Scheme(over_frames.TURN, 0.0),
    "frames alike, the same mark": Scheme(over_frames.TURN, 1.0),
    "frames alike, a mark for each frame": Scheme(over_frames.TURN, None),
    "independent, share of the mean (1/8)": Scheme(None, 0.0),
    "independent, share 1/4": Scheme(None, 0.25),
    "independent, share 1/2": Scheme(None, 0.5),
    "independent, the same mark": Scheme(None, 1.0),
    "independent, a mark for each frame": Scheme(None, None),
}
HURT: dict[str, Callable[[Frames], Frames]] = {
    "as made": ATTACKS["as made"],
    "crf 23": h264(23),
    "crf 33": h264(33),
    "every second dropped": dropped(2),
    "one frame": lambda frames: through(frames[3:4], crf=23),
}


def schemes(model: LatentModel, keyring: Keyring, output: Path, count: int, note: Note) -> str:
    """Evidence, and what it costs: noise alike in time at the mark, steadiness, clips of one class alike."""
    header = ("frames, mark", *(f"{name}: log10 p" for name in HURT), "noise alike", "frame to frame", "clips alike")
    rows = list[list[str]]()
    for name, scheme in SCHEMES.items():
        found = [_clip(model, keyring, scheme, seed, output, name) for seed in range(count)]
        p = [[_evidence(model, keyring, scheme, change(one)) for one in found] for change in HURT.values()]
        alike = _alike(scheme.noise(keyring, 1), keyring)
        pace = np.mean([np.abs(np.diff(one.astype(float), axis=0)).mean() for one in found])
        rows.append([name, *(fixed(float(np.median(each)), 0) for each in p), fixed(alike, 2), fixed(float(pace), 2)])
        rows[-1].append(fixed(_likeness(found), 3))
        note(" | ".join(rows[-1]))
        text = write_table(output / "clips-schemes.md", header, rows)
    return text


def _clip(model: LatentModel, keyring: Keyring, scheme: Scheme, seed: int, output: Path, name: str) -> Frames:
    """One clip, kept as a file so that a study that was stopped goes on.  All schemes have the same prompts."""
    label = "".join(letter if letter.isalnum() else "-" for letter in name)
    path = output / "clips" / f"{label}-{seed}.apng"

    def make() -> Frames:
        noise = scheme.noise(keyring, 9_000_000 + seed).unbind(1)
        made = [generate(model, one[None], [words(model, seed)], STEPS, GUIDANCE)[0] for one in noise]
        return np.stack(made)

    return _kept(path, make)


def _kept(path: Path, make: Callable[[], Frames]) -> Frames:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write(make(), path, 24.0)
    return files.read(path, most=1000).frames


def _noises(model: LatentModel, keyring: Keyring, frames: Frames) -> NDArray[np.float32]:
    """Recovered noise of every frame, ``[F, C, h, w]``: the encoder and five steps."""
    tools = ClipDetector(model, keyring).tools
    height, width = keyring.image_size
    sized = [np.asarray(Image.fromarray(one).resize((width, height))) for one in frames]
    return np.stack([tools.noise(tools.reading(one), ENCODER, 5) for one in sized])


def _evidence(model: LatentModel, keyring: Keyring, scheme: Scheme, frames: Frames) -> float:
    noises = torch.from_numpy(_noises(model, keyring, frames))
    if scheme.share is not None:
        return keyring.match(noises.double().mean(0, keepdim=True), [KEY])[0].log10_p
    points = fourier.coefficients(noises, keyring.cells()).numpy()  # [F, N]
    values = keyring.values(own_marks(KEY))
    ways = list(_ways(len(frames)))
    best = max(_score(points, values, way) for way in ways)
    return min(0.0, float(special.log_ndtr(-best)) / math.log(10) + math.log10(len(ways)))


def _ways(count: int) -> Iterator[NDArray[np.int64]]:
    """Which mark each frame may have: every start at every speed, in frames of the clip as made."""
    for speed in SPEEDS:
        for start in range(FRAMES):
            yield np.floor(start + speed * np.arange(count)).astype(np.int64)


def _score(points: NDArray[np.complex128], values: NDArray[np.complex128], way: NDArray[np.int64]) -> float:
    """z of the frames that have a mark under this way; frames of one mark are added before they are scored."""
    height = power = 0.0
    for mark in range(FRAMES):
        total = points[way == mark].sum(0)
        height += float((total * values[mark].conj()).real.sum())
        power += float((np.abs(total) ** 2).sum())
    return height / math.sqrt(power / 2) if power else 0.0


def _alike(noise: Tensor, keyring: Keyring) -> float:
    """Correlation of neighbouring frames of a noise ``[C, F, h, w]`` at the frequencies of the mark."""
    points = fourier.coefficients(noise.transpose(0, 1).contiguous(), keyring.cells()).numpy()
    a, b = points[:-1], points[1:]
    return float((a * b.conj()).real.sum() / math.sqrt((np.abs(a) ** 2).sum() * (np.abs(b) ** 2).sum()))


def _likeness(found: Sequence[Frames]) -> float:
    """Mean correlation of the pixels of different clips (of one class, with prompts of their own)."""
    flat = [images.to_float(one[0]).ravel() for one in found]
    pairs = [float(np.corrcoef(a, b)[0, 1]) for i, a in enumerate(flat) for b in flat[:i]]
    return float(np.mean(pairs)) if pairs else math.nan


# What it survives


def survival(model: LatentModel, keyring: Keyring, output: Path, count: int, note: Note) -> str:
    """Clips named of ``count``, and p, after everything that :data:`ATTACKS` has."""
    detect = ClipDetector(model, keyring)
    header = ("what was done", "named", "95 % interval", "median log10 p", "worst", "s")
    made = [
        _kept(output / "clips" / f"long-{seed}.apng", partial(_long, model, keyring, seed)) for seed in range(count)
    ]
    rows = list[list[str]]()
    for name, attack in ATTACKS.items():
        found = [_read(detect, attack(one)) for one in made]
        named = sum(one.key == seed % keyring.classes for seed, one in enumerate(found))
        low, high = wilson(named, count)
        p, seconds = [one.log10_p for one in found], [one.seconds for one in found]
        rows.append([name, f"{named}/{count}", f"{low:.0%} - {high:.0%}", fixed(float(np.median(p)), 1)])
        rows[-1] += [fixed(max(p), 1), fixed(float(np.median(seconds)), 1)]
        note(" | ".join(rows[-1]))
        text = write_table(output / "clips.md", header, rows)
    return text


def _long(model: LatentModel, keyring: Keyring, seed: int) -> Frames:
    return embed_clip(
        model, keyring, seed % keyring.classes, words(model, 50 + seed), LONG, 9_100_000 + seed, STEPS, GUIDANCE
    )


def _read(detect: ClipDetector, frames: Frames) -> Any:
    """As ``detect`` reads a file: a few frames, brought to the model's size."""
    chosen = [frames[i] for i in files.even(len(frames), MOST)]
    return detect(fitted(chosen, detect.keyring.image_size, [], "clip")[None])[0]
