"""The number type that a machine does fastest: asked of torch, held against float32, and said."""

import numpy as np
import pytest
import torch

from treering import models
from treering.errors import ModelError
from treering.marks.keyring import Keyring
from treering.models import fastest
from treering.reading import Detector

CPU = torch.device("cpu")


@pytest.mark.parametrize(("amx", "avx"), [(False, False), (True, False), (False, True)])
def test_a_processor_with_instructions_for_bfloat16_uses_it(monkeypatch, amx, avx):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx, raising=False)
    assert fastest.fastest(CPU) == ("bfloat16" if amx or avx else "float32")


def test_a_torch_that_cannot_be_asked_means_float32(monkeypatch):
    for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.delattr(torch.cpu, name, raising=False)
    assert fastest.fastest(CPU) == "float32"
    assert fastest.fastest(torch.device("meta")) == "float32"


def test_what_differs_or_is_not_finite_does_not_agree():
    exact = torch.ones(1, 4, 8, 8)
    assert fastest.agrees(exact + 0.01, exact)
    assert not fastest.agrees(exact + 0.2, exact)
    assert not fastest.agrees(exact * torch.nan, exact)


@pytest.mark.parametrize(("wanted", "good"), [("float32", True), ("bfloat16", True), ("bfloat16", False)])
def test_auto_is_checked_against_float32_and_said(monkeypatch, wanted, good):
    monkeypatch.setattr(fastest, "fastest", lambda device: wanted)
    monkeypatch.setattr(fastest, "agrees", lambda found, exact: good)
    model = models.load("demo", dtype="auto")
    chosen = wanted if good else "float32"
    assert (model.chosen, str(model.vae.dtype), str(model.unet.dtype)) == (chosen, f"torch.{chosen}", f"torch.{chosen}")
    picture = np.random.default_rng(0).integers(0, 256, (1, *model.image_size, 3), dtype=np.uint8)
    notes = Detector(model, Keyring(bytes(32)), effort="fast")(picture)[0].notes
    assert notes == (() if chosen == "float32" else ("Read in bfloat16, which this machine does fastest.",))


def test_the_demo_is_as_good_in_bfloat16(model):
    picture = fastest.picture(model.image_size)
    assert picture.shape == (1, 3, *model.image_size)
    assert picture.abs().max() <= 1
    assert fastest.agrees(
        fastest.sample(models.load("demo", dtype="bfloat16"), picture), fastest.sample(model, picture)
    )


def test_an_unknown_type_is_refused():
    with pytest.raises(ModelError, match="There is no number type 'int8'"):
        models.load("demo", dtype="int8")
