"""How many pictures go together, and what a device may not change: bits on a CPU, float32, and no float64."""

from __future__ import annotations

import logging

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from treering import solvers
from treering.inversion import METHODS, invert_decoder
from treering.models import Model, batching, precision
from treering.models.batching import PARTS, Batching, OutOfMemoryError
from treering.types import Status


def noise(model, count):
    return torch.randn((count, *model.shape), generator=torch.Generator().manual_seed(5))


def pixels(model, count):
    return torch.rand((count, 3, *model.image_size), generator=torch.Generator().manual_seed(6)) * 2 - 1


# --------------------------------------------------------------------------------------- bits


@pytest.mark.parametrize("part", PARTS)
def test_no_bit_depends_on_the_batch_on_a_cpu(model, part):
    """1, 3 and 8 pictures at once, whatever row a picture is in."""
    prompts = ["a desert", "the sea at night, stars"] * 4
    z, x = noise(model, 8), pixels(model, 8)

    def call(rows):
        if part == "encoder":
            return model.encode(x[rows])
        if part == "decoder":
            return model.decode(z[rows])
        f = model.denoiser([prompts[row] for row in rows], guidance=2.0)
        return f(z[rows], 400.0, torch.arange(len(rows)))

    alone = torch.cat([call([row]) for row in range(8)])
    assert torch.equal(call(list(range(8))), alone)
    for rows in ([2, 0, 5], [7, 6, 5]):
        assert torch.equal(call(rows), alone[rows])


def test_a_cpu_takes_one_picture_at_a_time(model):
    assert [model.batching.rows(part) for part in (*PARTS, "detect")] == [1, 1, 1, 1]


# ------------------------------------------------------------------------------------- policy


def test_a_gpu_takes_what_its_memory_allows(monkeypatch):
    monkeypatch.setattr(batching, "free_memory", lambda device: 1 << 30)
    policy = Batching.of(torch.device("cuda"), {"encoder": 100 << 20, "decoder": 2 << 30, "denoiser": 1 << 10})
    assert [policy.rows(part) for part in PARTS] == [4, 1, batching.MOST]
    assert policy.rows("detect") == batching.MOST


class Small:
    """A device that holds so many rows; remembers what it was given."""

    def __init__(self, rows, error=torch.OutOfMemoryError):
        self.rows, self.error, self.given = rows, error, []

    def __call__(self, x):
        self.given.append(len(x))
        if len(x) > self.rows:
            raise self.error("out of memory")
        return 2 * x


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError, MemoryError])
def test_out_of_memory_halves_and_goes_on_and_says_so_once(caplog, error):
    policy, small, x = Batching({"decoder": 8}), Small(3, error), torch.arange(11.0)
    with caplog.at_level(logging.WARNING, "treering"):
        assert torch.equal(policy.run("decoder", small, x), 2 * x)
        assert small.given == [8, 4, 2, 2, 2, 2, 2, 1]
        said = [record.message for record in caplog.records]
        assert said[-1] == "The device's memory ran out: the decoder takes 2 pictures at once from now."
        policy.run("decoder", small, x)  # it knows by now
    assert len(caplog.records) == len(said) == 2
    assert (policy.rows("decoder"), policy.rows("encoder")) == (2, 1)


def test_a_picture_that_does_not_fit_is_one_sentence():
    with pytest.raises(OutOfMemoryError, match="does not suffice for one picture"):
        Batching({"decoder": 2}).run("decoder", Small(0), torch.zeros(3))


def test_other_errors_are_not_hidden():
    def broken(x):
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        Batching({"decoder": 2}).run("decoder", broken, torch.zeros(3))


def test_guidance_counts_twice():
    small = Small(9)
    policy = Batching({"denoiser": 8})
    assert len(policy.run("denoiser", small, torch.zeros(9), passes=2)) == 9
    assert small.given == [4, 4, 1]
    small.rows, small.given = 1, []
    policy.run("denoiser", small, torch.zeros(3), passes=2)
    assert small.given == [3, 1, 1, 1]


# ---------------------------------------------------------------------------------- precision


def state():
    return [getattr(place, name) for place, name, _ in precision._switches()]


