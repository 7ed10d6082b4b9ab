"""Probed coefficients: whole samplers agree with diffusers' own, and what cannot be inverted is refused."""

import diffusers
import pytest
import torch

from treering.errors import SamplerError
from treering.inversion import invert, invert_sampler, sample
from treering.models import walk
from treering.models.schedule import probe, rectified_flow
from treering.types import Status

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
DDIM = {**BETAS, "clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1}
SCHEDULERS = {
    "ddim": lambda: diffusers.DDIMScheduler(**DDIM),
    "ddim v": lambda: diffusers.DDIMScheduler(**DDIM, prediction_type="v_prediction"),
    "ddim sample": lambda: diffusers.DDIMScheduler(**DDIM, prediction_type="sample"),
    "ddim zero snr": lambda: diffusers.DDIMScheduler(
        **DDIM, prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing"
    ),
    "euler": lambda: diffusers.EulerDiscreteScheduler(**BETAS),
    "euler v": lambda: diffusers.EulerDiscreteScheduler(**BETAS, prediction_type="v_prediction"),
    "flow matching": lambda: diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
}


def model(x, time, rows):
    """A formula in place of a network: smooth, bounded, depends on time."""
    return 0.2 * torch.tanh(x + 0.001 * time)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_affine_steps_are_the_schedulers_own(name):
    scheduler = SCHEDULERS[name]()
    schedule = probe(scheduler, 12)
    noise = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    ours = sample(schedule, model, noise)
    scheduler.set_timesteps(12)
    x = noise * float(scheduler.init_noise_sigma if hasattr(scheduler, "init_noise_sigma") else 1.0)
    for t in scheduler.timesteps:
        scaled = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        x = scheduler.step(model(scaled, float(t), None), t, x).prev_sample
    assert torch.allclose(ours, x, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_fixed_point_inversion_returns_to_the_noise(name):
    if name == "ddim sample":
        pytest.skip("a model that predicts the sample by a tanh has no unique inverse")
    schedule = probe(SCHEDULERS[name](), 12)
    noise = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    latent = sample(schedule, model, noise)
    exact = invert_sampler(schedule, model, latent, "fixed-point", 1e-6, 100)
    naive = invert_sampler(schedule, model, latent, "naive")
    assert (exact - noise).abs().max() < 1e-2
    assert (exact - noise).square().mean() <= (naive - noise).square().mean()


def test_every_sample_has_its_own_account():
    """A model that grows fails in one sample alone; the other is solved, and both say so."""

    def f(x, time, rows):
        return torch.stack([3e38 * one if row else 0.1 * torch.tanh(one) for one, row in zip(x, rows, strict=True)])

    schedule = probe(SCHEDULERS["ddim"](), 3)
    latent = torch.ones(2, 4, 8, 8)
    found = invert(schedule, f, latent, "fixed-point", 1e-4, 60)
    assert found.status == (Status.CONVERGED, Status.NONFINITE)
    assert found.residual[0] <= 1e-4
    assert found.trace.shape == (3, 2)
    alone = invert(schedule, lambda x, time, rows: f(x, time, rows), latent[:1], "fixed-point", 1e-4, 60)
    assert torch.equal(alone.value[0], found.value[0])
    assert alone.evaluations[0] == found.evaluations[0] > 3
    assert torch.allclose(sample(schedule, f, found.value[:1]), latent[:1], atol=1e-3)
    naive = invert(schedule, f, latent)
    assert naive.status == (Status.BUDGET, Status.NONFINITE)
    assert naive.evaluations.tolist() == [3, 3]


@pytest.mark.parametrize("evaluations", [1, 2, 3])
def test_a_step_takes_as_many_evaluations_as_it_was_given(evaluations):
    calls = []

    def f(x, time, rows):
        calls.append(len(rows))
        return model(x, time, rows)

    schedule = probe(SCHEDULERS["euler"](), 4)
    found = walk.recover(schedule, f, torch.ones(2, 4, 8, 8), evaluations, tolerance=0.0)
    assert calls == [2] * (4 * evaluations)
    assert found.evaluations.tolist() == [4 * evaluations] * 2


def test_more_evaluations_bring_more_of_the_noise_back():
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    schedule = probe(SCHEDULERS["flow matching"](), 8)
    latent = sample(schedule, model, noise)
    errors = [(walk.recover(schedule, model, latent, n).value - noise).abs().max() for n in (1, 2, 4)]
    assert errors[0] > errors[1] > errors[2]


def test_the_scheduler_is_left_as_it_was():
    scheduler = SCHEDULERS["ddim"]()
    scheduler.set_timesteps(7)
    before = scheduler.timesteps.clone()
    probe(scheduler, 12)
    assert torch.equal(scheduler.timesteps, before)


@pytest.mark.parametrize(
    ("scheduler", "sentence"),
    [
        (lambda: diffusers.DDIMScheduler(**BETAS, clip_sample=True), "clip_sample=True"),
        (lambda: diffusers.DDIMScheduler(**DDIM, thresholding=True), "thresholding=True"),
        (lambda: diffusers.EulerAncestralDiscreteScheduler(**BETAS), "not an affine, history-free"),
        (lambda: diffusers.DDPMScheduler(**BETAS, clip_sample=False), "not an affine, history-free"),
        (lambda: diffusers.PNDMScheduler(**BETAS, skip_prk_steps=True), "not an affine, history-free"),
        (lambda: diffusers.DPMSolverMultistepScheduler(**BETAS), "not an affine, history-free"),
    ],
)
def test_what_cannot_be_inverted_is_refused(scheduler, sentence):
    with pytest.raises(SamplerError, match=sentence):
        probe(scheduler(), 10)


@pytest.mark.parametrize("count", [0, -3])
def test_step_counts_are_checked(count):
    with pytest.raises(SamplerError, match="at least one step"):
        probe(SCHEDULERS["ddim"](), count)


def test_a_grid_that_leaves_the_times_is_refused():
    with pytest.raises(SamplerError, match="makes no valid grid of 61 steps"):
        probe(SCHEDULERS["ddim zero snr"](), 61)


def test_naive_inversion_does_not_depend_on_the_samplers_scaling():
    """DDIM and Euler walk the same path in other units, so a Gaussian's optimal denoiser brings both back alike."""
    alphas = diffusers.DDIMScheduler(**DDIM).alphas_cumprod

    def epsilon(x, time, rows):
        alpha = alphas[int(time)]
        return (1 - alpha).sqrt() / (alpha * 0.25 + 1 - alpha) * x  # data of standard deviation 0.5

    noise = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    for name in ("ddim", "euler"):
        schedule = probe(SCHEDULERS[name](), 40)
        back = invert_sampler(schedule, epsilon, sample(schedule, epsilon, noise), "naive")
        assert 0.9 < (back.norm() / noise.norm()).item() < 1.1


def test_rectified_flow_is_euler():
    schedule = rectified_flow(4)
    assert [step.time for step in schedule.steps] == [1000, 750, 500, 250]
    noise = torch.zeros(1, 4, 2, 2)
    assert torch.allclose(sample(schedule, lambda x, t, rows: torch.ones_like(x), noise), torch.ones(1, 4, 2, 2))
