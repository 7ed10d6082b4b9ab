"""One protocol for every kind of model: the demo with a way of its own, and pipelines that are called by themselves."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

import treering
from treering.errors import InputError, ModelError
from treering.models import Model
from treering.models.adapter import PipelineModel
from treering.models.hub import quiet
from treering.models.loading import resolved
from treering.research.families.own import build
from treering.types import Answer

DEMO, FLOW = "demo", "demo-flow"
KINDS = (
    DEMO,
    FLOW,
    "U-Net, DDIM",
    "U-Net, two encoders, Euler",
    "packed, embedded guidance, flow",
    "transformer, registers, flow",
)
STEPS = 3


@cache
def small(kind: str) -> PipelineModel:
    """A pipeline of a kind; those whose own size is that of the real one are asked for a small one first."""
    with quiet():
        pipe, call = build(kind)
        model = PipelineModel(pipe, kind)
        sizes = {name: call[name] for name in ("height", "width") if name in call}
        if sizes:
            model._layouts._known[None, None, None] = model.layout_of_call(sizes)
    return model


@cache
def shipped_flow() -> Model:
    """The flow that ships with the package."""
    return treering.load_model(FLOW)


@pytest.fixture(params=KINDS)
def any_model(request: pytest.FixtureRequest, model: Any) -> Any:
    if request.param == FLOW:
        return shipped_flow()
    return model if request.param == DEMO else small(request.param)


def noise(model: Any, count: int = 2) -> torch.Tensor:
    return torch.randn(count, *model.shape, generator=torch.Generator().manual_seed(3))


def test_it_is_a_model_whose_sizes_agree(any_model: Any) -> None:
    assert isinstance(any_model, Model)
    assert any_model.noise_shape() == any_model.shape == any_model.noise_shape(any_model.image_size)
    assert tuple(side // any_model.factor for side in any_model.image_size) == any_model.shape[1:]
    assert len(any_model.fingerprint) == 16 and any_model.batching.rows("detect") == 1
    assert treering.load_model(any_model) is any_model
    with pytest.raises((InputError, ModelError), match="pictures"):
        any_model.noise_shape((any_model.image_size[0] + 1, any_model.image_size[1]))
    with pytest.raises(InputError, match="makes pictures, not clips"):
        any_model.noise_shape(None, 4)


def test_pictures_are_the_mode_float32_and_alone(any_model: Any) -> None:
    with quiet():
        z = noise(any_model)
        pixels = any_model.decode(z)
        latent = any_model.encode(pixels)
        assert pixels.shape == (2, 3, *any_model.image_size) and latent.shape == z.shape
        assert pixels.dtype == latent.dtype == torch.float32 and latent.device == any_model.device
        assert torch.equal(latent[1:], any_model.encode(pixels[1:]))  # neither a draw nor the neighbour's
        assert torch.equal(pixels[1:], any_model.decode(z[1:]))


def test_both_ways_are_float32_and_alone_and_draw_nothing(any_model: Any) -> None:
    with quiet():
        z, before = noise(any_model), torch.random.get_rng_state()
        latent = any_model.sample(z, ["word1", "word2"], steps=STEPS, guidance=1.0)
        found = any_model.recovered(latent, "", steps=STEPS)
        assert torch.equal(before, torch.random.get_rng_state())
        assert latent.shape == found.value.shape == z.shape and latent.dtype == found.value.dtype == torch.float32
        assert len(found.status) == len(found.residual) == len(found.evaluations) == 2
        assert torch.equal(latent[1:], any_model.sample(z[1:], "word2", steps=STEPS, guidance=1.0))
        assert torch.equal(found.value[1:], any_model.recover(latent[1:], steps=STEPS))
        with pytest.raises(InputError, match="There are 1 prompts for 2 pictures"):
            any_model.sample(z, ["word1"], steps=STEPS)
        with pytest.raises(InputError, match="at least one evaluation"):
            any_model.recover(latent, steps=STEPS, evaluations=0)


def test_levels_and_what_is_sampled_anew(any_model: Any) -> None:
    with quiet():
        z = noise(any_model, 1)
        latent = any_model.sample(z, "", steps=STEPS, guidance=1.0)
        known = any_model.levels(latent, steps=STEPS)
        assert len(known) == STEPS + 1 and torch.equal(known[-1], latent)
        none = torch.zeros(any_model.shape[1:], dtype=torch.bool)
        kept = any_model.resample(known, none, z, ["word1"], guidance=1.0)
        torch.testing.assert_close(kept, latent, rtol=0, atol=1e-6)
        anew = any_model.resample(known, ~none, z, ["word1"], guidance=1.0)
        torch.testing.assert_close(anew, any_model.sample(z, "word1", steps=STEPS, guidance=1.0))
        half = none.clone()
        half[:, ::2] = True
        mixed = any_model.resample(known, half, z, ["word1"], guidance=1.0)
        torch.testing.assert_close(mixed[..., ~half], latent[..., ~half], rtol=0, atol=1e-6)
        assert (mixed != latent)[..., half].any()


def test_reading_needs_no_text_encoders(any_model: Any) -> None:
    with quiet():
        z = noise(any_model, 1)
        before = any_model.recover(z, "", steps=1)
        other = (
            copy.copy(any_model) if not isinstance(any_model, PipelineModel) else PipelineModel(any_model.caller.pipe)
        )
        other._layouts = getattr(any_model, "_layouts", None)
        if isinstance(other, PipelineModel):
            for name in ("empty", "spare", "doubles", "spoken"):
                setattr(other.caller, name, getattr(any_model.caller, name))
        other.forget_text_encoders()
        other.forget_text_encoders()
        assert torch.equal(other.recover(z, "", steps=1), before)
        with pytest.raises(ModelError, match="so only the empty prompt is known"):
            other.recover(z, "word1", steps=1)
        assert torch.equal(any_model.recover(z, "", steps=1), before)  # the one that was asked for it alone forgets


def test_a_pipeline_that_its_user_has_reads_pictures(model: Any, keyring: Any, pictures: Any) -> None:
    import diffusers

    from treering.models import demo

    with quiet():
        pipe = diffusers.StableDiffusionPipeline.from_pretrained(demo.WEIGHTS, torch_dtype=torch.float32)
        pipe.set_progress_bar_config(disable=True)
        own = treering.load_model(pipe)
        found = treering.Detector(own, keyring, effort="fast")(pictures[2][None])[0]
        assert isinstance(own, PipelineModel) and found.key == 2 and found.log10_p < -20
        z = noise(own, 1)
        torch.testing.assert_close(own.decode(z), model.decode(z), rtol=0, atol=1e-3)
        with pytest.raises(InputError, match="stays where it is and as it is"):
            treering.load_model(pipe, device="cpu")


def test_devices() -> None:
    best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert resolved("auto") == best and resolved("cpu") == "cpu"
    with pytest.raises(ModelError, match="that device holds no numbers"):
        resolved("meta")
    with pytest.raises(ModelError, match="int is not a diffusers pipeline"):
        treering.load_model(3)


# ------------------------------------------------------------------------------------------ sizes

SIZES = ((256, 256), (192, 320), (320, 320))


@pytest.fixture(scope="module")
def many() -> treering.Keyring:
    pattern = treering.Pattern(inner=4, outer=11, sync_share=0.75)
    return treering.Keyring(bytes(range(32)), pattern, channels=4, sizes=SIZES, classes=50)


@pytest.mark.parametrize("size", SIZES[1:])
def test_a_mark_of_another_size_is_written_and_read(model: Any, many: treering.Keyring, size: Any) -> None:
    made = treering.embed(model, many, 7, ["snowy mountains by day"], seed=5, steps=8, size=size)
    assert made.shape == (1, *size, 3)
    found = treering.Detector(model, many, effort="fast")(made)[0]
    assert found.key == 7 and found.log10_p < -10 and " at " not in found.stage


def test_a_resized_picture_is_read_in_every_size_of_its_aspect(model: Any, many: treering.Keyring) -> None:
    from treering.reading.sizes import fitting, resized

    made = treering.embed(model, many, 7, ["snowy mountains by day"], seed=5, steps=8)[0]
    assert fitting(many.sizes, (320, 320)) == ((320, 320), (256, 256))
    found = treering.Detector(model, many, effort="fast", every=True)(resized(made, (320, 320))[None])[0]
    assert found.key == 7
    stages = {one["stage"]: one for one in found.stages}
    assert {"encoder, 2 steps", "encoder, 2 steps, at 256x256"} <= stages.keys()
    alone = min(one["log10_p"] - np.log10(one["share"]) for one in stages.values())
    assert found.log10_p == pytest.approx(alone + 2 * np.log10(2), abs=1e-6)  # two questions, two sizes


def test_sizes_that_are_not_the_keyrings_are_refused(model: Any, many: treering.Keyring) -> None:
    with pytest.raises(InputError, match="is not for pictures of 128x128, but of 256x256, 320x192, 320x320"):
        treering.embed(model, many, 1, ["hills"], size=(128, 128))
    with pytest.raises(InputError, match=r"uint8 \[B, 256, 256, 3\] or \[B, 192, 320, 3\] or"):
        treering.Detector(model, many)(np.zeros((1, 64, 64, 3), np.uint8))
    odd = treering.Keyring(bytes(32), many.pattern, channels=4, sizes=((256, 256), (264, 264)))
    with pytest.raises(InputError, match="sides are multiples of 32 pixels"):
        treering.embed(model, odd, 1, ["hills"], size=(264, 264))


# ------------------------------------------------------------------------------------------ what cannot be read


def test_a_sampler_that_cannot_be_inverted_is_a_reason_not_an_end(
    model: Any, keyring: Any, pictures: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffusers import DDIMScheduler

    wrong = DDIMScheduler.from_config(model.scheduler().config, clip_sample=True)
    monkeypatch.setattr(model, "_scheduler", wrong)
    monkeypatch.setattr(model, "_schedules", {})
    found = treering.Detector(model, keyring)(np.stack([pictures[2], pictures[0]]))
    assert [one.answer for one in found] == [Answer.NOT_ASSESSABLE] * 2
    assert found[0].reason and "cannot be inverted with the setting clip_sample=True" in found[0].reason


@pytest.mark.parametrize("name", ["SDXL", "FLUX.1"])
def test_tiny_pipelines_of_published_shapes_can_be_measured(name: str) -> None:
    from treering.research.published_pipelines import SHAPES, random_pipeline
    from treering.research.studies.pipelines import _calls

    assert len(SHAPES) == 5
    pipe = random_pipeline(name, "cpu", torch.float32, tiny=True)
    with quiet():
        done = {what: call() for what, call in _calls(pipe, name, 64, 1)}
    assert len(done) == 6 and all(torch.isfinite(one).all() for one in done.values() if isinstance(one, torch.Tensor))
