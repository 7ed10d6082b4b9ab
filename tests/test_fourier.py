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
    points = fourier.half_plane(height, width)
    assert len(points) == ((height - 1) // 2 * 2 + 1) * ((width - 1) // 2 * 2 + 1) // 2  # all but 0 and Nyquist
    pairs = {tuple(k) for k in points.tolist()} | {tuple(k) for k in (-points).tolist()}
    assert len(pairs) == 2 * len(points)
    assert all(2 * abs(y) < height and 2 * abs(x) < width for y, x in pairs)
    assert points.tolist() == sorted(points.tolist())
    x = torch.randn(height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    plane = fourier.spectrum(x)
    down, across = points.T
    here, there = (plane[s * down + height // 2, s * across + width // 2] for s in (1, -1))
    assert torch.allclose(here, there.conj())


@given(height=st.integers(4, 24), width=st.integers(4, 24), whole=st.booleans(), share=st.sampled_from([0.0, 0.4]))
@settings(deadline=None, max_examples=40)
def test_what_cells_say_of_their_points(height, width, whole, share):
    shape = (3, height, width)
    cells = fourier.cells(shape, (fourier.Carrier(2, whole), fourier.Carrier(0, False, share)), 1, 6)
    flat = (cells.channel * height + cells.frequency[:, 0] + height // 2) * width + cells.frequency[:, 1] + width // 2
    assert torch.equal(cells.index, flat)
    assert len(set(cells.index.tolist()) | set(cells.mirror.tolist())) == 2 * len(cells.index)
    four = 4 * cells.frequency.square().sum(1)
    assert ((four >= (2 * cells.ring - 1) ** 2) & (four < (2 * cells.ring + 1) ** 2)).all()
    assert torch.equal(torch.bincount(cells.cell), cells.count)
    assert torch.equal(cells.cell[cells.first], torch.arange(len(cells.count)))
    assert not cells.sync[cells.channel == 2].any()
    which = torch.randperm(len(cells.count), generator=torch.Generator().manual_seed(0))[:5]
    some = cells.take(which)
    assert torch.equal(some.count, cells.count[which])
    for i, cell in enumerate(which):
        assert torch.equal(some.index[some.cell == i], cells.index[cells.cell == cell])
        assert torch.equal(some.frequency[some.cell == i], cells.frequency[cells.cell == cell])


@pytest.mark.parametrize("share", [0.125, 0.5, 0.75, 1.0])
def test_so_much_of_every_ring_is_common(share):
    cells = fourier.cells((1, 64, 64), (fourier.Carrier(0, False, share),), 4, 15)
    for ring in range(4, 16):
        there = cells.sync[cells.ring == ring]
        assert int(there.sum()) == math.floor(len(there) * share)


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
        Pattern("rings", (0,), (), 1, 9).check_fits((4, 16, 16))
    for side in (1, 2):
        with pytest.raises(InputError, match=f"do not fit a 64x{side} latent: such a latent is too small"):
            Pattern("rings", (0,), (), 1, 9).check_fits((4, 64, side))
    with pytest.raises(InputError, match="do not fit a latent of 4 channels"):
        Pattern("rings", (0, 4), (), 1, 3).cells((4, 16, 16))
    with pytest.raises(InputError, match="Rings 9 to 12 have no frequency in a 8x8 latent"):
        Pattern("noise", (0,), (), 9, 12).cells((4, 8, 8))


def test_a_ring_is_half_a_pixel_to_either_side():
    cells = Pattern("rings", (0,), (), 2, 4).cells((1, 32, 32))
    distance = cells.frequency.double().norm(dim=1)
    ring = cells.cell + 2
    assert ((distance >= ring - 0.5) & (distance < ring + 0.5)).all()
    assert torch.equal(torch.bincount(cells.cell), cells.count)


@pytest.mark.parametrize(
    ("shape", "outer"), [((4, 32, 32), 21), ((4, 16, 16), 10), ((4, 24, 40), 22), ((16, 128, 128), 23)]
)
def test_the_widest_pattern_has_all_that_a_latent_has_up_to_its_corners(shape, outer):
    pattern = Pattern.synchronised().widest(shape)
    assert pattern.outer == outer
    pattern.check_fits(shape)
    cells = pattern.cells(shape)
    plane = fourier.half_plane(*shape[1:])
    reached = plane[(fourier.rings(plane) >= 4) & (fourier.rings(plane) <= outer)]
    assert len(cells.count) == 4 * len(reached)
    assert int(cells.ring[cells.sync].max()) == min(15, outer)  # and none further out
    assert set(cells.channel[cells.sync].tolist()) == {0}


def test_the_corners_alter_no_value_within_the_whole_rings():
    narrow = Keyring(SECRET, Pattern(sync_share=0.75))
    wide = Keyring(SECRET, Pattern.synchronised())
    inside = torch.nonzero(wide.cells().ring <= 15).flatten()
    few, many = narrow.values([7])[0], wide.values([7])[0]
    assert torch.equal(wide.cells().frequency[inside], narrow.cells().frequency)
    assert (many[inside.numpy()] == few).all()
    assert narrow.id != wide.id


def test_a_pattern_of_whole_rings_is_not_widened():
    for made in (Pattern("rings"), Pattern.paper(), Pattern("mixed", (0,), (1,))):
        assert made.widest((4, 32, 32)) is made
    with pytest.raises(InputError, match="Rings 4 to 21 do not fit a 32x32 latent: use 1 to 15"):
        Pattern("rings", outer=21).check_fits((4, 32, 32))
    with pytest.raises(InputError, match="Rings 4 to 22 do not fit a 32x32 latent: use 1 to 21"):
        Pattern(outer=22).check_fits((4, 32, 32))
    with pytest.raises(InputError, match="last ring of the synchronisation part"):
        Pattern(sync_share=0.5, sync_outer=16)
