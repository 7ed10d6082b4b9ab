"""uvicorn at work: bound before anything is loaded, patient with nobody, stopped gracefully."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from ..errors import InputError
from .limits import Limits

_BACKLOG = 256
_HEAD = 32 << 10  # bytes of a request's head


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one.  Raises ``InputError``: a busy port, no such address."""
    host = host.strip("[]")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (socket.gaierror, UnicodeError):
        raise InputError(f"There is no address {host} on this machine.") from None
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)  # now, or a second server could take the port before the model is loaded
    except (OSError, OverflowError) as error:
        listening.close()
        raise InputError(_sentence(host, port, error)) from None
    return listening


def _sentence(host: str, port: int, error: Exception) -> str:
    number = getattr(error, "errno", None)
    if number == errno.EADDRINUSE:
        return f"Port {port} of {host} is in use already; choose another with --port."
    if number == errno.EACCES:
        return f"Port {port} of {host} is not for you; choose one above 1023 with --port."
    if number == errno.EADDRNOTAVAIL:
        return f"There is no address {host} on this machine."
    return f"Port {port} of {host} cannot be used: {getattr(error, 'strerror', None) or error}."


def serve(app: ASGIApp, listening: socket.socket, limits: Limits, ready: Callable[[], None] = lambda: None) -> None:
    """Answer until SIGINT or SIGTERM, then finish what was taken; ``ready`` is called when the first may come."""
    asyncio.run(server(app, limits, ready).serve(sockets=[listening]))


def server(app: ASGIApp, limits: Limits, ready: Callable[[], None] = lambda: None) -> uvicorn.Server:
    """uvicorn, set up; ``should_exit`` ends it as a signal does."""
    config = uvicorn.Config(
        app,
        http=_protocol(limits),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        h11_max_incomplete_event_size=_HEAD,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=round(2 * limits.seconds) + 1,
        backlog=_BACKLOG,
    )
    return _Server(config, ready)


class _Server(uvicorn.Server):
    """As uvicorn's, but a signal that was obeyed is not raised again in the end."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self.ready = ready

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The first signal stops gracefully, the second at once."""
        try:
            before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:  # not in the main thread, as in tests: who started it stops it
            before = {}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's."""
        await super().startup(sockets)
        if self.started:
            self.ready()


def _protocol(limits: Limits) -> type[H11Protocol]:
    """HTTP by h11, for at most so many connections, whose requests must come within a time."""
    there: set[Any] = set()

    class Impatient(H11Protocol):
        """Closes connections on which no whole head of a request comes."""

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if len(there) >= limits.connections:
                transport.abort()
                return
            there.add(self)
            self._wait()

        def connection_lost(self, exc: Exception | None) -> None:
            there.discard(self)
            self._clock.cancel() if hasattr(self, "_clock") else None
            super().connection_lost(exc)

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._clock.cancel()
            self._wait()

        def _wait(self) -> None:
            self._clock = self.loop.call_later(limits.head, self._hang_up)

        def _hang_up(self) -> None:
            busy = self.cycle is not None and not self.cycle.response_complete
            if not busy and not self.transport.is_closing():
                self.transport.close()

    return Impatient
