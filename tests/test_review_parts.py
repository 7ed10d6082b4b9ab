"""Reports of a part of the pictures, of very many, with names of classes, and of what "none" can hide."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from batch_tools import SETTINGS, Formula, gallery
from browser import Browser
from hypothesis import given, settings
from hypothesis import strategies as st
from test_review import data, told, verified

from treering import report, review
from treering.batch import Item
from treering.errors import InputError
from treering.report.power import power
from treering.review import Part, Shelf
from treering.review.shelf import Digests, Last

NAME = "Anna's <b>shop</b>\u202e"


@pytest.fixture(autouse=True)
def no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "confusion_figure", lambda *_: None)


def page(output: Path, items: list[Item] | None, **others: object) -> str:
    review.report(review.Folder.open(output), output / "report.html", items, **others)  # type: ignore[arg-type]
    return (output / "report.html").read_text(encoding="utf-8")


def remembered(output: Path, **changes: object) -> None:
    """Another ``run.json``."""
    origin = review.Folder.open(output).origin
    assert origin
    replace(origin, **changes).write(output)  # type: ignore[arg-type]


# On disk


@given(st.lists(st.tuples(st.text(max_size=3), st.integers(0, 10**12))))
@settings(max_examples=50, deadline=None)
def test_the_last_line_of_every_file(lines: list[tuple[str, int]]) -> None:
    last, known = Last(), dict(lines)
    for name, start in lines:
        last.add(name, start)
    assert list(last.starts()) == sorted(known.values())
    assert len(last) == len(known)
    assert all(name in last for name in known)
    assert "not there" not in last


def test_a_listing_that_is_gone_through_once_serves_two() -> None:
    items = [Item(Path(f"{i}"), f"{i}", i if i % 2 else None) for i in range(1500)]
    items += [Item(Path(), "s3://bucket/x", address="s3://bucket/x"), Item(Path("a\udcff"), "a\udcff")]
    shelf, last = Shelf(), Last()
    assert list(shelf.filled(iter(items))) == items
    for item in items:
        found = shelf.get(item.name)
        assert found is not None
        assert (found.label, found.address is None) == (item.label, item.address is None)
        assert item.address is not None or found.path == item.path
    assert shelf.get("not there") is None
    assert shelf.labelled
    last.add("7", 0)
    assert shelf.missing(last) == len(shelf) - 1 == len(items) - 1


def test_digests() -> None:
    digests = Digests()
    assert [digests.again(one) for one in (b"a", b"b", b"a", b"")] == [False, False, True, False]


# A part of the pictures


@pytest.mark.parametrize(
    ("part", "sentences"),
    [
        (Part(), []),
        (Part(sample=5, listed=90), ["A sample of 5 of 90 pictures, chosen by chance (seed 0)"]),
        (Part(sample=50, seed=3, since=0.0, listed=90, changed=40), ["40 of 90", "A sample of 40 of 40 pictures"]),
        (Part(since=0.0), ["at or after 1970-01-01 00:00:00 UTC were looked at."]),
        (Part(sample=5), ["A sample of at most 5 pictures"]),
    ],
)
def test_what_a_part_is_told_as(part: Part, sentences: list[str]) -> None:
    found = part.sentences()
    assert len(found) == len(sentences)
    assert all(sentence in one for sentence, one in zip(sentences, found, strict=True))


def test_a_sample_is_told_in_the_report(tmp_path: Path) -> None:
    items = gallery(tmp_path / "in")
    output = verified(items, tmp_path / "in", tmp_path / "out")
    assert "sample" not in told(page(output, items))
    remembered(output, part=Part(sample=len(items), listed=1000))
    words = told(page(output, items))
    assert f"A sample of {len(items)} of 1 000 pictures" in words
    assert words.index("A sample") < words.index("were checked")


@pytest.mark.parametrize("part", [{"sample": "many"}, {"since": 1e99}, [], "x"])
def test_a_strange_part_is_refused(tmp_path: Path, part: object) -> None:
    output = verified(gallery(tmp_path / "in"), tmp_path / "in", tmp_path / "out")
    content = json.loads((output / "run.json").read_text())
    (output / "run.json").write_text(json.dumps({**content, "part": part}))
    with pytest.raises(InputError, match=r"run\.json is not of treering's making"):
        review.Folder.open(output)


# Names


def test_names_are_shown_and_never_obeyed(tmp_path: Path) -> None:
    items = gallery(tmp_path / "in")
    output = verified(items, tmp_path / "in", tmp_path / "out")
    key = next(str(item.label) for item in items if item.label is not None)
    assert NAME not in page(output, items)
    remembered(output, names={key: NAME, "99": "nobody"})
    text = page(output, items)
    assert data(text)["names"] == {key: "Anna's <b>shop</b>\\u202e"}
    assert "Anna&#39;s &lt;b&gt;shop&lt;/b&gt;\\u202e" in text
    assert "\u202e" not in text
    assert "shop" not in page(output, items, names={})


def test_names_in_the_table(tmp_path: Path, browser: Browser) -> None:
    items = gallery(tmp_path / "in")
    output = verified(items, tmp_path / "in", tmp_path / "out")
    key = next(str(item.label) for item in items if item.label is not None)
    remembered(output, names={key: NAME})
    page(output, items)
    browser.open((output / "report.html").as_uri(), 390, 844)
    browser.run(
        "(one => { one.value = 'SHOP'; one.dispatchEvent(new Event('input')) })(document.getElementById('find'))"
    )
    browser.frame()
    keys = browser.run("[...document.querySelectorAll('#pictures tbody tr td:nth-child(3)')].map(td => td.innerText)")
    assert keys
    assert set(keys) == {f"{key} Anna's <b>shop</b>\\u202e"}
    csv = browser.run(
        "new Promise(done => { const old = URL.createObjectURL;"
        "URL.createObjectURL = (blob) => { blob.text().then(done); return old(blob) };"
        "document.getElementById('save').click() })"
    )
    head, first = csv.splitlines()[:2]
    assert (head.split(",")[-1], first.split(",")[-1]) == ('"name"', '"Anna\'s <b>shop</b>\\u202e"')
    assert browser.run("document.documentElement.scrollWidth") <= 390
    assert browser.problems() == []


# What "none" can hide


def test_the_shipped_power_is_what_the_experiments_measured() -> None:
    from treering.research.studies.power import EXPERIMENTS, counted

    path = Path(report.__file__).with_name("power.json")
    wanted = "run `python -m treering.research power --output treering/report`"
    assert json.loads(path.read_text(encoding="utf-8")) == counted(EXPERIMENTS), wanted


def test_power() -> None:
    found = power("normal")
    assert found
    rates = [one.named.value for one in found.damages]
    assert rates == sorted(rates)  # type: ignore[type-var]
    assert found.damages[-1].named.value == 1.0
    assert power("no such effort") is None


def test_none_is_told_with_what_it_can_hide(tmp_path: Path) -> None:
    items = gallery(tmp_path / "in")
    output = verified(items, tmp_path / "in", tmp_path / "out")
    assert "was not measured for this way of reading" in told(page(output, items))
    how = {"method": None, "iterations": None, "scheme": "fixed-point", "steps": None, "effort": "normal"}
    begun = review.Origin("in", str(tmp_path / "in"), "folders", {**SETTINGS, **how}, None, len(items))
    from treering.batch import verify

    begun.write(tmp_path / "two")
    verify(items, Formula(), tmp_path / "two", begun.settings, 2)
    words, found = told(page(tmp_path / "two", items)), power("normal")
    assert found
    worst = found.damages[0]
    assert re.search(rf"{re.escape(worst.words)} {worst.named.count} {worst.named.total} ", words)
    low, high = (f"{100 * end:.0f}" for end in worst.named.interval)
    assert f"{low} to {high} %" in words
    assert "effort normal" in words
    marked = [item for item in items if item.label is not None]
    assert "can hide" not in told(page(verified(marked, tmp_path / "in", tmp_path / "three"), marked))


def test_a_table_of_no_rows(tmp_path: Path) -> None:
    items = gallery(tmp_path / "in")
    text = page(verified(items, tmp_path / "in", tmp_path / "out"), items, rows=0)
    assert data(text)["file"] == []
    assert f"The table has 0 of {len(items)} pictures" in told(text)
