"""Habits of other people's pipelines that once broke the adapter, each in a pipeline of our own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

import treering
from treering import clips, filming
from treering.errors import ModelError
from treering.marks.keyring import Keyring
from treering.marks.patterns import Pattern
from treering.models import layout
from treering.models.adapter import PipelineModel
from treering.models.hub import quiet
from treering.models.probing import _lacks_package
from treering.models.twin import disguised
from treering.reading.lengths import AnyLength
from treering.research.families.awkward import AWKWARD
from treering.research.families.own import build
from treering.research.studies.families import keyring_for, read
from treering.settings import Reading
from treering_cli.main import main

LOST = {
    "its own noise": "its sampler does not begin with what is given as latents=",
    "steps with copies": "takes no step with its own scheduler",
}


def made(habit: str) -> PipelineModel:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        pipe, _ = AWKWARD[habit]()
    for part in (pipe.vae, pipe.unet, pipe.text_encoder):
        part.eval()
    return PipelineModel(pipe, habit)


@pytest.mark.parametrize("habit", [habit for habit in AWKWARD if habit not in LOST])
def test_noise_comes_back_whatever_the_habit(habit: str) -> None:
    with quiet():
        model = made(habit)
        ring = keyring_for(model.shape)
        noise = ring.noise(1, 5, 1)
        latent = model.sample(noise, "word1", 4)
        again = model.recover(latent, "word1", 4, evaluations=8)
        assert float((again - noise).square().mean().sqrt()) < 0.02
        assert max(read(ring, again)) < -6
        assert torch.equal(latent, model.sample(noise, "word1", 4))
        assert model.encode(model.decode(latent)).shape == latent.shape
        assert model.steps == 4 and model.guidance == 1.0 and model.frames is None
    assert not model.caller.pipe.vae.use_tiling  # the user's own stays as it is


@pytest.mark.parametrize("habit", sorted(LOST))
def test_what_cannot_carry_a_mark_is_one_sentence(habit: str) -> None:
    with quiet(), pytest.raises(ModelError, match=LOST[habit]) as told:
        made(habit).layout()
    assert "\n" not in str(told.value)


def test_a_disguise_equals_what_it_hides() -> None:
    class Thing:
        pass

    thing = Thing()
    fake = disguised(thing, {"call": lambda self: 1}, {})
    assert type(fake) == Thing and Thing == type(fake) and type(fake) in (int, Thing)  # noqa: E721
    assert isinstance(fake, Thing) and hash(type(fake)) == hash(Thing) and type(fake) is not Thing
    assert type(fake) != int  # noqa: E721


def test_latents_of_which_nothing_arrives_are_no_noise() -> None:
    with pytest.raises(layout.NotTheNoise):
        layout.find(lambda x, y: (torch.zeros(4), y), 4, 4, False)


# ------------------------------------------------------------------------------------ folders of video pipelines


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A causal video pipeline of random weights, in a folder."""
    path = tmp_path_factory.mktemp("video") / "model"
    with quiet():
        build("clip, causal, flow")[0].save_pretrained(path)
    return path


def test_a_video_folder_from_the_command_line(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = CliRunner()

    def told(*words: str) -> Any:
        return run.invoke(main, [*words, "--model", str(folder), "--json"])

    made = told("keys", "new", "--output", "k.json", "--size", "64x64", "--sync", "0", "--classes", "5")
    assert made.exit_code == 0, made.output
    ring = json.loads(made.stdout)
    rings = ring["pattern"]["inner"], ring["pattern"]["outer"]
    assert rings == (1, 4)  # as many as 8x8 cells have, to their corners
    embed = ("embed", "--keyring", "k.json", "--key", "2", "--prompt", "word1", "--steps", "2")
    clip = told(*embed, "--frames", "5", "--output", "clips/a.webp")
    assert clip.exit_code == 0, clip.output
    assert {"steps": 2, "guidance": 5.0}.items() <= json.loads(clip.stdout).items()
    assert clips.read(Path("clips/a.webp")).frames.shape == (5, 64, 64, 3)
    plain = told("embed", "--key", "none", "--prompt", "word1", "--steps", "1", "--output", "b.png")
    assert plain.exit_code == 1 and "makes clips, not pictures; --frames says how many" in plain.stderr
    wrong = told(*embed, "--frames", "4", "--output", "c.webp")
    assert wrong.exit_code == 1 and "makes clips of 5 frames where 4 are asked for" in wrong.stderr
    found = told("detect", "--keyring", "k.json", "--effort", "fast", "clips/a.webp")
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout)["stage"] == "as given"  # a random autoencoder leads nowhere, so that p is large
    checked = told("verify", "--keyring", "k.json", "--effort", "fast", "clips")
    assert checked.exit_code == 0, checked.output
    assert sum(json.loads(checked.stdout)["found"].values()) == 1


def test_what_a_video_folder_reads_is_the_mark(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with quiet():
        model = treering.load_model(str(folder))
        ring = Keyring(
            bytes(range(32)), Pattern("noise", (0, 1, 2, 3), (), 1, 3), (4, 8, 8), image_size=(64, 64), steps=4
        )
        kept = list[torch.Tensor]()

        def decode(latent: torch.Tensor) -> torch.Tensor:
            kept.append(latent)
            return torch.zeros(1, 3, 9, 64, 64)

        monkeypatch.setattr(model, "decode", decode)
        frames = filming.embed_clip(model, ring, 3, "word1", 9, seed=1, steps=4, guidance=1.0)
        monkeypatch.setattr(model, "encode", lambda pixels: kept[0])  # an autoencoder that loses nothing
        frames[:, ::2] = 255  # not of one colour
        read = AnyLength(model, ring, Reading(effort="fast", prompt="word1"))
        found = read(frames[None])[0]
        assert (found.key, found.log10_p < -6, read.together) == (3, True, 81)


def test_a_package_that_is_missing_is_told_and_nothing_else_is_taken_for_it() -> None:
    def failed(cause: Exception) -> ModelError:
        problem = ModelError("it failed in its own call")
        problem.__cause__ = cause
        return problem

    assert _lacks_package(failed(NameError("name 'ftfy' is not defined")))
    assert not _lacks_package(failed(UnboundLocalError("local variable 'latents'")))
    assert not _lacks_package(failed(TypeError("no")))
