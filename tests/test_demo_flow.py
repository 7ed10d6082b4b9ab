"""The one-step demo model: what ships, and how it was made (deterministic, resumable)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import rectified_folder
import torch
from click.testing import CliRunner
from torch import Tensor

import treering
from treering.models import demo
from treering.models.demo import flow as shipped
from treering.models.rectified import RectifiedFlowModel
from treering.research import door
from treering.research.demo_flow import export, quality, start, training
from treering.research.demo_flow.couplings import SHAPE, Couplings
from treering.types import Answer
from treering_cli.main import main

# --------------------------------------------------------------------------------------- making


def negated(noise: Tensor, captions: list[str]) -> Tensor:
    return -noise + torch.tensor([float(len(text)) for text in captions]).view(-1, 1, 1, 1)


def test_couplings_that_were_stopped_go_on_to_the_same(tmp_path: Path) -> None:
    whole, cut = (Couplings(tmp_path / name, 10, seed=5, batch=4) for name in ("whole.npy", "cut.npy"))
    whole.make(negated)
    batches = []

    def stops(noise: Tensor, captions: list[str]) -> Tensor:
        batches.append(len(noise))
        if len(batches) == 2:
            raise KeyboardInterrupt
        return negated(noise, captions)

    with pytest.raises(KeyboardInterrupt):
        cut.make(stops)
    with pytest.raises(RuntimeError, match="not complete"):
        cut.pairs()
    cut.make(stops)
    assert batches == [4, 4, 4, 2]
    assert np.array_equal(whole.pairs(), cut.pairs())
    assert np.array_equal(whole.pairs()[3, 0], whole.noise(3))


def test_couplings_are_of_unit_noise_and_some_have_no_words(tmp_path: Path) -> None:
    couplings = Couplings(tmp_path / "never.npy", 500, seed=7)
    captions = [couplings.caption(i) for i in range(500)]
    assert 20 < captions.count("") < 90
    assert len(set(captions)) > 100
    noise = np.stack([couplings.noise(i) for i in range(50)]).astype(np.float64)
    assert noise.shape[1:] == SHAPE
    assert abs(noise.mean()) < 0.01
    assert noise.std() == pytest.approx(1, abs=0.01)
    assert not np.array_equal(noise[0], noise[1])


def test_the_clock_matches_signal_to_noise() -> None:
    alphas = demo_scheduler().alphas_cumprod
    times = start.clock(alphas)
    assert times.shape == (1001,)
    assert (times[0], times[-1]) == (0, 999)
    assert (times.diff() >= 0).all()
    for s in (0.1, 0.5, 0.9):
        alpha = alphas[int(times[round(1000 * s)])]
        share = (1 - alpha).sqrt() / (alpha.sqrt() + (1 - alpha).sqrt())
        assert float(share) == pytest.approx(s, abs=0.005)


def demo_scheduler() -> object:
    from diffusers import DDIMScheduler

    return DDIMScheduler.from_pretrained(demo.WEIGHTS / "scheduler")


def test_the_start_is_the_denoiser_turned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "FITTED", 300)
    unet, alphas = rectified_folder.networks()["unet"], demo_scheduler().alphas_cumprod
    x, context = torch.randn(1, 4, 8, 8, generator=torch.manual_seed(0)), torch.zeros(1, 3, 16)

    def answer(time: float) -> Tensor:
        with torch.no_grad():
            found: Tensor = unet(x, torch.tensor(time), encoder_hidden_states=context).sample
        return found

    before = {s: answer(float(start.clock(alphas)[round(1000 * s)])) for s in (0.2, 0.6, 1.0)}
    start.turn(unet, alphas)
    for s, v in before.items():
        error = (answer(1000 * s) + v).square().mean() / v.square().mean()
        assert float(error) < 0.05


def test_every_pair_is_seen_once_in_each_pass() -> None:
    rows = [row for step in range(6) for row in training._chosen(training.DISTIL, step, 24)[1].tolist()]
    assert sorted(rows[:24]) == sorted(rows[24:]) == list(range(24))
    assert rows[:24] != rows[24:]


def test_quality_measures_know_what_they_measure() -> None:
    rng = np.random.default_rng(0)
    sharp = rng.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    flat = np.full_like(sharp, 100)
    assert quality.sharpness(sharp) > 0.2 > quality.sharpness(flat) == 0
    assert quality.psnr(flat, flat + np.uint8(10)) == pytest.approx(20 * np.log10(25.5))


def test_each_model_has_its_own_steps() -> None:
    assert door.MAKERS["demo-flow"] == ("couplings", "reflow", "straight", "distil", "export", "measure")
    for words, sentence in (
        (("demo-flow",), "demo-flow needs a step: couplings, reflow"),
        (("demo-flow", "data"), "demo-flow needs a step: couplings, reflow"),
        (("demo", "reflow"), "demo needs a step: data, autoencoder"),
        (("null", "export"), "null has no step"),
        (("demo-flow", "export", "--count", "3"), "demo-flow has no --images"),
    ):
        result = CliRunner().invoke(main, ["experiment", *words])
        assert result.exit_code == 2
        assert sentence in result.stderr


# --------------------------------------------------------------------------------- what ships


@pytest.fixture(scope="module")
def flow() -> RectifiedFlowModel:
    model = treering.load_model("demo-flow")
    assert isinstance(model, RectifiedFlowModel)
    return model


def test_what_ships_is_small_and_shares_the_rest() -> None:
    files = [path for path in shipped.FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 20e6
    assert {path.parent.name for path in files if path.suffix == ".safetensors"} == {"unet"}
    both = [path for model in (demo.WEIGHTS, shipped.FOLDER) for path in model.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in both) < 55e6
    assert json.loads((shipped.FOLDER / "model_index.json").read_text())["_class_name"] == "RectifiedFlowPipeline"
    assert "_name_or_path" not in json.loads((shipped.FOLDER / "unet" / "config.json").read_text())


def test_it_draws_in_one_step_what_its_prompt_says(flow: RectifiedFlowModel, model: object) -> None:
    assert (flow.steps, flow.guidance, flow.captions) == (1, 1.0, model.captions)
    ours, theirs = (
        {name: value for name, value in dict(one.vae.config).items() if not name.startswith("_")}
        for one in (flow, model)
    )
    assert ours == theirs  # but for where they were read, which some versions write down
    day, night = (quality.draw(flow, [text], range(1)) for text in ("mountains by day", "mountains at night, stars"))
    assert day.mean() > 1.5 * night.mean()
    assert day.std() > 10


def test_its_marks_are_read(flow: RectifiedFlowModel) -> None:
    keyring = treering.Keyring(bytes(range(32)), shape=flow.shape, image_size=flow.image_size, model=flow.name)
    marked, plain = (treering.embed(flow, keyring, key, "the sea at day, clouds", seed=5) for key in (2, None))
    fast = treering.Detector(flow, keyring, effort="fast")
    (found,), (nothing,) = fast(marked), fast(plain)
    assert (found.answer, found.key) == (Answer.KEY, 2)
    assert nothing.answer is Answer.NONE
    assert found.model == f"demo-flow:{flow.fingerprint}"


def test_an_exported_folder_stands_alone(flow: RectifiedFlowModel, tmp_path: Path) -> None:
    """What ``export --output`` writes is the shipped denoiser with the demo's parts beside it."""
    folder = Path(shutil.copytree(shipped.FOLDER, tmp_path / "model"))
    assert flow._kind == export.PIPELINE
    export.complete(folder)
    assert treering.load_model(str(folder)).fingerprint == flow.fingerprint
