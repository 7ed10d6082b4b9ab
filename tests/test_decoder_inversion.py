"""The safeguarded decoder inversion: the model's profile, the picture's twin, and what JPEG left behind."""

import io
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from treering.errors import ImageError
from treering.inversion import METHODS, invert_decoder, profile, trust, twin
from treering.pictures import images, jpeg_noise
from treering.research.studies import autoencoder as study
from treering.types import Status

PLAN = METHODS["safeguarded"]


class Linear:
    """E after D is ``gain`` times the identity, so that I - J grows by |1 - gain|."""

    image_size = (32, 48)

    def __init__(self, gain, name="linear"):
        self.gain, self.fingerprint, self.calls = gain, name, 0

    def encode(self, pixels):
        self.calls += 1
        return self.gain * 4 * torch.nn.functional.avg_pool2d(pixels, 4)

    def decode(self, latent):
        return torch.nn.functional.interpolate(latent / 4, scale_factor=4)


def made(model, count=2):
    """True latents and their pictures."""
    true = 0.3 * torch.randn(count, 3, 8, 12, generator=torch.Generator().manual_seed(4))
    return true, torch.from_numpy(images.to_float(images.to_bytes(model.decode(true).numpy())))


def error(found, true):
    return float((found - true).norm() / true.norm())


def picture(size=(64, 96), seed=3):
    return images.to_bytes(trust.probe_picture(size, seed).numpy())[0]


# The profile


@pytest.mark.parametrize(("gain", "trusted"), [(0.6, True), (1.3, True), (2.2, False), (0.01, False)])
def test_steps_are_trusted_where_they_contract(gain, trusted):
    found = profile(Linear(gain))
    assert found.trusted == trusted
    if gain == 2.2:
        assert 1.0 < found.growth <= 1.21  # less than |1 - gain|, because the picture is clipped


def test_a_profile_is_measured_once_a_model():
    model = Linear(1.3)
    first, calls = profile(model), model.calls
    assert calls
    assert profile(model) is first
    assert model.calls == calls
    model.gain, model.fingerprint = 2.2, "other weights"
    assert not profile(model).trusted


def test_a_model_whose_numbers_fail_is_not_trusted():
    assert not profile(Linear(math.nan)).trusted
    assert trust.Profile(()).growth == math.inf


def test_on_the_demo_it_is_the_former_default(model, pictures):
    assert profile(model).trusted
    pixels = torch.from_numpy(images.to_float(pictures[1][None]))
    plain, safe = (invert_decoder(model, pixels, METHODS[name]) for name in ("forward-step", "safeguarded"))
    assert torch.equal(plain.value, safe.value)
    assert plain.status == safe.status


def test_on_a_trusted_model_known_damage_ends_the_steps_earlier():
    model = Linear(1.3)
    pixels = made(model)[1]
    plain = invert_decoder(model, pixels, PLAN)
    hurt = invert_decoder(model, pixels, PLAN, noise=0.5)
    assert (hurt.evaluations < plain.evaluations).all()
    assert hurt.status == (Status.CONVERGED,) * 2
    alone = invert_decoder(model, pixels[1:], PLAN, noise=0.5)
    assert torch.equal(alone.value[0], hurt.value[1])  # whatever the neighbours


def test_jpeg_that_shows_is_known_on_a_trusted_model(monkeypatch):
    model = Linear(1.3)
    model.image_size = (64, 96)
    shown = jpeg_noise.of_quality(25).again(picture())
    pixels = torch.from_numpy(images.to_float(shown[None]))
    assert jpeg_noise.of_pixels(shown) is not None
    seen = invert_decoder(model, pixels, PLAN)
    monkeypatch.setattr(jpeg_noise, "of_pixels", lambda _: None)
    unseen = invert_decoder(model, pixels, PLAN)
    assert seen.evaluations[0] <= unseen.evaluations[0]
    known = invert_decoder(model, pixels, PLAN, damage=jpeg_noise.of_quality(25).again)
    assert torch.equal(known.value, seen.value)  # as the file's own tables tell


