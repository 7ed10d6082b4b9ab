"""The pipeline adapter: one protocol for small pipelines of every kind, and a canary for what it relies on."""

from __future__ import annotations

import copy
import inspect
import os
import pickle
from functools import cache
from pathlib import Path

import pytest
import torch

import treering
from treering.errors import InputError, ModelError, SamplerError
from treering.models import layout
from treering.models.adapter import PipelineModel
from treering.models.calling import FRAMES
from treering.models.loading import quiet
from treering.models.response import respond
from treering.models.undo import order
from treering.research.families import FOLDER, Family, families
from treering.research.families.own import KINDS, build
from treering.research.studies.families import keyring_for, measure, read
from treering.types import Status

STEPS = 4
NOISY = ("U-Net, LCM",)
KEPT = [kind for kind in KINDS if kind not in NOISY]


@cache
def made(kind: str):
    """A pipeline of a kind, its model, prompt and other arguments."""
    with quiet():
        pipe, call = build(kind)
        prompt = call.pop("prompt")
        return pipe, PipelineModel(pipe, kind), prompt, call


def noise_of(kind: str, count: int = 1):
    _, model, _, call = made(kind)
    shape = model.layout_of_call(call).shape
    return keyring_for(shape).noise(1, 5, count).view(count, *shape)


@cache
def latent_of(kind: str) -> torch.Tensor:
    """What one noise of a kind becomes, in :data:`STEPS` steps."""
    _, model, prompt, call = made(kind)
    with quiet():
        return model.sample(noise_of(kind), prompt, STEPS, **call)


@pytest.mark.parametrize("kind", KEPT)
def test_noise_comes_back_and_a_mark_is_read(kind: str) -> None:
    _, model, prompt, call = made(kind)
    noise, latent = noise_of(kind), latent_of(kind)
    with quiet():
        one = model.recover(latent, prompt, STEPS, **call)
        found = model.recovered(latent, prompt, STEPS, evaluations=8, **call)
    assert latent.shape == noise.shape and latent.dtype == torch.float32
    error = (found.value - noise).square().mean().sqrt()
    assert error <= 1e-3
    assert error < (one - noise).square().mean().sqrt()
    assert found.status == (Status.CONVERGED,) and found.evaluations.tolist() == [8 * len(_plan(kind).response.a)]
    assert max(read(keyring_for(noise.shape[1:]), found.value)) <= -6


def _plan(kind: str):
    _, model, _, call = made(kind)
    return model.plan(model.layout_of_call(call), STEPS, call)


@pytest.mark.parametrize("kind", KEPT)
def test_sampling_is_the_pipelines_own_call(kind: str) -> None:
    pipe, model, prompt, call = made(kind)
    noise, ours = noise_of(kind), latent_of(kind)
    with quiet():
        theirs = pipe(prompt, latents=model.latents(noise), num_inference_steps=STEPS, output_type="latent", **call)[0]
    found = model.layout_of_call(call)
    assert torch.equal(ours, found.from_looped(theirs))


