"""What ``kill -9`` leaves behind: processes that write pictures, manifests and results, killed at random moments.

Nothing here needs a model: pictures are noise whose first pixel is their class, and the detector reads that pixel.
What is measured is the writing.  Deterministic but for the moments, which are the clock's.
"""

from __future__ import annotations

import json
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from multiprocessing import get_all_start_methods, get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ... import batch, files, report
from ...errors import InputError
from ...pictures import images
from ...settings import ENGINES
from ...types import Answer, Detection
from . import fleets

PROCESSES = 8
SIDE = 8
CLASSES = 7
_SETTINGS = {"study": "kills"}
_HEADER = ("what", "processes", "kills", "done", "mended", "lost", "false", "files left")
# mended: what a kill had left undone, and the next start finished; a torn line, too

Pictures = NDArray[np.uint8]


def kills(output: Path, count: int = 100, verified: int | None = None) -> str:
    """A table: ``count`` kills of processes that embed into one folder, and of verify (``verified``, if given), in one
    process and with each engine that is installed.
    """
    if "fork" not in get_all_start_methods():
        raise InputError("This study needs a system that can fork processes.")
    with tempfile.TemporaryDirectory() as name:
        rows = [_embed(Path(name, "embed"), count), _verify(Path(name, "verify"), verified or count)]
        rows += [fleets.kill(engine, Path(name, engine), verified or count) for engine in _engines()]
    table: str = report.markdown_table(_HEADER, rows)
    files.replace(output / "kills.md", table.encode())
    return table


def _engines() -> list[str]:
    """Those that are installed, where processes can be looked up."""
    if not Path("/proc/self/stat").exists():
        return []
    return [name for name in ENGINES if name == ENGINES[0] or find_spec(name)]


def _fork(work: Callable[..., object], *given: object) -> BaseProcess:
    """A process that does this and nothing else."""
    process = get_context("fork").Process(target=work, args=given)
    process.start()
    return process


def _kill(process: BaseProcess) -> bool:
    """Kill a process; whether it was still at work.  One that failed by itself ends the study."""
    process.kill()
    process.join()
    if process.exitcode and process.exitcode > 0:
        raise RuntimeError("A process failed by itself.")
    return process.exitcode != 0


# embed


def _embed(folder: Path, count: int) -> Sequence[object]:
    """Eight processes that make pictures; one after the other is killed and replaced, at last all of them."""
    moments = random.Random(0)
    folder.mkdir()
    log, mended = folder.parent / "said", folder.parent / "mended"
    alive = [_fork(_make, folder, seed) for seed in range(PROCESSES)]
    killed = 0
    while killed < count:
        time.sleep(moments.uniform(0.0, 0.2))
        killed += _kill(alive.pop(moments.randrange(len(alive))))
        alive.append(_fork(_make, folder, PROCESSES + killed))
    killed += sum(_kill(child) for child in alive)
    gallery = _start(folder, 1)
    after = _disagreements(folder)
    left = _left(folder)
    said = set(log.read_text().splitlines())
    lost = len(said - set(_rows(folder))) + sum(after.values())
    done, mends = f"{_number(gallery)} pictures", len(mended.read_text().splitlines()) if mended.exists() else 0
    return "embed, one folder and manifest", PROCESSES, killed, done, mends, lost, after["class"], left


def _number(gallery: batch.Gallery) -> int:
    return int(gallery.files[0].stem.rpartition("-")[2]) - 1


def _make(folder: Path, seed: int) -> None:
    """Make pictures without end, and say which are done, as the command does."""
    noise = np.random.default_rng(seed)
    while True:
        gallery = _start(folder, 3)
        for file in gallery.files:
            pixels = noise.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
            named = gallery.add(pixels, file, int(pixels[0, 0, 0]) % CLASSES)
            _say(folder.parent / "said", named.name)
            _note_mended(folder, gallery)


