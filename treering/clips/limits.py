"""How much of a clip is read.  What is larger is read in part, with a note, or refused with one sentence."""

from __future__ import annotations

from ..errors import ImageError

MAX_FRAMES = 10_000
"""Frames that are decoded; those after them are not read."""

MAX_PIXELS = 1 << 25
"""A frame with more pixels (8K video has as many) is refused."""

MAX_DECODED = 1 << 31
"""Pixels of all frames together that are decoded: some thousand frames of 1920x1080."""

MAX_PACKETS = 1 << 17
"""Packets of a video's stream that are looked at, whether or not they hold frames."""

MAX_BYTES = 1 << 32
"""A video of more bytes is refused: what is in it besides pictures is passed over byte by byte."""

MAX_FOLDER = 1 << 17
"""Files of a folder of frames."""


def check_frame(width: int, height: int, name: str) -> None:
    """Refuse a frame of too many pixels, or none: ImageError."""
    if width * height > MAX_PIXELS:
        raise ImageError(f"{name} has frames of more than {MAX_PIXELS} pixels, so it is not read.")
    if width < 1 or height < 1:
        raise ImageError(f"{name} has frames without a size, so it is not read.")


class Meter:
    """Frames and pixels that were decoded so far of one clip."""

    def __init__(self, name: str) -> None:
        self.name, self.frames, self.pixels = name, 0, 0

    def count(self, width: int, height: int) -> bool:
        """Count a frame; whether there may be more after it.  Raises ``ImageError`` for one that is too large."""
        check_frame(width, height, self.name)
        self.frames += 1
        self.pixels += width * height
        return self.frames < MAX_FRAMES and self.pixels < MAX_DECODED

    def note(self) -> str:
        """What to say where it ended before the clip did."""
        return f"Only the first {self.frames} frames were read."
