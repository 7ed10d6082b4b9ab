"""Bodies of requests, read into memory and nowhere else, within limits of bytes and time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from .limits import Limits
from .problems import Gone, Problem

_FIELDS = 64  # parts that are no pictures
_FIELD = 10_000  # bytes of such a part, and of the head of any
_NAME = 300  # letters of a file's name that are kept


@dataclass(frozen=True)
class Upload:
    """A file that was sent; the name is whatever the client says."""

    name: str
    data: bytes


class Memory:
    """Bytes of all bodies together."""

    def __init__(self, most: int) -> None:
        self.most, self.used = most, 0

    @contextmanager
    def account(self) -> Any:
        """Gives what is asked for bytes; all of them come back in the end."""
        taken = 0

        def take(count: int) -> None:
            nonlocal taken
            if self.used + count > self.most:
                raise Problem(429, "Too many pictures are being sent at once: try again in 2 s.", retry=2, close=True)
            self.used += count
            taken += count

        try:
            yield take
        finally:
            self.used -= taken


async def chunks(request: Request, limits: Limits, take: Any) -> AsyncIterator[bytes]:
    """The body as it comes; raises ``Problem`` for too much or too slow a body, ``Gone``."""
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > limits.size:
        raise _too_large(limits)
    stream, count = request.stream().__aiter__(), 0
    deadline = asyncio.get_running_loop().time() + limits.seconds
    while True:
        left = deadline - asyncio.get_running_loop().time()
        try:
            chunk = await asyncio.wait_for(anext(stream), max(left, 0.001))
        except StopAsyncIteration:
            return
        except (asyncio.TimeoutError, TimeoutError):
            raise Problem(408, f"The request did not arrive within {limits.seconds:g} s.", close=True) from None
        except ClientDisconnect:
            raise Gone from None
        count += len(chunk)
        if count > limits.size:
            raise _too_large(limits)
        take(len(chunk))
        yield chunk


async def read(request: Request, limits: Limits, take: Any) -> bytes:
    """The whole body."""
    return b"".join([chunk async for chunk in chunks(request, limits, take)])


async def uploads(request: Request, limits: Limits, take: Any) -> list[Upload]:
    """The pictures of a request: its body, or the files of a form."""
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind == b"multipart/form-data":
        found = await _form(request, limits, take, options.get(b"boundary", b""))
    elif kind.startswith((b"image/", b"application/octet-stream")):
        found = [Upload("", await read(request, limits, take))]
    else:
        raise Problem(
            415, "Send pictures as multipart/form-data, or one as image/* or application/octet-stream.", close=True
        )
    if not any(one.data for one in found):
        raise Problem(400, "There is no picture in the request.")
    return found


async def _form(request: Request, limits: Limits, take: Any, boundary: bytes) -> list[Upload]:
    if not 0 < len(boundary) <= 200:
        raise Problem(400, "The form has no boundary.", close=True)
    form = _Form(limits.pictures)
    try:
        parser = MultipartParser(boundary, form.callbacks())  # type: ignore[arg-type]
        async for chunk in chunks(request, limits, take):
            parser.write(chunk)
        parser.finalize()
    except FormParserError:
        raise Problem(400, "The form is not as multipart/form-data is to be.", close=True) from None
    if not form.ended:
        raise Problem(400, "The form is cut short.", close=True)
    return form.files


@dataclass
class _Form:
    """What a form is made of, part by part."""

    most: int
    files: list[Upload] = field(default_factory=list)
    ended: bool = False
    parts: int = 0
    name: str | None = None
    data: bytearray = field(default_factory=bytearray)
    head: bytearray = field(default_factory=bytearray)
    value: bytearray = field(default_factory=bytearray)

    def callbacks(self) -> dict[str, Any]:
        """For the parser."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._grow(self.head, data[start:end]),
            "on_header_value": lambda data, start, end: self._grow(self.value, data[start:end]),
            "on_header_end": self._header,
            "on_part_data": self._part,
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def _begin(self) -> None:
        self.name, self.data = None, bytearray()
        self._forget()
        self.parts += 1
        if self.parts > self.most + _FIELDS:
            raise Problem(413, "The form has too many parts.", close=True)

    def _grow(self, buffer: bytearray, data: bytes) -> None:
        if len(buffer) + len(data) > _FIELD:
            raise Problem(400, "A head in the form is too long.", close=True)
        buffer += data

    def _header(self) -> None:
        if self.head.lower() == b"content-disposition":
            _, options = parse_options_header(bytes(self.value))
            if b"filename" in options:
                self.name = options[b"filename"].decode("utf-8", "replace")[:_NAME]
        self._forget()

    def _forget(self) -> None:
        self.head.clear()
        self.value.clear()

    def _part(self, data: bytes, start: int, end: int) -> None:
        if self.name is None and len(self.data) + end - start > _FIELD:
            raise Problem(400, "A field in the form is too long; pictures are sent as files.", close=True)
        self.data += data[start:end]

    def _end(self) -> None:
        if self.name is None:
            return
        if len(self.files) >= self.most:
            raise Problem(413, f"A request has at most {self.most} pictures.", close=True)
        self.files.append(Upload(self.name, bytes(self.data)))
        self.data = bytearray()

    def _finish(self) -> None:
        self.ended = True


def _too_large(limits: Limits) -> Problem:
    return Problem(413, f"A request has at most {limits.size} bytes.", close=True)
