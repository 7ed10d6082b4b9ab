"""The pictures of one request on their way: to the queue, through the stages of their reading, to their results."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.requests import Request

from ..errors import ImageError
from ..text import shown
from ..types import Answer
from .access import Access, Caller
from .body import Memory, Upload, uploads
from .limits import Limits
from .metrics import Metrics
from .problems import Gone, Problem
from .service import Detect, Service
from .stages import Stages
from .worker import Place, Worker, first

STREAM = "application/x-ndjson"
_YES = ("1", "true")
_WATCH = 0.3  # seconds between looks at the queue


class Server(Protocol):
    """What a job needs of the server."""

    service: Service
    worker: Worker
    access: Access
    limits: Limits
    memory: Memory
    metrics: Metrics
    decoders: ThreadPoolExecutor


@dataclass(frozen=True)
class Asked:
    """What a caller wants besides the answer, as far as it may have it.

    ``spectrum``: what was recovered, to be seen; ``evidence``: the signed document; ``stages``: what is being done,
    told as it happens; ``stream``: lines as they come.
    """

    spectrum: bool = False
    evidence: bool = False
    stages: bool = False
    stream: bool = False

    @classmethod
    def of(cls, request: Request, caller: Caller, signs: bool) -> Asked:
        """Of a request; raises ``Problem`` for evidence that this caller, or this server, has none of.

        A spectrum and stages are left out for callers who may not know details: which stage found a mark tells how
        well it is to be seen.
        """
        wants = {name: request.query_params.get(name, "") in _YES for name in ("spectrum", "evidence", "stages")}
        if wants["evidence"] and not caller.details:
            raise Problem(403, "Only callers who may know details may have evidence.")
        if wants["evidence"] and not signs:
            raise Problem(403, "This server signs nothing: it was started without --signing-key.")
        stream = wants["stages"] or STREAM in request.headers.get("accept", "")
        return cls(stream=stream, **{name: wanted and caller.details for name, wanted in wants.items()})


@dataclass
class _One:
    """A picture of a request: its place in the queue, what is told of it, and its result or why there is none."""

    head: dict[str, Any]
    place: Place
    stages: Stages | None
    coming: asyncio.Future[Any] | str = ""


class Job:
    """The pictures of one request."""

    def __init__(self, server: Server, request: Request, caller: Caller) -> None:
        self.server, self.request, self.caller = server, request, caller
        self.asked = Asked.of(request, caller, server.service.signer is not None)

    async def events(self) -> AsyncGenerator[dict[str, Any], None]:
        """``{"taken": n}``, then for every picture where it is in the queue, what is done with it, and its result."""
        try:
            async for event in self._events():
                yield event
        except (Gone, asyncio.CancelledError, GeneratorExit):  # whichever way it is noticed
            self.server.metrics.gone.inc()
            raise

    async def _events(self) -> AsyncGenerator[dict[str, Any], None]:
        server = self.server
        with server.memory.account() as take:
            sent = await uploads(self.request, server.limits, take)
            server.access.spend(self.caller, len(sent))
            places = server.worker.reserve(len(sent))
            left = asyncio.ensure_future(gone(self.request))
            try:
                yield {"taken": len(sent)}
                async for event in self._all(sent, places, left):
                    yield event
            finally:
                left.cancel()
                for place in places:
                    place.give_back()

    async def _all(
        self, sent: Sequence[Upload], places: Sequence[Place], left: asyncio.Future[None]
    ) -> AsyncIterator[dict[str, Any]]:
        end = until(self.server.limits.seconds)
        ones = [self._one(number, *pair) for number, pair in enumerate(zip(sent, places, strict=True))]
        for one, upload in zip(ones, sent, strict=True):
            one.coming = await self._begun(one, upload, left, end)
        for one in ones:
            if isinstance(one.coming, str):
                yield {"result": {**one.head, "error": one.coming}}
                self.server.metrics.pictures.labels("failed").inc()
                continue
            if self.asked.stream:
                async for event in _progress(one, one.coming, left, end):
                    yield {**one.head, **event}
            found = await first(one.coming, left, end)
            self.server.metrics.pictures.labels(found["answer"]).inc()
            yield {"result": {**one.head, **(found if self.caller.details else _plain(found))}}

    def _one(self, number: int, upload: Upload, place: Place) -> _One:
        return _One({"number": number, "file": shown(upload.name)}, place, Stages() if self.asked.stages else None)

    async def _begun(
        self, one: _One, upload: Upload, left: asyncio.Future[None], end: float
    ) -> asyncio.Future[Any] | str:
        """A future of the answer, or the sentence why there is none."""
        server, name = self.server, shown(upload.name) or "The picture"
        loop = asyncio.get_running_loop()
        loading = loop.run_in_executor(server.decoders, server.service.load, upload.data, name, server.limits.pixels)
        try:
            picture = await first(loading, left, end)
        except ImageError as error:
            one.place.give_back()
            return str(error)
        finally:
            loading.cancel()  # where nobody waits any more and it has not begun
        data = upload.data if self.asked.evidence else None
        return one.place.put(Detect(picture, self.asked.spectrum, data, one.stages))


async def _progress(
    one: _One, coming: asyncio.Future[Any], left: asyncio.Future[None], end: float
) -> AsyncIterator[dict[str, Any]]:
    """How many are before a picture and what is done with it, whenever that changes, for who wants to see it."""
    told: list[int | None] = []
    stages = one.stages
    while not left.done() and asyncio.get_running_loop().time() < end:
        done = coming.done()
        if not done and told != [one.place.ahead()]:
            told = [one.place.ahead()]
            yield {"ahead": told[0]}
        for event in stages.news() if stages else ():
            yield event
        if done:
            return
        news = [asyncio.ensure_future(stages.changed.wait())] if stages else []
        await asyncio.wait({coming, left, *news}, timeout=_WATCH, return_when=asyncio.FIRST_COMPLETED)
        for waiting in news:
            waiting.cancel()


def _plain(found: dict[str, Any]) -> dict[str, Any]:
    """What anybody may know: an answer and a key; no p, no pose, nothing by which to learn to remove a mark."""
    known = {name: found[name] for name in ("answer", "key", "verdict")}
    return known | ({"reason": found["reason"]} if found["answer"] == Answer.NOT_ASSESSABLE.value else {})


async def gone(request: Request) -> None:
    """Ends when the client has gone; its body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def until(seconds: float) -> float:
    """The time of the loop so many seconds from now."""
    return asyncio.get_running_loop().time() + seconds
