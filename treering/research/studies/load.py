"""How the server bears many clients, slow ones and malformed requests: a `treering serve` of its own, on the loopback.

The number of requests is bounded, and so is the time; nothing but the loopback is spoken to.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ... import files, report
from ...errors import InputError
from ...marks.keyring import Keyring
from ..common import SECRET

CLIENTS, SLOW, QUEUE = 64, 16, 48
MALFORMED = 10_000
ALONE = 12
_LONGEST = 1800.0  # seconds of a part at most
_PATIENCE = 300.0  # seconds for one answer
_HEADER = ("what", "requests", "200", "429", "other", "median s", "p99 s", "bound s", "MB before", "MB after")
_PROGRAM = "import sys; from treering_cli.start import treering; sys.argv[0] = 'treering'; treering()"


def load(output: Path, count: int = 2000, malformed: int | None = None) -> str:
    """A table: ``count`` pictures by 64 clients at once, again beside slow clients, and ``malformed`` requests.

    ``bound``: the queue's length times the seconds of a picture alone, below which p99 is to stay.  Raises
    ``InputError`` where the server does not start.
    """
    with tempfile.TemporaryDirectory() as name, _server(Path(name)) as (port, process):
        rows = asyncio.run(_all(port, process, count, malformed or MALFORMED))
    table: str = report.markdown_table(_HEADER, rows)
    files.replace(output / "load.md", table.encode())
    return table


@contextmanager
def _server(folder: Path) -> Iterator[tuple[int, int]]:
    """Port and process of a server with the model that ships."""
    Keyring(SECRET, public=True).save(folder / "keyring.json")
    words = ["serve", "--port", "0", "--keyring", "keyring.json", "--allow-embed", "--queue", str(QUEUE)]
    command = [sys.executable, "-c", _PROGRAM, *words, "--seconds", str(round(_PATIENCE))]
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        first = process.stderr.readline()
        found = re.search(r":(\d+) until", first)
        if not found:
            raise InputError(f"The server did not start: {first.strip()}")
        yield int(found[1]), process.pid
    finally:
        process.terminate()
        process.wait(60)


async def _all(port: int, process: int, count: int, malformed: int) -> list[tuple[object, ...]]:
    _, picture, _ = await _ask(port, _request(port, "/v1/embed", b'{"prompt": "", "key": 2, "seed": 3}', "text/json"))
    body = _request(port, "/v1/detect", picture, "image/png")
    alone = await _Part(port, process, "one client").run(1, ALONE, body)
    one = float(np.median(alone.seconds))
    many = await _Part(port, process, f"{CLIENTS} clients").run(CLIENTS, count, body)
    async with _slow(port, len(picture)):
        beside = await _Part(port, process, f"the same beside {SLOW} slow ones").run(CLIENTS, count // 4, body)
    hostile = await _Part(port, process, "malformed").malform(malformed, body)
    after = await _Part(port, process, "one client, after all that").run(1, ALONE, body)
    return [part.row(QUEUE * one) for part in (alone, many, beside, hostile, after)]


@dataclass
class _Part:
    """A part of the study: what was answered, and how fast."""

    port: int
    process: int
    name: str
    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    memory: tuple[float, float] = (0.0, 0.0)

    async def run(self, clients: int, count: int, request: bytes) -> _Part:
        """Clients that ask again and again until ``count`` pictures are read, or time is up."""
        before, self._end = _memory(self.process), time.monotonic() + _LONGEST
        await asyncio.gather(*(self._client(count, request) for _ in range(clients)))
        self.memory = (before, _memory(self.process))
        return self

    async def _client(self, count: int, request: bytes) -> None:
        while self.statuses[200] < count and time.monotonic() < self._end:
            started = time.perf_counter()
            status, _, retry = await _ask(self.port, request)
            self.statuses[status] += 1
            if status == 200:
                self.seconds.append(time.perf_counter() - started)
            if status == 429:
                await asyncio.sleep(min(retry, 5) * random.random())

    async def malform(self, count: int, request: bytes) -> _Part:
        """Requests with bytes changed and cut off, 32 at a time."""
        rng, before = random.Random(0), _memory(self.process)
        places = asyncio.Semaphore(32)

        async def one(data: bytes) -> None:
            async with places:
                status, _, _ = await _ask(self.port, data)
                self.statuses[status] += 1

        self._end = time.monotonic() + _LONGEST
        for start in range(0, count, 500):
            if time.monotonic() < self._end:
                await asyncio.gather(*(one(_spoilt(request, rng)) for _ in range(min(500, count - start))))
        self.memory = (before, _memory(self.process))
        return self

    def row(self, bound: float) -> tuple[object, ...]:
        """Of the table."""
        other = {status: n for status, n in self.statuses.items() if status not in (200, 429)}
        told = ", ".join(f"{n}x {status or 'closed'}" for status, n in sorted(other.items())) or "0"
        times = [f"{np.quantile(self.seconds, share):.2f}" if self.seconds else "" for share in (0.5, 0.99)]
        limit = f"{bound:.1f}" if self.seconds else ""
        sizes = [f"{size:.0f}" for size in self.memory]
        return (self.name, self.statuses.total(), self.statuses[200], self.statuses[429], told, *times, limit, *sizes)


def _request(port: int, path: str, body: bytes, kind: str) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\nContent-Type: {kind}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def _ask(port: int, request: bytes) -> tuple[int, bytes, float]:
    """Status (0: the connection was closed), body, and the seconds after which to try again."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return 0, b"", 1.0
    try:
        with suppress(OSError):
            writer.write(request)
            writer.write_eof() if b"Content-Length" not in request else None
            await writer.drain()
        answer = await asyncio.wait_for(reader.read(), _PATIENCE)
    except (OSError, asyncio.TimeoutError, TimeoutError):
        return 0, b"", 1.0
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    status = re.match(rb"HTTP/1\.1 (\d+)", head)
    retry = re.search(rb"\r\nretry-after: (\d+)", head)
    return int(status[1]) if status else 0, body, float(retry[1]) if retry else 1.0


def _spoilt(request: bytes, rng: random.Random) -> bytes:
    """A request that is not whole any more; its client says that there is no more of it."""
    data = bytearray(request.replace(b"Content-Length", rng.choice([b"Content-Length", b"Content-Lenght", b"X"])))
    for _ in range(rng.randrange(1, 20)):
        data[rng.randrange(len(data) if rng.random() < 0.3 else 150)] = rng.randrange(256)
    return bytes(data[: rng.randrange(1, 400)])


@asynccontextmanager
async def _slow(port: int, size: int) -> AsyncIterator[None]:
    """Clients that send a byte a second."""
    head = _request(port, "/v1/detect", bytes(size), "image/png").partition(b"\r\n\r\n")[0] + b"\r\n\r\n"

    async def one(start: bytes) -> None:
        with suppress(OSError):
            while True:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(start)
                with suppress(OSError):
                    for _ in range(60):
                        writer.write(b"x")
                        await writer.drain()
                        await asyncio.sleep(1)
                writer.close()

    tasks = [asyncio.create_task(one(head if i % 2 else b"POST /v1")) for i in range(SLOW)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()


def _memory(process: int) -> float:
    """Resident MB of a process (Linux); NaN elsewhere."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return float("nan")
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
