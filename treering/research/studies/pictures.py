"""What reading pictures costs and notices: the dearest files that are accepted, flipped bits, threads."""

from __future__ import annotations

import io
import os
import re
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from ... import report
from ...errors import ImageError
from ...pictures import images, limits

_SIDE = 8192
_PROGRAM = """
import sys, time
from treering.pictures import images
from treering.research import memory
started = time.process_time()
try:
    outcome = "read, " + " ".join(images.read(sys.argv[1]).notes[:1])
except Exception as error:
    outcome = "refused: " + str(error).removeprefix(sys.argv[1]).strip()
seconds = time.process_time() - started
print(f"{seconds:.3f} {memory.peak() / 1024**2:.0f} {outcome}")
"""


def pictures(output: Path, count: int = 200) -> str:
    """Three tables: seconds and memory of the dearest files; damage by format (`count` files each); threads."""
    with tempfile.TemporaryDirectory() as name:
        costs = [(what, *_cost(path)) for what, path in _dear_files(Path(name))]
    tables = [
        report.markdown_table(("file", "MB", "seconds", "peak MB", "outcome"), [list(row) for row in costs]),
        report.markdown_table(("kind", "damage", "same", "noted", "refused", "unnoticed"), list(_damage(count))),
        report.markdown_table(("threads", "pictures a second"), list(_threads(count))),
    ]
    text = "\n\n".join(table.rstrip() for table in tables) + "\n"
    (output / "pictures.md").write_text(text, encoding="utf-8")
    return text


# Cost