def _start(folder: Path, count: int) -> batch.Gallery:
    gallery = batch.Gallery.plan(folder, count, folder / "manifest.csv")
    _note_mended(folder, gallery)
    return gallery


def _note_mended(folder: Path, gallery: batch.Gallery) -> None:
    sentences = gallery.manifest.mended if gallery.manifest else []
    while sentences:
        _say(folder.parent / "mended", sentences.pop())


def _say(log: Path, text: str) -> None:
    with log.open("ab", buffering=0) as file:
        file.write(f"{text}\n".encode())


def _rows(folder: Path) -> dict[str, batch.Label]:
    if not (folder / "manifest.csv").exists():
        return {}
    return {item.name: item.label for item in batch.labels_from_manifest(folder / "manifest.csv")}


def _disagreements(folder: Path) -> Counter[str]:
    """Pictures without a row, rows without a picture, rows that cannot be read or say another class."""
    found = Counter[str]()
    text = folder / "manifest.csv"
    items = batch.labels_from_manifest(text) if text.exists() and text.stat().st_size else []
    found["row"] += sum(item.problem is not None for item in items)
    rows = {item.name: item.label for item in items if not item.problem}
    pictures = {item.name for item in batch.find(folder)}
    found["picture"] += len(pictures - rows.keys()) + len(rows.keys() - pictures)
    for name in pictures & rows.keys():
        first = int(images.read(folder / name).pixels[0, 0, 0])
        found["class"] += first % CLASSES != rows[name]
    return found


def _left(folder: Path) -> int:
    """Hidden files, but for locks that are meant to stay."""
    return sum(path.name.startswith(".") and path.name != files.LOCK for path in folder.iterdir())


# verify


def _verify(folder: Path, count: int) -> Sequence[object]:
    """One process that checks pictures; it is killed and begun again until it comes to its end, and so on."""
    moments = random.Random(1)
    checked, output = folder / "in", folder / "out"
    _draw(checked, 30)
    whole = folder / "whole"
    started = time.perf_counter()
    _check(checked, whole)
    usual = time.perf_counter() - started
    killed = lost = undone = done = false = 0
    while killed < count:
        before = _lines(output)
        child = _fork(_check, checked, output)
        time.sleep(moments.uniform(0.0, usual))
        killed += _kill(child)
        after = _lines(output)
        lost += len(before - after)
        undone += _torn(output)
        if (output / batch.SUMMARY).exists():
            done += len(after)
            false += after != _lines(whole)
            shutil.rmtree(output)
    _check(checked, output)
    false += _lines(output) != _lines(whole)
    return "verify, one folder of results", 1, killed, f"{done + 30} results", undone, lost, false, _left(output)


def _draw(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    for i in range(count):
        images.write(np.random.default_rng(i).integers(0, 256, (SIDE, SIDE, 3), np.uint8), folder / f"{i:03}.png")


def _check(folder: Path, output: Path) -> None:
    batch.verify(batch.find(folder), _detect, output, _SETTINGS, batch=3)


def _detect(pictures: Pictures, notes: Sequence[tuple[str, ...]]) -> list[Detection]:
    time.sleep(0.003)
    return [_detection(int(picture[0, 0, 0]) % CLASSES, note) for picture, note in zip(pictures, notes, strict=True)]


def _detection(key: int, notes: tuple[str, ...]) -> Detection:
    what = ("demo", "k", "formula", 1, "converged", 0.0)
    return Detection(key, 1e-9, -9.0, Answer.KEY, key, 6.0, -9.0, *what, notes=notes)


def _lines(output: Path) -> set[str]:
    """The whole results in a journal."""
    path = output / batch.RESULTS
    if not path.exists():
        return set()
    whole = [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    return {json.dumps(json.loads(line)) for line in whole}


def _torn(output: Path) -> bool:
    path = output / batch.RESULTS
    return path.exists() and not path.read_bytes().endswith(b"\n") and path.stat().st_size > 0
