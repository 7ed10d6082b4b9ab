"""``kill -9`` of runs with workers: of one worker, of the run itself, of everything at once.

A run checks the same pictures again and again, each time into a new folder; it is killed at random moments and begun
again until it comes to its end.  Lost: a line that was there before and is not there after; or a picture without a
line at the end.  Doubled: a picture with two lines.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ... import batch
from ...batch.engines import Recipe, get
from . import stand_in

WORKERS, PICTURES, COST = 3, 60, 0.01
_TARGETS = ("worker", "worker", "run", "everything")  # as often as they stand here
_PATIENCE = 300.0  # seconds after which a run that does not end is an error


class Fates:
    """What became of the lines of one folder of results."""

    def __init__(self, checked: Path, output: Path) -> None:
        self.checked, self.output = checked, output
        self.lost = self.doubled = self.kills = self.results = 0
        self.hit = Counter[str]()
        self._before = set[str]()

    def look(self) -> None:
        """Compare with what was there when this was called last."""
        names = _names(self.output)
        self.lost += len(self._before - names.keys())
        self._before = set(names)

    def end(self) -> None:
        """A run came to its end."""
        names = _names(self.output)
        self.lost += sum(item.name not in names for item in batch.find(self.checked))
        self.doubled += sum(count > 1 for count in names.values())
        self.results += len(names)
        shutil.rmtree(self.output)
        self._before = set()


def _names(output: Path) -> Counter[str]:
    """Whole lines with a result, by file."""
    path = output / batch.RESULTS
    data = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    lines = [json.loads(line) for line in data if line.endswith(b"\n")]
    return Counter(line["file"] for line in lines if line["error"] is None)


def kill(engine: str, folder: Path, count: int) -> Sequence[object]:
    """A row: ``count`` kills of runs with this engine."""
    moments = random.Random(2)
    fates = Fates(folder / "in", folder / "out")
    stand_in.draw(fates.checked, PICTURES)
    started = time.perf_counter()
    _run(engine, fates, moments, 0, 1.0)
    pause = (time.perf_counter() - started) / 4  # so that a run is hit a few times, at any moment of it
    while fates.kills < count:
        _run(engine, fates, moments, count, pause)
    while fates.output.exists():
        _run(engine, fates, moments, 0, pause)
    hit = ", ".join(f"{name} {number}" for name, number in sorted(fates.hit.items()))
    what = f"verify, engine {engine}: {hit}"
    return what, WORKERS, fates.kills, f"{fates.results} results", "", fates.lost, fates.doubled, _left(folder)


def _run(engine: str, fates: Fates, moments: random.Random, count: int, pause: float) -> None:
    """One run, with kills until it is dead or done; a run may give up where its workers die again and again."""
    command = [sys.executable, "-m", __name__, engine, str(fates.checked), str(fates.output)]
    end, before = time.monotonic() + _PATIENCE, fates.kills
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, start_new_session=True, stdout=quiet, stderr=quiet) as process:
        try:
            while process.poll() is None and time.monotonic() < end:
                time.sleep(moments.uniform(0.0, pause))
                if fates.kills < count and fates.output.exists():
                    _strike(process, fates, moments.choice(_TARGETS))
        finally:
            family = _family(process.pid)
            process.kill()
    if process.returncode == 0:
        return fates.end()
    if fates.kills == before:
        raise RuntimeError("A run failed by itself, or did not end.")
    _put_down(family)
    fates.look()


def _strike(process: subprocess.Popen[bytes], fates: Fates, target: str) -> None:
    """Kill a worker, the run, or everything that it has begun."""
    family = _family(process.pid)
    workers = [number for number in family if _is_worker(number)]
    if target == "worker" and not workers:
        return
    hit = {"worker": workers[:1], "run": [process.pid], "everything": [process.pid, *family]}[target]
    _put_down(hit)
    fates.kills += 1
    fates.hit[target] += 1
    if target != "worker":
        process.wait()


def _put_down(numbers: Sequence[int]) -> None:
    for number in numbers:
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)


def _family(number: int) -> list[int]:
    """Processes that this one has begun, and those that they have."""
    parents = dict(_parents())
    family, waiting = list[int](), [number]
    while waiting:
        parent = waiting.pop()
        children = [child for child, theirs in parents.items() if theirs == parent]
        family += children
        waiting += children
    return family


def _parents() -> Sequence[tuple[int, int]]:
    found = []
    for name in os.listdir("/proc"):
        with suppress(OSError, ValueError, IndexError):
            status = Path("/proc", name, "stat").read_text().rpartition(")")[2].split()
            found.append((int(name), int(status[1])))
    return found


def _is_worker(number: int) -> bool:
    with suppress(OSError):
        command = Path("/proc", str(number), "cmdline").read_bytes()
        return b"batch.engines.worker" in command or command.startswith(b"ray::_Actor")
    return False


def _left(folder: Path) -> int:
    return sum(path.name.startswith(".") for path in folder.rglob("*"))


def main(engine: str, checked: Path, output: Path) -> None:
    """One run, in a process of its own."""
    recipe = Recipe(f"{stand_in.__name__}:make", {"cost": COST, "batch": 2})
    with get(engine, recipe, WORKERS) as fleet:
        batch.verify(batch.find(checked), fleet, output, **fleet.about)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
