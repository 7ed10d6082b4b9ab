"""From a folder of results to the page of a report: what is told, what is refused, and what a stranger's names do."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from batch_tools import SETTINGS, Formula, gallery, paint, run
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from treering import report, review
from treering.batch import Item, find
from treering.errors import InputError
from treering.pictures.poses import Pose, apply
from treering.report.page import Tally
from treering.report.page.histogram import BOTTOM, HEIGHT, histogram
from treering.review.thumbnails import as_found
from treering.text import chance
from treering_cli.main import main


def origin(source: Path, total: int | None, labels: str | None = "folders") -> review.Origin:
    return review.Origin(source.name, str(source), labels, {**SETTINGS, "treering": "0.1.0"}, None, total)


def verified(items: list[Item], source: Path, output: Path, detect: Formula | None = None) -> Path:
    """Results of a run as `treering verify` leaves them."""
    from treering.batch import verify

    begun = origin(source, len(items))
    begun.write(output)
    verify(items, detect or Formula(), output, begun.settings, 2)
    return output


def page(output: Path, items: list[Item] | None, **others: object) -> str:
    review.report(review.Folder.open(output), output / "report.html", items, **others)  # type: ignore[arg-type]
    return (output / "report.html").read_text(encoding="utf-8")


def data(text: str) -> dict:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    assert found
    return json.loads(found[1])


def told(text: str) -> str:
    """What a page says, without its tags."""
    body = text[text.index("<body>") : text.index('<script type="application/json"')]
    return " ".join(re.sub(r"<[^>]+>", " ", body).split())


@pytest.fixture(autouse=True)
def no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """matplotlib's figure of the matrix takes its time, and is not what is tested here."""
    monkeypatch.setattr(report, "confusion_figure", lambda *_: None)


# What is told


def test_a_report_tells_what_was_found(tmp_path: Path) -> None:
    items = gallery(tmp_path / "in", 9)
    (tmp_path / "in" / "key-1" / "broken.png").write_bytes(b"no picture")
    items.append(Item(tmp_path / "in/key-1/broken.png", "key-1/broken.png", 1))
    text = page(verified(items, tmp_path / "in", tmp_path / "out"), items)
    words = told(text)
    assert "10 pictures were checked" in words
    assert "6 carry the mark of a key" in words
    assert "Right 100.0 %" in words
    assert "is not a picture" in words
    assert "Of 3 pictures that are unmarked by their labels" in words
    columns = data(text)
    assert columns["file"] == sorted(item.name for item in items)
    answers = [columns["answer"]["words"][code] for code in columns["answer"]["codes"]]
    assert answers == ["key"] * 3 + ["key"] * 3 + ["failed"] + ["none"] * 3
    assert text.count("data:image/jpeg;base64,") == 2  # one of every key


def test_a_report_is_the_same_again(tmp_path: Path) -> None:
    items = gallery(tmp_path / "in")
    output = verified(items, tmp_path / "in", tmp_path / "out")
    assert page(output, items) == page(output, items)


def test_a_report_names_no_other_address(tmp_path: Path) -> None:
    items = gallery(tmp_path / "in")
    text = page(verified(items, tmp_path / "in", tmp_path / "out"), items)
    assert not re.search(r"(?:src|href)=\"(?!data:|#)|url\(|@import|https?://", text)
    assert "default-src &#39;none&#39;" in text


HOSTILE = (
    "<img src=x onerror=alert(1)>.png",
    "\u202egnp.exe\x1b[31m.png",
    "'\"&amp;{{7*7}}.png",
    "x\u2028y\ny.png",
    "-->]]><script>alert(1)<",
)


def test_names_of_strangers_stay_names(tmp_path: Path) -> None:
    for number in range(len(HOSTILE)):
        paint(tmp_path / "in" / f"{number}.png", number)
    items = [Item(tmp_path / "in" / f"{i}.png", f"{name}/</script>.png", i) for i, name in enumerate(HOSTILE)]
    text = page(verified(items, tmp_path / "in", tmp_path / "out"), items)
    assert text.count("<script") == text.count("</script>") == 2
    assert "<img src=x" not in text
    assert not set(text) & {"\u202e", "\x1b", "\u2028"}
    assert "49.png" not in text
    assert sorted(data(text)["file"])[0].startswith("'\"&amp;{{7*7}}.png/</script>")


