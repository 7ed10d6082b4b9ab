"""p-values against theory: uniform under the null, right in the tail, corrected for many classes."""

import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from treering.errors import InputError
from treering.marks import fourier, matching, nulls
from treering.marks.keyring import Keyring, plain_noise
from treering.marks.patterns import Pattern

SHAPE = (4, 16, 16)
KINDS = {
    "rings": Pattern("rings", (0, 1, 2, 3), (), 1, 6),
    "real": Pattern("real", (0, 1, 2, 3), (), 1, 6, 0.0),
    "noise": Pattern("noise", (0, 2), (), 2, 5, 1.0),
    "mixed": Pattern("mixed", (0, 1), (3,), 1, 6),
}


def reading(keyring, noise):
    cells = keyring.cells()
    points = fourier.coefficients(noise, cells)
    return points.numpy(), fourier.read(points, cells).numpy(), cells.cell.numpy()


def search(keyring, noise, classes=None, transforms=1):
    points, means, cell = reading(keyring, noise)
    blocks = keyring.marks(None if classes is None else range(classes))
    return matching.match(points, means, blocks, keyring.weights(), cell, keyring.pattern.real, transforms)


def strange_noise():
    """Nothing like white noise: the exact test must hold all the same."""
    plain = plain_noise(SHAPE, 3)
    ramp = torch.linspace(-3, 3, 16)
    return plain * 0.2 + ramp[:, None] * ramp[None, :] + 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("noise", ["white", "strange"])
def test_exact_p_is_uniform_over_secrets(kind, noise):
    fixed = plain_noise(SHAPE, 0) if noise == "white" else strange_noise()
    keyring = Keyring(bytes(32), KINDS[kind], SHAPE, classes=1)
    _, means, _ = reading(keyring, fixed)
    values = np.concatenate([keyring.with_secret(i.to_bytes(32, "big")).values([0]) for i in range(1500)])
    z = matching.scores(means, values, keyring.weights(), keyring.pattern.real)[0]
    assert stats.kstest(z, "norm").pvalue > 1e-3
    assert stats.kstest(np.exp(nulls.log_p(z)), "uniform").pvalue > 1e-3


@pytest.mark.parametrize("kind", ["rings", "noise"])
def test_corrected_p_over_many_classes_is_uniform(kind):
    keyring = Keyring(bytes(32), KINDS[kind], SHAPE, classes=40)
    fixed = strange_noise()
    logs = [search(keyring.with_secret(i.to_bytes(32, "big")), fixed)[0].log10_p for i in range(400)]
    assert stats.kstest(10 ** np.asarray(logs), "uniform").pvalue > 1e-3


