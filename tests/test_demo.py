"""The demo model's world and its training: deterministic and resumable."""

import re

import numpy as np
import pytest
import torch

from treering.models.demo import WEIGHTS, captions
from treering.research.demo import data, networks, scenes, training, words
from treering.research.demo.training import Plan, Run


def test_scenes_are_the_same_every_time_and_differ_from_each_other():
    first, again, other = scenes.scene(5, 0)[0], scenes.scene(5, 0)[0], scenes.scene(5, 1)[0]
    assert first.shape == (256, 256, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert scenes.text(5, 0) == scenes.scene(5, 0)[1]


def test_captions_tell_what_is_drawn():
    rng = np.random.default_rng(0)
    for index in range(200):
        scene = scenes.random_scene(scenes.generator(9, index))
        text = scenes.caption(scene, rng)
        assert re.search("day|dawn|sunset|night", text)
        assert ("lake" in text) == scene.lake
        assert scene.stars or "stars" not in text


def test_night_is_darker_than_day():
    by_time = {time: [] for time in captions.TIMES}
    for index in range(60):
        rng = scenes.generator(11, index)
        scene = scenes.random_scene(rng)
        by_time[scene.time].append(scenes.draw(scene, rng, 64).mean())
    assert np.mean(by_time["night"]) < 0.6 * np.mean(by_time["sunset"]) < np.mean(by_time["day"])


def test_words_of_the_world_are_single_tokens():
    captions = [scenes.text(1, i) for i in range(800)]
    tokenizer = words.tokenizer(captions)
    for text in captions[:50]:
        assert len(tokenizer(text).input_ids) == 2 + len(re.findall(r"\w+|,", text))
    assert words.tokens(tokenizer, captions).shape == (800, networks.MAX_TOKENS)
    assert len(tokenizer("Zürich, 東京").input_ids) > 4  # anything else is spelled out


@pytest.fixture
def work(tmp_path):
    data.render(tmp_path, 6, workers=1)
    return tmp_path


def parameters(run):
    return torch.cat([p.detach().flatten() for p in run.parameters.values()])


def autoencoder_run(work, plan, name):
    torch.manual_seed(0)
    run = Run(training._network(networks.autoencoder()), plan, work / name)
    training._train_autoencoder(run, data.pictures(work))
    return run


def test_a_resumed_training_is_the_same_training(work):
    plan = Plan(steps=3, batch=1, rate=1e-3, warmup=1, save_every=2)
    whole = autoencoder_run(work, plan, "whole.safetensors")
    torch.manual_seed(0)
    cut = Run(training._network(networks.autoencoder()), plan, work / "cut.safetensors")
    real_save = cut.save

    def save_and_stop():
        real_save()
        raise KeyboardInterrupt

    cut.save = save_and_stop
    with pytest.raises(KeyboardInterrupt):
        training._train_autoencoder(cut, data.pictures(work))
    resumed = autoencoder_run(work, plan, "cut.safetensors")
    assert resumed.step == whole.step == 3
    assert torch.equal(parameters(resumed), parameters(whole))
    assert all(torch.equal(resumed.average[name], whole.average[name]) for name in whole.average)


def test_training_lowers_the_loss(work):
    torch.manual_seed(0)
    run = Run(training._network(networks.autoencoder()), Plan(12, 1, 2e-3, warmup=1, save_every=99), work / "a.st")
    pixels = training.to_pixels(data.pictures(work)[:1, ::2, ::2])
    losses = []

    def loss_at(step):
        error = networks.reconstruct(run.module, networks.latent_mean(run.module, pixels)) - pixels
        losses.append(float((error**2).mean().detach()))
        return (error**2).mean()

    run.train(loss_at)
    assert losses[-1] < 0.7 * losses[0]


def test_normalising_keeps_the_pictures_and_makes_unit_variance(work):
    torch.manual_seed(0)
    vae = networks.autoencoder().eval()
    pixels = training.to_pixels(data.pictures(work))
    with torch.no_grad():
        before = networks.latent_mean(vae, pixels)
        picture = networks.reconstruct(vae, before)
        networks.normalise(vae, before.mean((0, 2, 3)), before.std((0, 2, 3)))
        after = networks.latent_mean(vae, pixels)
        assert torch.allclose(networks.reconstruct(vae, after), picture, atol=1e-4)
    scaled = after * networks.SCALING_FACTOR
    assert torch.allclose(scaled.std((0, 2, 3)), torch.ones(4), atol=1e-3)
    assert torch.allclose(scaled.mean((0, 2, 3)), torch.zeros(4), atol=1e-3)


def test_the_shipped_weights_are_small_and_safe():
    files = [path for path in WEIGHTS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 45e6
    assert {path.suffix for path in files} <= {".json", ".safetensors", ".txt"}
