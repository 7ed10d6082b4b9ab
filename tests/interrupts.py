"""A program: Ctrl-C at random moments of ``treering verify`` and ``embed`` with stand-ins; prints what came of it.

``python interrupts.py FOLDER COUNT COMMAND...``: each command is one argument.
Modules are loaded once, and each run is a fork.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from batch_tools import Formula
from test_faults import SIZE, Model

from treering import batch, report  # noqa: F401 (loaded before the forks)
from treering.marks import keyring  # noqa: F401
from treering.marks.keyring import Keyring
from treering_cli import embed, options, work
from treering_cli.main import main


class Slow(Formula):
    """A detector that takes its time."""

    def __call__(self, *given: object) -> Sequence[object]:
        time.sleep(0.005)
        return super().__call__(*given)


def stand_in() -> None:
    def make(one: embed.Picture) -> object:
        time.sleep(0.005)
        return np.random.default_rng(one.seed).integers(0, 256, (*SIZE, 3), np.uint8), None

    options.ModelChoice.load = lambda *_: Model()
    work.detector = lambda *_: Slow()
    embed._marked = lambda *_: make


def once(words: list[str], moment: float, log: Path) -> int:
    """The exit code of a run that is interrupted at this moment."""
    read, write = os.pipe()
    if not (child := os.fork()):
        signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in programs that run in the background
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.write(write, b"!")
        try:
            main(words, prog_name="treering")
        except SystemExit as end:
            os._exit(end.code if isinstance(end.code, int) else 99)
        except BaseException:
            os._exit(98)
    os.read(read, 1)
    os.close(read), os.close(write)
    time.sleep(moment)
    os.kill(child, signal.SIGINT)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def run(count: int, words: list[str]) -> None:
    """Prints each outcome: how often, the exit code, what was said."""
    moments, seen = random.Random(0), Counter()
    for _ in range(count):
        code = once(words, moments.uniform(0, 0.2), Path("log"))
        seen[code, Path("log").read_text()] += 1
        if not code:  # all is done: anew
            shutil.rmtree("out", ignore_errors=True)
    for (code, text), number in sorted(seen.items()):
        print(number, code, repr(text))


if __name__ == "__main__":
    os.chdir(sys.argv[1])
    stand_in()
    os.environ["TREERING_KEYRING"] = "own.json"
    Keyring(bytes(range(32)), shape=(4, 32, 32), image_size=SIZE).save("own.json", overwrite=True)
    for command in sys.argv[3:]:
        run(int(sys.argv[2]), command.split())
