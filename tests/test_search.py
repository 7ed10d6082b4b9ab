"""The pose search: weights that add up, poses that are found, and p-values that are never too small."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from treering import inversion
from treering.errors import InputError
from treering.marks import fourier
from treering.marks.keyring import plain_noise
from treering.models.schedule import probe
from treering.pictures import images
from treering.reading import affine as maps
from treering.reading import lattice as grid
from treering.reading import search
from treering.reading.affine import affine, linear
from treering.reading.lattice import FINE, LEFT_OVER, Fine, Prior, wide
from treering.reading.offset import Turned, measure
from treering.reading.search import confirm
from treering.reading.spectra import Template, coefficients, scores
from treering.research.changes import POSES
from treering.statistics import wilson


def points(shape: tuple[int, int, int], inner: int = 4, outer: int = 15) -> tuple[np.ndarray, np.ndarray]:
    """Channel ``[N]`` and frequency ``[N, 2]`` of every half-plane point of these rings."""
    cells = cells_of(shape, inner, outer)
    return cells.channel.numpy(), cells.frequency.numpy()


def cells_of(shape: tuple[int, int, int], inner: int, outer: int) -> fourier.Cells:
    return fourier.cells(shape, tuple(fourier.Carrier(c, False) for c in range(shape[0])), inner, outer)


def values(rng: np.random.Generator, count: int) -> np.ndarray:
    return (rng.standard_normal(count) + 1j * rng.standard_normal(count)) / math.sqrt(2)


def posed(channel, frequency, key, shape, size, pose) -> np.ndarray:
    """A noise of ``shape`` in which the mark of a latent of ``size`` lies in a pose, by its waves, cell by cell."""
    start = 0.5 - 0.5 / np.asarray(size)
    here = [(np.arange(n) + 0.5) / n - 0.5 for n in shape[1:]]
    back = maps.invert(pose)
    made = np.stack(np.meshgrid(*here, indexing="ij"), -1) @ back[:, :2].T + back[:, 2]  # [h, w, 2]
    seen = (np.abs(made) <= 0.5).all(-1)
    noise = np.zeros(shape)
    for c in range(shape[0]):
        phase = (made + start) @ frequency[channel == c].T
        waves = (np.exp(2j * np.pi * phase) @ key[channel == c]).real
        noise[c] = 2 / math.sqrt(size[0] * size[1]) * waves * seen
    return noise.astype(np.float32)


def corners(pose: np.ndarray) -> np.ndarray:
    back = maps.invert(pose)
    frame = np.array([(y, x) for y in (-0.5, 0.5) for x in (-0.5, 0.5)])
    return frame @ back[:, :2].T + back[:, 2]


# ------------------------------------------------------------------------------------------ weights


@pytest.mark.parametrize("ratio", [1.0, 152 / 96, 0.5])
@pytest.mark.parametrize("smallest", [0.25, 0.5, 1.0])
def test_all_weights_together_are_at_most_one(smallest: float, ratio: float) -> None:
    lattice = wide(smallest, 1.72, ratio)
    assert 0.999 < lattice.total <= 1 + 1e-9
    assert (lattice.inner <= lattice.outer).all()
    assert (lattice.outer < 0.5 / lattice.step).all()


def test_the_weights_counted_one_by_one() -> None:
    lattice = wide(0.9, 1.1)
    box = np.arange(-31, 32)
    shifts = np.stack(np.meshgrid(box, box, indexing="ij"), -1).reshape(-1, 2)
    total = sum(
        float(np.exp(lattice.log_weight(np.full(len(shifts), warp), shifts)).sum()) for warp in range(len(lattice))
    )
    assert total == pytest.approx(lattice.total, rel=1e-9)
    assert total <= 1 + 1e-9


@pytest.mark.parametrize("fine", [FINE, LEFT_OVER, Fine((0.0,), (1.0,), (0.0,))])
def test_a_hypothesis_and_its_fine_points_share_its_weight(fine: Fine) -> None:
    assert 0.5 + np.exp(fine.log_shares()).sum() <= 1 + 1e-12
    assert fine.log_shares().shape == (len(fine.warps()), len(fine.offsets()))
    assert fine.log_shares().size == fine.count


def test_parts_of_a_lattice_have_the_weight_of_the_whole() -> None:
    lattice = wide()
    frames = [(0, 1), (45, 1), (90, 1), (180, 1), (270, 1), (0, 0.6)]
    owners = grid.nearest(lattice, frames)
    assert sorted(np.concatenate(owners)) == list(range(len(lattice)))
    parts = [lattice.part(chosen) for chosen in owners]
    assert sum(part.total for part in parts) == pytest.approx(lattice.total)
    assert min(part.total for part in parts) > 0


def test_a_prior_that_spends_too_much_is_refused() -> None:
    with pytest.raises(InputError, match="add up to 1"):
        Prior(rest=0.5)
    with pytest.raises(InputError, match="between 1/4 and 4"):
        wide(0.1)


# ------------------------------------------------------------------------------------------ geometry


@settings(max_examples=50, deadline=None)
@given(st.booleans(), st.floats(-179, 180), st.floats(0.25, 4), st.floats(0.5, 2), st.floats(0.5, 2))
def test_factors_undo_linear(mirror: bool, angle: float, span: float, aspect: float, ratio: float) -> None:
    found = maps.factors(linear(mirror, angle, span, aspect, ratio), ratio)
    assert found[0] == mirror
    assert found[1:] == pytest.approx((angle, span, aspect), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("name", POSES)
def test_the_truth_about_a_change_is_where_the_pixels_went(name: str) -> None:
    picture = np.zeros((256, 256, 3), np.uint8)
    spots = np.array([(100, 140), (128, 96), (150, 150)])
    given_, truth = POSES[name](picture, np.random.default_rng(3))
    back = maps.invert(truth)
    for row, column in spots:  # a spot at a place of the changed picture, put where it must have come from
        place = back[:, :2] @ ((np.array([row, column]) + 0.5) / 256 - 0.5) + back[:, 2]
        made = ((place + 0.5) * 256 - 0.5).round().astype(int)
        if (made < 12).any() or (made > 243).any():
            continue
        marked = picture.copy()
        marked[made[0] - 6 : made[0] + 7, made[1] - 6 : made[1] + 7, 0] = 255
        changed = POSES[name](marked, np.random.default_rng(3))[0].astype(float)[..., 0] - given_[..., 0]
        changed[np.abs(changed) < 100] = 0
        centre = [np.average(np.arange(256), weights=np.abs(changed).sum(axis)) for axis in (1, 0)]
        assert centre == pytest.approx([row, column], abs=1.5)


def test_the_natural_pose_is_near_and_kept() -> None:
    exact = affine(linear(True, 90.0, 1.0), np.zeros(2))
    near = affine(linear(True, 90.6, 1.008), np.array([0.006, -0.004]))
    assert np.allclose(maps.natural(near), exact)
    assert np.allclose(maps.natural(exact), exact)
    far = affine(linear(False, 30.0, 0.8, 1.1), np.array([0.05, 0.0]))
    assert np.allclose(maps.natural(far), far)
    found = search.Candidate(near, near, 8.0, -5.0)
    first, second = found.ways()
    assert np.allclose(first.affine, exact)
    assert np.allclose(second.affine, near)
    assert sum(10**one.log10_weight for one in found.ways()) == pytest.approx(10**found.log10_weight)
    assert search.Candidate(exact, near, 8.0, -5.0).ways()[0].log10_weight == -5.0


# ------------------------------------------------------------------------------------------ scores


@pytest.mark.parametrize("shape", [(4, 32, 32), (2, 36, 56), (16, 33, 34)])
def test_as_given_the_coefficients_are_those_of_the_spectrum(shape: tuple[int, int, int]) -> None:
    channel, frequency = points(shape)
    noise = plain_noise(shape, 7)
    cells = cells_of(shape, 4, 15)
    found = coefficients(noise[0].numpy(), channel, frequency, np.eye(2, 3))
    assert np.allclose(found, fourier.coefficients(noise, cells).numpy()[0], atol=1e-10)


@settings(max_examples=20, deadline=None)
@given(st.booleans(), st.floats(-180, 180), st.floats(0.5, 1.7), st.floats(-0.3, 0.3), st.integers(0, 1000))
def test_a_score_is_the_key_against_the_coefficients(
    mirror: bool, angle: float, span: float, move: float, seed: int
) -> None:
    shape, rng = (3, 24, 40), np.random.default_rng(seed)
    channel, frequency = points(shape, 2, 9)
    key, noise = values(rng, len(channel)), rng.standard_normal(shape).astype(np.float32)
    matrix, shift = linear(mirror, angle, span, 1.1, 40 / 24), np.array([move, -move / 2])
    m = coefficients(noise, channel, frequency, affine(matrix, shift))
    z = (m.conj() * key).real.sum() / math.sqrt(0.5 * (np.abs(m) ** 2).sum())
    template = Template.of(channel, frequency, key, (24, 40))
    assert scores(noise, template, matrix[None], shift[None])[0, 0] == pytest.approx(z, abs=1e-9)


def test_the_screen_knows_the_scores() -> None:
    shape, rng = (4, 32, 32), np.random.default_rng(0)
    channel, frequency = points(shape)
    template = Template.of(channel, frequency, values(rng, len(channel)), (32, 32))
    noise, lattice = rng.standard_normal(shape).astype(np.float32), wide(0.9, 1.1)
    warp, shift, level = (found[:200] for found in search.screen(noise, template, lattice))
    exact = np.array(
        [
            scores(noise, template, lattice.matrix[w][None], lattice.step * s[None])[0, 0]
            for w, s in zip(warp, shift, strict=True)
        ]
    )
    true = stats.norm.logsf(exact) - lattice.log_weight(warp, shift)
    assert np.abs(true - level).max() < 0.35  # z to about 0.07
    assert len(warp) > 50
    assert (np.diff(level) >= 0).all()


# ------------------------------------------------------------------------------------------ found

CASES = {
    "mirrored": ((4, 32, 32), (True, 0.0, 1.0), (0.05, -0.02)),
    "turned": ((1, 32, 32), (False, 31.4, 0.8), (0.03, 0.0)),
    "upside down": ((1, 32, 32), (False, 181.0, 1.02), (0.0, 0.01)),
    "cropped": ((4, 32, 32), (False, 0.0, 0.69), (-0.11, 0.13)),
    "page": ((4, 32, 32), (False, 0.0, 1.5), (0.2, 0.1)),
    "wide latent": ((2, 24, 38), (True, -62.0, 0.9), (0.0, -0.03)),
    "large latent": ((1, 64, 64), (False, 100.0, 0.6), (0.1, 0.1)),
    "many channels": ((16, 32, 32), (True, 12.0, 0.9), (0.0, 0.0)),
}


@pytest.mark.parametrize(("shape", "pose", "shift"), CASES.values(), ids=CASES)
def test_a_pose_is_found(
    shape: tuple[int, int, int], pose: tuple[bool, float, float], shift: tuple[float, float]
) -> None:
    rng, ratio = np.random.default_rng(1), shape[2] / shape[1]
    outer = min(15, (min(shape[1:]) - 1) // 2)
    channel, frequency = points(shape, 4, outer)
    key = values(rng, len(channel))
    truth = affine(linear(*pose, 1.0, ratio), np.array(shift))
    noise = posed(channel, frequency, key, shape, shape[1:], truth) + rng.standard_normal(shape).astype(np.float32)
    best = search.search(noise, Template.of(channel, frequency, key, shape[1:]), wide(0.5, 1.72, ratio), keep=3)[0]
    assert np.abs(corners(best.affine) - corners(truth)).max() < 0.06
    assert best.log10_corrected < -6
    mirror, angle, scale, _, moved = best.pose(ratio)
    assert mirror == pose[0]
    assert (angle - pose[1] + 180) % 360 - 180 == pytest.approx(0, abs=2.5)
    assert 1 / scale == pytest.approx(pose[2], rel=0.05)
    assert moved == pytest.approx(truth[:, 2] * (ratio**-0.5, ratio**0.5), abs=0.06)


def test_the_noise_of_another_reading_size_and_frame() -> None:
    """A latent of 24x24 cells read after a quarter turn in pixels, of a mark made in 32x32 cells."""
    rng = np.random.default_rng(5)
    channel, frequency = points((4, 32, 32))
    key = values(rng, len(channel))
    frame = linear(False, 90.0, 1.0)
    truth = affine(linear(False, 93.0, 0.8), np.zeros(2))
    inside = maps.chain(maps.invert(affine(frame, np.zeros(2))), truth)
    noise = posed(channel, frequency, key, (4, 24, 24), (32, 32), inside)
    noise = noise + rng.standard_normal(noise.shape).astype(np.float32)
    whole = wide(0.7, 1.2)
    part = whole.part(grid.nearest(whole, [(0, 1), (90, 1)])[1], frame)
    template = Template.of(channel, frequency, key, (32, 32))
    best = search.search(noise, template, part, keep=2, frame=search.Frame(affine(frame, np.zeros(2))))[0]
    assert np.abs(corners(best.affine) - corners(truth)).max() < 0.05
    assert best.log10_corrected < -6
    m = coefficients(noise, channel, frequency, best.within, (32, 32))
    z = (m.conj() * key).real.sum() / math.sqrt(0.5 * (np.abs(m) ** 2).sum())
    assert z == pytest.approx(best.z, abs=1e-9)


def test_confirm_finds_what_is_left_over() -> None:
    rng = np.random.default_rng(2)
    channel, frequency = points((4, 32, 32))
    key = values(rng, len(channel))
    template = Template.of(channel, frequency, key, (32, 32))
    left = affine(linear(False, 1.0, 1.0), np.array([2.5, -1.0]) / 64)
    noise = posed(channel, frequency, key, (4, 32, 32), (32, 32), left)
    noise = noise + rng.standard_normal(noise.shape).astype(np.float32)
    undone = affine(linear(True, 30.0, 0.9), np.array([0.1, 0.0]))
    first = search.Candidate(undone, undone, 7.0, -5.0)
    best = confirm(noise, template, first, LEFT_OVER)
    assert np.abs(best.within - left).max() < 0.01
    assert np.abs(best.affine - maps.chain(undone, left)).max() < 0.02
    assert best.log10_weight == pytest.approx(-5 - math.log10(4 * LEFT_OVER.count), abs=0.01)
    still = confirm(rng.standard_normal((4, 32, 32)).astype(np.float32), template, first, LEFT_OVER)
    assert still.log10_weight < first.log10_weight  # never better than what it came from
    assert still.log10_corrected > -1


# ------------------------------------------------------------------------------------------ noise against pixels


@settings(max_examples=30, deadline=None)
@given(st.floats(-1, 1), st.floats(-1, 1), st.booleans(), st.floats(-180, 180), st.floats(0.5, 1.7))
def test_an_offset_of_the_noise_moves_poses_of_pixels(
    down: float, across: float, mirror: bool, angle: float, span: float
) -> None:
    pixels = affine(linear(mirror, angle, span), np.array([0.1, -0.2]))
    made, read = (np.array([down, across]) / size for size in (32, 24))
    noise = pixels.copy()  # noise lies at pixels + offset in both frames
    noise[:, 2] += read - pixels[:, :2] @ made
    undone = affine(linear(False, 90.0, 1.0), np.zeros(2))
    found = search.Frame(undone, (down, across)).pixels(noise, (32, 32), (24, 24))
    assert np.allclose(found, maps.chain(undone, pixels))


def test_the_offset_is_measured() -> None:
    rng = np.random.default_rng(8)
    channel, frequency = points((4, 32, 32))
    readings = []
    for matrix in (linear(False, 180.0, 1.0), linear(True, 180.0, 1.0), linear(False, 90.0, 1.0)):
        truth, key = affine(matrix, np.zeros(2)), values(rng, len(channel))
        moved = truth.copy()
        moved[:, 2] += (np.eye(2) - matrix) @ (np.array([0.35, -0.2]) / 32)
        noise = posed(channel, frequency, key, (4, 32, 32), (32, 32), moved)
        readings.append(Turned(noise, Template.of(channel, frequency, key, (32, 32)), truth))
    assert measure(readings) == pytest.approx((0.35, -0.2), abs=0.07)
    for one in readings[:1]:
        with pytest.raises(InputError, match="Too few marks"):
            measure([Turned(rng.standard_normal((4, 32, 32)).astype(np.float32), one.template, one.truth)])


def test_a_flipped_picture_of_the_demo_is_found_where_it_is(model, keyring, pictures) -> None:
    schedule, f = probe(model.scheduler(), 5), model.denoiser([""])
    channel, frequency = points((4, 32, 32))
    template = Template.of(channel, frequency, keyring.values([1])[0], (32, 32))
    readings = []
    for name in ("quarter turn", "flip"):
        changed, truth = POSES[name](pictures[1], np.random.default_rng(0))
        latent = model.encode(torch.from_numpy(images.to_float(changed[None])))
        noise = inversion.invert_sampler(schedule, f, latent)[0].numpy()
        readings.append(Turned(noise, template, truth))
    offset = measure(readings)
    best = search.search(noise, template, wide(0.9, 1.1), keep=1, frame=search.Frame(offset=offset))[0]
    assert best.log10_corrected < -6
    assert np.abs(corners(best.affine) - corners(truth)).max() * 256 < 3.5
    plain = search.search(noise, template, wide(0.9, 1.1), keep=1)[0]
    assert np.abs(corners(plain.affine) - corners(truth)).max() * 256 > 3.5


# ------------------------------------------------------------------------------------------ validity


def noises() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(11)
    white = rng.standard_normal((4, 32, 32))
    down, across = np.meshgrid(np.fft.fftfreq(32), np.fft.fftfreq(32), indexing="ij")
    colour = 1 / (0.02 + np.hypot(down, across)) ** 2
    ramp = np.linspace(-1, 1, 32)
    return {
        "white": white,
        "coloured": np.fft.ifft2(np.fft.fft2(white) * colour).real,
        "nearly constant": 3 + ramp[:, None] + 0.01 * white,
        "low rank": np.stack([np.outer(np.sin(9 * ramp + c), np.cos(14 * ramp)) for c in range(4)]),
        "one cell": np.where(np.arange(1024).reshape(32, 32) == 500, 1.0, 0.0) + np.zeros((4, 1, 1)),
    }


@pytest.mark.parametrize("name", noises())
def test_wrong_values_are_never_too_sure(name: str) -> None:
    """Corrected p of wrong templates is one-sided above uniform, whatever the noise; uncorrected it would fail."""
    noise, rng = noises()[name].astype(np.float32), np.random.default_rng(12)
    channel, frequency = points((4, 32, 32))
    sync, lattice, count = np.flatnonzero(channel == 0), wide(1.0, 1.0), 40
    found = []
    for _ in range(count):
        template = Template.of(channel[sync], frequency[sync], values(rng, len(sync)), (32, 32))
        found.append(search.search(noise, template, lattice, keep=2)[0])
    corrected = 10.0 ** np.array([one.log10_corrected for one in found])
    for level in (0.02, 0.1, 0.3):
        assert wilson(int((corrected <= level).sum()), count, 0.9999)[0] <= level
    raw = 10.0 ** np.array([one.log10_p for one in found])
    assert wilson(int((raw <= 0.1).sum()), count, 0.9999)[0] > 0.1  # the correction is needed, and the test sees it


@pytest.mark.parametrize("name", noises())
def test_one_hypothesis_is_standard_normal(name: str) -> None:
    noise, rng = noises()[name].astype(np.float32), np.random.default_rng(13)
    channel, frequency = points((4, 32, 32))
    pose = affine(linear(True, 37.0, 0.8, 1.1), np.array([0.1, -0.2]))
    m = coefficients(noise, channel, frequency, pose)
    keys = values(rng, 2000 * len(m)).reshape(2000, -1)
    z = (keys @ m.conj()).real / math.sqrt(0.5 * (np.abs(m) ** 2).sum())
    assert stats.kstest(z, "norm").pvalue > 1e-4
    assert abs(stats.skew(z)) < 0.25


def test_nothing_to_read_gives_no_candidate() -> None:
    channel, frequency = points((4, 32, 32))
    template = Template.of(channel, frequency, np.ones(len(channel), np.complex128), (32, 32))
    lattice, noise = wide(1.0, 1.0), plain_noise((4, 32, 32), 3)[0].numpy()
    assert search.search(np.zeros_like(noise), template, lattice) == []
    assert search.search(noise, template, lattice, covered=np.zeros((32, 32), np.bool_)) == []
    assert search.search(np.full_like(noise, np.nan), template, lattice) == []
    with pytest.raises(InputError, match="does not fit"):
        search.search(noise, template, lattice, covered=np.ones((16, 16), np.bool_))
    with pytest.raises(InputError, match="one value for each"):
        Template.of(channel[[0, 0]], frequency[[0, 0]], np.ones(2, np.complex128), (32, 32))


def test_a_search_does_not_depend_on_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    channel, frequency = points((1, 32, 32))
    template = Template.of(channel, frequency, values(rng, len(channel)), (32, 32))
    noise, lattice = rng.standard_normal((1, 32, 32)).astype(np.float32), wide(0.95, 1.05)
    once = search.search(noise, template, lattice, keep=3)
    monkeypatch.setattr(search, "_ROWS", 1 << 14)
    again = search.search(noise, template, lattice, keep=3)
    assert [one.level for one in once] == pytest.approx([one.level for one in again], abs=1e-9)
    assert all(np.array_equal(a.affine, b.affine) for a, b in zip(once, again, strict=True))