@pytest.mark.parametrize("kind", KEPT)
def test_pictures_and_latents(kind: str) -> None:
    pipe, model, prompt, call = made(kind)
    noise = noise_of(kind)
    found = model.layout_of_call(call)
    with quiet():
        pixels = model.decode(noise)
        again = model.encode(pixels)
        assert torch.equal(again, model.encode(pixels))  # the mode, not a sample
        latents = model.latents(noise)
        shown = pipe(
            prompt, latents=latents, num_inference_steps=STEPS, output_type="pt", **call, generator=torch.Generator()
        )[0]
        ours = model.decode(latent_of(kind))
    assert pixels.shape[-2:] == found.size and again.shape == noise.shape and pixels.shape[:2] == (1, 3)
    assert model.noise_shape(found.size, found.frames) == tuple(noise.shape[1:])
    if found.frames is not None:
        assert pixels.shape[2] == found.frames
        ours = ours.transpose(1, 2)
    torch.testing.assert_close((ours / 2 + 0.5).clamp(0, 1), shown.float().view_as(ours), atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", ["U-Net, DDIM", "packed, embedded guidance, flow", "clip, causal, UniPC flow"])
def test_a_samples_result_does_not_depend_on_its_neighbours(kind: str) -> None:
    _, model, prompt, call = made(kind)
    noise = noise_of(kind, 2)
    with quiet():
        both = model.sample(noise, [prompt, "word5"], STEPS, **call)
        alone = model.sample(noise[1:], "word5", STEPS, **call)
        back = model.recover(both, "", STEPS, 1.0, **call)
        assert torch.equal(both[1:], alone)
        assert torch.equal(back[1:], model.recover(alone, "", STEPS, 1.0, **call))


def state(pipe) -> dict[str, object]:
    """What of a pipeline must not change."""
    scheduler = pipe.scheduler
    kept: dict[str, object] = {k: repr(v) for k, v in vars(scheduler).items()}
    kept["objects"] = [id(part) for part in pipe.components.values()]
    kept["attributes"] = sorted(vars(pipe))
    kept["bar"] = repr(getattr(pipe, "_progress_bar_config", None))
    kept["random"] = torch.random.get_rng_state().tolist()
    for name, part in pipe.components.items():
        if isinstance(part, torch.nn.Module):
            kept[name] = [(m.training, len(m._forward_hooks), len(m._forward_pre_hooks)) for m in part.modules()]
            kept[name + " numbers"] = [(p.dtype, p.requires_grad, p._version) for p in part.parameters()]
            kept[name + " processors"] = [id(p) for p in getattr(part, "attn_processors", {}).values()]
    return kept


@pytest.mark.parametrize("kind", KEPT)
def test_the_users_pipeline_is_unchanged(kind: str) -> None:
    pipe, model, prompt, call = made(kind)
    noise = noise_of(kind)
    pipe.components["vae"].train()
    with quiet():
        pipe(prompt, num_inference_steps=2, output_type="latent", **call)
    before = state(pipe)
    with quiet():
        latent = model.sample(noise, prompt, 2, **call)
        model.recover(latent, prompt, 2, **call)
        model.encode(model.decode(latent))
        with pytest.raises(ModelError, match="failed in its own call"):
            model.sample(noise, prompt, 2, **call | {"guidance_scale": "strong"})
    assert state(pipe) == before
    pipe.components["vae"].eval()


def test_probing_leaves_the_pipeline_as_it_was() -> None:
    with quiet():
        pipe, call = build("transformer, registers, flow")
        before = state(pipe)
        PipelineModel(pipe).layout_of_call(call)
    assert state(pipe) == before


@pytest.mark.parametrize("kind", NOISY)
def test_a_sampler_that_adds_noise_is_refused(kind: str) -> None:
    _, model, prompt, call = made(kind)
    with quiet(), pytest.raises(SamplerError, match="LCMScheduler adds noise in its steps, which destroys a mark"):
        model.sample(noise_of(kind), prompt, STEPS, **call)


def test_reading_takes_ddim_where_the_own_sampler_adds_noise() -> None:
    _, model, prompt, call = made("U-Net, LCM")
    _, other, _, _ = made("U-Net, DDIM")
    noise = noise_of("U-Net, DDIM")
    with quiet():
        latent = other.sample(noise, prompt, STEPS, 1.0)
        again = model.recover(latent, prompt, STEPS, 1.0, **{k: v for k, v in call.items() if k != "guidance_scale"})
    assert max(read(keyring_for(noise.shape[1:]), again)) <= -6


@pytest.mark.parametrize("kind", ["U-Net, DDIM", "transformer, learned variance, DDIM", "clip, packed, flow"])
def test_bfloat16(kind: str) -> None:
    with quiet():
        pipe, call = build(kind)
        prompt = call.pop("prompt")
        model = PipelineModel(pipe.to(torch.bfloat16))
        noise = noise_of(kind)
        latent = model.sample(noise, prompt, STEPS, **call)
        error = (model.recover(latent, prompt, STEPS, evaluations=8, **call) - noise).square().mean().sqrt()
    assert error <= 0.02
    assert model.dtype == torch.bfloat16 and latent.dtype == torch.float32


def test_embedded_guidance_keeps_its_own_and_none_means_the_pipelines() -> None:
    _, packed, prompt, call = made("packed, embedded guidance, flow")
    noise = noise_of("packed, embedded guidance, flow")
    with quiet():
        assert torch.equal(packed.sample(noise, prompt, 2, 1.0, **call), packed.sample(noise, prompt, 2, **call))
        assert packed.caller.doubles is False
        _, plain, prompt, call = made("U-Net, DDIM")
        plain.layout_of_call(call)
        assert plain.caller.doubles is True
        noise, own = noise_of("U-Net, DDIM"), call["guidance_scale"]
        assert torch.equal(plain.sample(noise, prompt, 2, own), plain.sample(noise, prompt, 2, **call))
        assert not torch.equal(plain.sample(noise, prompt, 2, 1.0), plain.sample(noise, prompt, 2, **call))


def test_the_empty_prompt_is_encoded_once() -> None:
    with quiet():
        pipe, _ = build("U-Net, DDIM")
    model, calls = PipelineModel(pipe), []
    pipe.text_encoder.register_forward_hook(lambda *a: calls.append(1))
    with quiet():
        latent = torch.randn(3, *model.shape, generator=torch.Generator().manual_seed(0))
        model.recover(latent, "", 2, 1.0)
        before = len(calls)
        again = model.recover(latent, "", 2, 1.0)
        assert len(calls) == before
        model.forget_text_encoders(1.0)
        before = len(calls)
        assert torch.equal(model.recover(latent, "", 2, 1.0), again)
        assert len(calls) == before and pipe.text_encoder is not model.caller.pipe.text_encoder
        with pytest.raises(ModelError, match="text encoders"):
            model.recover(latent, "word3", 2, 1.0)


# ------------------------------------------------------------------------------------------ layout and response


def test_layouts_are_found_and_what_is_not_affine_is_refused() -> None:
    source = torch.Generator().manual_seed(0)
    head, tail = (torch.randperm(700, generator=source) for _ in range(2))
    gain = torch.rand(700, generator=source) + 0.5
    for half in (False, True):
        found = layout.find(lambda x, y: (2 * x[head], gain * y[tail] - 0.25), 700, 700, half)
        assert torch.equal(found[0].index, head) and torch.equal(found[1].index, tail)
        torch.testing.assert_close(found[1].gain, gain)
        torch.testing.assert_close(found[0].shift, torch.zeros(700))
    with pytest.raises(ModelError, match="more than scale"):
        layout.find(lambda x, y: (x, torch.tanh(3 * y)), 700, 700, False)
    with pytest.raises(ModelError, match="does not hand all"):
        layout.find(lambda x, y: (x, y[:1].expand(700)), 700, 700, False)


@pytest.mark.parametrize(
    "name", ["DDIMScheduler", "PNDMScheduler", "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler",
             "UniPCMultistepScheduler", "EulerDiscreteScheduler", "HeunDiscreteScheduler", "LMSDiscreteScheduler",
             "DEISMultistepScheduler", "KDPM2DiscreteScheduler"],
)  # fmt: skip
def test_a_response_foretells_what_the_scheduler_does(name: str) -> None:
    import diffusers

    levels = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "clip_sample": False}
    with quiet():
        scheduler = getattr(diffusers, name).from_config(levels)
        scheduler.set_timesteps(7)
        response = respond(scheduler)
    response.check_keeps()
    source = torch.Generator().manual_seed(1)
    x = expected = torch.randn(1, 2, 3, 3, generator=source, dtype=torch.float64)
    outputs = list[torch.Tensor]()
    for i, t in enumerate(scheduler.timesteps):
        outputs.append(torch.randn(1, 2, 3, 3, generator=source, dtype=torch.float64))
        with quiet():
            if hasattr(scheduler, "scale_model_input"):
                scheduler.scale_model_input(x, t)
            x = scheduler.step(outputs[-1], t, x).prev_sample
        weighted = zip((*response.history[i], response.b[i]), outputs, strict=True)
        expected = response.a[i] * expected + sum(c * f for c, f in weighted)
        torch.testing.assert_close(x.double(), expected, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize(
    "name", ["LCMScheduler", "DDPMScheduler", "EulerAncestralDiscreteScheduler", "KDPM2AncestralDiscreteScheduler"]
)
def test_noise_in_steps_is_seen(name: str) -> None:
    import diffusers

    with quiet():
        scheduler = getattr(diffusers, name)()
        scheduler.set_timesteps(4)
        assert respond(scheduler).noisy


def test_evaluations_are_shared_out_by_the_length_of_steps() -> None:
    plan = _plan("clip, causal, flow")
    for evaluations in (1, 2, 8):
        steps = order(plan.response, evaluations)
        assert len(steps) == evaluations * len(plan.response.a) and steps == sorted(steps, reverse=True)
        assert min(steps.count(i) for i in set(steps)) >= (evaluations + 1) // 2


# ------------------------------------------------------------------------------------------ refusals


class Bare:
    """A pipeline of no kind."""

    def __init__(self, **parts) -> None:
        self.components = parts
        self.scheduler = parts.get("scheduler")

    def __call__(self, prompt=None):
        raise AssertionError


def test_what_is_no_picture_maker_is_refused_in_one_sentence() -> None:
    with pytest.raises(ModelError, match="not a diffusers pipeline"):
        PipelineModel(object())
    with pytest.raises(ModelError, match="takes no initial noise"):
        PipelineModel(Bare())
    _, model, prompt, call = made("U-Net, DDIM")
    with pytest.raises(InputError, match="2 prompts for 1 pictures"):
        model.sample(noise_of("U-Net, DDIM"), [prompt] * 2, 2, **call)
    with quiet(), pytest.raises(ModelError, match="has latents of 4x16x16 at 32x32 pixels, not 4x8x8"):
        model.recover(torch.zeros(1, 4, 8, 8), "", 2, height=32, width=32)


# ------------------------------------------------------------------------------------------ watermarked pipelines


@pytest.fixture(scope="module")
def pipe():
    import diffusers

    from treering.models import demo

    with quiet():
        made = diffusers.StableDiffusionPipeline.from_pretrained(demo.WEIGHTS, torch_dtype=torch.float32)
    made.set_progress_bar_config(disable=True)
    return made


def test_a_watermarked_pipeline_marks_what_it_makes(pipe, model, keyring) -> None:
    own = type(pipe)
    assert treering.watermarked(pipe, keyring, key=2) is pipe
    assert isinstance(pipe, own) and type(pipe).__name__ == own.__name__
    with quiet():
        call = {"num_inference_steps": 6, "guidance_scale": 1.0, "output_type": "np"}
        source = torch.Generator().manual_seed(3)
        shown = pipe("green hills at dawn", **call, generator=source).images
        found = treering.Detector(model, keyring)((shown * 255).round().astype("uint8"))[0]
        call |= {"output_type": "latent", "num_inference_steps": 1}
        one, same, other = (pipe("", **call, generator=source.manual_seed(seed)).images for seed in (4, 4, 5))
    assert found.key == 2 and torch.equal(one, same) and not torch.equal(one, other)
    with quiet():
        for error, sentence, extra in (
            (InputError, "a call with latents of its own", {"latents": torch.zeros(1, 4, 32, 32)}),
            (SamplerError, "adds noise in its steps", {"eta": 0.5}),
            (
                ModelError,
                "keyring is for latents of 4x32x32, .* has 4x16x16",
                {"height": 128, "width": 128},
            ),
            (InputError, "1 generators for 2 pictures", {"num_images_per_prompt": 2, "generator": [source]}),
        ):
            with pytest.raises(error, match=sentence):
                pipe("x", num_inference_steps=2, **extra)
    assert type(pickle.loads(pickle.dumps(pipe))) is own
    assert treering.plain(pipe) is pipe and type(pipe) is own and "_treering_mark" not in vars(pipe)
    assert treering.plain(pipe) is pipe


def test_marking_twice_is_marking_once(pipe, keyring) -> None:
    own = type(pipe)
    treering.watermarked(treering.watermarked(pipe, keyring, 1), keyring, 2)
    assert type(copy.copy(pipe)) is type(pipe)
    assert type(treering.plain(pipe)) is own
    with pytest.raises(InputError, match="no class 100"):
        treering.watermarked(pipe, keyring, 100)


# ------------------------------------------------------------------------------------------ canary


CANARY = "diffusers has changed what the pipeline adapter (treering/models/adapter.py) relies on: "


def test_canary() -> None:
    """Fails where a new version of diffusers breaks an assumption, and says which."""
    import diffusers

    pipe, _, _, _ = made("U-Net, DDIM")
    assert pipe.scheduler is vars(pipe)["scheduler"], CANARY + "components are plain attributes of a pipeline"
    assert set(pipe.components) >= {"vae", "unet", "scheduler"}, CANARY + "a pipeline tells its components"
    assert "latents" in inspect.signature(type(pipe).__call__).parameters, CANARY + "calls take latents="
    for name in ("DDIMScheduler", "EulerDiscreteScheduler", "FlowMatchEulerDiscreteScheduler", "LCMScheduler",
                 "UniPCMultistepScheduler", "DPMSolverMultistepScheduler", "PNDMScheduler"):  # fmt: skip
        kind = getattr(diffusers, name)
        first = list(inspect.signature(kind.step).parameters)[:4]
        assert first == ["self", "model_output", "timestep", "sample"], CANARY + f"{name}.step(output, time, sample)"
        assert "num_inference_steps" in inspect.signature(kind.set_timesteps).parameters, CANARY + name
        scheduler = kind()
        scheduler.set_timesteps(4)
        assert isinstance(scheduler.timesteps, torch.Tensor), CANARY + f"{name}.timesteps is a tensor"
        assert "timesteps" in vars(scheduler), CANARY + f"{name}.timesteps can be set"
        x = torch.zeros(1, 1, 1, 1)
        if hasattr(scheduler, "scale_model_input"):
            scheduler.scale_model_input(x, scheduler.timesteps[0])
        answer = scheduler.step(x, scheduler.timesteps[0], x, return_dict=False)
        assert isinstance(answer, tuple) and answer[0].shape == x.shape, CANARY + f"{name}.step gives a tuple"


def test_canary_of_all_schedulers() -> None:
    """The names by which ``step`` is called, asked of every scheduler that diffusers ships; those of tokens aside."""
    import diffusers

    with quiet():
        names = [name for name in dir(diffusers) if name.endswith("Scheduler")]
        kinds = [
            kind for kind in (getattr(diffusers, name) for name in names) if issubclass(kind, diffusers.SchedulerMixin)
        ]
    steps = [set(inspect.signature(kind.step).parameters) for kind in kinds if hasattr(kind, "step")]
    named = sum({"model_output", "timestep", "sample"} <= step for step in steps)
    assert len(steps) >= 30 and named >= 0.9 * len(steps), CANARY + "step(model_output=, timestep=, sample=)"
    assert all(type(kind) is type for kind in kinds), CANARY + "schedulers have no class of classes of their own"


def test_canary_of_all_pipelines() -> None:
    """What the adapter takes for granted of calls, asked of every pipeline that diffusers ships; none is built."""
    import diffusers

    names = [name for name in dir(diffusers) if name.endswith("Pipeline") and name != "DiffusionPipeline"]
    with quiet():
        kinds = [kind for kind in (getattr(diffusers, name) for name in names) if hasattr(kind, "from_pretrained")]
    calls = [set(inspect.signature(kind.__call__).parameters) for kind in kinds if "__call__" in vars(kind)]
    making = [call for call in calls if {"prompt", "latents", "num_inference_steps"} <= call]
    assert len(making) >= 60, CANARY + "calls take prompt=, latents= and num_inference_steps="
    assert sum("output_type" in call for call in making) >= 0.95 * len(making), CANARY + 'output_type="latent"'
    frames = [call for call in making if any("frames" in name for name in call)]
    named = sum(bool(call & set(FRAMES)) for call in frames)
    assert named >= 0.8 * len(frames), CANARY + "clips have num_frames="
    index = {"unet": ["diffusers", "UNet2DConditionModel"], "scheduler": ["diffusers", "DDIMScheduler"]}
    assert isinstance(diffusers.StableDiffusionPipeline._optional_components, list), CANARY + "optional components"
    assert index.keys() <= set(inspect.signature(diffusers.StableDiffusionPipeline.__init__).parameters), (
        CANARY + "parts"
    )
    assert issubclass(diffusers.AutoencoderKL, diffusers.ModelMixin), CANARY + "autoencoders are ModelMixins"
    assert hasattr(diffusers.ModelMixin, "_keep_in_fp32_modules"), CANARY + "parts that stay in float32"


def test_the_folder_of_other_peoples_families_if_it_is_there() -> None:
    if not os.environ.get(FOLDER):
        pytest.skip(f"{FOLDER} names no folder")
    import warnings

    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = Path(os.environ[FOLDER])
        rows = [measure(f, half=False) for f in families(own=False, folder=folder, only="FluxPipeline")]
    assert rows and all(isinstance(row.name, str) and row.passes for row in rows)


def test_measuring_a_family() -> None:
    with quiet():
        row = measure(Family("kind", *build("transformer, registers, flow")), half=False)
    assert row.passes and len(row.cells()) == 13 and not row.refused
