"""The journal of results: cut, damaged, of old, and somebody else's."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from batch_tools import Formula, gallery, lines, paint, run, sentence, unlabelled
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from treering.batch import find, labels_from_folders
from treering.errors import InputError


def test_every_cut_of_the_last_line_is_mended(tmp_path: Path) -> None:
    items, output = unlabelled(gallery(tmp_path / "in", 3)), tmp_path / "out"
    run(items, output)
    path = output / "results.jsonl"
    whole = path.read_bytes()
    start = whole[:-1].rindex(b"\n") + 1
    for cut in range(start, len(whole)):
        path.write_bytes(whole[:cut])
        detect = Formula()
        summary = run(items, output, detect)
        assert (summary.resumed, len(detect.seen)) == (2, 1)
        assert summary.notes == (("The last line of results.jsonl was incomplete and was dropped.",) * (cut > start))
        assert path.read_bytes() == whole


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_cut_of_the_file_is_mended(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("cut")
    items, output = unlabelled(gallery(folder / "in", 5)), folder / "out"
    run(items, output)
    path = output / "results.jsonl"
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    detect = Formula()
    summary = run(items, output, detect)
    complete = whole[:cut].count(b"\n")
    assert (summary.resumed, summary.checked, len(detect.seen)) == (complete, 5 - complete, 5 - complete)
    assert path.read_bytes() == whole


def test_damaged_lines_are_reported(tmp_path: Path) -> None:
    items, output = gallery(tmp_path / "in"), tmp_path / "out"
    run(items, output)
    path = output / "results.jsonl"
    whole = path.read_bytes().splitlines(keepends=True)
    own = json.loads(whole[3])
    damage = [b"\x00\x00\n", b"[1]\n", json.dumps({**own, "key": "two"}).encode() + b"\n"]
    path.write_bytes(b"".join([whole[0], damage[0], *whole[1:3], *damage[1:], *whole[4:]]))
    summary = run(items, output)
    assert (summary.checked, summary.resumed) == (1, 6)
    assert summary.notes == ("Damaged lines of results.jsonl, which were ignored: 3 (line 2, 5, 6).",)


# What is not a journal of ours, or no longer


FOREIGN = {
    "text": b"my notes\n",
    "text without an end": b"my notes",
    "other JSON lines": b'{"file": "a.png", "label": 3}\n',
    "JSON without an end": b'{"file": "a.png", "label": 3}',
    "a list": b"[]",
    "zeros in the middle": b"\0\0\0\nabc\n",
    "binary": bytes(range(256)),
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_file_is_left_alone(tmp_path: Path, content: bytes) -> None:
    items, path = gallery(tmp_path / "in", 2), tmp_path / "out" / "results.jsonl"
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        run(items, path.parent)
    assert sentence(caught) == f"{path} is not of treering's making, so it is left alone; choose another folder."
    assert path.read_bytes() == content


@pytest.mark.skipif(os.name != "posix", reason="links need rights elsewhere")
@pytest.mark.parametrize("name", ["results.jsonl", ".lock"])
@pytest.mark.parametrize("there", [True, False])
def test_links_are_not_followed(tmp_path: Path, name: str, there: bool) -> None:
    items, output, other = gallery(tmp_path / "in", 2), tmp_path / "out", tmp_path / "precious"
    output.mkdir()
    if there:
        other.write_bytes(b"")
    (output / name).symlink_to(other)
    with pytest.raises(InputError) as caught:
        run(items, output)
    assert sentence(caught) == f"{output / name} is a link, so nothing is written through it."
    assert other.exists() == there and not (there and other.stat().st_size)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
@pytest.mark.parametrize("name", ["results.jsonl", ".lock"])
def test_a_pipe_is_not_waited_for(tmp_path: Path, name: str) -> None:
    (tmp_path / "out").mkdir()
    os.mkfifo(tmp_path / "out" / name)
    with pytest.raises(InputError, match="is not a file"):
        run([], tmp_path / "out")


@pytest.mark.parametrize(
    "changes",
    [
        {"notes": 5},
        {"notes": [5]},
        {"key": -1},
        {"key": True},
        {"key": None},
        {"key": 1.5},
        {"answer": "perhaps"},
        {"answer": "none"},
        {"sha256": 5},
        {"sha256": "A" * 64},
        {"sha256": None},
        {"file": None},
        {"error": 5},
        {"settings": []},
        {"p_value": float("nan")},
        {"log10_p": float("-inf")},
        {"z": "1e999"},
    ],
    ids=str,
)
def test_a_line_of_wrong_types_is_ignored_and_said(tmp_path: Path, changes: dict[str, object]) -> None:
    """And the picture is read again, also by a copy, which would have taken the line over."""
    paint(tmp_path / "in" / "a.png", 1)
    output = tmp_path / "out"
    run(find(tmp_path / "in"), output)
    (line,) = lines(output)
    path = output / "results.jsonl"
    path.write_text(json.dumps({**line, **changes}).replace('"1e999"', "1e999") + "\n")
    shutil.copy(tmp_path / "in" / "a.png", tmp_path / "in" / "copy.png")
    summary = run(find(tmp_path / "in"), output)
    assert (summary.checked, summary.resumed, summary.copies) == (1, 0, 1)
    assert summary.notes == ("Damaged lines of results.jsonl, which were ignored: 1 (line 1).",)


def test_lines_of_old_are_read(tmp_path: Path) -> None:
    """Version 0.1 had no answers: a key, or none."""
    items, output = gallery(tmp_path / "in"), tmp_path / "out"
    before = run(items, output)
    path = output / "results.jsonl"
    old = [{k: v for k, v in line.items() if k not in ("answer", "reason")} for line in lines(output)]
    path.write_text("".join(json.dumps(line) + "\n" for line in old))
    shutil.copy(items[0].path, items[0].path.with_name("copy.png"))
    summary = run(labels_from_folders(find(tmp_path / "in")), output)
    assert (summary.checked, summary.resumed, summary.notes) == (0, 8, ())
    assert summary.found[None] == before.found[None]


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_damage_is_mended_or_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Whatever is changed in a journal: every picture gets its line, or the file is left as it is."""
    folder = tmp_path_factory.mktemp("damage")
    items, output = unlabelled(gallery(folder / "in", 4)), folder / "out"
    run(items, output)
    path = output / "results.jsonl"
    whole = path.read_bytes()
    start, end = sorted(data.draw(st.tuples(st.integers(0, len(whole)), st.integers(0, len(whole)))))
    new = data.draw(st.binary(max_size=20) | st.sampled_from([b"NaN", b"[" * 5000, b'"notes": 5', b"\n", b"null"]))
    damaged = whole[:start] + new + whole[end:]
    path.write_bytes(damaged)
    try:
        summary = run(items, output)
    except InputError:
        assert path.read_bytes() == damaged
    else:
        assert summary.checked + summary.resumed == 4 and not summary.failed
        assert run(items, output).resumed == 4
