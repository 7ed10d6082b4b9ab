"""Pictures that are read back when they are made: evidence, remedies in a fixed order, and what is written of it."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from treering import checking, models
from treering.batch import Manifest
from treering.batch.notes import Note, digest
from treering.checking import REMEDIES, Checker, Evidence, Recipe, cut, evidence
from treering.errors import InputError
from treering.pictures import images
from treering.reading import Detector
from treering_cli.main import main

RECIPE = Recipe(key=1, prompt="a desert", seed=5)


def test_a_cut_is_the_middle_of_half_the_area():
    rows = np.arange(200, dtype=np.uint8)
    picture = np.broadcast_to(rows[:, None, None], (200, 200, 3)).copy()
    half = cut(picture)
    assert half.shape == picture.shape
    middle = half[5:-5, 100, 0].astype(float)
    slope = np.polyfit(np.arange(len(middle)), middle, 1)[0]
    assert slope**2 == pytest.approx(0.5, rel=0.02)  # each pixel is now sqrt(2) as large
    assert abs(float(half[100, 100, 0]) - 100) <= 1


def test_evidence_is_that_of_the_right_class(model, keyring, pictures):
    detector = Detector(model, keyring, effort="fast", fpr=1e-9)
    right, wrong = (evidence(detector, pictures[1], key) for key in (1, 0))
    assert right.log10_p < -9 and right.stage == "encoder, 2 steps"
    assert (wrong.log10_p, wrong.log10_p_half, wrong.stage) == (0, 0, "")
    assert right.weaker == right.log10_p_half and right.reaches(10**right.weaker)
    assert not right.reaches(10 ** (right.weaker - 1))


# ------------------------------------------------------------------------------------ making it anew


@pytest.fixture
def made(monkeypatch, model, keyring):
    """A checker whose pictures are as strong as a list says; what was made for it."""
    recipes: list[Recipe] = []

    def checker(levels: list[float]) -> Checker:
        waiting = iter(levels)
        monkeypatch.setattr(checking, "make", lambda model, keyring, recipe: recipes.append(recipe))
        monkeypatch.setattr(checking, "evidence", lambda *_: Evidence(-50.0, next(waiting), "encoder, 2 steps", "pose"))
        return Checker(model, keyring, 1e-9)

    checker.recipes = recipes
    return checker


def test_a_strong_picture_is_made_once(made):
    found = made([-20.0])(RECIPE)
    assert (found.strong, found.remedy, found.made, len(made.recipes)) == (True, "", 1, 1)


def test_remedies_stop_as_soon_as_one_is_strong(made):
    found = made([-3.0, -9.5])(RECIPE)
    name = next(iter(REMEDIES))
    assert (found.strong, found.remedy, found.made) == (True, name, 2)
    assert replace(found.recipe, nonce=None) == REMEDIES[name](RECIPE)


def test_the_strongest_is_kept_and_weakness_is_told(made):
    levels = [-3.0, -4.0, -8.0, -5.0, -6.0][: len(REMEDIES) + 1]
    found = made(levels)(RECIPE)
    assert not found.strong and found.made == len(levels)
    assert found.evidence.log10_p_half == min(levels)
    first = list(made.recipes)
    made([-3.0, -4.0, -8.0, -5.0, -6.0])(RECIPE)
    assert made.recipes[len(first) :] == first  # the same pictures are tried again


def test_remedies_that_change_nothing_are_left_out(made):
    made([0.0] * 9)(replace(RECIPE, guidance=1.0))
    assert len(made.recipes) == len({replace(one, nonce=None) for one in made.recipes}) < len(REMEDIES) + 1


def test_levels_that_cannot_be(model, keyring):
    with pytest.raises(InputError, match=r"The level of a check lies between 0 and 1\."):
        Checker(model, keyring, 1.0)


# ------------------------------------------------------------------------------------- the manifest


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def rows() -> list[list[str]]:
    return list(csv.reader(Path("m.csv").read_text().splitlines()))


def add(name: str, told: str = "") -> None:
    pixels = np.full((4, 4, 3), len(name), np.uint8)
    Manifest(Path("m.csv")).add(Path(name), pixels, 1, lambda: images.write(pixels, Path(name)), evidence=told)


TOLD = "-80.12;-20.50;encoder, 2 steps;pose"
CELLS = ["-80.12", "-20.50", "encoder, 2 steps", "pose"]


def test_a_manifest_becomes_wider_with_the_first_picture_that_was_checked(here):
    add("a.png")
    assert rows() == [["file", "key"], ["a.png", "1"]]
    add("b.png", TOLD)
    add("c.png")
    head, *found = rows()
    assert head == ["file", "key", "log10_p", "log10_p_half", "stage", "stage_half"]
    assert found == [["a.png", "1", *[""] * 4], ["b.png", "1", *CELLS], ["c.png", "1", *[""] * 4]]


@pytest.mark.parametrize("before", ["", "file,key\nz.png,0\n", "file,key\nz.png,0\na.pn"])
def test_a_kill_before_the_row_is_mended_with_its_evidence(here, before):
    pixels = np.full((4, 4, 3), 3, np.uint8)
    images.write(pixels, Path("a.png"))
    if before:
        Path("m.csv").write_text(before)
    lock = Path(".m.csv.lock")
    lock.write_bytes(Note("a.png", "1", digest(pixels), True, TOLD).encoded())
    lock.chmod(0o600)
    Manifest(Path("m.csv")).mend()
    assert rows()[-1] == ["a.png", "1", *CELLS] and len(rows()) == (3 if before else 2)
    assert not lock.exists()


# -------------------------------------------------------------------------------------- the command


def embed(*arguments: str) -> object:
    return CliRunner().invoke(main, ["embed", *arguments])


def test_embed_writes_what_it_read_back(here, monkeypatch, model):
    monkeypatch.setenv("TREERING_KEYRING", "own.json")
    monkeypatch.setattr(models, "load", lambda *_: model)
    monkeypatch.setattr(checking, "evidence", lambda *_: Evidence(-80.123, -2.5, "encoder, 2 steps", ""))
    monkeypatch.setattr(checking, "REMEDIES", dict(list(REMEDIES.items())[:1]))
    words = ["--key", "1", "--steps", "1", "--seed", "3", "--check", "--manifest", "m.csv", "--output", "out", "--json"]
    result = embed(*words)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)["check"]
    assert (told["log10_p"], told["log10_p_half"], told["strong"], told["made"]) == (-80.12, -2.5, False, 2)
    assert "is weaker than 1e-09 when it is read back; it is the strongest of 2 that were made." in result.stderr
    assert rows()[1][2:] == ["-80.12", "-2.50", "encoder, 2 steps", ""]


def test_checks_that_cannot_be(here, no_model):
    for words, sentence in (
        (["--key", "none", "--check"], "--check reads the mark back, so it needs a class to mark with."),
        (["--key", "1", "--check-level", "0.1"], "--check-level needs --check."),
    ):
        result = embed(*words)
        assert result.exit_code == 2 and result.stderr.splitlines()[-1] == f"Error: {sentence}"