def test_float32_is_exact_on_cuda_within_a_call_and_as_before_after_it():
    before = state()
    wanted = [value for _, _, value in precision._switches()]

    def fail():
        with precision.exact_float32(torch.device("cuda")):
            assert state() == wanted
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert state() == before
    assert before != wanted, "TF32 is on for convolutions unless torch is told otherwise"
    for device, tf32 in (("cpu", False), ("cuda", True)):
        with precision.exact_float32(torch.device(device), tf32):
            assert state() == before


def test_every_network_is_called_with_exact_float32(model, monkeypatch):
    """As on a GPU: the networks of this CPU are watched, the device is only said to be another."""
    seen = []
    hooks = [
        part.register_forward_pre_hook(lambda *_: seen.append(state()))
        for part in (model.vae.encoder, model.vae.decoder, model.unet, model.text_encoder)
    ]
    exact = precision.exact_float32
    monkeypatch.setattr(
        "treering.models.pipeline.exact_float32", lambda device, tf32: exact(torch.device("cuda"), tf32)
    )
    before = state()
    monkeypatch.setattr(model, "_contexts", {})  # so that the empty prompt is asked for
    try:
        latent = model.encode(pixels(model, 1))
        model.decode(latent)
        model.denoiser(["hills"])(latent, 10.0, torch.arange(1))
        assert len(seen) == 5  # two prompts: the empty one too
        assert all(found == [value for _, _, value in precision._switches()] for found in seen)
        seen.clear()
        monkeypatch.setattr(model, "tf32", True)
        model.encode(pixels(model, 1))
        assert seen == [before]
    finally:
        for hook in hooks:
            hook.remove()
    assert state() == before


# ------------------------------------------------------------------------------------ float64


class WithoutFloat64(TorchDispatchMode):
    """A device as Apple's: an operation that would give float64 fails."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        answer = func(*args, **(kwargs or {}))
        for value in answer if isinstance(answer, tuple | list) else [answer]:
            if isinstance(value, torch.Tensor) and value.dtype in (torch.float64, torch.complex128):
                raise TypeError(f"{func} cannot make a tensor of float64 on this device")
        return answer


class Elsewhere(torch.Tensor):
    """A tensor on such a device: doubles only after it has come to the CPU."""

    def double(self):
        raise TypeError("no float64 on this device")

    def cpu(self):
        return self.as_subclass(torch.Tensor)


def test_no_float64_is_made_on_the_device(model):
    """Both ways, guided, naive and solved; the schedule is probed on the CPU before."""
    model.schedule(2)
    with pytest.raises(TypeError), WithoutFloat64():
        torch.zeros(1).double()
    with WithoutFloat64():
        latent = model.sample(noise(model, 1), "hills", steps=2, guidance=2.0)
        solution = invert_decoder(model, model.decode(latent).clamp(-1, 1), METHODS["forward-step"].with_budget(1))
        for evaluations in (1, 3):
            found = model.recovered(solution.value, steps=2, evaluations=evaluations)
            assert torch.isfinite(found.value).all()


def test_anderson_goes_to_the_cpu_for_its_least_squares():
    method = solvers.Anderson(2)
    dr, r = torch.randn(2, 6), torch.randn(6)
    assert torch.equal(method._combine(dr.as_subclass(Elsewhere), r.as_subclass(Elsewhere)), method._combine(dr, r))


# ----------------------------------------------------------------------------------- protocol


def test_the_demo_is_a_model(model):
    from treering.models.demo import SETTINGS, random_caption

    assert isinstance(model, Model)
    assert {"model": model.name, "shape": model.shape, "image_size": model.image_size} == SETTINGS
    assert model.captions(3) == random_caption(3)


def test_numbers_that_fail_are_said_row_by_row(model):
    latent = noise(model, 2)
    latent[1, 0, 0, 0] = torch.nan
    for evaluations in (1, 3):
        found = model.recovered(latent, steps=2, evaluations=evaluations)
        assert found.status[1] is Status.NONFINITE
        assert found.status[0] is not Status.NONFINITE
        assert torch.isfinite(found.value[0]).all()
