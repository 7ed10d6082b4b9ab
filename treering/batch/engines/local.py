"""Workers that are processes of this machine."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from typing import IO

from .common import Engine, Event, Plain, Recipe

_COMMAND = (sys.executable, "-m", f"{__package__}.worker")
_PATIENCE = 5.0  # seconds that a worker is given to end, before it is killed


class Local(Engine):
    """A process a worker, told in lines of JSON what to do."""

    def __init__(self, recipe: Recipe, workers: int) -> None:
        super().__init__(recipe, workers)
        self._processes: dict[int, subprocess.Popen[str]] = {}
        self._complaints: dict[int, IO[bytes]] = {}
        self._events: queue.Queue[Event] = queue.Queue()

    @property
    def processes(self) -> list[int]:
        """Their numbers in the system."""
        return [process.pid for process in self._processes.values()]

    def start(self, worker: int) -> None:
        """Start a process; what it complains of is kept in a temporary file."""
        self._forget(worker)
        self._complaints[worker] = complaints = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the worker)
        process = subprocess.Popen(
            _COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            encoding="utf-8",
            env=_environment(worker, self.workers),
        )
        self._processes[worker] = process
        threading.Thread(target=self._listen, args=(worker, process), daemon=True, name=f"treering-{worker}").start()
        self._tell(worker, self.recipe.as_dict())

    def submit(self, worker: int, task: Plain) -> None:
        """A line for the process."""
        self._tell(worker, task)

    def wait(self) -> Event:
        """The next line of any process, or its end."""
        return self._events.get()

    def close(self) -> None:
        """End all processes; a task that is not done yet is not finished."""
        for process in self._processes.values():
            process.terminate()
        for worker in list(self._processes):
            self._forget(worker)

    def _tell(self, worker: int, words: Plain) -> None:
        pipe = self._processes[worker].stdin
        with suppress(OSError, ValueError):  # it is gone, which its other pipe will say
            if pipe:
                pipe.write(json.dumps(words) + "\n")
                pipe.flush()

    def _listen(self, worker: int, process: subprocess.Popen[str]) -> None:
        with suppress(OSError, ValueError):
            for line in process.stdout or ():
                self._events.put(Event(worker, **json.loads(line)))
        code = process.wait()
        self._events.put(Event(worker, reason=self._last_words(worker) or f"exit status {code}"))

    def _last_words(self, worker: int) -> str:
        """The last line that a process has complained in."""
        with suppress(OSError, ValueError, KeyError):
            file = self._complaints[worker]
            file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
            lines = file.read().decode(errors="replace").split("\n")
            return next((line.strip() for line in reversed(lines) if line.strip()), "")
        return ""

    def _forget(self, worker: int) -> None:
        process = self._processes.pop(worker, None)
        if process is None:
            return
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):
                if pipe:
                    pipe.close()
        if complaints := self._complaints.pop(worker, None):
            complaints.close()


def _environment(worker: int, workers: int) -> dict[str, str]:
    """This process's own; modules that it finds, its workers find; and a share of the cores and GPUs for each."""
    path = os.pathsep.join(place for place in sys.path if place)
    cores = max(1, (os.cpu_count() or 1) // workers)
    own = {"OMP_NUM_THREADS": str(cores), **os.environ, "PYTHONPATH": path}
    devices = _devices()
    return {**own, "CUDA_VISIBLE_DEVICES": devices[worker % len(devices)]} if len(devices) > 1 else own


def _devices() -> list[str]:
    """GPUs that this process may use, as their driver calls them."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name for name in chosen.split(",") if name]
    with suppress(OSError):
        return [str(number) for number in range(len(os.listdir("/proc/driver/nvidia/gpus")))]
    return []
