"""Geometry: read-back, realness, variance, any shape."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from treering.errors import InputError
from treering.marks import fourier
from treering.marks.keyring import Keyring, plain_noise
from treering.marks.patterns import Pattern

SECRET = bytes(range(32))
SIZES = st.integers(7, 24)
KINDS = st.sampled_from(["rings", "real", "noise", "mixed"])


def pattern(kind, outer):
    channels, others = ((0, 2), (1,)) if kind == "mixed" else ((0, 2), ())
    return Pattern(kind, channels, others, 1, outer)


@given(height=SIZES, width=SIZES, kind=KINDS, seed=st.integers(0, 99))
@settings(deadline=None, max_examples=60)
def test_the_key_reads_back_and_nothing_else_changes(height, width, kind, seed):
    shape = (3, height, width)
    keyring = Keyring(SECRET, pattern(kind, min(3, (min(height, width) - 1) // 2)), shape)
    cells, key = keyring.cells(), torch.from_numpy(keyring.values([5])[0])
    plain = plain_noise(shape, seed)
    marked = fourier.imprint(plain, cells, key)
    assert marked.dtype == torch.float32
    assert marked.shape == (1, *shape)
    means = fourier.read(fourier.coefficients(marked, cells), cells)[0]
    assert (means - key).abs().max() < 1e-5
    touched = torch.zeros(shape).flatten()
    touched[cells.index] = touched[cells.mirror] = 1
    difference = (fourier.spectrum(marked.double()) - fourier.spectrum(plain.double())).flatten()
    assert difference[touched == 0].abs().max() < 1e-5
    back = fourier.noise(fourier.spectrum(marked.double()))
    assert (back - marked).abs().max() < 1e-6


@given(height=st.integers(1, 20), width=st.integers(1, 20))
@settings(deadline=None, max_examples=80)
def test_half_plane_holds_one_of_every_pair(height, width):
    here, there = fourier.half_plane(height, width)
    selves = (2 if height % 2 == 0 else 1) * (2 if width % 2 == 0 else 1)
    assert len(here) == (height * width - selves) // 2
    assert len(set(here.tolist()) | set(there.tolist())) == 2 * len(here)
    x = torch.randn(height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    flat = fourier.spectrum(x).flatten()
    assert torch.allclose(flat[here], flat[there].conj())


def test_spectrum_is_orthonormal_with_zero_frequency_in_the_middle():
    ones = torch.ones(1, 1, 9, 12)
    flat = fourier.spectrum(ones)
    assert flat[0, 0, 4, 6].real == pytest.approx(math.sqrt(9 * 12))
    noise = torch.randn(64, 1, 9, 12, generator=torch.Generator().manual_seed(0))
    assert fourier.spectrum(noise).abs().square().mean().item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("kind", ["rings", "real", "noise", "mixed"])
def test_marked_noise_has_unit_variance_over_secrets(kind):
    variances = []
    for i in range(300):
        keyring = Keyring(i.to_bytes(32, "big"), pattern(kind, 5), (3, 16, 16))
        variances.append(keyring.noise(0, seed=i).square().mean().item())
    mean, error = torch.tensor(variances).mean().item(), torch.tensor(variances).std().item() / math.sqrt(300)
    assert abs(mean - 1) < 4 * error + 0.005


def test_noise_of_a_key_is_gaussian_for_the_noise_pattern():
    from scipy import stats

    keyrings = [Keyring(i.to_bytes(32, "big"), Pattern("noise", (0,), (), 1, 6), (1, 16, 16)) for i in range(100)]
    values = torch.cat([k.noise(1, seed=i).flatten() for i, k in enumerate(keyrings)])
    assert stats.kstest(values.numpy(), "norm").pvalue > 1e-3


def test_rings_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="Rings 1 to 9 do not fit a 16x16 latent: use 1 to 7"):
        fourier.ring_cells((4, 16, 16), (0,), 1, 9)
    with pytest.raises(InputError, match="do not fit a latent of 4 channels"):
        fourier.ring_cells((4, 16, 16), (0, 4), 1, 3)


def test_a_ring_is_half_a_pixel_to_either_side():
    cells = fourier.ring_cells((1, 32, 32), (0,), 2, 4)
    distance = fourier.radius(32, 32).flatten()[cells.index]
    ring = cells.cell + 2
    assert ((distance >= ring - 0.5) & (distance < ring + 0.5)).all()
    assert torch.equal(torch.bincount(cells.cell), cells.count)
