"""A run with workers: tasks out, shards in, and another worker for each one that dies."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from ..errors import InputError
from .book import Book, Known
from .engines import Engine, Event
from .engines.common import STARTS
from .engines.worker import row_of
from .items import Item, Line
from .shards import Shards, is_copy

SECONDS, LARGEST = 5.0, 512
"""How long a task should take, which is what a kill can cost, and the most pictures that one has."""

DEATHS = 5
"""So many workers must have died over one picture alone before it is left out."""


@dataclass
class Task:
    """Pictures that one worker has; ``deaths``: workers that have died over them."""

    pictures: list[Known]
    deaths: int = 0


class Tasks:
    """The pictures of a run in pieces: as large as the time of one allows, smaller towards the end, so that all end
    together.
    """

    def __init__(self, pictures: Iterable[Known], total: int, batch: int, workers: int) -> None:
        self._pictures, self._left = iter(pictures), total
        self._ahead = list(islice(self._pictures, 1))  # the next picture, so that it is known whether there is one
        self._batch, self._workers = batch, workers
        self._again = deque[Task]()

    def next(self, seconds: float | None) -> Task | None:
        """The next task for a worker that takes so many seconds a picture; None if there is none now."""
        if self._again:
            return self._again.popleft()
        fair = math.ceil(self._left / (2 * self._workers))
        wanted = self._batch if seconds is None else int(SECONDS / max(seconds, 1e-6))
        count = max(1, min(max(wanted, self._batch), LARGEST, fair))
        pictures = [*self._ahead, *islice(self._pictures, count - len(self._ahead))]
        self._ahead = list(islice(self._pictures, 1))
        self._left = max(0, self._left - len(pictures))
        return Task(pictures) if pictures else None

    @property
    def waiting(self) -> bool:
        """Whether anything waits for a worker, which may still be on its way."""
        return bool(self._again or self._ahead)

    def again(self, task: Task) -> None:
        """A task whose worker died: as it is once more, then each picture alone."""
        task.deaths += 1
        if task.deaths < 2 or len(task.pictures) == 1:
            self._again.append(task)
        else:
            self._again.extend(Task([one]) for one in task.pictures)


class Fleet:
    """One pass over the pictures with an engine, which was begun."""

    def __init__(self, book: Book, engine: Engine, shards: Shards) -> None:
        self.book, self.engine, self.shards = book, engine, shards
        self._tasks: dict[int, Task] = {}
        self._seconds: float | None = None  # a picture
        self._unready = 0

    def all(self, pictures: Iterable[Known]) -> None:
        """Check every picture; what is known is on the disk also when this ends with an exception."""
        self.book.tell()
        left = self.book.total - self.book.resumed
        if not left:
            return
        self.shards.make()
        tasks = Tasks(pictures, left, self.book.batch, self.engine.workers)
        for worker in range(1, min(self.engine.workers, left)):
            self.engine.start(worker)
        started = time.perf_counter()
        self._next(0, tasks)
        try:
            while self._tasks or tasks.waiting:
                self._take(self.engine.wait(), tasks)
                self.book.busy = time.perf_counter() - started
        finally:
            self.book.write()

    def _next(self, worker: int, tasks: Tasks) -> None:
        """Give a worker something to do."""
        if task := tasks.next(self._seconds):
            self._tasks[worker] = task
            items = [row_of(item) for item, _ in task.pictures]
            index = self.book.results.keys.path
            self.engine.submit(
                worker, {"items": items, "folder": str(self.shards.folder.absolute()), "index": index and str(index)}
            )

    def _take(self, event: Event, tasks: Tasks) -> None:
        if event.error:
            raise InputError(event.error)
        if event.about is not None:
            self._unready = 0
            if event.worker not in self._tasks:
                self._next(event.worker, tasks)
        elif event.shard is None:
            self._replace(event, tasks)
        else:
            task = self._tasks.pop(event.worker)
            self._learn(event.seconds / len(task.pictures))
            self._next(event.worker, tasks)  # first, so that the worker does not wait for the disk
            if doubtful := self._collect(task, event.shard):
                tasks.again(Task(doubtful))

    def _learn(self, seconds: float) -> None:
        self._seconds = seconds if self._seconds is None else (self._seconds + seconds) / 2

    def _replace(self, event: Event, tasks: Tasks) -> None:
        """A worker that died: its task is done again, by it or by another."""
        task = self._tasks.pop(event.worker, None)
        self._unready += 1
        if self._unready > STARTS * self.engine.workers + DEATHS:
            raise InputError(f"Workers end before they have done anything; the last one said: {event.reason}")
        if task and len(task.pictures) == 1 and task.deaths + 1 >= DEATHS:
            self._leave_out(task.pictures[0][0])
        elif task:
            tasks.again(task)
        self.engine.start(event.worker)

    def _leave_out(self, item: Item) -> None:
        error = f"{item.name} was left out, because {DEATHS} workers ended while they read it."
        self.book.fail(item.name, {"file": item.name, "sha256": None, "settings": self._settings, "error": error})

    @property
    def _settings(self) -> str:
        return self.book.results.settings

    def _collect(self, task: Task, shard: str) -> list[Known]:
        """Take the lines of a shard into the journal; gives pictures whose result is nowhere, to be done again."""
        try:
            lines = self.shards.read(shard)
        except (OSError, ValueError) as error:
            raise InputError(
                f"The shard {self.shards.folder / shard}, which a worker wrote, cannot be read here: {error}; "
                "the folder of results must be one that all workers share."
            ) from error
        doubtful = self._file(list(map(_as_read, task.pictures, lines)), lines)
        self.book.write()
        self.shards.remove(shard)
        return doubtful

    def _file(self, pictures: Sequence[Known], lines: Sequence[Line]) -> list[Known]:
        new, rest = self._parted(pictures, lines)
        if new:
            self.book.check([one for one, _ in new], [line for _, line in new])
        for one, line in rest:
            if line["error"] is not None:
                self.book.fail(one[0].name, line)
            elif line["sha256"] in self.book.results.keys:
                self.book.resume(one, line["sha256"])
        return [one for one, line in rest if line["error"] is None and line["sha256"] not in self.book.results.keys]

    def _parted(self, pictures: Sequence[Known], lines: Sequence[Line]) -> tuple[_Filed, _Filed]:
        """Those with a result for bytes that have none yet, and the others."""
        new, rest = list[tuple[Known, Line]](), list[tuple[Known, Line]]()
        digests = set[str]()
        for one, line in zip(pictures, lines, strict=True):
            digest, is_result = line["sha256"], line["error"] is None and not is_copy(line)
            is_new = is_result and digest not in digests and digest not in self.book.results.keys
            (new if is_new else rest).append((one, line))
            if is_result:
                digests.add(digest)
        return new, rest


_Filed = list[tuple[Known, Line]]


def _as_read(one: Known, line: Line) -> Known:
    """The picture with the stamp that it had when it was read."""
    item, token = one
    return (item, token) if item.address is None else (replace(item, stamp=line.get("stamp")), None)