def test_a_name_that_is_no_unicode_can_be_told(tmp_path: Path) -> None:
    items = [Item(paint(tmp_path / "a.png", 1), "a\udcff.png", 1)]
    assert "a\\udcff.png" in page(verified(items, tmp_path, tmp_path / "out"), items)


def test_strange_pictures_are_shown_first(tmp_path: Path) -> None:
    right = [Item(paint(tmp_path / f"{i}.png", 1, i), f"{i}.png", 1) for i in range(4)]
    wrong = [Item(paint(tmp_path / "w.png", 2), "w.png", 1), Item(paint(tmp_path / "f.png", 3), "f.png", None)]
    missed = [Item(paint(tmp_path / "m.png", None), "m.png", 5)]
    items = [*right, *wrong, *missed]
    text = page(verified(items, tmp_path, tmp_path / "out"), items)
    cards = re.findall(r'<p class="file"><bdi>(.*?)</bdi>', text)
    assert cards[:3] == ["f.png", "w.png", "m.png"]
    wrong_rows = [name for name, bad in zip(data(text)["file"], data(text)["wrong"], strict=True) if bad]
    assert wrong_rows == ["f.png", "m.png", "w.png"]


def test_a_file_that_has_changed_is_not_shown(tmp_path: Path) -> None:
    items = gallery(tmp_path / "in", 3)
    output = verified(items, tmp_path / "in", tmp_path / "out")
    for item in items:
        paint(item.path, 9, 77)
    text = page(output, items)
    assert "data:image" not in text
    assert "The file has changed since it was checked." in text


def test_a_long_table_keeps_what_a_reader_looks_for(tmp_path: Path) -> None:
    items = [Item(paint(tmp_path / f"{i}.png", 7 if i == 11 else None, i), f"{i}.png") for i in range(12)]
    text = page(verified(items, tmp_path, tmp_path / "out"), items, rows=3)
    assert len(data(text)["file"]) == 3
    assert "11.png" in data(text)["file"]
    assert "The table has 3 of 12 pictures" in told(text)
    assert "The other 9 are in results.jsonl. All counts above are of all pictures." in told(text)
    assert "12 pictures were checked" in told(text)


# What is refused


@pytest.fixture
def half(tmp_path: Path) -> tuple[Path, list[Item]]:
    items = gallery(tmp_path / "in", 6)
    with pytest.raises(KeyboardInterrupt):
        verified(items, tmp_path / "in", tmp_path / "out", Formula(stop_after=2))
    return tmp_path / "out", items


def test_half_a_run_is_refused_or_said_to_be_half(half: tuple[Path, list[Item]]) -> None:
    output, items = half
    with pytest.raises(InputError, match=r"half a run, results of 4 of 6 pictures: .* --unfinished"):
        page(output, items)
    assert not (output / "report.html").exists()
    assert "The run is not finished: 2 of its pictures have no result yet." in told(
        page(output, items, unfinished=True)
    )


def test_half_a_run_is_known_without_its_pictures(half: tuple[Path, list[Item]]) -> None:
    with pytest.raises(InputError, match="results of 4 of 6 pictures"):
        page(half[0], None)


