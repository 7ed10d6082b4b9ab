"""Rectified flow: folders of that kind sample as what they are, and a single step is solved or said not to be."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rectified_folder
import torch
from click.testing import CliRunner

import treering
from treering.errors import InputError, ModelError
from treering.models import LatentModel, rectified
from treering.models.rectified import RectifiedFlow, RectifiedFlowModel, solved
from treering.models.schedule import probe, rectified_flow
from treering.models.walk import sample
from treering.reading.tools import Tools
from treering.research.studies import onestep
from treering.settings import GUIDANCE, STEPS
from treering.settings import Reading as Settings
from treering.types import Status
from treering_cli.main import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rectified_folder.make(tmp_path_factory.mktemp("flow") / "model")


@pytest.fixture(scope="module")
def flow(folder: Path) -> RectifiedFlowModel:
    model = treering.load_model(str(folder))
    assert isinstance(model, RectifiedFlowModel)
    return model


def noise(count: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 4, rectified_folder.SIZE, rectified_folder.SIZE, generator=torch.manual_seed(seed))


# ----------------------------------------------------------------------------------- the sampler


@pytest.mark.parametrize("count", [1, 2, 7, 50])
def test_probing_the_sampler_gives_the_papers_grid(count: int) -> None:
    found, wanted = probe(RectifiedFlow(), count), rectified_flow(count)
    assert found.init == wanted.init == 1
    for one, other in zip(found.steps, wanted.steps, strict=True):
        assert (one.time, one.scale) == (pytest.approx(other.time, abs=1e-3), 1)
        assert (one.a, one.b) == pytest.approx((other.a, other.b), abs=1e-9)


@pytest.mark.parametrize("count", [1, 3])
def test_straight_paths_end_at_the_data_whatever_the_number_of_steps(count: int) -> None:
    """Sign and clock: a flow towards one picture z has the velocity (z - x) / s, with s from 1 to 0."""
    data, begin = noise(seed=1), noise(seed=2)

    def velocity(x: torch.Tensor, time: float, rows: torch.Tensor) -> torch.Tensor:
        return (data[rows] - x) / (time / 1000)

    assert torch.allclose(sample(rectified_flow(count), velocity, begin), data, atol=1e-5)


def test_the_folders_own_scheduler_is_not_used(flow: RectifiedFlowModel) -> None:
    assert flow.schedule(4).steps == probe(RectifiedFlow(), 4).steps
    assert (flow.steps, flow.guidance, flow.few_steps) == (1, 1.0, 1)


@pytest.mark.parametrize(("steps", "guidance"), [(1, 1.0), (3, 1.0), (2, 1.5)])
@torch.no_grad()
def test_sampling_is_eulers_method(flow: RectifiedFlowModel, steps: int, guidance: float) -> None:
    x = noise()
    found = flow.sample(x, ["a", "b"], steps=steps, guidance=guidance)
    words, none = torch.cat([flow.context("a"), flow.context("b")]), flow.context("").expand(2, -1, -1)
    for i in range(steps):
        time = torch.tensor(1000.0 * (1 - i / steps))
        plain, told = (flow.unet(x, time, encoder_hidden_states=c).sample for c in (none, words))
        x = x + (plain + guidance * (told - plain)) / steps
    assert torch.allclose(found, x, atol=1e-5)


def test_noise_at_a_time_lies_on_the_straight_line() -> None:
    flow, data, begin = RectifiedFlow(), noise(seed=1), noise(seed=2)
    flow.set_timesteps(4)
    assert torch.allclose(flow.scale_noise(data, flow.timesteps[1:2], begin), 0.25 * data + 0.75 * begin, atol=1e-6)
    assert torch.equal(flow.scale_noise(data, flow.timesteps[:1], begin), begin)


# -------------------------------------------------------------------------------- one step back


def test_a_single_step_is_solved(flow: RectifiedFlowModel) -> None:
    begin = noise()
    latent = flow.sample(begin, "", steps=1)
    found = flow.recovered(latent, "", steps=1, evaluations=60)
    for row in range(2):
        error = float((found.value[row] - begin[row]).square().mean().sqrt())
        residual = float((flow.sample(found.value, "", steps=1)[row] - latent[row]).square().mean().sqrt())
        assert residual == pytest.approx(float(found.residual[row]), abs=1e-5)
        assert (found.status[row] is Status.CONVERGED) == (residual <= rectified.TOLERANCE)
        assert error < 0.05 or found.status[row] is not Status.CONVERGED
    assert found.status[0] is Status.CONVERGED


def test_a_step_without_a_solution_is_said_not_to_be_solved() -> None:
    """x + v(x) = |x| never reaches -1."""

    def velocity(x: torch.Tensor, time: float, rows: torch.Tensor) -> torch.Tensor:
        return x.abs() - x

    found = solved(rectified_flow(1), velocity, torch.stack([-torch.ones(4, 3, 3), torch.ones(4, 3, 3)]), 20)
    assert found.status[0] in (Status.BUDGET, Status.STALLED)
    assert found.status[1] is Status.CONVERGED
    assert float(found.residual[0]) >= 1


def test_rows_do_not_depend_on_each_other(flow: RectifiedFlowModel) -> None:
    latent = flow.sample(noise(3), "", steps=1)
    together = flow.recovered(latent, "", steps=1, evaluations=8)
    alone = flow.recovered(latent[1:2], "", steps=1, evaluations=8)
    assert torch.equal(together.value[1:2], alone.value)
    assert together.status[1] is alone.status[0]


def test_several_steps_go_back_as_those_of_any_model(flow: RectifiedFlowModel) -> None:
    begin = noise()
    latent = flow.sample(begin, "", steps=6)
    assert torch.allclose(flow.recover(latent, "", steps=6, evaluations=10), begin, atol=1e-2)
    with pytest.raises(InputError, match="at least one evaluation"):
        flow.recover(latent, "", steps=1, evaluations=0)


# -------------------------------------------------------------------------------------- reading


def test_a_reading_spends_a_stages_steps_on_solving_the_one(flow: RectifiedFlowModel) -> None:
    keyring = treering.Keyring.for_model(flow)
    latent = flow.sample(noise(), "", steps=1)
    for settings, steps, like in (
        (Settings(), 5, {"steps": 1, "evaluations": 5}),
        (Settings(), 1, {"steps": 1, "evaluations": 1}),
        (Settings(), 10, {"steps": 1, "evaluations": 5}),
        (Settings(steps=3), 5, {"steps": 3, "evaluations": 1}),
        (Settings(scheme="fixed-point"), 2, {"steps": 1, "evaluations": 20}),
    ):
        found = Tools(flow, keyring, settings, treering.Detector(flow, keyring).plan).back(latent, steps)
        wanted = flow.recovered(latent, "", **like)
        assert torch.equal(found.value, wanted.value)
        assert found.status == wanted.status


def test_other_models_have_the_usual_sampling(model: LatentModel) -> None:
    assert (model.steps, model.guidance, model.few_steps) == (STEPS, GUIDANCE, None)


def test_embed_and_detect_take_the_folder(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TREERING_KEYRING", str(tmp_path / "own.json"))

    def run(*words: object) -> Any:
        return CliRunner().invoke(main, [str(word) for word in words])

    assert run("keys", "new", "--model", folder, "--output", "ring.json").exit_code == 0
    made = run("embed", "--key", 1, "--model", folder, "--prompt", "hills", "--keyring", "ring.json", "--seed", 3)
    assert made.exit_code == 0, made.output
    read = run("detect", "picture-0001.png", "--model", folder, "--keyring", "ring.json", "--effort", "fast", "--json")
    assert read.exit_code == 0, read.output
    stages = json.loads(read.stdout)["stages"]
    assert all(key.startswith(("encoder", "sampler")) for stage in stages for key in stage["statuses"])
    assert any("sampler" in key for key in stages[0]["statuses"])


def test_editing_needs_several_steps(flow: RectifiedFlowModel) -> None:
    picture, mask = np.zeros((1, 256, 256, 3), np.uint8), np.ones((256, 256), bool)
    with pytest.raises(InputError, match=r"several steps of the sampler; the model .* takes 1"):
        treering.edit(flow, picture, mask, "hills", 0)


# ---------------------------------------------------------------------------------------- trust


def test_the_same_parts_under_another_index_are_another_model(folder: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    index = json.loads((other / "model_index.json").read_text())
    (other / "model_index.json").write_text(json.dumps({**index, "_class_name": "StableDiffusionPipeline"}))
    plain, flow = treering.load_model(str(other)), treering.load_model(str(folder))
    assert type(plain) is LatentModel
    assert plain.fingerprint != flow.fingerprint


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ("unet/diffusion_pytorch_model.bin", "only weights in .safetensors files are opened"),
        ("unet/flow.py", "a model brings no code of its own"),
        ("pipeline.ckpt", "only weights in .safetensors files are opened"),
    ],
)
def test_what_is_not_trusted_of_others_is_not_of_a_flow(folder: Path, tmp_path: Path, file: str, sentence: str) -> None:
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    (other / file).write_bytes(b"\x80\x04never opened")
    with pytest.raises(ModelError, match=sentence):
        treering.load_model(str(other))


def test_classes_of_its_own_are_refused(folder: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    index = json.loads((other / "model_index.json").read_text())
    for entry in (["pipeline_rf", "RectifiedFlowScheduler"], ["diffusers", "StableDiffusionPipeline"]):
        (other / "model_index.json").write_text(json.dumps({**index, "scheduler": entry}))
        with pytest.raises(ModelError, match=r"The model .* cannot be loaded"):
            treering.load_model(str(other))


# ------------------------------------------------------------------------------------ the study


def test_the_study_of_one_step(flow: RectifiedFlowModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onestep, "EVALUATIONS", (0, 1, 3))
    monkeypatch.setattr(onestep, "PLANS", {"encoder": onestep.PLANS["encoder"]})
    table = onestep.onestep(flow, treering.Keyring.for_model(flow), tmp_path, 1, lambda text: None)
    assert table == (tmp_path / "onestep.md").read_text()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    assert [row[0] for row in rows] == [onestep.TRUE] * 5 + ["encoder"] * 5
    assert [row[2:4] for row in rows[:5]] == [
        ["unknown", "0"], ["unknown", "1"], ["unknown", "3"], ["known", "1"], ["known", "3"],
    ]  # fmt: skip
    assert float(rows[0][1]) == 0 < float(rows[5][1])
    assert [row[7] != "" for row in rows[:5]] == [False, False, True, False, True]
    assert all(row[8] in ("0/1", "1/1") for row in rows[:5] if row[7])


def test_the_study_is_of_models_of_one_step(model: LatentModel, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name one, such as --model demo-flow"):
        onestep.onestep(model, treering.Keyring.for_model(model), tmp_path, 1, lambda text: None)
