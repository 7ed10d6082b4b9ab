"""Runs over many pictures: one, a second, some that are broken, some that are stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from batch_tools import SETTINGS, Formula, gallery, lines, paint, run, sentence
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from treering import batch
from treering.batch import Item, Manifest, Progress, find
from treering.errors import InputError
from treering.pictures import images
from treering.types import Detection

ROOT = Path(__file__).resolve().parents[1]
as_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root ignores permission bits")


# One run


def test_a_run(tmp_path: Path) -> None:
    items, output, detect = gallery(tmp_path / "in"), tmp_path / "out", Formula()
    summary = run(items, output, detect)
    assert (summary.total, summary.checked, summary.resumed, summary.failed) == (7, 7, 0, ())
    assert summary.found == {0: 3, 1: 2, None: 2}
    assert list(summary.found)[-1] is None
    assert summary.confusion is not None
    assert summary.confusion.counts == ((3, 0, 0), (0, 2, 0), (0, 0, 2))
    assert detect.batches == [2, 2, 2, 1]
    assert summary.notes == ()
    names = {".lock", "results.jsonl", "summary.json", "confusion.md", "confusion.png"}
    assert set(os.listdir(output)) == names


def test_a_line_holds_everything(tmp_path: Path) -> None:
    path = paint(tmp_path / "a.png", 5)
    summary = run(find(tmp_path), tmp_path / "out", size=(2, 3))
    (line,) = lines(tmp_path / "out")
    assert list(line)[:3] == ["file", "sha256", "settings"]
    assert line == {
        "file": "a.png",
        "sha256": images.digest(path.read_bytes()),
        "settings": summary.settings,
        "key": 5,
        "p_value": 1e-9,
        "log10_p": -9.0,
        "answer": "key",
        "best_key": 5,
        "z": 6.0,
        "classical_log10_p": None,  # infinite
        "model": "m",
        "keyring": "k",
        "method": "formula",
        "evaluations": 1,
        "status": "converged",
        "seconds": 0.0,
        "reason": None,
        "notes": ["Resized from 12x8 to 3x2."],
        "p_keyring": 1.0,
        "log10_p_keyring": 0.0,
        "effort": "single",
        "stage": "",
        "pose": None,
        "box": None,
        "stages": [],
        "nonce": None,
        "error": None,
    }


def test_the_summary_is_written(tmp_path: Path) -> None:
    summary = run(gallery(tmp_path / "in"), tmp_path / "out")
    read = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert read["settings"] == {"id": summary.settings, "settings": SETTINGS, "size": None}
    assert read["found"] == {"0": 3, "1": 2, "none": 2}
    assert read["confusion"]["accuracy"]["rate"] == 1


def test_no_pictures(tmp_path: Path) -> None:
    summary = run([], tmp_path / "out")
    assert (summary.total, summary.found, summary.confusion) == (0, {None: 0}, None)
    assert lines(tmp_path / "out") == []


def test_pictures_of_two_sizes_are_not_stacked(tmp_path: Path) -> None:
    for i, size in enumerate([(4, 4), (4, 4), (5, 4), (4, 4)]):
        paint(tmp_path / f"{i}.png", 1, i, size)
    detect = Formula()
    assert run(find(tmp_path), tmp_path / "out", detect, batch=8).checked == 4
    assert detect.batches == [2, 1, 1]


def test_progress(tmp_path: Path) -> None:
    items, told = gallery(tmp_path / "in"), list[Progress]()
    (tmp_path / "in" / "key-0" / "000.png").write_bytes(b"no picture")
    run(items[2:4], tmp_path / "out")
    run(items, tmp_path / "out", progress=told.append)
    assert told[0] == Progress(0, 7, 0, 0, 0.0, None)
    assert [step.done for step in told] == sorted(step.done for step in told)
    assert (told[-1].done, told[-1].total, told[-1].resumed, told[-1].failed) == (7, 7, 2, 1)
    assert told[-1].rate > 0
    assert told[-1].remaining == 0


def test_no_labels_no_matrix(tmp_path: Path) -> None:
    gallery(tmp_path / "in")
    run(gallery(tmp_path / "in"), tmp_path / "out")
    summary = run(find(tmp_path / "in"), tmp_path / "out")
    assert summary.confusion is None
    assert summary.notes[0] == "confusion.md is of an earlier run: no labels are known in this one."


def test_some_labels(tmp_path: Path) -> None:
    items = gallery(tmp_path / "in")
    summary = run([Item(items[0].path, items[0].name), *items[1:]], tmp_path / "out")
    assert summary.confusion is not None
    assert summary.confusion.total == 6
    assert summary.notes == ("Pictures without a label, which are not in the confusion matrix: 1.",)


def test_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    summary = run(gallery(tmp_path / "in"), tmp_path / "out")
    assert "pip install 'treering[plots]'" in summary.notes[0]
    assert (tmp_path / "out" / "confusion.md").exists()
    assert not (tmp_path / "out" / "confusion.png").exists()


# Resuming


def test_a_second_run_does_nothing(tmp_path: Path) -> None:
    items, output, detect = gallery(tmp_path / "in"), tmp_path / "out", Formula()
    first = run(items, output)
    before = (output / "results.jsonl").read_bytes()
    again = run(items, output, detect)
    assert (again.checked, again.resumed, detect.seen) == (0, 7, [])
    assert (again.found, again.confusion) == (first.found, first.confusion)
    assert (output / "results.jsonl").read_bytes() == before


def test_moved_and_copied_files_are_not_detected_again(tmp_path: Path) -> None:
    paint(tmp_path / "in" / "a.png", 1)
    run(find(tmp_path / "in"), tmp_path / "out")
    shutil.copy(tmp_path / "in" / "a.png", tmp_path / "in" / "copy.png")
    (tmp_path / "in" / "a.png").rename(tmp_path / "in" / "moved.png")
    detect = Formula()
    summary = run(find(tmp_path / "in"), tmp_path / "out", detect)
    assert (summary.resumed, detect.seen) == (2, [])
    first, *others = lines(tmp_path / "out")
    assert [line["file"] for line in others] == ["copy.png", "moved.png"]
    note = "Taken over from a.png, which has the same bytes."
    assert all(line == {**first, "file": line["file"], "notes": [note]} for line in others)


def test_copies_in_one_batch_are_detected_once(tmp_path: Path) -> None:
    for name in "abc":
        paint(tmp_path / f"{name}.png", 1)
    detect = Formula()
    summary = run(find(tmp_path), tmp_path / "out", detect, batch=8)
    assert (summary.checked, summary.resumed, summary.copies, len(detect.seen)) == (1, 0, 2, 1)
    assert summary.found == {1: 3, None: 0}
    assert [line["file"] for line in lines(tmp_path / "out")] == ["a.png", "b.png", "c.png"]


def test_changed_bytes_are_detected_again(tmp_path: Path) -> None:
    paint(tmp_path / "in" / "a.png", 1)
    run(find(tmp_path / "in"), tmp_path / "out")
    paint(tmp_path / "in" / "a.png", 2)
    assert run(find(tmp_path / "in"), tmp_path / "out").found == {2: 1, None: 0}


def test_other_settings_are_kept_and_not_counted(tmp_path: Path) -> None:
    items, output = gallery(tmp_path / "in"), tmp_path / "out"
    run(items, output)
    before = (output / "results.jsonl").read_bytes()
    detect = Formula()
    summary = batch.verify(items, detect, output, {**SETTINGS, "fpr": 0.01})
    assert (summary.checked, summary.total) == (7, 7)
    assert (output / "results.jsonl").read_bytes().startswith(before)
    assert run(items, output, size=(3, 3)).checked == 7  # the size is one of the settings
    assert run(items, output).checked == 0


@given(st.dictionaries(st.text(max_size=4), st.none() | st.integers() | st.text(max_size=3)))
def test_settings_have_no_order(content: dict[str, object]) -> None:
    turned = dict(reversed(content.items()))
    assert batch.settings_id(content) == batch.settings_id(turned)
    assert batch.settings_id({**content, "new one": 0}) != batch.settings_id(content)


# Broken pictures


def test_broken_files_do_not_end_a_run(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    items = gallery(folder)
    (folder / "empty.png").touch()
    (folder / "text.jpg").write_text("no picture")
    (folder / "cut.png").write_bytes((folder / "none" / "002.png").read_bytes()[:50])
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    summary = run(find(folder), tmp_path / "out")
    assert (summary.checked, len(items)) == (7, 7)
    assert summary.failed == (
        ("cut.png", "cut.png is broken or cut short."),
        ("empty.png", "empty.png is empty."),
        ("gone.png", "gone.png does not exist."),
        ("text.jpg", "text.jpg is not a picture that can be read."),
    )
    errors = [line for line in lines(tmp_path / "out") if line["error"]]
    assert [(line["file"], line["error"]) for line in errors] == list(summary.failed)
    assert errors[1]["sha256"] is None
    assert errors[3]["sha256"] == images.digest(b"no picture")


def test_broken_files_are_tried_again_and_written_once(tmp_path: Path) -> None:
    path = paint(tmp_path / "in" / "a.png", 1)
    whole = path.read_bytes()
    path.write_bytes(whole[:40])
    for _ in range(2):
        assert len(run(find(tmp_path / "in"), tmp_path / "out").failed) == 1
    assert len(lines(tmp_path / "out")) == 1
    path.write_bytes(whole)
    assert run(find(tmp_path / "in"), tmp_path / "out").found == {1: 1, None: 0}


# Stopped runs


def test_control_c_keeps_what_is_complete(tmp_path: Path) -> None:
    items, output = gallery(tmp_path / "in"), tmp_path / "out"
    (tmp_path / "in" / "key-0" / "000.png").write_bytes(b"broken")
    with pytest.raises(KeyboardInterrupt):
        run(items, output, Formula(stop_after=2))
    assert len(lines(output)) == 5  # two batches and the broken one
    detect = Formula()
    summary = run(items, output, detect)
    assert (summary.checked, summary.resumed, len(detect.seen)) == (2, 4, 2)


WORKER = """
import sys, time
from pathlib import Path
sys.path[:0] = [{root!r}, {tests!r}]
from batch_tools import Formula, SETTINGS
from treering import batch

