"""The index of a journal is never the truth: whatever becomes of it, the results are those of the journal."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from batch_tools import SETTINGS, Formula, lines, paint, run, sentence

from treering.batch import Item, find, journal, opening, verify
from treering.batch.index import FILE
from treering.batch.listing import Listing
from treering.errors import InputError


@pytest.fixture(autouse=True)
def every_index_is_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "MANY", 1)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the pictures that were read."""
    names, read = list[str](), opening.read

    def note(item: Item) -> opening.Opened:
        names.append(item.name)
        return read(item)

    monkeypatch.setattr(opening, "read", note)
    return names


def pictures(folder: Path, count: int = 5) -> list[Item]:
    for i in range(count):
        paint(folder / f"{i}.png", i, i)
    return find(folder)


def test_what_is_done_is_not_even_read(tmp_path: Path, reads: list[str]) -> None:
    items, output = pictures(tmp_path / "in"), tmp_path / "out"
    run(items, output)
    assert len(reads) == 5
    paint(tmp_path / "in" / "2.png", 9)
    paint(tmp_path / "in" / "new.png", 7)
    summary = run(find(tmp_path / "in"), output)
    assert reads[5:] == ["2.png", "new.png"]
    assert (summary.resumed, summary.checked) == (4, 2)
    assert summary.found == {0: 1, 1: 1, 3: 1, 4: 1, 7: 1, 9: 1, None: 0}
    os.utime(tmp_path / "in" / "0.png", (1, 1))  # the same bytes, which reading shows
    assert (run(find(tmp_path / "in"), output).resumed, reads[7:]) == (6, ["0.png"])
    assert len(lines(output)) == 7


def garbage(path: Path) -> None:
    path.write_bytes(b"no database")


def gone(path: Path) -> None:
    path.unlink()


def older(path: Path) -> None:
    with sqlite3.connect(path) as rows:
        rows.execute("UPDATE about SET value = 0 WHERE what = 'version'")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


@pytest.mark.parametrize("damage", [garbage, gone, older, cut])
def test_a_lost_index_is_made_anew(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    items, output = pictures(tmp_path / "in"), tmp_path / "out"
    run(items[:3], output)
    damage(output / FILE)
    detect = Formula()
    summary = run(items, output, detect)
    assert (summary.resumed, summary.checked, len(detect.seen), len(lines(output))) == (3, 2, 2, 5)


def test_a_journal_that_was_changed_is_read_again(tmp_path: Path) -> None:
    """Also where its length stayed the same."""
    items, output = pictures(tmp_path / "in"), tmp_path / "out"
    run(items, output)
    path = output / "results.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"key": 3,', b'"key": -,', 1))
    summary = run(items, output)
    assert (summary.checked, summary.resumed) == (1, 4)
    assert summary.notes == ("Damaged lines of results.jsonl, which were ignored: 1 (line 4).",)
    assert run(items, output).notes == summary.notes  # from the index, too


def test_lines_that_the_index_has_not_seen_are_learned(tmp_path: Path) -> None:
    """As after a kill: the index is older than the journal, whose beginning it knows."""
    items, output = pictures(tmp_path / "in"), tmp_path / "out"
    run(items[:3], output)
    old = (output / FILE).read_bytes()
    run(items, output)
    (output / FILE).write_bytes(old)
    summary = run(items, output)
    assert (summary.resumed, summary.checked, len(lines(output))) == (5, 0, 5)


def test_other_settings_have_an_index_of_their_own(tmp_path: Path) -> None:
    items, output = pictures(tmp_path / "in"), tmp_path / "out"
    run(items, output)
    assert verify(items, Formula(), output, {**SETTINGS, "fpr": 0.01}).checked == 5
    assert run(items, output).resumed == 5


@pytest.mark.skipif(os.name != "posix", reason="links need rights elsewhere")
def test_links_are_not_followed(tmp_path: Path) -> None:
    output = tmp_path / "out"
    output.mkdir()
    (tmp_path / "precious").write_text("mine")
    (output / FILE).symlink_to(tmp_path / "precious")
    with pytest.raises(InputError) as caught:
        run(pictures(tmp_path / "in"), output)
    assert sentence(caught).startswith(f"{output / FILE} is not a file of treering's making")
    assert (tmp_path / "precious").read_text() == "mine"


def test_a_listing_keeps_everything(tmp_path: Path) -> None:
    """Names that are no text, too."""
    items = [
        Item(Path("b\udcff.png"), "b\udcff.png", 3, address="s3://b/\u2028", stamp="x-1"),
        Item(Path("a.png"), "a.png", None, "wrong"),
        Item(Path("c.png"), "c.png"),
    ]
    (tmp_path / "results.jsonl").touch()
    for by_name in (False, True):
        listing = Listing(iter(items), by_name=by_name)
        index = room(tmp_path)
        assert listing.compare(index).total() == 0
        found = [item for item, _ in listing.todo()]
        assert found == ([items[1], items[0], items[2]] if by_name else items)
        index.close()
        listing.close()


def room(folder: Path) -> journal.Index:
    return journal.Index(None, "s", folder / "results.jsonl")


def test_old_journals_go_on(tmp_path: Path) -> None:
    """As version 0.1 left them: no index, no stamps."""
    items, output = pictures(tmp_path / "in"), tmp_path / "out"
    run(items, output)
    (output / FILE).unlink()
    before = (output / "results.jsonl").read_bytes()
    assert all("stamp" not in json.loads(line) for line in before.splitlines())
    assert run(items, output).resumed == 5
    assert (output / "results.jsonl").read_bytes() == before