def test_nothing_is_no_report(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There are no results in"):
        review.Folder.open(tmp_path)
    (tmp_path / "results.jsonl").write_bytes(b"")
    with pytest.raises(InputError, match="the run has not come to its first result"):
        review.Folder.open(tmp_path)
    (tmp_path / "results.jsonl").write_bytes(b"{}\n[1]\nx\n")
    with pytest.raises(InputError, match=r"No line of .* can read"):
        review.Folder.open(tmp_path)


def test_mixed_keyrings_are_told_apart(tmp_path: Path) -> None:
    items = gallery(tmp_path / "in", 3)
    output = verified(items, tmp_path / "in", tmp_path / "out")
    own = (output / "results.jsonl").read_text()
    other = [
        json.dumps({**json.loads(line), "settings": "feedfeedfeedfeed", "keyring": "k2"}) for line in own.splitlines()
    ]
    (output / "results.jsonl").write_text(own + "\n".join(other) + "\n")
    words = told(page(output, items))
    assert "3 results of other keyrings or settings, which are left out (keyrings: k2)" in words
    assert "3 pictures were checked" in words
    for name in ("run.json", "summary.json"):
        (output / name).unlink()
    with pytest.raises(InputError, match=r"several keyrings or settings; .* feedfeedfeedfeed \(keyring k2\)"):
        review.Folder.open(output)
    assert len(review.Folder.open(output, "feedfeedfeedfeed").last) == 3


def test_results_of_another_version(tmp_path: Path) -> None:
    items = gallery(tmp_path / "in", 3)
    output = verified(items, tmp_path / "in", tmp_path / "out")
    journal = output / "results.jsonl"
    old = [json.loads(line) for line in journal.read_text().splitlines()]
    journal.write_text("".join(json.dumps({k: v for k, v in line.items() if k != "log10_p"}) + "\n" for line in old))
    with pytest.raises(InputError, match="has no number log10_p: it was written by another version of treering"):
        page(output, items)


def test_a_run_of_before_run_json_is_told_by_its_summary(tmp_path: Path) -> None:
    items = gallery(tmp_path / "in", 3)
    run(items, tmp_path / "out")
    assert not (tmp_path / "out" / "run.json").exists()
    text = page(tmp_path / "out", None)
    assert "named from p = 1e-6" in text
    assert "data:image" not in text


@pytest.mark.parametrize("content", ["", "[]", '{"source": 1}', '{"settings": 3}', "[" * 100_000])
def test_a_damaged_run_json_is_one_sentence(tmp_path: Path, content: str) -> None:
    (tmp_path / "results.jsonl").write_bytes(b"{}\n")
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(InputError, match=r"run\.json is not of treering's making"):
        review.Folder.open(tmp_path)


# The command


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    verified(gallery(Path("in"), 3), Path("in").resolve(), Path("out"))
    done = CliRunner().invoke(main, ["report", "out", "--output", "a.html"])
    assert (done.exit_code, done.stdout) == (0, "The report is a.html\n"), done.stderr
    again = CliRunner().invoke(main, ["report", "out", "--output", "a.html"])
    assert (again.exit_code, again.stderr) == (1, "Error: a.html exists already; use --force to overwrite it.\n")
    assert CliRunner().invoke(main, ["report", "out/results.jsonl", "--output", "a.html", "--force"]).exit_code == 0
    told = CliRunner().invoke(main, ["report", "out", "--json"])
    assert json.loads(told.stdout) == {"file": "out/report.html", "notes": []}
    assert Path("a.html").read_bytes() == Path("out/report.html").read_bytes()


def test_the_command_without_the_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    verified(gallery(Path("in"), 3), Path("in").resolve(), Path("out"))
    Path("in").rename("elsewhere")
    done = CliRunner().invoke(main, ["report", "out"])
    assert done.exit_code == 0
    assert re.fullmatch(r"The report has no thumbnails and no labels\. There is no folder .*/in\.\n", done.stderr)
    assert "Where the pictures are is not known." in Path("out/report.html").read_text()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nowhere"], "There are no results in nowhere"),
        (["out", "--output", "-"], "standard output"),
        (["out", "--output", "out"], "out is a folder"),
        (["out", "--settings", "x"], "no results with the settings x, only"),
    ],
)
def test_the_command_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], sentence: str) -> None:
    monkeypatch.chdir(tmp_path)
    verified(gallery(Path("in"), 3), Path("in").resolve(), Path("out"))
    done = CliRunner().invoke(main, ["report", *words])
    assert done.exit_code == 1
    assert re.fullmatch(rf"Error: [^\n]*{re.escape(sentence)}[^\n]*\n", done.stderr)


