"""What all commands say and how: one JSON object a line, numbers for people, errors as one sentence."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import click

from treering.errors import TreeringError
from treering.text import p_text, shown

from .start import INTERRUPTED, TERMINATED, UNREAD, Terminated, stopped
from .terminal import check_output, clear_line, on_terminal, streams

__all__ = [
    "FAILED",
    "INTERRUPTED",
    "SOME_FAILED",
    "TERMINATED",
    "Failure",
    "Interrupted",
    "Mannered",
    "NoAnswer",
    "clear_line",
    "complain",
    "emit",
    "on_terminal",
    "p_text",
    "say",
    "sentences",
    "shown",
    "tell",
]

COMPLETING = "_TREERING_COMPLETE"
"""Set by a shell that asks for completions."""

FAILED, SOME_FAILED = 1, 3
"""Exit codes: a clear error; a batch that finished but for some files. (2 is click's: wrong usage.)"""


class Failure(click.ClickException):
    """An error of one sentence."""

    exit_code = FAILED

    def format_message(self) -> str:
        """The sentence, on one line whatever it quotes."""
        return shown(self.message)


class NoAnswer(Failure):
    """An error where exit code 1 means something else."""

    exit_code = SOME_FAILED


class Unread(click.ClickException):
    """Nobody reads any more, as after ``| head``: not worth a word."""

    exit_code = UNREAD

    def show(self, file: Any = None) -> None:
        """Say nothing."""


class Interrupted(click.ClickException):
    """Ctrl-C: not an error, so it is not called one."""

    exit_code = INTERRUPTED

    def show(self, file: Any = None) -> None:
        """Print the sentence on a line of its own, below what the terminal shows as ^C."""
        click.echo(f"\n{self.message}", err=True)


class Killed(Interrupted):
    """SIGTERM."""

    exit_code = TERMINATED


@contextlib.contextmanager
def sentences(failure: type[Failure] = Failure, interrupted: str = "Interrupted.") -> Iterator[None]:
    """Whatever the user can do something about becomes one sentence; a bug keeps its traceback."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise _interruption(isinstance(error, Terminated))(interrupted) from None
    except (click.ClickException, click.exceptions.Exit):
        raise
    except Exception as error:
        if stopped() is not None:  # libraries make other errors of an interruption
            raise _interruption(stopped() == TERMINATED)(interrupted) from None
        sentence = _sentence(error)
        if sentence is not None:
            raise (failure(sentence) if sentence else Unread("")) from error
        if failure.exit_code == FAILED:
            raise
        traceback.print_exc()
        raise click.exceptions.Exit(failure.exit_code) from error


def _interruption(killed: bool) -> type[Interrupted]:
    return Killed if killed else Interrupted


def _sentence(error: Exception) -> str | None:
    """What to tell the user: None of a bug, nothing where nobody reads."""
    if isinstance(error, TreeringError):
        return str(error)
    if isinstance(error, OSError):
        return "" if error.errno == errno.EPIPE else _os_sentence(error)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # the latter is torch's
        return "There is not enough memory."
    return None


def _os_sentence(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):
        return f"{_place(error)} cannot be written: the disk is full."
    return f"{_place(error)} cannot be used: {error.strerror or error}."


def _place(error: OSError) -> str:
    return os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else "A file"


class Mannered(click.Command):
    """A command at the top: it begins only where it can be heard, and whatever ends it is told in one sentence."""

    def main(self, *args: Any, standalone_mode: bool = True, **settings: Any) -> Any:
        """As click's, with the project's endings and exit codes."""
        clicks: Callable[..., Any] = super().main
        if not standalone_mode or COMPLETING in os.environ:  # a shell reads what may come next, as bytes
            return clicks(*args, standalone_mode=False, **settings)
        with streams():
            sys.exit(_ended(lambda: clicks(*args, standalone_mode=False, **settings)))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click's; where exit code 1 is an answer, it is no error from here on."""
        ctx.meta[__name__] = NoAnswer if "--exit-code" in args else Failure
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """As click's, unless there is no place to work in or nobody to tell."""
        with sentences(ctx.meta[__name__]):
            check_output()
            _check_folder()
            return super().invoke(ctx)


def _check_folder() -> None:
    try:
        os.getcwd()
    except FileNotFoundError:
        raise TreeringError("The current folder has been deleted; change to one that exists.") from None


def _ended(command: Callable[[], Any]) -> int:
    """Run a command, tell what ended it, and give its exit code."""
    try:
        with sentences():
            code = command()
            return code if isinstance(code, int) else 0
    except click.Abort:  # click's word for Ctrl-C where it asks or reads the command line
        end: click.ClickException = _interruption(stopped() == TERMINATED)("Interrupted.")
    except click.ClickException as error:
        end = error
    except click.exceptions.Exit as error:
        return error.exit_code
    with contextlib.suppress(OSError):
        end.show()
    return end.exit_code


def say(text: str) -> None:
    """A message of one line for the person at the terminal; results go to stdout, this does not."""
    click.echo(shown(text), err=True)


def complain(sentence: str) -> None:
    """An error that does not end the command."""
    say(f"Error: {sentence}")


def tell(text: str) -> None:
    """A result of one line."""
    click.echo(shown(text))


def emit(record: Mapping[str, Any]) -> None:
    """One JSON object on one line of stdout."""
    text = json.dumps(_finite(record), allow_nan=False)
    click.echo(text.replace("\x7f", "\\u007f"))  # the one control character that JSON lets pass


def _finite(value: Any) -> Any:
    """JSON knows no infinity and no NaN: they become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, (list, tuple)) else value
