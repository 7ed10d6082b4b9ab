"""The whole way, on the demo model: noise to picture and back."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

import treering
from treering import inversion, writing
from treering.errors import InputError, ModelError
from treering.inversion import METHODS, invert_decoder, invert_sampler, sample
from treering.marks import fourier, matching
from treering.marks.keyring import Keyring, plain_noise
from treering.marks.patterns import Pattern
from treering.models.demo import WEIGHTS
from treering.models.hub import quiet
from treering.models.schedule import Schedule, probe
from treering.pictures import images
from treering.reading import Detector
from treering.research.common import decibel, jpeg
from treering.research.studies.patterns import look

KEYS = (0, 1, 2, None)


def stack(pictures):
    return np.stack([pictures[key] for key in KEYS])


@pytest.fixture(scope="module")
def found(model, keyring, pictures):
    return Detector(model, keyring)(stack(pictures))


def test_every_key_is_found_and_none_is_not(found):
    assert [d.key for d in found] == list(KEYS)
    assert all(d.p_value <= 1e-9 for d in found[:3])
    assert found[3].p_value > 1e-4
    assert all(d.seconds > 0 for d in found)
    assert found[3].evaluations > 0  # nothing was found before the last stage, which inverts the decoder


def test_marks_survive_jpeg(model, keyring, pictures):
    worse = np.stack([jpeg(picture, 50) for picture in stack(pictures)])
    assert [d.key for d in Detector(model, keyring)(worse)] == list(KEYS)


def test_another_secret_finds_nothing(model, keyring, pictures):
    other = Detector(model, keyring.with_secret(bytes(32)))
    assert [d.key for d in other(stack(pictures)[:2])] == [None, None]


def test_a_result_does_not_depend_on_the_batch(model, keyring, pictures, found):
    detector = Detector(model, keyring)
    for i in (0, 3):
        alone = detector(stack(pictures)[i : i + 1])[0]
        assert (alone.key, alone.log10_p, alone.z) == (found[i].key, found[i].log10_p, found[i].z)
    prompts = ["the sea at night, stars", "hills"]
    both = treering.embed(model, keyring, 2, prompts, seed=5, steps=4)
    assert np.array_equal(both[1], treering.embed(model, keyring, 2, prompts[1:], seed=6, steps=4)[0])


def test_inverting_a_batch_is_inverting_each(model, pictures):
    pixels = torch.from_numpy(images.to_float(stack(pictures)[:2]))
    for name in ("safeguarded", "forward-step", "anderson"):
        together = invert_decoder(model, pixels, METHODS[name])
        alone = invert_decoder(model, pixels[1:], METHODS[name])
        assert torch.equal(together.value[1], alone.value[0])
        assert together.evaluations[1] == alone.evaluations[0]


def test_only_some_classes_are_searched(model, keyring, pictures):
    detector = Detector(model, keyring, keys=[0, 1])
    assert detector(pictures[2][None])[0].key is None
    wide = Detector(model, replace(keyring, classes=1000))(pictures[1][None])[0]
    assert wide.key == 1
    with pytest.raises(InputError, match="has the classes 0 to 99; there is no class 999"):
        Detector(model, keyring, keys=range(1000))


def test_exact_p_is_uniform_over_secrets_on_a_real_picture(model, keyring, pictures):
    """The picture carries a strong mark of one secret; to all other secrets it is nothing."""
    detector = Detector(model, keyring, method="encoder")
    noise = detector.noise(detector.latent(pictures[1][None]).value)
    cells = keyring.cells()
    means = fourier.read(fourier.coefficients(noise, cells), cells).numpy()
    values = np.concatenate([keyring.with_secret(i.to_bytes(32, "big")).values([0]) for i in range(600)])
    z = matching.scores(means, values, keyring.weights(), keyring.pattern.real)[0]
    assert stats.kstest(z, "norm").pvalue > 1e-3


def test_latents_have_the_units_that_the_denoiser_sees(model, pictures):
    latent = model.encode(torch.from_numpy(images.to_float(stack(pictures))))
    assert latent.shape == (4, *model.shape)
    assert 0.5 < latent.std() < 1.6
    back = model.decode(latent).clamp(-1, 1)
    psnr = 10 * torch.log10(4 / ((back - torch.from_numpy(images.to_float(stack(pictures)))) ** 2).mean())
    assert psnr > 24


@pytest.mark.parametrize(
    "name", [name for name in METHODS if name not in ("encoder", "gradient", "adam", "adam-fixed")]
)
def test_decoder_inversion_beats_the_encoder(model, keyring, name):
    f = model.denoiser(["mountains at dawn, clouds"], writing.GUIDANCE)
    true = sample(probe(model.scheduler(), 10), f, keyring.noise(0, 3))
    pixels = torch.from_numpy(images.to_float(images.to_bytes(model.decode(true).numpy())))
    plain = decibel(model.encode(pixels), true)
    solution = invert_decoder(model, pixels, METHODS[name])
    assert decibel(solution.value, true) < plain - 1


@pytest.mark.parametrize("name", ["gradient", "adam", "adam-fixed"])
def test_the_slow_methods_lower_their_residual(model, pictures, name):
    pixels = torch.from_numpy(images.to_float(pictures[0][None]))
    solution = invert_decoder(model, pixels, METHODS[name].with_budget(6))
    trace = solution.trace[:, 0]
    assert solution.evaluations.tolist() == [6]
    assert trace[-1] < trace[0]


def test_sampling_and_inverting_return_to_the_noise(model):
    """But for the last steps: there the sampler throws away what is left of the noise, and nothing brings it back."""
    schedule = Schedule(probe(model.scheduler(), 20).steps[:16])
    f = model.denoiser(["the sea at dawn"], 1.0)
    noise = plain_noise(model.shape, 8)
    latent = sample(schedule, f, noise)
    solved = invert_sampler(schedule, f, latent, "fixed-point", 1e-3, 20)
    naive = invert_sampler(schedule, f, latent, "naive")
    assert (solved - noise).square().mean().sqrt() < 0.01
    assert (naive - noise).square().mean().sqrt() < 0.1
    assert (solved - noise).square().mean() < (naive - noise).square().mean()


def test_both_ways_by_the_protocol_are_those_of_writing_and_reading(model, keyring):
    noise = keyring.noise(1, 9, 2)
    prompts = ["the sea at dawn", "hills"]
    latent = model.sample(noise, prompts, steps=4, guidance=2.0)
    assert torch.equal(latent, writing.latents(model, noise, prompts, 4, 2.0))
    schedule, f = probe(model.scheduler(), 4), model.denoiser(["", ""])
    assert torch.equal(model.recover(latent, steps=4), invert_sampler(schedule, f, latent))
    alone = model.recovered(latent[1:], steps=4, evaluations=3)
    together = model.recovered(latent, steps=4, evaluations=3)
    assert torch.equal(alone.value[0], together.value[1])
    assert together.evaluations.tolist() == [12, 12]


def test_the_sizes_of_the_noise(model):
    assert model.noise_shape() == model.shape == (4, 32, 32)
    assert model.noise_shape((128, 320)) == (4, 16, 40)
    for size in ((0, 256), (-32, 256), (200, 256)):
        with pytest.raises(InputError, match="sides are multiples of 32 pixels"):
            model.noise_shape(size)
    with pytest.raises(InputError, match="makes pictures, not clips"):
        model.noise_shape(frames=8)


def test_what_the_protocol_refuses(model, keyring):
    noise = keyring.noise(0, 1, 2)
    with pytest.raises(InputError, match="There are 1 prompts for 2 pictures"):
        model.sample(noise, ["one"], steps=2)
    with pytest.raises(InputError, match="knows no setting max_sequence_length"):
        model.sample(noise, "", steps=2, max_sequence_length=7)
    with pytest.raises(InputError, match="takes at least one evaluation"):
        model.recover(noise, steps=2, evaluations=0)


def test_the_diffusers_pipeline_makes_the_same_picture(model, keyring):
    from diffusers import StableDiffusionPipeline

    with quiet():  # the shortest line there is
        pipe = StableDiffusionPipeline.from_pretrained(WEIGHTS)
    assert {part.dtype for part in (pipe.vae, pipe.unet, pipe.text_encoder)} == {torch.float32}
    pipe.set_progress_bar_config(disable=True)
    prompt = "snowy mountains at sunset"
    noise = model.latents(keyring.noise(2, seed=7))
    theirs = pipe(prompt, num_inference_steps=6, guidance_scale=3.0, latents=noise, output_type="np").images[0]
    ours = treering.embed(model, keyring, 2, [prompt], seed=7, steps=6, guidance=3.0)[0]
    assert np.abs(ours / 255 - theirs).max() < 0.02


def test_one_key_leaves_pictures_different(model, keyring):
    prompts = ["the sea by day", "a desert at sunset", "mountains at night"]
    marked = treering.embed(model, keyring, 1, prompts, seed=40, steps=8)
    plain = treering.embed(model, keyring, None, prompts, seed=40, steps=8)
    assert look(marked, plain).diversity > 0.7


def test_patterns_other_than_the_default_are_read(model):
    for pattern in (Pattern("rings", (0, 1, 2), (), 1, 10), Pattern("mixed", (0,), (1,), 3, 7)):
        ring = Keyring(bytes(range(32)), pattern, derivation=1)
        picture = treering.embed(model, ring, 4, ["rolling hills by day, trees"], seed=3, steps=8)
        assert Detector(model, ring)(picture)[0].best_key == 4


def test_a_keyring_for_other_latents_is_refused(model):
    with pytest.raises(ModelError, match="for latents of 4x64x64, the model demo has 4x32x32"):
        Detector(model, Keyring(bytes(32), shape=(4, 64, 64)))
    with pytest.raises(InputError, match="between 0 and 1"):
        Detector(model, Keyring(bytes(32)), fpr=0.0)


def test_unknown_method():
    with pytest.raises(InputError, match="There is no method 'magic'"):
        inversion.method("magic")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("/nowhere", "/nowhere is not a pipeline folder"),
        ("someone/some-model-that-is-not-here", "is not in the local cache; --download fetches it"),
    ],
)
def test_models_that_are_not_there(name, sentence):
    with pytest.raises(ModelError, match=sentence):
        treering.load_model(name)


def test_broken_models_are_told_in_one_sentence(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(WEIGHTS, folder)
    weights = folder / "vae" / "diffusion_pytorch_model.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data[:1000])
    with pytest.raises(ModelError, match="cannot be loaded") as caught:
        treering.load_model(str(folder))
    assert "\n" not in str(caught.value)
    weights.rename(folder / "vae" / "diffusion_pytorch_model.bin")  # never unpickled
    with pytest.raises(ModelError, match="cannot be loaded"):
        treering.load_model(str(folder))
    index = json.loads((folder / "model_index.json").read_text())
    index["unet"][1] = "FluxTransformer2DModel"
    (folder / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match=r"cannot be loaded: .*only weights in \.safetensors files are opened"):
        treering.load_model(str(folder))


def test_the_fingerprint_changes_with_weights_and_scheduler_only(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(WEIGHTS, folder)
    before = treering.load_model("demo").fingerprint
    assert treering.load_model(str(folder), dtype="bfloat16").fingerprint == before
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1000] ^= 1
    weights.write_bytes(data)
    changed = treering.load_model(str(folder)).fingerprint
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text(path.read_text().replace("0.012", "0.013"))
    assert len({before, changed, treering.load_model(str(folder)).fingerprint}) == 3


def test_pictures_that_do_not_fit_are_refused(model, keyring, pictures):
    detector = Detector(model, keyring)
    for wrong in (pictures[0], pictures[0][None, :128], pictures[0][None].astype(np.float32)):
        with pytest.raises(InputError, match="Pictures must be uint8"):
            detector(wrong)
    assert detector(np.zeros((0, 256, 256, 3), np.uint8)) == []


def test_prompts(model, keyring):
    assert len(treering.embed(model, keyring, 2, "one prompt", steps=2)) == 1
    with pytest.raises(InputError, match="At least one prompt"):
        treering.embed(model, keyring, 2, [])
    with pytest.raises(InputError, match="There are 1 prompts for 2 pictures"):
        treering.generate(model, keyring.noise(2, 1, 2), ["one"])
    with pytest.raises(InputError, match="has the classes 0 to 99; there is no class 100"):
        treering.embed(model, keyring, 100, ["one"])


def test_a_keyring_for_a_model(model):
    keyring = Keyring.for_model(model, classes=7)
    assert (keyring.shape, keyring.image_size, keyring.model, keyring.classes) == ((4, 32, 32), (256, 256), "demo", 7)