# Numbers


@given(st.lists(st.floats(-500, 0), min_size=1, max_size=80), st.sampled_from([-2.0, -6.0, -9.5]))
@settings(max_examples=30, deadline=None)
def test_the_histogram_has_every_picture_on_its_side_of_the_threshold(values: list[float], threshold: float) -> None:
    tally = Tally(threshold)
    for p in values:
        tally.add("key" if p <= threshold else "none", "", p, False)
    drawn = histogram(tally)
    assert drawn is not None
    count = {
        kind: sum(int(bar["text"].split()[0]) for bar in drawn["bars"] if bar["kind"] == kind)
        for kind in ("key", "none")
    }
    assert count == {"key": sum(p <= threshold for p in values), "none": sum(p > threshold for p in values)}
    place = drawn["threshold"]
    for bar in drawn["bars"]:
        assert 0 <= bar["y"] <= bar["y"] + bar["height"] <= HEIGHT - BOTTOM + 0.2
        assert (bar["x"] >= place) if bar["kind"] == "key" else bar["x"] + bar["width"] <= place


def test_expectations_count_what_they_say() -> None:
    tally = Tally(-3.0)
    rng = np.random.default_rng(0)
    for p in rng.random(5000):
        tally.add("none", "", math.log10(p), True)
    found = list(tally.expectations())
    assert [round(one.level, 3) for one in found] == [-1, -2, -3]
    assert [round(one.expected) for one in found] == [500, 50, 5]
    assert all(one.words == "as expected" for one in found)
    for _ in range(30):
        tally.add("key", "1", -8.0, True)
    assert [one.words for one in tally.expectations()][1:] == ["more than expected", "more than expected"]


@given(st.floats(-60, 0))
@settings(max_examples=100, deadline=None)
def test_a_chance_in_words_is_never_too_small(log10_p: float) -> None:
    text = chance(log10_p)
    words = {"billion": 9, "million": 6, "thousand": 3}
    told = re.fullmatch(
        r"(?:less than )?(\d) in (5)|(?:less than )?1 in (a|[\d ]+)((?: (?:thousand|million|billion))*)", text
    )
    assert told, text
    if told[2]:
        share = int(told[1]) / 5
    else:
        share = 1 / (
            (1 if told[3] == "a" else int(told[3].replace(" ", ""))) * 10 ** sum(words[w] for w in told[4].split())
        )
    assert share >= 10**log10_p * 0.999999


@pytest.mark.parametrize(
    "pose",
    [
        Pose(mirror=True),
        Pose(angle=90),
        Pose(angle=27, scale=0.8),
        Pose(mirror=True, angle=-12, scale=0.9, aspect=1.2, shift=(0.05, -0.03)),
    ],
)
def test_as_found_undoes_the_pose(pose: Pose) -> None:
    rng = np.random.default_rng(3)
    small = Image.fromarray(rng.integers(0, 255, (9, 9, 3), np.uint8))
    made = np.asarray(small.resize((96, 96), Image.Resampling.BICUBIC))
    given_ = apply(made, pose, (96, 96))
    told = {
        "mirror": pose.mirror,
        "angle": pose.angle,
        "scale": pose.scale,
        "aspect": pose.aspect,
        "shift": list(pose.shift),
    }
    undone = as_found(given_, told)
    assert undone is not None
    middle = slice(24, 72)
    assert np.abs(undone[middle, middle].astype(float) - made[middle, middle]).mean() < 6
    assert np.abs(given_[middle, middle].astype(float) - made[middle, middle]).mean() > 12


def test_find_leaves_no_trace_of_a_report(tmp_path: Path) -> None:
    items = gallery(tmp_path, 3)
    page(verified(items, tmp_path, tmp_path / "results"), items)
    assert [item.name for item in find(tmp_path)] == [item.name for item in items]
