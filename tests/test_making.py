"""Rows of a table made by several processes: the same to the last bit, nothing secret where others see it."""

from __future__ import annotations

import subprocess
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from treering.marks import making
from treering.marks.keyring import Keyring
from treering.marks.making import Job, fill
from treering.marks.table import Table

SECRET = bytes(range(1, 33))
PLACES = np.array([[0, 4, 1], [0, 4, 0], [2, 7, 5]], np.int64)


def job(classes: int = 41, nonces: int = 3, first: int = 0) -> Job:
    return Job(SECRET, np.arange(7, 7 + classes, dtype=np.int64), nonces, PLACES, 6, first, classes * nonces)


def filled(one: Job, processes: int | None) -> np.ndarray:
    rows = np.full((one.last - one.first, one.width), 99, np.int8)
    fill(rows, one, processes)
    return rows


def test_processes_make_the_rows_that_one_makes():
    alone = filled(job(), 1)
    assert np.array_equal(filled(job(), 2), alone)
    assert np.array_equal(filled(job(first=5), 1), alone[5:])
    assert np.array_equal(filled(job(), None), alone)  # few: in this process


@pytest.mark.parametrize("count", [2, 3, 7])
def test_parts_of_a_job_are_its_rows(count):
    whole = job(classes=5, nonces=4)
    edges = [20 * i // count for i in range(count + 1)]
    parts = [filled(whole.part(a, b), 1) for a, b in pairwise(edges)]
    assert np.array_equal(np.concatenate(parts), filled(whole, 1))
    assert all(len(whole.part(a, b).classes) <= (b - a) // 4 + 2 for a, b in pairwise(edges))


def test_a_table_of_many_marks_is_made_by_processes(monkeypatch):
    keyring = Keyring(SECRET, classes=300)
    alone = Table(keyring, length=8).values.copy()
    monkeypatch.setattr(making, "ALONE", 100)
    monkeypatch.setattr(making, "_cores", lambda: 2)
    assert np.array_equal(Table(keyring, length=8).values, alone)


def test_nothing_secret_is_in_arguments_or_environment(monkeypatch):
    seen = []
    real = subprocess.Popen

    def spied(command, **rest):
        seen.append((command, rest["env"]))
        return real(command, **rest)

    monkeypatch.setattr(making.subprocess, "Popen", spied)
    filled(job(), 2)
    assert len(seen) == 2
    for command, environment in seen:
        shown = " ".join((*command, *environment, *environment.values()))
        assert SECRET.hex() not in shown and repr(SECRET) not in shown and len(shown.encode()) < 100_000
    assert SECRET.hex() not in repr(job()) and "secret" not in repr(job())


def test_the_current_folder_is_no_place_for_modules(tmp_path, monkeypatch):
    for name in ("json", "numpy", "treering"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(making, "_here", lambda *_: pytest.fail("a process failed"))
    filled(job(), 2)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("interpreter", ["/no/such/interpreter", None])
def test_rows_of_a_process_that_fails_are_made_here(monkeypatch, tmp_path, interpreter):
    alone = filled(job(), 1)
    if interpreter:
        monkeypatch.setattr(making.sys, "executable", interpreter)
    else:  # begins, and writes too little
        monkeypatch.setattr(making, "_PROGRAM", "import sys; sys.stdout.buffer.write(b'abc')")
    assert np.array_equal(filled(job(), 2), alone)
    assert Path(tmp_path).exists()


def test_an_interrupt_leaves_no_process_behind(monkeypatch):
    started = []
    real = subprocess.Popen
    monkeypatch.setattr(making.subprocess, "Popen", lambda *a, **k: started.append(real(*a, **k)) or started[-1])
    monkeypatch.setattr(making, "_PROGRAM", "import time; time.sleep(60)")

    def interrupted(pipe, rows):
        raise KeyboardInterrupt

    monkeypatch.setattr(making, "_received", interrupted)
    with pytest.raises(KeyboardInterrupt):
        filled(job(), 2)
    assert started and all(one.wait(5) is not None for one in started)
