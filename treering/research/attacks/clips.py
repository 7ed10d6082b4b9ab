"""What happens to clips on their way: codecs, frames lost, doubled and re-timed, trimming, sizes, crops."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...clips import read
from ...clips.write import encode

Frames = NDArray[np.uint8]
Attack = Callable[[Frames], Frames]


def through(frames: Frames, suffix: str = ".mp4", crf: int | None = None, rate: float = 24.0) -> Frames:
    """Written to a file and read again, all frames."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"clip{suffix}")
        path.write_bytes(encode(frames, suffix, rate, crf))
        return read(path, most=len(frames)).frames


def h264(crf: int) -> Attack:
    """H.264 at a constant rate factor."""
    return lambda frames: through(frames, crf=crf)


def dropped(every: int) -> Attack:
    """Every so many-th frame lost, then H.264."""
    return lambda frames: through(frames[[i for i in range(len(frames)) if i % every != every - 1]], crf=23)


def doubled(every: int) -> Attack:
    """Every so many-th frame shown twice, then H.264."""
    return lambda frames: through(np.repeat(frames, [1 + (i % every == 0) for i in range(len(frames))], 0), crf=23)


def retimed(before: float, after: float) -> Attack:
    """Shown at another number of frames a second, by the nearest frame, then H.264."""

    def attack(frames: Frames) -> Frames:
        count = round(len(frames) * after / before)
        nearest = np.minimum((np.arange(count) * before / after).round().astype(int), len(frames) - 1)
        return through(frames[nearest], crf=23, rate=after)

    return attack


def blended(before: float, after: float) -> Attack:
    """The same, with frames between frames blended, as converters for television do."""

    def attack(frames: Frames) -> Frames:
        at = np.minimum(np.arange(round(len(frames) * after / before)) * before / after, len(frames) - 1)
        low = np.floor(at).astype(int)
        high, share = np.minimum(low + 1, len(frames) - 1), (at - low)[:, None, None, None]
        mixed = (1 - share) * frames[low] + share * frames[high]
        return through(np.rint(mixed).astype(np.uint8), crf=23, rate=after)

    return attack


def trimmed(first: float, last: float) -> Attack:
    """A part of the clip, in shares of its length, then H.264."""
    return lambda frames: through(frames[int(first * len(frames)) : max(1, int(last * len(frames)))], crf=23)


def resized(scale: float) -> Attack:
    """Other numbers of rows and columns, then H.264."""

    def attack(frames: Frames) -> Frames:
        height, width = (2 * round(scale * side / 2) for side in frames.shape[1:3])
        return through(_each(frames, lambda one: one.resize((width, height), Image.Resampling.BICUBIC)), crf=23)

    return attack


def cropped(share: float) -> Attack:
    """A part about the centre, of this share of the sides, enlarged again; then H.264."""

    def attack(frames: Frames) -> Frames:
        height, width = frames.shape[1:3]
        down, across = (1 - share) / 2 * height, (1 - share) / 2 * width
        box = (across, down, width - across, height - down)
        return through(
            _each(frames, lambda one: one.resize((width, height), Image.Resampling.BICUBIC, box=box)), crf=23
        )

    return attack


def mirrored(frames: Frames) -> Frames:
    """Left and right changed, then H.264."""
    return through(frames[:, :, ::-1], crf=23)


def letterboxed(frames: Frames) -> Frames:
    """Black bars above and below, at the same width; then H.264."""
    bar = frames.shape[1] // 6 // 2 * 2
    return through(np.pad(frames, ((0, 0), (bar, bar), (0, 0), (0, 0))), crf=23)


def _each(frames: Frames, change: Callable[[Image.Image], Image.Image]) -> Frames:
    return np.stack([np.asarray(change(Image.fromarray(frame))) for frame in frames])


ATTACKS: dict[str, Attack] = {
    "as made": lambda frames: frames,
    "H.264, crf 18": h264(18),
    "H.264, crf 23": h264(23),
    "H.264, crf 28": h264(28),
    "H.264, crf 33": h264(33),
    "VP9 (webm)": lambda frames: through(frames, ".webm"),
    "GIF": lambda frames: through(frames, ".gif"),
    "every third frame dropped": dropped(3),
    "every third frame doubled": doubled(3),
    "24 to 30 frames a second": retimed(24, 30),
    "24 to 30, blended": blended(24, 30),
    "middle quarter": trimmed(3 / 8, 5 / 8),
    "one frame": lambda frames: through(frames[len(frames) // 2 : len(frames) // 2 + 1], crf=23),
    "half size": resized(0.5),
    "letterbox": letterboxed,
    "crop 75 %": cropped(0.75),
    "mirrored": mirrored,
}
"""What is done to clips, by name; all but the first six after or with H.264 at crf 23."""