class Slow(Formula):
    def __call__(self, pictures, notes):
        time.sleep(0.05)
        return super().__call__(pictures, notes)

batch.verify(batch.find(Path({folder!r})), Slow(), Path({output!r}), SETTINGS, batch=2)
"""


@pytest.mark.skipif(os.name != "posix", reason="there is no kill -9")
def test_kill_9(tmp_path: Path) -> None:
    gallery(tmp_path / "in", 40)
    (tmp_path / "in" / "broken.png").write_text("no picture")
    items, output = find(tmp_path / "in"), tmp_path / "out"
    words = {"root": str(ROOT), "tests": str(ROOT / "tests"), "folder": str(tmp_path / "in"), "output": str(output)}
    with subprocess.Popen([sys.executable, "-c", WORKER.format(**words)]) as worker:
        wait_for_lines(worker, output / "results.jsonl", 6)
        worker.kill()
    assert worker.returncode == -signal.SIGKILL
    before = [line["file"] for line in lines(output) if not line["error"]]
    assert 5 <= len(before) < 40

    detect = Formula()
    summary = run(items, output, detect)
    assert (summary.resumed, summary.checked) == (len(before), 40 - len(before))
    assert len(detect.seen) == 40 - len(before)

    run(items, tmp_path / "uninterrupted")
    assert sorted_lines(output) == sorted_lines(tmp_path / "uninterrupted")


def wait_for_lines(worker: subprocess.Popen[bytes], path: Path, count: int) -> None:
    end = time.monotonic() + 120
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert worker.poll() is None, "the worker ended by itself"
        assert time.monotonic() < end, "the worker is too slow"
        time.sleep(0.01)


def sorted_lines(output: Path) -> list[bytes]:
    return sorted((output / "results.jsonl").read_bytes().splitlines())


def test_a_full_disk_leaves_whole_lines(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    items, output = gallery(tmp_path / "in"), tmp_path / "out"
    run(items[:2], output)
    path = output / "results.jsonl"
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 100, hard))  # a line is longer: it is cut by the system
    try:
        with pytest.raises(InputError) as caught:
            run(items, output)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert sentence(caught) == f"{path} cannot be written: File too large."
    assert path.read_bytes() == before
    assert run(items, output).resumed == 2


# The results folder


def test_two_runs_at_once(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    items, output = gallery(tmp_path / "in"), tmp_path / "out"

    def detect(*_: object) -> list[Detection]:
        run(items, output)
        return []

    with pytest.raises(InputError) as caught:
        batch.verify(items, detect, output, SETTINGS)
    assert (
        sentence(caught) == f"Another verification is writing to {output}; wait for its end or choose another folder."
    )
    assert run(items, output).checked == 7  # the lock is gone with the run


def test_output_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    for output in (tmp_path / "out", tmp_path / "out" / "inner"):
        with pytest.raises(InputError) as caught:
            run([], output)
        assert sentence(caught) == f"{output} is not a folder, so results cannot be written there."
    assert (tmp_path / "out").read_text() == "mine"


@as_root
def test_no_permission(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir(mode=0o500)
    with pytest.raises(InputError) as caught:
        run([], tmp_path / "out")
    assert sentence(caught) == f"No permission to write {tmp_path / 'out'}."


def test_no_picture_is_replaced(tmp_path: Path) -> None:
    path = paint(tmp_path / "confusion.png", 1)
    with pytest.raises(InputError) as caught:
        run(find(tmp_path), tmp_path)
    assert sentence(caught) == f"The results would replace the picture {path}; choose another folder for them."


def test_empty_batches_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least one picture"):
        run([], tmp_path / "out", batch=0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")
def test_control_c_at_any_moment(tmp_path: Path) -> None:
    gallery(tmp_path / "in", 12)
    commands = (
        "verify in --output out --labels none --batch 2",
        "embed --key 1 --count 9 --output new --manifest m.csv",
    )
    program = [sys.executable, str(ROOT / "tests" / "interrupts.py"), str(tmp_path), "6", *commands]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    outcomes = [line.split(" ", 2)[1:] for line in done.stdout.splitlines()]
    assert {code for code, _ in outcomes} <= {"0", "130"}, done.stdout
    assert all(text == "''" or text.startswith("'\\nInterrupted") for _, text in outcomes), done.stdout
    assert all(text.count("\\n") in (0, 2) for _, text in outcomes), done.stdout
    if (tmp_path / "out").exists():
        assert all(json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines())
    rows = {row[0] for row in Manifest(tmp_path / "m.csv").mend() if row}
    assert rows == {f"new/{path.name}" for path in (tmp_path / "new").glob("*.png")}


# Reading ahead, and the pure heart


def test_the_next_pictures_are_read_while_the_networks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But no more of them than a batch and what the threads have in hand, so that memory stays flat."""
    gallery(tmp_path / "in", 30)
    read, begun, seen = images.read, list[str](), list[tuple[int, int]]()

    def noting(data: bytes, *given: object, strict: bool) -> images.Picture:
        begun.append(threading.current_thread().name)
        return read(data, *given, strict=strict)

    def detect(pictures: NDArray[np.uint8], notes: Sequence[tuple[str, ...]]) -> list[Detection]:
        time.sleep(0.02)
        done = sum(count for count, _ in seen) + len(pictures)
        seen.append((len(pictures), len(begun) - done))
        return Formula()(pictures, notes)

    monkeypatch.setattr(images, "read", noting)
    batch.verify(find(tmp_path / "in"), detect, tmp_path / "out", SETTINGS, batch=4)
    assert all(name.startswith("treering-read") for name in begun)
    assert max(ahead for _, ahead in seen) in range(4, 6)
    assert [line["file"] for line in lines(tmp_path / "out")] == [item.name for item in find(tmp_path / "in")]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("treering-read")]


