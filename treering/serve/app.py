"""The routes of the page and the API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from .. import __version__
from ..errors import TreeringError
from .access import Access, Caller
from .body import Memory, read
from .guard import GONE, Guard
from .job import STREAM, Job, gone, until
from .metrics import CONTENT_TYPE, Metrics
from .openapi import description
from .problems import Gone, Problem
from .service import Embed, Service
from .worker import Worker, first

_DECODERS = 2
_PAGE = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
_LARGEST_SEED = 10**18


class _Server:
    """What the routes share."""

    def __init__(self, service: Service, worker: Worker, access: Access, allow_embed: bool) -> None:
        self.service, self.worker, self.access, self.allow_embed = service, worker, access, allow_embed
        self.limits, self.memory = access.limits, Memory(access.limits.memory)
        self.metrics = Metrics(worker)
        self.decoders = ThreadPoolExecutor(_DECODERS, "treering-decode")

    # Plain routes

    async def page(self, request: Request) -> Response:
        """The page and its parts."""
        name, kind = _PAGE[request.url.path]
        return Response(files(__package__).joinpath("page", name).read_bytes(), headers={"content-type": kind})

    async def health(self, request: Request) -> Response:
        """Whether the server lives."""
        return JSONResponse({"status": "ok"})

    async def openapi(self, request: Request) -> Response:
        """What the API is."""
        return JSONResponse(description(self.limits, self.allow_embed))

    async def counts(self, request: Request) -> Response:
        """For Prometheus."""
        self._insider(request)
        return Response(self.metrics.text(), headers={"content-type": CONTENT_TYPE})

    async def keyring(self, request: Request) -> Response:
        """The keyring, never its secret."""
        self._insider(request)
        return JSONResponse(self.service.keyring.as_dict())

    async def about(self, request: Request) -> Response:
        """What the page needs to know of this server and of who asks."""
        caller = self._caller(request)
        limits = {"size": self.limits.size, "pixels": self.limits.pixels, "pictures": self.limits.pictures}
        embed = self.allow_embed and caller.details
        more: dict[str, Any] = {"embed": embed, "classes": self.service.keyring.classes if caller.details else None}
        signer = self.service.signer.public if self.service.signer and caller.details else None
        more |= {"evidence": signer is not None, "signer": signer}
        return JSONResponse({"version": __version__, "details": caller.details, "limits": limits, **more})

    # Pictures

    async def detect(self, request: Request) -> Response:
        """Pictures to answers, all at once or, as ``application/x-ndjson`` or with their stages, as they come."""
        job = Job(self, request, self._caller(request))
        if not job.asked.stream:
            return JSONResponse({"results": [event["result"] async for event in job.events() if "result" in event]})
        events = job.events()
        begun = await anext(events)  # what is wrong with the request is told by its status

        async def lines() -> AsyncIterator[bytes]:
            yield _line(begun)
            try:
                async for event in events:
                    yield _line(event)
            except Problem as problem:
                yield _line({"error": problem.sentence})
            finally:
                await events.aclose()

        return StreamingResponse(lines(), headers={"content-type": STREAM})

    async def embed(self, request: Request) -> Response:
        """A prompt to a marked picture, a PNG."""
        self._insider(request)
        if not self.allow_embed:
            raise Problem(403, "This server does not make pictures: it was started without --allow-embed.")
        with self.memory.account() as take:
            task = _embedding(await read(request, self.limits, take), self.service.keyring.classes)
        (place,) = self.worker.reserve()
        left = asyncio.ensure_future(gone(request))
        try:
            png = await first(place.put(task), left, until(self.limits.seconds))
        except TreeringError as error:
            raise Problem(400, str(error)) from None
        finally:
            left.cancel()
            place.give_back()
        return Response(png, headers={"content-type": "image/png"})

    # Who

    def _caller(self, request: Request) -> Caller:
        return self.access.caller(request.headers, request.client.host if request.client else "unknown")

    def _insider(self, request: Request) -> None:
        if not self._caller(request).details:
            raise Problem(403, "Only callers who may know details may ask for this.")


def _embedding(body: bytes, classes: int) -> Embed:
    """What is asked for in JSON: prompt, key (a class, or null for none), seed."""
    try:
        asked = json.loads(body)
        prompt, key, seed = asked.get("prompt", ""), asked.get("key"), asked.get("seed")
    except (ValueError, RecursionError, AttributeError):
        raise Problem(400, 'Send JSON, such as {"prompt": "a lighthouse", "key": 2}.') from None
    if not isinstance(prompt, str) or len(prompt) > 1000:
        raise Problem(400, "The prompt is a text of at most 1000 letters.")
    if key is not None and not (type(key) is int and 0 <= key < classes):
        raise Problem(400, f"The key is a class from 0 to {classes - 1}, or null for none.")
    if seed is not None and not (type(seed) is int and 0 <= seed < _LARGEST_SEED):
        raise Problem(400, "The seed is a number from 0 up, of at most 18 digits.")
    return Embed(prompt, key, seed)


def _line(event: dict[str, Any]) -> bytes:
    return json.dumps(event, allow_nan=False).encode() + b"\n"


async def _error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    sentences = {404: "There is no such page here.", 405: "This page is not asked for in that way."}
    return Problem(error.status_code, sentences.get(error.status_code, error.detail)).response()


def application(service: Service, worker: Worker, access: Access, allow_embed: bool = False) -> ASGIApp:
    """The whole server as an ASGI application; it ends the worker when it is stopped."""
    server = _Server(service, worker, access, allow_embed)
    routes = [
        *(Route(path, server.page, methods=["GET"]) for path in _PAGE),
        Route("/healthz", server.health, methods=["GET"]),
        Route("/metrics", server.counts, methods=["GET"]),
        Route("/openapi.json", server.openapi, methods=["GET"]),
        Route("/v1/about", server.about, methods=["GET"]),
        Route("/v1/keyring", server.keyring, methods=["GET"]),
        Route("/v1/detect", server.detect, methods=["POST"]),
        Route("/v1/embed", server.embed, methods=["POST"]),
    ]
    known = {route.path for route in routes}

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(worker.close)
        server.decoders.shutdown(wait=False, cancel_futures=True)

    handlers: Any = {HTTPException: _error, Problem: _told, Gone: _nobody, Exception: _bug}
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers)
    return Guard(app, access, server.metrics, lambda path: path if path in known else "other")


async def _told(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return error.response()


async def _nobody(request: Request, error: Exception) -> Response:
    return Response(status_code=GONE)


async def _bug(request: Request, error: Exception) -> Response:
    """The guard logs it."""
    return Problem(500, "Something went wrong here; the server's log has more.").response()
