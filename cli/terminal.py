"""The one place through which text reaches a terminal: nothing that commands it passes.

Names of files, prompts, fields of keyrings and messages of libraries come from strangers.  :func:`streams` puts a
filter before standard output and standard error, so that what is printed cannot move the cursor, change colours,
reverse the direction of text or hide letters, whoever prints it.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator
from typing import BinaryIO, TextIO, cast

from treering.text import plain
from treering.text import shown as shown

_BAR, _AFTER_BAR = ("\r", "\n") if os.name == "nt" else ("\r\x1b[?25l", "\x1b[?25h\n")
"""What click writes before a progress bar and after it."""

_CLEAR = "\r\x1b[K"


class Filter(io.TextIOBase):
    """A stream of text through which nothing passes that commands a terminal, but for our own progress bars.

    Where the stream is closed, or cannot be written to, ``OSError`` names it.
    """

    def __init__(self, stream: TextIO | None, name: str) -> None:
        self._stream, self._name = stream, name

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """As of the stream; click asks."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]
        """As of the stream; click asks."""
        return getattr(self._stream, "errors", None) or "backslashreplace"

    def isatty(self) -> bool:
        """Whether somebody looks."""
        return self._stream is not None and self._stream.isatty()

    def fileno(self) -> int:
        """As of the stream."""
        return self._open().fileno()

    def writable(self) -> bool:
        """Always, as far as one can know."""
        return True

    def write(self, text: str, /) -> int:
        """Write the text, filtered; raises ``OSError``."""
        if text == "":  # click asks in this way what kind of stream it has, and hears no error
            return 0
        with self._named() as stream:
            stream.write(self._filtered(text))
        return len(text)

    def flush(self) -> None:
        """As of the stream; raises ``OSError``."""
        if self._stream is not None and not self._stream.closed:
            with self._named() as stream:
                stream.flush()

    def _filtered(self, text: str) -> str:
        if self.isatty() and (text in (_AFTER_BAR, _CLEAR) or (text.startswith(_BAR) and "\n" not in text)):
            return text if text in (_AFTER_BAR, _CLEAR) else _BAR.join(map(plain, text.split(_BAR)))
        return plain(text)

    def _open(self) -> TextIO:
        if self._stream is None:
            raise OSError(errno.EBADF, "it is closed", self._name)
        return self._stream

    @contextlib.contextmanager
    def _named(self) -> Iterator[TextIO]:
        stream = self._open()
        try:
            yield stream
        except OSError as error:
            _give_up(stream)
            error.filename = error.filename or self._name
            raise


def _give_up(stream: TextIO) -> None:
    """What a stream still holds goes nowhere; else Python would try again at its end, and complain."""
    if stream in (sys.__stdout__, sys.__stderr__):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextlib.contextmanager
def streams() -> Iterator[None]:
    """Standard output and standard error, filtered; a letter that their encoding lacks is written as its number."""
    out, err = sys.stdout, sys.stderr
    for stream in (out, err):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
    sys.stdout = cast(TextIO, Filter(out, "Standard output"))
    sys.stderr = cast(TextIO, Filter(err or _Nowhere(), "Standard error"))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = out, err


class _Nowhere(io.StringIO):
    """Where messages go that nobody can read."""

    def write(self, text: str, /) -> int:
        """Forget it."""
        return len(text)


def check_output() -> None:
    """Raise ``OSError`` where standard output is closed: before work is done whose result could not be told."""
    if isinstance(sys.stdout, Filter):
        sys.stdout._open()


def standard_input() -> BinaryIO:
    """The bytes of standard input; raises ``OSError`` where it is closed."""
    if sys.stdin is None or sys.stdin.closed:
        raise OSError(errno.EBADF, "it is closed", "Standard input")
    return cast(BinaryIO, sys.stdin.buffer)


def on_terminal() -> bool:
    """Whether a progress bar has somebody to look at it."""
    return sys.stderr is not None and sys.stderr.isatty()


def clear_line() -> None:
    """Wipe the progress bar away before something else is printed."""
    if on_terminal():
        sys.stderr.write(_CLEAR)
        sys.stderr.flush()