@pytest.mark.parametrize("error", [RuntimeError("a bug"), KeyboardInterrupt()], ids=["bug", "interrupt"])
def test_what_reading_raises_ends_the_run_in_its_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    gallery(tmp_path / "in", 9)
    read = images.read

    def sometimes(data: bytes, size: object, name: str, strict: bool) -> images.Picture:
        if name == find(tmp_path / "in")[5].name:
            raise error
        return read(data, None, name)

    monkeypatch.setattr(images, "read", sometimes)
    with pytest.raises(type(error)):
        run(find(tmp_path / "in"), tmp_path / "out")
    assert len(lines(tmp_path / "out")) == 4  # two batches; the fifth picture waited for a sixth
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("treering-read")]


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["small", "large", "broken", "copy"]), max_size=7))
def test_lines_are_a_function_of_their_batch(tmp_path: Path, kinds: list[str]) -> None:
    """One line each, in order, the same alone as with others; the names of files are all that is told of them."""
    items = []
    for i, kind in enumerate(kinds):
        path = paint(tmp_path / f"{i}.png", i, 0 if kind == "copy" else i, (9, 9) if kind == "large" else (12, 8))
        if kind == "broken":
            path.write_bytes(b"no picture")
        items.append(Item(path, path.name))
    loaded = [batch.load(item) for item in items]
    together = batch.lines(loaded, Formula(), "s")
    assert [line["file"] for line in together] == [item.name for item in items]
    assert [line["error"] is None for line in together] == [kind != "broken" for kind in kinds]
    assert together == [line for one in loaded for line in batch.lines([one], Formula(), "s")]