def test_classical_p_is_uniform_on_gaussian_noise():
    keyring = Keyring(bytes(range(32)), KINDS["rings"], SHAPE)
    noise = torch.cat([plain_noise(SHAPE, i) for i in range(600)])
    points, _, cell = reading(keyring, noise)
    values = keyring.values([4])[0]
    p = np.exp([float(nulls.classical_log_p(row, values, cell)) for row in points])
    assert stats.kstest(p, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_a_marked_noise_is_found_among_many(kind):
    keyring = Keyring(bytes(range(32)), KINDS[kind], SHAPE, classes=200)
    for match, key in zip(search(keyring, torch.cat([keyring.noise(k, k) for k in (0, 150)])), (0, 150), strict=True):
        assert match.key == key
        assert match.log10_p < -2  # 24 real numbers: z is about sqrt(24)
        assert match.classical_log10_p < -6


def test_score_does_not_depend_on_the_scale_of_the_reading():
    keyring = Keyring(bytes(range(32)), KINDS["rings"], SHAPE)
    noise = keyring.noise(3, 1)
    assert search(keyring, 0.01 * noise)[0].z == pytest.approx(search(keyring, noise)[0].z)


def test_an_empty_reading_is_no_evidence():
    match = search(Keyring(bytes(32), KINDS["rings"], SHAPE), torch.zeros(1, *SHAPE))[0]
    assert match.z == 0
    assert match.log10_p > -1e-6


@given(p=st.floats(1e-9, 0.9), tests=st.integers(1, 10**7))
@settings(deadline=None)
def test_sidak_formula(p, tests):
    expected = -np.expm1(tests * np.log1p(-p))
    assert np.exp(nulls.sidak(np.log(p), tests)) == pytest.approx(expected, rel=1e-9)


@given(z=st.floats(-5, 200), tests=st.integers(1, 10**9))
@settings(deadline=None)
def test_log_p_is_finite_monotone_and_never_above_one(z, tests):
    value = float(nulls.log_p(z, tests))
    assert np.isfinite(value)
    assert value <= 0
    assert value >= float(nulls.log_p(z, 1)) - 1e-12
    assert float(nulls.log_p(z + 0.5, tests)) <= value


@given(logs=st.lists(st.floats(-700, 0), min_size=1, max_size=8), seed=st.integers(0, 99))
@settings(deadline=None)
def test_weighted_bonferroni_is_the_least_of_all_shares(logs, seed):
    weights = np.random.default_rng(seed).dirichlet(np.ones(len(logs)))
    value, best = nulls.bonferroni(np.asarray([logs, logs]), np.log(weights))
    expected = np.asarray(logs) - np.log(weights)
    assert value == pytest.approx([min(expected.min(), 0)] * 2)
    assert best.tolist() == [expected.argmin()] * 2


def test_weighted_bonferroni_is_valid_and_refuses_a_budget_that_is_overspent():
    p = np.random.default_rng(0).uniform(size=(20_000, 4))
    value, _ = nulls.bonferroni(np.log(p), np.log([0.7, 0.2, 0.1 - 1e-12, 1e-12]))
    for level in (0.001, 0.01, 0.1):
        assert np.mean(value <= np.log(level)) < level + 4 * np.sqrt(level / len(p))
    with np.errstate(divide="ignore"):
        never = np.log([1.0, 0.0])
    assert nulls.bonferroni(np.asarray([-1.0, -np.inf]), never)[0] == -1
    assert nulls.bonferroni(np.asarray([np.nan, np.nan]), np.log([0.5, 0.5]))[0] == 0
    with pytest.raises(InputError, match="must not exceed 1"):
        nulls.bonferroni(np.zeros(2), np.log([0.6, 0.5]))


@pytest.mark.parametrize("share", [0.3, 0.8])
def test_the_common_part_is_no_evidence_for_a_class(share):
    """A reading that holds the keyring's common part, and no class, is worth nothing to the test of classes."""
    pattern = Pattern("noise", (0, 2), (), 2, 5, 1.0, (0,), share)
    keyring = Keyring(bytes(32), pattern, SHAPE, classes=1)
    cells, _ = keyring.synchronisation()
    logs = []
    for i in range(300):
        ring = keyring.with_secret(i.to_bytes(32, "big"))
        noise = fourier.imprint(plain_noise(SHAPE, i), cells, torch.from_numpy(ring.synchronisation()[1]))
        logs.append(ring.match(noise)[0].log10_p)
    assert stats.kstest(10 ** np.asarray(logs), "uniform").pvalue > 1e-3
    assert keyring.match(keyring.noise(0, 1))[0].log10_p < -6


def test_transforms_count_as_tests():
    keyring = Keyring(bytes(range(32)), KINDS["noise"], SHAPE, classes=10)
    once, thrice = (search(keyring, keyring.noise(3, 1), transforms=t)[0].log10_p for t in (1, 3))
    assert thrice - once == pytest.approx(np.log10(3), abs=1e-6)


def test_paper_pattern_uses_the_classical_test_and_the_closed_set_rule():
    keyring = Keyring(bytes(32), Pattern("paper", (0,), (), 1, 6), (4, 64, 64), classes=3)
    noise = torch.cat([keyring.noise(k, k) for k in range(3)])
    points, _, cell = reading(keyring, noise)
    values = keyring.values(range(3))
    assert matching.closed_set(points, values, cell).tolist() == [0, 1, 2]
    matches = matching.match_public(points, range(3), values, cell)
    assert [m.key for m in matches] == [0, 1, 2]
    assert all(m.log10_p < -6 for m in matches)
    plain = reading(keyring, plain_noise((4, 64, 64), 9))
    assert matching.match_public(plain[0], range(3), values, cell)[0].log10_p > -3


PAPER = Keyring(bytes(32), Pattern.paper(), SHAPE, classes=3)


def shrunk(key, gain, noise, seed):
    """What inversion leaves of a paper's key: half-plane coefficients ``[1, N]`` of so much gain and noise."""
    cell = PAPER.cells().cell.numpy()
    plane = np.random.default_rng(seed).normal(size=(2, 1, len(cell))) / np.sqrt(2)
    return gain * PAPER.values([key])[:, cell] + noise * (plane[0] + 1j * plane[1]), PAPER.values(range(3)), cell


@given(key=st.integers(0, 2), gain=st.floats(0.2, 3), noise=st.floats(0, 0.4), seed=st.integers(0, 10**6))
@settings(deadline=None)
def test_a_fitted_gain_finds_a_key_of_any_size(key, gain, noise, seed):
    reading = shrunk(key, gain, noise * gain, seed)
    assert matching.closed_set_fitted(*reading).tolist() == [key]


@given(key=st.integers(0, 2), gain=st.floats(0.1, 0.45), seed=st.integers(0, 10**6))
@settings(deadline=None)
def test_the_papers_rule_errs_towards_the_key_of_least_energy(key, gain, seed):
    reading = shrunk(key, gain, 0.05, seed)
    energy = (np.abs(PAPER.values(range(3)))[:, reading[2]] ** 2).sum(1)
    assert matching.closed_set(*reading).tolist() == [energy.argmin()]


@given(scale=st.floats(1e-3, 1e3), seed=st.integers(0, 10**6))
@settings(deadline=None)
def test_a_fitted_verdict_does_not_depend_on_scale(scale, seed):
    coefficients, values, cell = shrunk(seed % 3, 0.3, 1.0, seed)
    verdicts = [matching.closed_set_fitted(f * coefficients, values, cell)[0] for f in (1, scale)]
    assert verdicts[0] == verdicts[1]


def test_a_fitted_gain_is_never_negative_and_a_key_may_be_zero():
    coefficients, values, cell = shrunk(1, 1.0, 0.0, 0)
    opposite = np.stack([-values[1], 0.2 * values[0]])
    assert matching.closed_set_fitted(coefficients, opposite, cell).tolist() == [1]
    assert matching.closed_set_fitted(coefficients, np.stack([0 * values[0], values[1]]), cell).tolist() == [1]


def test_where_no_key_fits_none_is_named():
    coefficients, values, cell = shrunk(1, 1.0, 0.0, 0)
    for reading in (-coefficients, 0 * coefficients, coefficients * np.nan):
        assert matching.closed_set_fitted(reading, values, cell).tolist() == [-1]
    both = np.concatenate([-coefficients, 0.1 * coefficients])
    assert matching.closed_set_fitted(both, values, cell).tolist() == [-1, 1]


def test_a_million_keys_take_flat_memory_and_find_the_one():
    keyring = Keyring(bytes(range(32)), Pattern("noise", (0,), (), 4, 5), SHAPE, classes=1_000_000)
    started = time.process_time()
    match = search(keyring, keyring.noise(987_654, 5), classes=1_000_000)[0]
    print(f"a million keys: {time.process_time() - started:.1f} s of processor time")
    assert match.key == 987_654
    assert match.log10_p < -3
