"""Marks of others: read from their own noise, valid where there is no mark, found in a pose; and the experiment."""

from __future__ import annotations

import itertools
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from scipy import special, stats

from treering.errors import InputError
from treering.marks.keyring import Keyring
from treering.reading.evidence import Values
from treering.reading.lattice import wide
from treering.reading.search import search
from treering.research import attacks, peers
from treering.research.experiments import robustness
from treering.research.experiments.bench import Settings
from treering.research.peers import gaussian_shading, prc, ringid, signs
from treering.research.peers.mark import Peer
from treering_cli.main import main

SECRET = bytes(range(32))
MODEL = SimpleNamespace(shape=(4, 32, 32), image_size=(256, 256), name="none")
SMALL = SimpleNamespace(shape=(4, 16, 16), image_size=(128, 128), name="none")
OTHERS = {"RingID-like": ringid.mark, "Gaussian Shading": gaussian_shading.mark, "PRC-like": prc.mark}
MIRRORED = np.array([[1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


def values_of(mark: peers.Mark) -> Values:
    return mark.values if isinstance(mark, Peer) else Values(mark.keyring)


def secret(i: int) -> bytes:
    return i.to_bytes(32, "little")


# ------------------------------------------------------------------------------------ random signs


@pytest.mark.parametrize("weights", [(1,), (3, 1, 1), (5, 4, 2, 2, 1, 0), (7,) * 6, (32, 1, 1, 1, 1, 1, 1, 1)])
def test_the_tail_of_random_signs_is_that_of_all_signs_counted(weights):
    sums = [int(np.dot(weights, flips)) for flips in itertools.product((1, -1), repeat=len(weights))]
    for score in range(-sum(weights), sum(weights) + 1):
        share = np.mean([total >= score for total in sums])
        assert 10 ** signs.log10_tail(np.array(weights), score) == pytest.approx(share, rel=1e-6)
    assert signs.log10_tail(np.array(weights), sum(weights) + 1) == -math.inf


def test_the_tail_far_out_is_below_the_normal_one_and_exact_at_its_end():
    weights = signs.whole(np.random.default_rng(0).standard_normal(3072))
    size, total = math.sqrt((weights**2).sum()), int(np.abs(weights).sum())
    for z in (3, 10, 20, 30):
        normal = special.log_ndtr(-z) / math.log(10)
        found = signs.log10_tail(weights, round(z * size))
        assert 1.25 * normal < found < normal + 0.05
    assert signs.log10_tail(weights, total) == pytest.approx(-np.count_nonzero(weights) * math.log10(2), rel=1e-6)


def test_a_noise_that_holds_nothing_has_no_evidence():
    nothing = np.zeros(MODEL.shape, np.float32)
    for make in OTHERS.values():
        found = make(SECRET, MODEL, 8).values.read(nothing)
        assert (found.match.log10_p, found.log10_keyring) == (0.0, 0.0)


# ------------------------------------------------------------------------------------------- marks


@pytest.mark.parametrize("name", peers.MARKS)
def test_a_mark_is_read_back_from_its_own_noise(name):
    mark = peers.make(name, SECRET, MODEL, 64)
    noise = mark.noise(37, 5)
    assert noise.shape == (1, *MODEL.shape)
    assert float(noise.std()) == pytest.approx(1, abs=0.05)
    found = values_of(mark).read(noise[0].numpy()).match
    assert found.key == 37 or name == "Tree-Ring"  # whose ten values do not always tell 64 classes apart
    assert found.log10_p < {"Tree-Ring": 0.1, "RingID-like": -20}.get(name, -200)
    assert torch.equal(noise, mark.noise(37, 5))
    assert not torch.equal(noise, mark.noise(37, 6))
    with pytest.raises(InputError):
        mark.noise(64, 5)


def test_the_noise_of_gaussian_shading_is_white():
    mark = gaussian_shading.mark(SECRET, MODEL, 4)
    noise = torch.cat([mark.noise(0, seed) for seed in range(8)]).numpy()
    assert stats.kstest(np.abs(noise).ravel(), stats.halfnorm.cdf).pvalue > 1e-3
    assert np.abs(mark.values.signs(0).mean((1, 2))).max() < 0.15
    assert abs(float((mark.values.signs(0) * mark.values.signs(1))[1:].mean())) < 0.6


def test_codewords_meet_every_check_and_are_never_the_same():
    values = prc.mark(SECRET, MODEL, 4).values
    words = [values.codeword(seed) for seed in range(6)]
    for word in words:
        assert (word[values.checks].prod(1) == 1).all()
        assert abs(word.mean()) < 0.15
    assert np.abs(np.corrcoef(words) - np.eye(6)).max() < 0.2  # so that averaging many leaves nothing
    places, sums = values.code
    assert sorted(places) == list(range(values.count)) and (sums[:, 0] != sums[:, 1]).all()
    assert (sums < np.arange(prc.FREE, values.count)[:, None]).all()  # the last place of a check is new: independent


def test_two_pictures_of_a_code_share_no_signs():
    mark = prc.mark(SECRET, MODEL, 4)
    one, two = (np.sign(mark.noise(1, seed)[0, 1:].numpy()) for seed in (3, 4))
    assert abs(float((one * two).mean())) < 0.1


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("kind", ["white", "smooth"])
def test_without_the_secret_p_is_uniform_whatever_the_noise(name, kind):
    model = MODEL if name == "RingID-like" else SMALL
    noise = np.random.default_rng(1).standard_normal(model.shape).astype(np.float32)
    if kind == "smooth":
        noise = np.cumsum(np.cumsum(noise, 1), 2) ** 3
    logs = [OTHERS[name](secret(i), model, 1).values.read(noise) for i in range(150)]
    for p in ([one.match.log10_p for one in logs], [one.log10_sync for one in logs]):
        assert stats.kstest(10.0 ** np.array(p), "uniform").pvalue > 1e-3


@pytest.mark.parametrize("name", OTHERS)
def test_the_best_of_many_classes_pays_for_all(name):
    model = MODEL if name == "RingID-like" else SMALL
    noise = np.random.default_rng(2).standard_normal(model.shape).astype(np.float32)
    least = [OTHERS[name](secret(i), model, 16).values.read(noise).match.log10_p for i in range(60)]
    assert np.mean(10.0 ** np.array(least) <= 0.1) < 0.25  # 0.1 is expected at most


@pytest.mark.parametrize("name", OTHERS)
def test_a_mirrored_mark_is_found_by_what_all_classes_share(name):
    mark = OTHERS[name](SECRET, MODEL, 16)
    noise = mark.noise(5, 3)[0].numpy()
    turned = np.ascontiguousarray(noise[:, :, ::-1])
    as_given, posed = mark.values.read(turned), mark.values.read(turned, MIRRORED)
    assert posed.match.key == 5
    assert posed.match.log10_p < min(-15, as_given.match.log10_p)
    assert posed.log10_sync is not None
    assert posed.log10_sync < -15
    best = search(turned, mark.values.sync_template, wide(), 1)[0]
    assert best.pose()[0]
    assert best.log10_corrected < -10


def test_the_score_of_a_header_has_the_deviation_that_a_search_takes():
    noise = np.random.default_rng(0).standard_normal(MODEL.shape).astype(np.float32)
    still, z = np.eye(2)[None], []
    from treering.reading.spectra import scores

    for i in range(120):
        template = gaussian_shading.mark(secret(i), MODEL, 1).values.sync_template
        z.append(float(scores(noise, template, still, np.zeros((1, 2)))[0, 0]))
    assert stats.kstest(z, "norm").pvalue > 1e-3


# -------------------------------------------------------------------------------- the experiment


def test_a_picture_goes_from_its_mark_through_an_attack_to_a_row(model):
    experiment = robustness.chosen("none,mirror", "treering, fast; Gaussian Shading, fast")
    bench = SimpleNamespace(model=model, seed=lambda i: 9_000_000 + i)
    units = [unit for unit in experiment.units(Settings(1, (1,))) if "none:1" in unit]
    assert len(units) == 2
    for unit in units:
        (row,) = experiment.measure(bench, unit)
        assert (row["right"], row["right_loose"], row["found"]) == (True, True, robustness.key_of(0))
        assert json.loads(json.dumps(row)) == row


def rows(ladder: bool = False):
    """Made-up rows: treering reads all, the other one only what is weak."""
    chosen = attacks.rows("none,mirror,jpeg" if ladder else "none,mirror")
    for row, method, i in itertools.product(chosen, ("treering, max", "Tree-Ring, max"), range(4)):
        level = -40.0 if method == "treering, max" or row.attack == "none" else -2.0
        found = peers.mark.Found(robustness.key_of(i), level, level, "pose", 1.0)
        yield robustness._row(i, row, method, found)


@pytest.mark.parametrize("ladder", [False, True])
def test_the_table_and_the_figure_say_what_was_right(ladder, tmp_path):
    table = robustness.EXPERIMENT.table(list(rows(ladder)))
    assert "| mirror" in table
    line = next(text for text in table.splitlines() if text.startswith("| mirror"))
    assert [cell.strip() for cell in line.strip("|").split("|")] == ["mirror", "4/4", "0/4"]
    assert "4/4 (0.51-1.00)" in table
    page = robustness.EXPERIMENT.figure(list(rows(ladder)), tmp_path)
    page.savefig(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_a_wrong_class_is_not_right_however_sure():
    row = robustness._row(0, attacks.DEFAULT[0], "treering, max", peers.mark.Found(1, -90.0, -90.0, "", 1.0))
    assert not row["right"]
    assert not row["right_loose"]
    assert robustness._medians([row])[0] == "0.0"


def test_methods_and_attacks_are_chosen_in_words():
    assert robustness.chosen(None, None).methods == robustness.DEFAULT
    assert robustness.chosen("waves", "treering").methods == ("treering, fast", "treering, normal", "treering, max")
    with pytest.raises(InputError, match="There is no method 'x'"):
        robustness.chosen(None, "x")
    result = CliRunner().invoke(main, ["experiment", "editing", "--attacks", "jpeg"])
    assert (result.exit_code, "editing has no --attacks" in result.stderr) == (2, True)
    result = CliRunner().invoke(main, ["experiment", "robustness", "--attacks", "nothing"])
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: There is no attack 'nothing'; `treering attack --list` shows all.\n",
    )


def test_peers_have_as_many_classes_as_treering():
    keyrings = [peers.make(name, SECRET, MODEL).keyring for name in peers.MARKS]
    assert {one.classes for one in keyrings} == {peers.CLASSES}
    assert all(isinstance(one, Keyring) and one.public for one in keyrings)