def _cost(path: Path) -> tuple[str, str, str, str]:
    """Megabytes, processor seconds, peak megabytes and outcome of reading one file in a process of its own."""
    size = path.stat().st_size / 1e6
    command = [sys.executable, "-c", _PROGRAM, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    path.unlink()
    found = re.match(r"(\S+) (\S+) (.*)", done.stdout)
    if found is None:
        raise RuntimeError(f"{path.name} cannot be measured: {done.stderr.strip()}")
    return f"{size:.1f}", f"{float(found[1]):.2f}", found[2], found[3].strip().rstrip(",")


def _dear_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """The files one after the other, as some are large: what they are, and where."""
    for what, make in _DEAR.items():
        path = folder / "dear.picture"
        try:
            path.write_bytes(make())
        except (KeyError, OSError):  # a format that this Pillow does not write
            continue
        yield what, path


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    encoded = io.BytesIO()
    image.save(encoded, kind, **options)
    return encoded.getvalue()


def _png(side: int, depth: int, colour: int, row: bytes, *more: tuple[bytes, bytes]) -> bytes:
    """A PNG by hand: square, every line the same, with other chunks before the pixels."""
    packer = zlib.compressobj(9)
    pixels = b"".join(packer.compress(b"\0" + row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, depth, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), *more, (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _noise(side: int, channels: int) -> Image.Image:
    """A picture that compresses badly: a noisy tile, repeated."""
    tile = np.random.default_rng(0).integers(0, 256, (256, 256, channels), np.uint8)
    return Image.fromarray(np.tile(tile, (side // 256, side // 256, 1)).squeeze())


def _wide(pixels: int) -> Image.Image:
    return _noise(_SIDE, 3).crop((0, 0, _SIDE, pixels // _SIDE))


def _profiled() -> bytes:
    """An sRGB profile with red and green swapped (so that it does something), and 10 MB long."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile = profile.replace(b"rXYZ", b"????").replace(b"gXYZ", b"rXYZ").replace(b"????", b"gXYZ")
    return struct.pack(">I", 10_000_000) + profile[4:].ljust(9_999_996, b"\0")


def _many_frames(kind: str, frames: int) -> bytes:
    each = [Image.fromarray(np.full((8, 8), n % 256, np.uint8)) for n in range(frames)]
    return _saved(each[0], kind, save_all=True, append_images=each[1:])


def _many_scans() -> bytes:
    """A progressive JPEG whose last scan comes again 500 times."""
    data = _saved(_noise(2048, 1), "JPEG", progressive=True, quality=5)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * 500 + data[-2:]


def _small_gif_blocks() -> bytes:
    data = _saved(Image.new("L", (8, 8)), "GIF")
    return data[:-1] + b"\x21\xfe\x01x\0" * 10_000_000 + data[-1:]


_TEXT = zlib.compress(bytes(200_000_000), 9)
_DEAR: dict[str, Callable[[], bytes]] = {
    "PNG, 8192 x 8192, RGB": lambda: _saved(_noise(_SIDE, 3), "PNG", compress_level=1),
    "PNG, 8192 x 8192, RGBA, 16 bits": lambda: _png(_SIDE, 16, 6, bytes(8 * _SIDE)),
    "PNG, 5760 x 5760, RGBA, 16 bits": lambda: _png(5760, 16, 6, bytes(range(256)) * (8 * 5760 // 256)),
    "PNG, 8192 x 8192, RGBA, 8 bits": lambda: _png(_SIDE, 8, 6, bytes(range(256)) * (4 * _SIDE // 256)),
    "PNG, 8192 x 8192, grey, 16 bits": lambda: _png(_SIDE, 16, 0, bytes(range(256)) * (2 * _SIDE // 256)),
    "PNG, 8192 x 8192, palette and alpha": lambda: _png(
        _SIDE, 8, 3, bytes(range(256)) * (_SIDE // 256), (b"PLTE", bytes(768)), (b"tRNS", bytes(range(256)))
    ),
    "PNG, 9000 x 9000": lambda: _png(9000, 8, 2, bytes(27_000)),
    "PNG, 200 MB of text in 0.2 MB": lambda: _png(8, 8, 0, bytes(8), (b"zTXt", b"a\0\0" + _TEXT)),
    "PNG, 20 000 000 empty chunks": lambda: _png(8, 8, 0, bytes(8)).replace(
        _chunk(b"IEND", b""), _chunk(b"teXt", b"") * 20_000_000 + _chunk(b"IEND", b"")
    ),
    "PNG, profile": lambda: _saved(_noise(_SIDE, 3), "PNG", compress_level=1, icc_profile=_profiled()[:700_000]),
    "JPEG, 8192 x 8192": lambda: _saved(_noise(_SIDE, 3), "JPEG", quality=75),
    "JPEG, 8192 x 8192, progressive": lambda: _saved(_noise(_SIDE, 3), "JPEG", quality=20, progressive=True),
    "JPEG, 5632 x 5632, CMYK": lambda: _saved(_noise(5632, 4).convert("CMYK"), "JPEG", quality=20),
    "JPEG, 8192 x 8192, profile of 10 MB": lambda: _saved(
        _noise(_SIDE, 3), "JPEG", quality=20, icc_profile=_profiled()
    ),
    "JPEG, 2048 x 2048, 500 scans": _many_scans,
    "JPEG, 60 000 000 segments": lambda: b"\xff\xd8" + b"\xff\xfe\0\2" * 60_000_000 + b"\xff\xd9",
    "WebP, largest, lossy": lambda: _saved(_wide(limits.pixels("WEBP")), "WEBP", quality=50, method=0),
    "WebP, largest, lossless": lambda: _saved(_wide(limits.pixels("WEBP")), "WEBP", lossless=True, quality=0, method=0),
    "WebP, 1000 frames": lambda: _many_frames("WEBP", 1000),
    "TIFF, 8192 x 8192, LZW": lambda: _saved(_noise(_SIDE, 3), "TIFF", compression="tiff_lzw"),
    "TIFF, 8192 x 8184, floats": lambda: _saved(Image.new("F", (_SIDE, _SIDE - 8), 0.5), "TIFF"),
    "TIFF, 8192 x 8192, one line a strip": lambda: _saved(
        _noise(_SIDE, 3), "TIFF", compression="tiff_deflate", tiffinfo={278: 1}
    ),
    "TIFF, 5000 pages": lambda: _many_frames("TIFF", 5000),
    "GIF, 8192 x 8192": lambda: _saved(_noise(_SIDE, 1), "GIF"),
    "GIF, 10 000 frames": lambda: _many_frames("GIF", 10_000),
    "GIF, 10 000 000 comments": _small_gif_blocks,
    "BMP, 8192 x 8192": lambda: _saved(_noise(_SIDE, 3), "BMP"),
    "AVIF, largest": lambda: _saved(_wide(limits.pixels("AVIF")), "AVIF", quality=50, speed=10),
}


# Damage


def _encodings() -> dict[str, bytes]:
    """A smooth picture with some noise in each format."""
    rng = np.random.default_rng(1)
    soft = Image.fromarray(rng.integers(0, 256, (12, 12, 3), np.uint8)).resize((192, 192), Image.Resampling.BICUBIC)
    image = Image.fromarray(np.clip(np.asarray(soft) + rng.normal(0, 6, (192, 192, 3)), 0, 255).astype(np.uint8))
    made = {
        "PNG": _saved(image, "PNG"),
        "JPEG, baseline": _saved(image, "JPEG", quality=85),
        "JPEG, progressive": _saved(image, "JPEG", quality=85, progressive=True),
        "JPEG, restart markers": _saved(image, "JPEG", quality=85, restart_marker_rows=1),
        "WebP, lossy": _saved(image, "WEBP"),
        "WebP, lossless": _saved(image, "WEBP", lossless=True),
        "GIF": _saved(image, "GIF"),
        "TIFF, deflate": _saved(image, "TIFF", compression="tiff_adobe_deflate"),
        "BMP": _saved(image, "BMP"),
    }
    return made | ({"AVIF": _saved(image, "AVIF")} if ".avif" in images.SUFFIXES else {})


def _damage(count: int) -> Iterator[list[str]]:
    rng = np.random.default_rng(2)
    for kind, data in _encodings().items():
        intact = images.read(data).pixels
        for what, hurt in (("one bit flipped", _flipped), ("cut", _cut)):
            found = Counter(_verdict(hurt(data, rng), intact) for _ in range(count))
            yield [kind, what, *(f"{100 * found[name] / count:.1f} %" for name in _VERDICTS)]


_VERDICTS = ("same", "noted", "refused", "unnoticed")


def _flipped(data: bytes, rng: np.random.Generator) -> bytes:
    at = int(rng.integers(len(data)))
    return data[:at] + bytes([data[at] ^ 1 << int(rng.integers(8))]) + data[at + 1 :]


def _cut(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: int(rng.integers(1, len(data)))]


def _verdict(data: bytes, intact: NDArray[np.uint8]) -> str:
    try:
        result = images.read(data)
    except ImageError:
        return "refused"
    if result.damaged:
        return "noted"
    return "same" if np.array_equal(result.pixels, intact) else "unnoticed"


# Threads


def _threads(count: int) -> Iterator[list[str]]:
    tile = _noise(512, 3).resize((1024, 1024), Image.Resampling.BICUBIC)
    data = [_saved(tile, "JPEG", quality=90), _saved(tile, "PNG")]
    for workers in (1, 2, 4):
        seconds = statistics.median(_read_all(data, count, workers) for _ in range(3))
        yield [f"{workers} (of {os.cpu_count()} cores)", f"{count / seconds:.0f}"]


def _read_all(data: list[bytes], count: int, workers: int) -> float:
    started = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(lambda number: images.read(data[number % len(data)], (256, 256)), range(count)))
    return time.perf_counter() - started
