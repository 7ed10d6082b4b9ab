"""Videos, by PyAV: an extra, loaded when a video is read or written."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ImageError
from ..pictures import sources
from ..pictures.read import DAMAGED
from . import limits
from .keep import Kept
from .limits import Meter
from .read import Frames, Raw

NEEDED = "needs PyAV; install it with: pip install 'treering[video]'"

# What demuxers may do on a stranger's file: no playlists, and nothing opened besides the file itself.
_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,ogg,h264,hevc,ivf,obu"
_OPTIONS = {"format_whitelist": _FORMATS, "protocol_whitelist": "none", "probesize": "5000000"}


def av(what: str) -> Any:
    """The library, or an ``ImageError`` that says how to get it."""
    try:
        import av as library
    except ImportError:
        raise ImageError(f"{what} {NEEDED}") from None
    library.logging.set_level(library.logging.PANIC)  # errors come back as exceptions
    return library


def read(path: Path, name: str, most: int, together: bool) -> Raw:
    """Frames of the first video stream that is not a cover picture."""
    library = av(f"Reading {name}")
    kept, meter, notes = Kept[Frames](most, together), Meter(name), list[str]()
    with _opened(library, path, name) as container:
        stream = _stream(container, name)
        rate = stream.average_rate
        for frame in _decoded(container, stream, meter, notes):
            if kept.wants(meter.frames - 1):
                kept.add(_upright(frame))
            if kept.full:
                break
    return Raw(kept.frames, meter.frames, float(rate) if rate else None, notes)


@contextlib.contextmanager
def _opened(library: Any, path: Path, name: str) -> Iterator[Any]:
    """The container; the file is handed over open, so that its name cannot mean anything else."""
    with sources.opened(path, name) as file:
        if os.fstat(file.fileno()).st_size > limits.MAX_BYTES:
            raise ImageError(f"{name} is larger than {limits.MAX_BYTES} bytes, so it is not read.")
        try:
            container = library.open(file, "r", options=dict(_OPTIONS), metadata_errors="replace")
        except Exception as error:  # of FFmpeg, of many kinds
            raise ImageError(f"{name} is not a video that can be read.") from error
        with container:
            yield container


def _stream(container: Any, name: str) -> Any:
    """The video stream; raises ``ImageError`` where there is none, or one whose frames are too large."""
    streams = [one for one in container.streams.video if not _is_cover(one)]
    if not streams:
        raise ImageError(f"{name} has no pictures in it, only sound or other data.")
    stream = streams[0]
    if stream.codec_context is None:
        raise ImageError(f"{name} is of a kind of video that is not known here.")
    limits.check_frame(stream.width or 1, stream.height or 1, name)
    stream.codec_context.options = {"max_pixels": str(limits.MAX_PIXELS)}
    stream.codec_context.thread_count = 1  # memory does not grow with the processors
    return stream


def _is_cover(stream: Any) -> bool:
    with contextlib.suppress(AttributeError, TypeError):
        return bool(stream.disposition & type(stream.disposition).attached_pic)
    return False


def _decoded(container: Any, stream: Any, meter: Meter, notes: list[str]) -> Iterator[Any]:
    """Frame after frame, counted, until the clip or what may be read of it ends."""
    broken = False
    packets = container.demux(stream)
    for _ in range(limits.MAX_PACKETS):
        try:
            packet = next(packets)
        except StopIteration:
            break
        except Exception:
            broken = True
            break
        try:
            frames = packet.decode()
        except Exception:  # what a packet holds is broken: the next may not be
            broken = True
            continue
        for frame in frames:
            goes_on = meter.count(frame.width, frame.height)
            yield frame
            if not goes_on:
                notes.append(meter.note())
                return
    else:
        notes.append(meter.note())
    if broken:
        notes.insert(0, f"{DAMAGED}: parts of the video cannot be decoded.")


def _upright(frame: Any) -> Frames:
    """RGB ``[H, W, 3]``, turned as its player would."""
    pixels = frame.to_ndarray(format="rgb24")
    turns = round((getattr(frame, "rotation", 0) or 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, turns))
