"""Attacks: what each must leave and must change, on pictures of any size; their table; and the command."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from schemas import check, lines

from treering.errors import InputError, ModelError
from treering.pictures import images
from treering.research import attacks, changes
from treering.research.attacks import autoencoders, regeneration
from treering.research.attacks.attack import Attack, Through
from treering_cli.main import main

SIZES = [(1, 1), (1, 70), (37, 91)]
PIXELS = {name: one for name, one in attacks.ATTACKS.items() if isinstance(one, Attack)}
NETWORKS = {name: one for name, one in attacks.ATTACKS.items() if isinstance(one, Through)}
NOTHING = {
    **dict.fromkeys(("mirror", "flip", "quarter-turn", "rotation", "turn", "shift", "noise", "salt-pepper"), 0.0),
    **dict.fromkeys(("blur", "sharpen", "drop", "brightness-jitter", "geometric", "photometric"), 0.0),
    **dict.fromkeys(("none", "crop", "screenshot", "squeeze", "brightness", "contrast", "saturation"), 1.0),
    **dict.fromkeys(("median", "resize", "keep"), 1.0),
}
"""Strengths that change nothing."""


def drawn(height: int = 64, width: int = 64, seed: int = 0) -> np.ndarray:
    """Soft random colours, uint8 [H, W, 3]."""
    small = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("name", PIXELS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_an_attack_gives_a_picture_of_the_same_size_and_the_same_for_the_same_seed(name, size):
    attack, picture = PIXELS[name], drawn(*size)
    before = picture.copy()
    for strength in {attack.strengths[0], attack.strengths[-1]}:
        found = attack(picture, strength, 7)
        assert found.dtype == np.uint8
        assert sorted(found.shape[:2]) == sorted(size)
        assert found.shape == picture.shape or name == "quarter-turn"
        assert np.array_equal(found, attack(picture, strength, 7))
    assert np.array_equal(picture, before)


@pytest.mark.parametrize("name", sorted(set(PIXELS) - {"none"}))
def test_the_strongest_usual_strength_changes_most(name):
    attack, picture = PIXELS[name], drawn(seed=3)
    ends = [attack(picture, strength, 2) for strength in (attack.strengths[0], attack.strengths[-1])]
    far = [np.abs(found.astype(int) - picture).mean() for found in ends]
    assert far[1] > 0
    if name not in ("brightness-jitter", "turn", "rotation", "crop"):
        assert far[0] <= far[1]


@pytest.mark.parametrize(("name", "strength"), NOTHING.items())
def test_a_strength_that_does_nothing_does_nothing(name, strength):
    picture = drawn(40, 60)
    assert np.abs(PIXELS[name](picture, strength).astype(int) - picture).max() <= 1


def test_seeds_and_names_are_different_chances():
    grey = np.full((32, 32, 3), 128, np.uint8)
    noise = attacks.ATTACKS["noise"]
    assert not np.array_equal(noise(grey, 0.1, 1), noise(grey, 0.1, 2))
    assert len({tuple(attacks.attack.source(name, 1).integers(0, 99, 8)) for name in PIXELS}) == len(PIXELS)


def test_noise_and_factors_are_clipped_and_never_wrap():
    white, black = np.full((64, 64, 3), 255, np.uint8), np.zeros((64, 64, 3), np.uint8)
    for seed in range(3):
        assert PIXELS["noise"](white, 0.1, seed).min() > 100
        assert PIXELS["noise"](black, 0.1, seed).max() < 155
    assert PIXELS["brightness"](white, 6).min() == 255
    grey = np.full((64, 64, 3), 128, np.uint8)
    assert PIXELS["noise"](grey, 0.1).astype(float).std() == pytest.approx(25.5, rel=0.03)


@pytest.mark.parametrize("share", [0.2, 0.6])
def test_drop_and_keep_lose_what_they_say(share):
    white = np.full((100, 60, 3), 255, np.uint8)
    assert (PIXELS["drop"](white, share) == 0).mean() == pytest.approx(share, abs=0.02)
    assert (PIXELS["keep"](white, share) == 255).mean() == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize("name", [name for name, one in PIXELS.items() if one.encode])
def test_the_file_of_an_attack_holds_what_the_attack_gives(name):
    attack, picture = PIXELS[name], drawn(33, 50)
    assert attack.encode
    data = attack.encode(picture, attack.strengths[1])
    assert np.array_equal(images.read(data).pixels, attack(picture, attack.strengths[1], 5))


def test_a_palette_has_so_many_colours():
    found = PIXELS["palette"](drawn(), 16)
    assert len(np.unique(found.reshape(-1, 3), axis=0)) <= 16


@pytest.mark.parametrize("strength", [-1.0, 101.0, float("nan"), float("inf"), 50.5])
def test_a_strength_that_there_is_not(strength):
    with pytest.raises(InputError, match="jpeg"):
        PIXELS["jpeg"](drawn(), strength)


@pytest.mark.parametrize("picture", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_what_is_no_picture(picture):
    with pytest.raises(InputError, match="A picture is uint8"):
        PIXELS["none"](picture, 1)


# ------------------------------------------------------------------------------------------ poses


def places(height: int, width: int) -> np.ndarray:
    """A picture that tells where each pixel is: red rises with y, green with x."""
    y, x = np.meshgrid((np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width, indexing="ij")
    return np.stack([30 + 200 * y, 30 + 200 * x, np.full_like(y, 220)], -1).round().astype(np.uint8)


CHANGES: dict[str, changes.Change] = {
    "mirror": changes.mirror,
    "flip": changes.flip,
    "quarter": changes.quarter,
    "turn": changes.turn(25, False),
    "turn, cropped": changes.turn(25, True),
    "crop": changes.crop(0.5),
    "shift": changes.shift(20),
    "screenshot": changes.screenshot(0.6),
    "squeeze": changes.squeeze(0.7),
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_truth_about_a_pose_says_where_things_went(name):
    found, truth = CHANGES[name](places(120, 200), np.random.default_rng(4))
    height, width = found.shape[:2]
    for made in ((0.0, 0.0), (0.1, 0.05), (-0.12, 0.1), (0.05, -0.15)):
        y, x = (truth[:, :2] @ made + truth[:, 2] + 0.5) * (height, width)
        if not (2 <= y <= height - 2 and 2 <= x <= width - 2):
            continue
        red, green = (found[int(y), int(x), :2].astype(float) - 30) / 200 - 0.5
        assert (red, green) == pytest.approx(made, abs=0.02)


def test_a_cropped_turn_shows_no_black_corner():
    for size in ((90, 90), (80, 150), (150, 80)):
        found = PIXELS["turn"](np.full((*size, 3), 200, np.uint8), 30)
        assert found[2:-2, 2:-2].min() > 150


# --------------------------------------------------------------------------------------- networks


def test_regeneration_changes_little_and_the_more_the_stronger(model, pictures):
    picture = pictures[0]
    far = []
    for name, strength in (("vae", 0), ("vae", 1), ("diffusion", 0.04), ("diffusion", 0.3)):
        attack = NETWORKS[name].on(model)
        found = attack(picture, strength, 3)
        assert found.shape == picture.shape
        far.append(np.abs(found.astype(int) - picture).mean())
    assert far[0] == 0 < far[1] < far[3] < 60
    assert far[2] < far[3]


def test_regeneration_is_seeded_and_takes_any_size(model):
    small = drawn(40, 90)
    attack = NETWORKS["diffusion-2"].on(model)
    first, again, other = (attack(small, 0.02, seed) for seed in (1, 1, 2))
    assert first.shape == small.shape
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_noise_of_the_whole_way_leaves_nothing_of_the_latent(model):
    import torch

    zero = torch.zeros(1, *model.shape)
    noise = regeneration._noisy(model.scheduler(), zero, torch.ones_like(zero), 0, regeneration.STEPS)
    assert float(noise.mean()) == pytest.approx(model.schedule(regeneration.STEPS).init, abs=0.01)


def test_another_autoencoder_must_be_named_and_be_one(model, tmp_path, monkeypatch):
    attack = NETWORKS["vae-other"].on(model)
    monkeypatch.delenv(autoencoders.VARIABLE, raising=False)
    with pytest.raises(InputError, match=f"Set {autoencoders.VARIABLE} to the folder"):
        attack(drawn(), 1)
    monkeypatch.setenv(autoencoders.VARIABLE, str(tmp_path))
    with pytest.raises(ModelError, match="holds no autoencoder: neither"):
        attack(drawn(), 1)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="holds no autoencoder that can be loaded"):
        attack(drawn(), 1)
    (tmp_path / "taef2.safetensors").write_bytes(b"rubbish")
    with pytest.raises(ModelError, match="is not the autoencoder TAEF2"):
        attack(drawn(), 1)


def test_an_autoencoder_of_diffusers_is_taken(model, tmp_path, monkeypatch):
    model.vae.save_pretrained(tmp_path)
    monkeypatch.setenv(autoencoders.VARIABLE, str(tmp_path))
    picture = drawn(61, 64)
    found = NETWORKS["vae-other"].on(model)(picture, 1)
    assert 0 < np.abs(found.astype(int) - picture).mean() < 64  # colours that it never saw


@pytest.mark.skipif(autoencoders.VARIABLE not in os.environ, reason="no other autoencoder is there")
def test_the_autoencoder_that_is_there_keeps_a_picture(model):
    picture = drawn(96, 96)
    found = NETWORKS["vae-other"].on(model)(picture, 1)
    assert 0 < np.abs(found.astype(int) - picture).mean() < 12


# -------------------------------------------------------------------------------------- the table


def test_the_selections_are_of_attacks_and_strengths_that_there_are():
    for name, rows in attacks.SETS.items():
        assert len({row.name for row in rows}) == len({row.label for row in rows}) == len(rows), name
        for row in rows:
            attacks.named(row.attack).check(row.strength)
    assert [len(attacks.SETS[name]) for name in ("default", "tree-ring", "gaussian-shading")] == [13, 6, 9]


def test_a_strength_between_two_steps_takes_more_of_them():
    clock = attacks.regeneration.clock
    assert [clock(strength) for strength in (0.02, 0.04, 0.3, 1.0)] == [50] * 4
    assert [clock(strength) for strength in (0.01, 0.03, 0.05, 0.015)] == [100, 100, 100, 200]


def test_a_palette_is_dithered_and_has_its_colours():
    ramp = np.repeat(np.linspace(0, 255, 64).astype(np.uint8)[None, :, None], 32, 0).repeat(3, 2)
    found = PIXELS["palette"](ramp, 4)
    assert len(np.unique(found.reshape(-1, 3), axis=0)) <= 4
    columns = found[..., 0].astype(float).mean(0)
    assert np.abs(columns - ramp[0, :, 0])[8:-8].mean() < 15  # as an average the ramp is there; in bands it is not


def test_another_autoencoder_is_for_its_attack_alone(run, no_model):
    fails(run("a.png", "--name", "jpeg", "--autoencoder", "."), "--autoencoder is for the attack vae-other.", 2)


def test_attacks_in_words():
    found = attacks.rows("jpeg:25, tree-ring,blur")
    assert [row.name for row in found[:3]] == ["jpeg:25", "rotation:75", "squeeze:0.75"]
    assert len({row.name for row in found}) == len(found)
    for text, sentence in (("x", "There is no attack 'x'"), ("jpeg:x", "is not an attack with"), ("", "no attack ''")):
        with pytest.raises(InputError, match=sentence):
            attacks.rows(text)
    with pytest.raises(InputError, match="strengths from 1 to 100"):
        attacks.rows("jpeg:0")


# ------------------------------------------------------------------------------------ the command

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(drawn()).save("a.png")
    Image.fromarray(drawn(seed=1)).save("b.png")
    return lambda *arguments: CliRunner().invoke(main, ["attack", *map(str, arguments)])


def fails(result: Result, sentence: str, code: int = 1) -> None:
    assert result.exit_code == code, result.output
    assert sentence in result.stderr
    assert "Traceback" not in result.output


def test_pictures_are_written_each_with_its_own_seed(run, no_model):
    result = run("a.png", "b.png", "--name", "noise", "--strength", 0.1, "--seed", 5, "--json")
    assert result.exit_code == 0
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [record["seed"] for record in records] == [5, 6]
    found = images.read(Path("attacked/b.png")).pixels
    assert np.array_equal(found, PIXELS["noise"](drawn(seed=1), 0.1, 6))


def test_a_format_ends_in_its_own_file(run, no_model):
    assert run("a.png", "--name", "jpeg", "--strength", 25, "--output", "out").exit_code == 0
    with Image.open("out/a.jpg") as image:
        assert image.format == "JPEG"
    assert np.array_equal(images.read(Path("out/a.jpg")).pixels, PIXELS["jpeg"](drawn(), 25))


def test_nothing_is_written_over(run, no_model):
    assert run("a.png", "--name", "mirror").exit_code == 0
    fails(run("a.png", "--name", "flip"), "attacked/a.png exists already; use --force to overwrite it.")
    assert run("a.png", "--name", "flip", "--force").exit_code == 0
    fails(run("a.png", "--name", "flip", "--output", ".", "--force"), "a.png would be written over itself; choose")
    Path("sub").mkdir()
    Image.fromarray(drawn()).save("sub/a.png")
    fails(run("a.png", "sub/a.png", "--name", "flip", "--output", "c"), "Several pictures would be written as c/a.png")
    fails(run("b.png", "--name", "flip", "--output", "a.png"), "a.png is not a folder.")
    assert not Path("c").exists()


def test_what_cannot_be_done_is_one_sentence(run, no_model):
    fails(run("a.png", "--name", "x"), "Error: There is no attack 'x'; `treering attack --list` shows all.")
    fails(run("a.png", "--name", "jpeg", "--strength", 0), "Error: The attack jpeg has strengths from 1 to 100")
    fails(run("a.png"), "Name an attack with --name; --list shows all.", 2)
    fails(run("--name", "jpeg"), "Name at least one picture, or --list.", 2)
    fails(run("none.png", "--name", "jpeg"), "Error: none.png does not exist.")
    fails(run(".", "--name", "jpeg"), "Error: . is a folder, not a picture.")
    result = run("none.png", "a.png", "--name", "jpeg", "--json")
    fails(result, "none.png does not exist.", 3)
    assert [set(json.loads(line)) >= {"source"} for line in result.stdout.splitlines()] == [True, True]
    check("attack", *lines(result.stdout))


def test_the_list_has_every_attack(run, no_model):
    shown = run("--list").stdout
    assert all(f"  {name} " in shown for name in attacks.ATTACKS)
    records = [json.loads(line) for line in run("--list", "--json").stdout.splitlines()]
    check("attack", *records)
    assert [record["attack"] for record in records] == list(attacks.ATTACKS)