def test_the_probe_picture_is_the_same_every_time():
    first = trust.probe_picture((24, 40))
    assert torch.equal(first, trust.probe_picture((24, 40)))
    assert first.shape == (1, 3, 24, 40)
    assert first.abs().max() <= 1
    assert first.std() > 0.2


# The twin


def test_the_twin_finds_the_way_where_forward_steps_run_away():
    model = Linear(2.2)
    true, pixels = made(model)
    plain, safe = (invert_decoder(model, pixels, METHODS[name]) for name in ("forward-step", "safeguarded"))
    encoder = model.encode(pixels)
    for i in range(2):
        assert error(plain.value[i], true[i]) >= error(encoder[i], true[i])
        assert error(safe.value[i], true[i]) < 0.2 * error(encoder[i], true[i])
    assert (safe.evaluations <= 2 * PLAN.budget).all()


def test_on_a_trusted_model_they_are_the_forward_steps():
    model = Linear(1.3)
    pixels = made(model)[1]
    plain, safe = (invert_decoder(model, pixels, METHODS[name]) for name in ("forward-step", "safeguarded"))
    assert torch.equal(plain.value, safe.value)
    assert torch.equal(plain.evaluations, safe.evaluations)


def test_pictures_with_twins_do_not_depend_on_each_other():
    model = Linear(2.2)
    pixels = made(model, 3)[1]
    together = invert_decoder(model, pixels, PLAN)
    for i in range(3):
        alone = invert_decoder(model, pixels[i : i + 1], PLAN)
        assert torch.equal(alone.value[0], together.value[i])
        assert alone.evaluations[0] == together.evaluations[i]
        assert alone.status[0] == together.status[i]
    assert together.trace.shape == (PLAN.budget, 3)
    assert invert_decoder(model, pixels[:0], PLAN).value.shape == (0, 3, 8, 12)


def test_where_nothing_can_be_gained_the_encoders_latent_stays():
    """E after D is the identity: what is left is noise, and no step lowers it."""
    model = Linear(1.0)
    target = model.encode(made(model)[1])
    found = twin.invert_with_twin(model, target, torch.zeros(2), 3, [twin.white(0.2)] * 2)
    assert found.status == (Status.GUARDED,) * 2
    assert torch.equal(found.value, target)
    assert found.evaluations.tolist() == [2, 2]
    assert torch.isfinite(found.residual).all()


def test_known_noise_lowers_the_error():
    model = Linear(2.2)
    true, pixels = made(model)
    noisy = (pixels + 0.3 * torch.randn(pixels.shape, generator=torch.Generator().manual_seed(8))).clamp(-1, 1)
    blind, told = (invert_decoder(model, noisy, PLAN, noise=n).value for n in (0.0, 0.3))
    for i in range(2):
        assert error(told[i], true[i]) < error(blind[i], true[i])


def test_numbers_that_fail_keep_the_encoders_latent():
    class Broken(Linear):
        def decode(self, latent):
            return super().decode(latent) * math.nan

    model = Broken(1.0)
    pixels = made(Linear(1.0))[1]
    found = invert_decoder(model, pixels, PLAN)
    assert found.status == (Status.NONFINITE,) * 2
    assert torch.equal(found.value, model.encode(pixels))


@given(st.integers(1, 4), st.integers(0, 10_000))
@settings(deadline=None, max_examples=25)
def test_the_fit_never_raises_the_twins_error(count, seed):
    generator = torch.Generator().manual_seed(seed)
    residuals = torch.randn(2, count, 20, generator=generator)
    residuals[:, -1] = residuals[:, 0]  # what stalls repeats itself
    wrong = torch.randn(2, 20, generator=generator)
    left = wrong - (twin.coefficients(residuals, wrong)[:, :, None] * residuals).sum(1)
    assert (left.norm(dim=1) <= wrong.norm(dim=1) * (1 + 1e-5)).all()
    assert torch.isnan(twin.coefficients(residuals * math.inf, wrong)).all()
    assert (twin.coefficients(residuals * 0, wrong) == 0).all()


# What JPEG did


