"""The journal of results: cut, damaged, of old, and somebody else's."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from batch_tools import Formula, gallery, run, unlabelled
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[1]
as_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root ignores permission bits")


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
