"""What stands before every route: names and origins, headers, counting, and errors as one sentence."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .access import Access
from .metrics import Metrics
from .problems import Gone, Problem

log = logging.getLogger("treering.serve")

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "cache-control": "no-store",
}
"""Of every response."""

GONE = 499
"""Status of a request whose client went away, for the counts: nobody gets it."""

OPEN = ("/healthz",)
"""Routes that tell nothing, for those who watch whether the server lives: whatever name they call it by."""


class Guard:
    """An ASGI application around another."""

    def __init__(self, app: ASGIApp, access: Access, metrics: Metrics, routes: Callable[[str], str]) -> None:
        self.app, self.access, self.metrics, self.routes = app, access, metrics, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        answer = _Answer(send)
        started, route = time.perf_counter(), self.routes(scope["path"])
        try:
            if scope["path"] not in OPEN:
                self.access.check_names(Headers(scope=scope))
            await self.app(scope, receive, answer)
        except Gone:  # while an answer came bit by bit
            answer.status = GONE
        except Problem as problem:
            await answer.say(problem, scope, receive)
        except Exception:
            log.exception("A request to %s failed.", route)
        seconds = time.perf_counter() - started
        self.metrics.requests.labels(route, str(answer.status)).inc()
        self.metrics.seconds.labels(route).observe(seconds)
        log.info("%s %s %d %.3f s", scope["method"], route, answer.status, seconds)


class _Answer:
    """Adds the headers, and remembers the status."""

    def __init__(self, send: Send) -> None:
        self.send, self.status = send, 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await self.send(message)

    async def say(self, problem: Problem, scope: Scope, receive: Receive) -> None:
        """A problem, unless an answer has begun: then nothing can be said any more."""
        if not self.status:
            await problem.response()(scope, receive, self)