def jpeg(shown, quality, **options):
    buffer = io.BytesIO()
    Image.fromarray(shown).save(buffer, "JPEG", quality=quality, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("quality", [30, 75, 95])
@pytest.mark.parametrize("sampling", [0, 2])
def test_a_files_tables_repeat_what_was_done(quality, sampling):
    shown = picture()
    data = jpeg(shown, quality, subsampling=sampling)
    tables = jpeg_noise.of_file(data)
    assert tables == jpeg_noise.JpegTables(jpeg_noise.of_quality(quality).tables, sampling)
    assert np.array_equal(tables.again(shown), images.read(data).pixels)


def test_files_without_usable_tables():
    buffer = io.BytesIO()
    Image.fromarray(picture()).save(buffer, "PNG")
    for data in (buffer.getvalue(), b"", b"\xff\xd8\xff\xe0 no picture", jpeg(picture(), 75)[:40]):
        assert jpeg_noise.of_file(data) is None
    grey = jpeg_noise.of_file(jpeg(picture()[:, :, 0], 50))
    assert grey is not None
    assert len(grey.tables) == 1
    assert grey.again(picture()).shape == (64, 96, 3)
    with pytest.raises(ImageError, match="from 1 to 100"):
        jpeg_noise.of_quality(0)


def test_the_noise_is_about_what_jpeg_really_did():
    shown = picture((128, 128))
    guessed = []
    for quality in (85, 60, 30):
        tables = jpeg_noise.of_quality(quality)
        after = tables.again(shown)
        true = np.sqrt(np.square(after.astype(float) - shown).mean()) / 127.5
        guessed.append(tables.noise(after))
        assert 0.5 * true < guessed[-1] < 1.5 * true
    assert guessed == sorted(guessed)


@pytest.mark.parametrize("quality", [30, 60, 75, 85])
def test_the_pixels_tell_of_jpeg(quality):
    found = jpeg_noise.of_pixels(images.read(jpeg(picture((128, 128)), quality)).pixels)
    assert found is not None
    steps, true = (np.array(tables.tables[0], float) for tables in (found, jpeg_noise.of_quality(quality)))
    assert abs(np.log(steps.sum() / true.sum())) < 0.1


def test_clipped_blocks_do_not_hide_jpeg():
    shown = picture((128, 128)).astype(int)
    shown[:, :64] = 4 * (shown[:, :64] - 128)  # half of the picture runs into black and white
    after = images.read(jpeg(np.clip(shown, 0, 255).astype(np.uint8), 75)).pixels
    assert jpeg_noise.of_pixels(after) is not None


def test_pixels_without_a_sign_of_jpeg():
    shown = picture((128, 128))
    after = images.read(jpeg(shown, 60)).pixels
    flat = np.full((64, 64, 3), 99, np.uint8)
    for pixels in (shown, after[3:, 5:], flat, shown[:4, :4]):
        assert jpeg_noise.of_pixels(pixels) is None


# The study


def test_the_study_measures_the_model_and_says_what_it_left_out(model, keyring, tmp_path, monkeypatch):
    monkeypatch.delenv(study.VARIABLE, raising=False)
    monkeypatch.setattr(study, "OWN_FORMS", {"PNG": lambda shown: shown})
    text = study.autoencoder(model, keyring, tmp_path, 1, lambda _: None)
    assert text.startswith((tmp_path / "autoencoder.md").read_text())
    assert not (tmp_path / "autoencoder-taef2.md").exists()  # what was measured earlier stays
    assert "TAEF2 was not measured" in text
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| PNG")]
    errors = {row[1]: float(row[3]) for row in rows}
    assert errors["safeguarded (default)"] < errors["encoder"] - 1


@pytest.mark.skipif(study.VARIABLE not in os.environ, reason=f"{study.VARIABLE} names no folder")
def test_real_weights_gain_and_never_lose():
    real = study._Autoencoder(Path(os.environ[study.VARIABLE]))
    true = real.encode(trust.probe_picture((128, 128), 5))
    shown = images.to_bytes(real.decode(true).numpy())[0]
    for pixels, gain in ((shown, -0.5), (jpeg_noise.of_quality(75).again(shown), 0.1)):
        x = torch.from_numpy(images.to_float(pixels[None]))
        encoder = study.decibel(real.encode(x), true)
        assert study.decibel(invert_decoder(real, x, PLAN).value, true) < encoder + gain
