"""What a run over many pictures costs besides the detector: time and memory a picture, resuming, and more workers.

No model: pictures are small and the detector a stand-in.  Each figure is of a process of its own.  CPU seconds are told
beside seconds, because the machine may have others to serve.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ... import batch, files, report
from ...batch import lines as heart
from ...batch import opening
from ...batch.engines import Recipe, get
from ...batch.journal import settings_id
from ...pictures import images
from . import simulation, stand_in

_COST = 0.05  # seconds of the detector, where workers are compared
_FILES = 2000  # pictures of the first and the last part
_WHOLE = {"settings": stand_in.SETTINGS, "size": None}
_Row = Sequence[object]


def scale(output: Path, count: int = 1_000_000) -> str:
    """Tables: overhead, memory up to ``count`` pictures, resuming ``count``, workers 1 to 4, a simulation of 256."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stand_in.draw(folder / "in", _FILES)
        overhead = _child("overhead", folder)
        sizes = [10**power for power in range(3, 10) if 10**power <= count]
        memory = [(size, *_child("memory", folder, size)) for size in sizes]
        resume = _child("resume", folder, count)
        workers = list(_workers(folder))
    parts = (
        _table("Overhead of one process, small PNG files", ("pictures", "ms each", "CPU ms each"), [overhead]),
        _table("Memory", ("pictures", "most MB", "s", "CPU ms each"), memory),
        _table("Going on where all is done", ("pictures", "s", "CPU s", "most MB", "s without index"), [resume]),
        _table(f"Workers, {_COST} s a picture", ("workers", "pictures", "s", "efficiency", "own CPU ms each"), workers),
        simulation.table(float(str(workers[-1][-1]))),
    )
    text = "\n".join(parts)
    files.replace(output / "scale.md", text.encode())
    return text


def _table(title: str, header: Sequence[str], rows: Sequence[_Row]) -> str:
    table: str = report.markdown_table(header, rows)
    return f"**{title}**\n\n{table}"


def _child(what: str, folder: Path, count: int = _FILES) -> list[Any]:
    """One row, measured in a process of its own."""
    command = [sys.executable, "-m", __name__, what, str(folder), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    row: list[Any] = json.loads(done.stdout)
    return row


def _clock() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _since(start: tuple[float, float]) -> tuple[float, float]:
    now = _clock()
    return now[0] - start[0], now[1] - start[1]


def most_memory() -> int:
    """MB that this process has had at most."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "linux" else 1 << 20)


# Parts, each in its own process


def overhead(folder: Path, count: int) -> _Row:
    """Milliseconds a picture, of everything but the detector."""
    work = stand_in.make()
    start = _clock()
    batch.verify(batch.find(folder / "in"), work.detect, folder / "overhead", work.settings, work.batch)
    wall, cpu = _since(start)
    return count, f"{1000 * wall / count:.2f}", f"{1000 * cpu / count:.2f}"


def memory(folder: Path, count: int) -> _Row:
    """Most memory of a run in which each picture is listed, looked up, detected and written; only the decoding is
    left out.
    """
    picture = images.read(folder / "in" / "000000.png")
    opening.read = lambda item: opening.Opened(item, item.name.encode())
    heart.images = _Drawn(picture)  # type: ignore[attr-defined]
    start = _clock()
    work = stand_in.make()
    batch.verify(stand_in.listed(count), work.detect, folder / f"memory-{count}", work.settings, work.batch)
    wall, cpu = _since(start)
    return most_memory(), f"{wall:.1f}", f"{1000 * cpu / count:.2f}"


class _Drawn:
    """Stands in for the decoder of pictures."""

    def __init__(self, picture: images.Picture) -> None:
        self._picture = picture
        self.digest = images.digest

    def read(self, *_: object, **__: object) -> images.Picture:
        """The same picture."""
        return self._picture


def resume(folder: Path, count: int) -> _Row:
    """Seconds until a run knows that nothing is left to do: with the index, and after its loss."""
    output = folder / "resume"
    output.mkdir()
    _write(output, count)
    without, _ = _go_on(output, count)  # makes the index
    wall, cpu = _go_on(output, count)
    return count, f"{wall:.1f}", f"{cpu:.1f}", most_memory(), f"{without:.1f}"


def _write(output: Path, count: int) -> None:
    """A journal of so many results."""
    settings = settings_id(_WHOLE)
    result = {**stand_in.detection(3).as_dict(), "error": None}
    with (output / batch.RESULTS).open("w") as file:
        for item in stand_in.listed(count):
            digest = images.digest(item.name.encode())
            head = {"file": item.name, "sha256": digest, "settings": settings, "stamp": item.stamp}
            file.write(json.dumps({**head, **result}) + "\n")


def _go_on(output: Path, count: int) -> tuple[float, float]:
    def detect(*_: object) -> list[Any]:
        raise AssertionError("something was left to do")

    start = _clock()
    summary = batch.verify(stand_in.listed(count), detect, output, stand_in.SETTINGS)
    assert summary.resumed == count
    return _since(start)


# Workers


def _workers(folder: Path) -> Iterator[_Row]:
    """Efficiency of 1 to 4 processes, whose detector sleeps, so that cores do not matter."""
    alone = 0.0
    for workers in (1, 2, 4):
        count = 200 * workers
        items = batch.find(folder / "in")[:count]
        with get("local", Recipe(f"{stand_in.__name__}:make", {"cost": _COST}), workers) as engine:
            start = _clock()
            batch.verify(items, engine, folder / f"workers-{workers}", **engine.about)
            seconds, cpu = _since(start)
        alone = alone or seconds
        yield workers, count, f"{seconds:.1f}", f"{alone / seconds:.2f}", f"{1000 * cpu / count:.2f}"


if __name__ == "__main__":
    sys.stdout.write(json.dumps(globals()[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))))
