"""Pages: boxes that a picture draws, their shares of the error budget, and marks found with their places."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from treering import images, models
from treering.marks.keyring import Keyring
from treering.pictures.boxes import boxes
from treering.pictures.edges import area, common, shared
from treering.pictures.placed import Window
from treering.reading import Detector, pages
from treering.reading.pages import Pages, weights
from treering.research.collages import LAYOUTS
from treering_cli.main import main

SAMPLES = [np.asarray(Image.open(path)) for path in sorted((Path(__file__).parents[1] / "samples").glob("*.png"))]


# ------------------------------------------------------------------------------------------- boxes


@pytest.mark.parametrize("name", ["2 x 2", "1 x 3, black gaps", "one large, two small", "page of text"])
def test_the_parts_of_a_page_are_among_its_boxes(name):
    rng = np.random.default_rng(3)
    page = LAYOUTS[name](SAMPLES[:9], rng)
    found = boxes(page.pixels)
    for part in page.parts:
        assert max(shared(part.box, box) for box in found) >= 0.85


def test_boxes_are_those_of_a_smaller_look_scaled():
    page = LAYOUTS["2 x 2"](SAMPLES[4:8], np.random.default_rng(0))
    large = np.asarray(Image.fromarray(page.pixels).resize((1500, 1500), Image.Resampling.LANCZOS))
    for part in page.parts:
        wanted = tuple(round(side * 1500 / 512) for side in part.box)
        assert max(shared(wanted, box) for box in boxes(large)) >= 0.95


@given(height=st.integers(1, 90), width=st.integers(1, 90), seed=st.integers(0, 99), colours=st.integers(1, 4))
@settings(deadline=None, max_examples=30)
def test_boxes_lie_within_the_picture_and_differ(height, width, seed, colours):
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 256, (colours, 3)).astype(np.uint8)[rng.integers(0, colours, (height, width))]
    found = boxes(picture, 20)
    assert len(found) <= 20 and len(set(found)) == len(found)
    for top, left, bottom, right in found:
        assert 0 <= top < bottom <= height and 0 <= left < right <= width
        assert (top, left, bottom, right) != (0, 0, height, width)
    assert found == boxes(picture.copy(), 20)


def test_a_picture_of_one_colour_has_no_boxes():
    assert boxes(np.full((300, 400, 3), 77, np.uint8)) == []


def test_what_boxes_have_in_common():
    first, second = (0, 0, 10, 20), (5, 10, 15, 30)
    assert (area(first), common(first, second), common(first, (10, 0, 20, 20))) == (200, 50, 0)
    assert shared(first, second) == 50 / 350 and shared(first, first) == 1


# ------------------------------------------------------------------------------------------ places


@given(top=st.integers(0, 200), left=st.integers(0, 200), height=st.integers(8, 300), width=st.integers(8, 300))
@settings(deadline=None, max_examples=40)
def test_a_box_that_is_filled_is_found_where_it_is(top, left, height, width):
    box = (top, left, top + height, left + width)
    window = Window.around(box, (64, 64))
    assert window.of(None, None, (500, 500)) == box
    cut = window.cut(np.full((500, 500, 3), 9, np.uint8))
    assert cut.shape == (64, 64, 3) and (cut == 9).all()


def test_a_box_of_another_aspect_is_seen_as_a_whole():
    picture = np.zeros((100, 200, 3), np.uint8)
    picture[:, 150:] = 200
    window = Window.around((0, 0, 100, 200), (64, 64))
    assert window.at == (16, 0, 48, 64)
    cut = window.cut(picture)
    assert np.ptp(cut[:16]) == 0  # what is around it is of one colour
    assert cut[30, 10, 0] == 0 and cut[30, 60, 0] == 200


def test_a_pose_tells_where_a_mark_lies():
    window = Window.around((100, 100, 356, 356), (256, 256))
    shrunk = {"mirror": True, "angle": 90.0, "scale": 0.5, "aspect": 1.0, "shift": [0.25, 0.0]}
    assert window.of(None, shrunk, (1000, 1000)) == (228, 164, 356, 292)
    enlarged = {"mirror": False, "angle": 0.0, "scale": 2.0, "aspect": 1.0, "shift": [0.0, 0.0]}
    assert window.of(None, enlarged, (400, 300)) == (0, 0, 400, 300)  # as much of it as there is


# -------------------------------------------------------------------------------------- the budget


@given(st.integers(1, 200))
def test_boxes_share_half_of_the_budget(count):
    shares = weights(count)
    assert sum(shares) <= 0.5 and shares == sorted(shares, reverse=True) and shares[-1] > 0


def test_a_part_is_read_at_its_own_share(model, keyring):
    detector = Detector(model, keyring, effort="fast")
    part = Pages(detector).part(0.01, detector.stages[:1])
    assert part.settings.fpr == pytest.approx(1e-8) and detector.settings.fpr == 1e-6
    assert len(part.stages) == 1 and len(detector.stages) > 1 and part.tools is detector.tools


# ------------------------------------------------------------------------------------------- pages


@pytest.fixture(scope="module")
def grid(pictures):
    """Three marked pictures and one without a mark, 2 x 2."""
    rows = [np.concatenate([pictures[a], pictures[b]], 1) for a, b in ((0, None), (1, 2))]
    return np.concatenate(rows)


PLACES = {0: (0, 0, 256, 256), 1: (256, 0, 512, 256), 2: (256, 256, 512, 512)}


@pytest.fixture
def few(monkeypatch):
    """Pages of which few boxes are looked into."""
    monkeypatch.setattr(pages, "LOOKS", dict.fromkeys(pages.LOOKS, (16, 16, 0)))


def test_every_mark_of_a_grid_is_found_in_its_place(model, keyring, grid, few):
    page = Pages(Detector(model, keyring, effort="fast"))(grid, ["A note."])
    assert (page.answer, page.key, page.told.key, page.whole.key) == ("parts", None, None, None)
    assert {mark.key: shared(mark.box, PLACES[mark.key]) > 0.9 for mark in page.marks} == dict.fromkeys(PLACES, True)
    assert len(page.marks) == 3 and page.share == pytest.approx(0.75, abs=0.01)
    line = json.loads(json.dumps(page.as_dict()))
    assert (
        line["answer"] == "parts"
        and len(line["marks"]) == 3
        and line["notes"] == ["A note.", "Resized from 512x512 to 256x256."]
    )
    for mark in page.marks:  # corrected for the page: weaker than the picture alone, and named at the page's rate
        assert mark.log10_p <= -6 and mark.p_value <= 1e-6 and mark.share == pytest.approx(0.25, abs=0.01)


def test_another_keyring_finds_nothing_on_the_page(model, grid, few):
    other = Keyring(bytes(32), derivation=1)
    page = Pages(Detector(model, other, effort="fast"))(grid)
    assert (page.answer, page.marks, page.share, page.looked > 3) == ("none", (), 0, True)


@pytest.mark.parametrize(("sign", "looked"), [(-99.0, 1), (0.0, 3)])
def test_the_rest_of_the_boxes_needs_a_sign(model, grid, monkeypatch, sign, looked):
    monkeypatch.setattr(pages, "LOOKS", dict.fromkeys(pages.LOOKS, (3, 1, 0)))
    monkeypatch.setattr(pages, "SIGN", sign)
    assert Pages(Detector(model, Keyring(bytes(32), derivation=1), effort="fast"))(grid).looked == looked


def test_a_picture_that_is_marked_all_over_is_one(model, keyring, pictures, few):
    page = Pages(Detector(model, keyring, effort="fast"))(pictures[1], always=False)
    assert (page.answer, page.key, page.looked, page.share) == ("key", 1, 0, 1)
    assert page.told.key == 1 and page.as_dict()["key"] == 1


def test_detect_tells_every_mark(model, keyring, grid, few, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(models, "load", lambda *_: model)
    keyring.save(Path("k.json"))
    Image.fromarray(grid).save("page.png")
    words = ["detect", "page.png", "--keyring", "k.json", "--effort", "fast", "--several", "--exit-code"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 4, result.output  # not 0: the page as a whole is not marked
    first, *marks = result.stdout.splitlines()
    assert "parts     3 marks in 75% of the picture; no mark was found in the rest." in first
    assert len(marks) == 3 and all("of the picture" in line and "pixels at" in line for line in marks)


def test_a_picture_that_is_too_small_is_never_none(model, keyring, tmp_path, monkeypatch):
    monkeypatch.setattr("treering.models.load", lambda *_: model)
    keyring.save(tmp_path / "k.json")
    images.write(np.random.default_rng(0).integers(0, 256, (6, 6, 3), np.uint8), tmp_path / "tiny.png")
    words = ["detect", str(tmp_path / "tiny.png"), "--keyring", str(tmp_path / "k.json"), "--effort", "fast", "--json"]
    for more in ([], ["--several"]):
        told = json.loads(CliRunner().invoke(main, [*words, *more]).stdout)
        assert told["answer"] == "not assessable" and "pixels" in told["reason"]
