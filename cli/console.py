"""What all commands say and how: one JSON object a line, numbers for people, errors as one sentence."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import math
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import click

from treering.errors import TreeringError

FAILED, SOME_FAILED, INTERRUPTED = 1, 3, 130
"""Exit codes: a clear error; a batch that finished but for some files; Ctrl-C. (2 is click's: wrong usage.)"""


class Failure(click.ClickException):
    """An error of one sentence."""

    exit_code = FAILED


class NoAnswer(Failure):
    """An error where exit code 1 means something else."""

    exit_code = SOME_FAILED


class Interrupted(click.ClickException):
    """Ctrl-C: not an error, so it is not called one."""

    exit_code = INTERRUPTED

    def show(self, file: Any = None) -> None:
        """Print the sentence on a line of its own, below what the terminal shows as ^C."""
        click.echo(f"\n{self.message}", err=True)


@contextlib.contextmanager
def sentences(failure: type[Failure] = Failure, interrupted: str = "Interrupted.") -> Iterator[None]:
    """Whatever the user can do something about becomes one sentence; a bug keeps its traceback."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(interrupted) from None
    except TreeringError as error:
        raise failure(str(error)) from error
    except OSError as error:
        if error.errno == errno.EPIPE:  # nobody reads any more: click ends quietly
            raise
        raise failure(_os_sentence(error)) from error
    except Exception as error:
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # the latter is torch's
            raise failure("There is not enough memory.") from error
        raise


def _os_sentence(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{_place(error)} cannot be written: the disk is full."
    return f"{_place(error)} cannot be used: {error.strerror or error}."


def _place(error: OSError) -> str:
    return shown(str(error.filename)) if error.filename is not None else "A file"


def print_anything() -> None:
    """A letter that the terminal's encoding lacks is printed as its number, and is no reason to stop."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def say(text: str) -> None:
    """A message for the person at the terminal; results go to stdout, this does not."""
    click.echo(text, err=True)


def complain(sentence: str) -> None:
    """An error that does not end the command."""
    say(f"Error: {sentence}")


def emit(record: Mapping[str, Any]) -> None:
    """One JSON object on one line of stdout."""
    click.echo(json.dumps(_finite(record), allow_nan=False))


def _finite(value: Any) -> Any:
    """JSON knows no infinity and no NaN: they become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, (list, tuple)) else value


def shown(name: str) -> str:
    """A file's name for one line of a terminal, whatever bytes it is made of."""
    return "".join(letter if letter.isprintable() else "�" for letter in click.format_filename(name))


def p_text(log10_p: float) -> str:
    """A p-value from its logarithm, which does not underflow.

    >>> p_text(-11.51), p_text(-400.2), p_text(-0.37)
    ('3.1e-12', '6.3e-401', '0.43')
    """
    if not log10_p < -2:  # or not a number
        return f"{10**log10_p:.2g}"
    exponent = math.floor(log10_p)
    mantissa = f"{10 ** (log10_p - exponent):.1f}"
    return f"1.0e{exponent + 1}" if mantissa == "10.0" else f"{mantissa}e{exponent}"


def on_terminal() -> bool:
    """Whether a progress bar has somebody to look at it."""
    return sys.stderr.isatty()


def clear_line() -> None:
    """Wipe the progress bar away before something else is printed."""
    if on_terminal():
        click.echo("\r\x1b[K", nl=False, err=True)
