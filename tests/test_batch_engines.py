"""Runs with workers: the same results as without, whatever dies, and whichever engine goes on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from batch_tools import SETTINGS, Formula, lines, paint, run, sentence
from batch_tools import gallery as labelled

from treering.batch import Item, Summary, find, settings_id, shards, verify
from treering.batch.engines import Engine, Recipe, get
from treering.batch.engines.local import Local
from treering.batch.fleet import Tasks
from treering.errors import InputError


def gallery(folder: Path, count: int) -> list[Item]:
    """Pictures without labels, so that no figure is drawn."""
    labelled(folder, count)
    return find(folder)


ID = settings_id({"settings": SETTINGS, "size": None})


@pytest.fixture(autouse=True)
def stands_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


def work(items: list[Item], output: Path, workers: int = 2, engine: str = "local", **arguments: Any) -> Summary:
    with get(engine, Recipe("stands:make", arguments), workers) as workers_:
        return verify(items, workers_, output, **workers_.about)


def by_name(output: Path) -> dict[str, dict]:
    found = {line["file"]: line for line in lines(output)}
    assert len(found) == len(lines(output)), "a picture has two lines"
    return found


def test_workers_find_what_one_process_finds(tmp_path: Path) -> None:
    """Broken pictures and copies too; and nothing is left to do for a run without workers, nor the other way round."""
    gallery(tmp_path / "in", 12)
    (tmp_path / "in" / "broken.png").write_text("no picture")
    shutil.copy(tmp_path / "in" / "key-0" / "000.png", tmp_path / "in" / "z-copy.png")
    items = find(tmp_path / "in")
    alone = run(items, tmp_path / "alone")
    together = work(items, tmp_path / "out")
    assert together.found == alone.found
    assert (together.checked, together.copies, together.failures) == (12, 1, 1)
    assert by_name(tmp_path / "out") == by_name(tmp_path / "alone")
    assert set(os.listdir(tmp_path / "out")) == {".lock", "results.jsonl", "summary.json"}
    detect = Formula()
    assert (run(items, tmp_path / "out", detect).resumed, detect.seen) == (13, [])
    assert work(items, tmp_path / "alone").resumed == 13


def test_shards_of_a_run_that_was_killed_are_taken_in(tmp_path: Path) -> None:
    """Also those of workers that outlived it, and of lines that are in the journal already: nothing is there twice."""
    items, output = gallery(tmp_path / "in", 6), tmp_path / "out"
    run(items, tmp_path / "whole")
    whole = lines(tmp_path / "whole")
    run(items[:2], output)
    folder = output / shards.FOLDER / ID
    folder.mkdir(parents=True)
    shards.write(folder, whole[1:4])
    (folder / "torn.jsonl").write_text('{"file": "a')
    detect = Formula()
    summary = run(items, output, detect)
    assert (summary.resumed, summary.checked) == (4, 2)
    assert by_name(output) == {line["file"]: line for line in whole}
    assert summary.notes[0] == f"The shard {folder / 'torn.jsonl'} is damaged and was left alone."
    assert os.listdir(folder) == ["torn.jsonl"]


def test_a_picture_that_kills_workers_is_left_out(tmp_path: Path) -> None:
    log = tmp_path / "log"
    items = gallery(tmp_path / "in", 6)
    paint(tmp_path / "in" / "bad.png", 66)
    with get("local", Recipe("stands:deadly", {"key": 66, "log": str(log)}), 2) as engine:
        summary = verify(find(tmp_path / "in"), engine, tmp_path / "out", **engine.about)
    sentence = "bad.png was left out, because 5 workers ended while they read it."
    assert (summary.checked, summary.failed) == (len(items), (("bad.png", sentence),))
    assert len(log.read_text()) == 6 or len(log.read_text()) == 7  # once or twice with others, then alone


def test_tasks_hold_every_picture_once(tmp_path: Path) -> None:
    """Whatever dies: a run does not end before everything was handed out."""
    pictures = [(Item(Path(f"{i}.png"), f"{i}.png"), None) for i in range(20)]
    tasks, done = Tasks(iter(pictures), 20, 2, 3), list[str]()
    for turn in range(100):
        if not tasks.waiting:
            break
        task = tasks.next(None)
        assert task
        if turn % 3:
            done += [item.name for item, _ in task.pictures]
        else:
            tasks.again(task)
    assert sorted(done) == sorted(item.name for item, _ in pictures)
    assert tasks.next(None) is None


@pytest.mark.parametrize(
    ("function", "arguments", "text"),
    [
        ("stands:broken", {"sentence": "There is no such model."}, "There is no such model."),
        ("stands:mistaken", {}, "A worker failed: KeyError: 'a bug'"),
        ("nowhere:make", {}, "A worker failed: ModuleNotFoundError: No module named 'nowhere'"),
    ],
)
def test_what_is_wrong_with_workers_is_one_sentence(
    tmp_path: Path, function: str, arguments: dict[str, Any], text: str
) -> None:
    items = gallery(tmp_path / "in", 2)
    with pytest.raises(InputError) as caught, get("local", Recipe(function, arguments), 1) as engine:
        verify(items, engine, tmp_path / "out", **engine.about)
    assert sentence(caught) == text


def test_engines_that_are_none() -> None:
    with pytest.raises(InputError, match="There is no engine 'slurm'"):
        get("slurm", Recipe("stands:make", {}), 2)
    with pytest.raises(InputError, match="at least one worker"):
        get("local", Recipe("stands:make", {}), 0)


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError) as caught:
        get("ray", Recipe("stands:make", {}), 2)
    assert sentence(caught) == "The engine ray needs more: pip install 'treering[ray]'"


DRIVER = """
import sys
sys.path[:0] = [{tests!r}]
from test_batch_engines import work
from treering.batch import find
from pathlib import Path
work(find(Path({folder!r})), Path({output!r}), cost=0.02)
"""


@pytest.mark.skipif(os.name != "posix", reason="there is no kill -9")
def test_kill_9_of_a_run_with_workers(tmp_path: Path) -> None:
    """Of the run and, for others, of a worker; what is done stays done, and its workers end by themselves."""
    gallery(tmp_path / "in", 40)
    items, output = find(tmp_path / "in"), tmp_path / "out"
    words = {"tests": str(Path(__file__).parent), "folder": str(tmp_path / "in"), "output": str(output)}
    with subprocess.Popen([sys.executable, "-c", DRIVER.format(**words)], start_new_session=True) as driver:
        wait_for_lines(driver, output / "results.jsonl", 6)
        driver.kill()
    before = by_name(output)
    assert 0 < len(before) < 40
    summary = work(items, output)
    assert (summary.resumed + summary.checked, summary.failures) == (40, 0)
    assert summary.resumed >= len(before)
    run(items, tmp_path / "whole")
    assert by_name(output) == by_name(tmp_path / "whole")


def wait_for_lines(process: subprocess.Popen[bytes], path: Path, count: int) -> None:
    end = time.monotonic() + 120
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert process.poll() is None, "the run ended by itself"
        assert time.monotonic() < end, "the run is too slow"
        time.sleep(0.01)


class Murderous(Local):
    """Kills a worker each time that one has done something."""

    deaths = 0

    def wait(self):
        event = super().wait()
        if event.shard and self.deaths < 4:
            self.deaths += 1
            os.kill(self.processes[0], signal.SIGKILL)
        return event


@pytest.mark.skipif(os.name != "posix", reason="there is no kill -9")
def test_workers_that_are_killed_are_replaced(tmp_path: Path) -> None:
    items = gallery(tmp_path / "in", 30)
    engine: Engine
    with Murderous(Recipe("stands:make", {"cost": 0.01}), 2) as engine:
        summary = verify(items, engine, tmp_path / "out", **engine.about)
    assert (engine.deaths, summary.checked, summary.failures) == (4, 30, 0)
    assert len(by_name(tmp_path / "out")) == 30


def test_paths_travel_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither pixels nor a keyring: a task is some hundred bytes a picture, and JSON."""
    sent = list[str]()
    submit = Local.submit

    def note(self: Local, worker: int, task: dict[str, Any]) -> None:
        sent.append(json.dumps(task))
        submit(self, worker, task)

    monkeypatch.setattr(Local, "submit", note)
    paint(tmp_path / "in" / "a.png", 1, size=(500, 500))
    work(find(tmp_path / "in"), tmp_path / "out", 1)
    (task,) = map(json.loads, sent)
    assert set(task) == {"items", "folder", "index"}
    assert task["items"] == [["a.png", str(tmp_path / "in" / "a.png"), None, None, None]]
