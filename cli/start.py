"""Where a process begins and ends: signals, permissions and closed streams, before anything else is imported.

A command is imported only inside :func:`_run`, so that Ctrl-C and a kill end it in one line at any moment.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys

TYPE_CHECKING = False  # as type checkers take it; typing itself takes longer to import than all else here
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any

INTERRUPTED, UNREAD, TERMINATED = 130, 141, 143
"""Exit codes: Ctrl-C, nobody reads any more, and a kill: 128 and the number of the signal, as shells have it."""


class Terminated(KeyboardInterrupt):
    """SIGTERM: ends everything as Ctrl-C does, with another exit code."""


_stopped: int | None = None


def stopped() -> int | None:
    """Exit code of the signal that came, None where none came: what fails after it fails because of it."""
    return _stopped


def treering() -> None:
    """The command ``treering``."""

    def load() -> Callable[..., Any]:
        from .main import main

        return main

    _run(load, "treering")


def research() -> None:
    """The command ``python -m treering.research``: the same as ``treering experiment``."""

    def load() -> Callable[..., Any]:
        from .experiment import command

        return command

    _run(load, "python -m treering.research")


def _run(load: Callable[[], Callable[..., Any]], name: str) -> None:
    _listen()
    _keep_descriptors()
    os.umask(os.umask(0o077) | 0o002)  # whatever the caller's: nothing that anybody may write to
    try:
        load()(prog_name=name)
    except KeyboardInterrupt as error:
        _say_interrupted()
        sys.exit(TERMINATED if isinstance(error, Terminated) else INTERRUPTED)
    except Exception:
        if _stopped is None:
            raise
        _say_interrupted()
        sys.exit(_stopped)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done: nothing is left to interrupt


def _say_interrupted() -> None:
    try:
        os.write(2, b"\nInterrupted.\n")
    except OSError:  # nobody to tell
        return


def _listen() -> None:
    signal.signal(signal.SIGINT, _stop)
    signal.signal(signal.SIGTERM, _stop)
    sys.unraisablehook = _not_swallowed


def _stop(number: int, frame: FrameType | None) -> None:
    """The first signal unwinds, so that temporary files go; the second does not wait for that."""
    global _stopped
    if _stopped is not None:
        os._exit(_stopped)
    _stopped = 128 + number
    raise Terminated if number == signal.SIGTERM else KeyboardInterrupt


def _not_swallowed(unraisable: Any) -> None:
    """Python drops what is raised in a finaliser, with a traceback: an interruption is raised again a moment later."""
    if not issubclass(unraisable.exc_type, KeyboardInterrupt):
        return sys.__unraisablehook__(unraisable)
    import threading

    number = signal.SIGTERM if issubclass(unraisable.exc_type, Terminated) else signal.SIGINT
    try:
        later = threading.Timer(0.01, _again, (number,))  # not here: it would be dropped once more
        later.daemon = True
        later.start()
    except RuntimeError:  # Python is ending: no more threads
        os._exit(128 + number)


def _again(number: signal.Signals) -> None:
    global _stopped
    import threading

    _stopped, main = None, threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main is not None:
        signal.pthread_kill(main, number)  # wakes it where it sleeps
    else:
        _thread.interrupt_main(number)


def _keep_descriptors() -> None:
    """Put something in the place of closed standard streams, or the next file that is opened takes it.

    It would then get what libraries print.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
