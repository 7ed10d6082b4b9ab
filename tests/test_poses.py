"""Poses: a group of matrices, undone in pixels; borders and flat places."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from treering.errors import ImageError
from treering.pictures import borders
from treering.pictures.poses import Pose, apply, undo

shifts = st.tuples(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3))
similar = st.builds(Pose, st.booleans(), st.floats(-360, 360), st.floats(0.25, 4), st.just(1.0), shifts)
poses = st.builds(Pose, st.booleans(), st.floats(-360, 360), st.floats(0.5, 2), st.floats(0.7, 1.4), shifts)
QUARTERS = [Pose(mirror, 90.0 * turn) for mirror in (False, True) for turn in range(4)]


def drawn(height: int = 96, width: int = 96, seed: int = 0) -> np.ndarray:
    """Soft random colours, uint8 [H, W, 3]."""
    small = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def moved(matrix: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Where a position goes."""
    return matrix[:, :2] @ point + matrix[:, 2]


@given(similar, similar)
def test_composed_poses_are_composed_matrices(second, first):
    try:
        both = second.compose(first)
    except ImageError:
        assert second.scale * first.scale < 1 / 64 or second.scale * first.scale > 64
        return
    sizes, point = ((64, 64), (50, 70), (33, 90)), np.array([5.0, 11.0])
    expected = moved(second.matrix(sizes[1], sizes[2]), moved(first.matrix(sizes[0], sizes[1]), point))
    np.testing.assert_allclose(moved(both.matrix(sizes[0], sizes[2]), point), expected, atol=1e-6)


@given(similar)
def test_an_inverse_takes_everything_back(pose):
    back = pose.inverse().matrix((50, 70), (64, 64))
    point = np.array([5.0, 11.0])
    np.testing.assert_allclose(moved(back, moved(pose.matrix((64, 64), (50, 70)), point)), point, atol=1e-7)


def test_an_inverse_with_an_aspect():
    back = Pose(angle=90, aspect=2).inverse()
    assert back.aspect == pytest.approx(2) and back.angle == pytest.approx(270)
    with pytest.raises(ImageError, match="sheared"):
        Pose(angle=30, aspect=2).inverse()


@pytest.mark.parametrize("wrong", [{"scale": 0.0}, {"aspect": -1.0}, {"angle": float("nan")}, {"shift": (1e9, 0.0)}])
def test_impossible_poses(wrong):
    with pytest.raises(ImageError, match="is no pose"):
        Pose(**wrong)


@pytest.mark.parametrize("pose", QUARTERS)
@pytest.mark.parametrize("size", [(96, 96), (64, 96), (63, 41)])
def test_mirrors_and_quarter_turns_are_exact(pose, size):
    made = drawn(96, 96)[: size[0], : size[1]]
    given_size = size if pose.angle % 180 == 0 else size[::-1]
    expected = np.rot90(made[:, ::-1] if pose.mirror else made, round(pose.angle / 90))
    there = apply(made, pose, given_size)
    np.testing.assert_array_equal(there, expected)
    back, covered = undo(there, pose, size)
    np.testing.assert_array_equal(back, made)
    assert covered.dtype == np.float32 and (covered == 1).all()


@settings(max_examples=40, deadline=None)
@given(poses, st.integers(0, 5))
def test_what_was_done_is_undone_where_it_is_covered(pose, seed):
    made = drawn(seed=seed)
    back, covered = undo(apply(made, pose, (128, 120)), pose, (96, 96))
    assert back.shape == made.shape and covered.shape == (96, 96) and 0 <= covered.min() <= covered.max() <= 1
    # Away from the edge of the given picture, and of what was made (where the fill is mixed in).
    whole = (covered > 0.999) & (np.pad(np.ones((88, 88)), 4) > 0)
    inside = whole & np.roll(whole, 3, 0) & np.roll(whole, -3, 0) & np.roll(whole, 3, 1) & np.roll(whole, -3, 1)
    if inside.sum() > 100:
        assert np.abs(back.astype(int) - made)[inside].mean() < 4


@settings(max_examples=40, deadline=None)
@given(poses)
def test_covered_is_the_share_that_is_seen(pose):
    # A fine grid of points, counted: those that fall into the given picture.
    _, covered = undo(np.zeros((60, 80, 3), np.uint8), pose, (48, 40))
    matrix = pose.matrix((48, 40), (60, 80))
    rows, columns = np.meshgrid((np.arange(48 * 8) - 3.5) / 8, (np.arange(40 * 8) - 3.5) / 8, indexing="ij")
    y, x = (a * rows + b * columns + c for a, b, c in matrix)
    seen = ((y >= -0.5) & (y <= 59.5) & (x >= -0.5) & (x <= 79.5)).reshape(48, 8, 40, 8).mean(axis=(1, 3))
    np.testing.assert_allclose(covered, seen, atol=0.2)
    assert abs(covered.mean() - seen.mean()) < 0.01


def test_reflection_fills_what_is_not_covered():
    made = drawn()
    back, covered = undo(apply(made, Pose(shift=(0.25, 0)), (96, 96)), Pose(shift=(0.25, 0)), (96, 96))
    np.testing.assert_array_equal(back[:72], made[:72])
    np.testing.assert_array_equal(back[72:], made[48:72][::-1])
    assert covered.mean() == pytest.approx(0.75)


def test_shrinking_averages():
    # Lines one pixel wide become grey, not a pattern.
    lines = np.zeros((256, 256, 3), np.uint8)
    lines[::2] = 200
    small = apply(lines, Pose(), (64, 64))
    assert np.abs(small[8:-8].astype(int) - 100).max() <= 6


def page(box: tuple[int, int, int, int], size: tuple[int, int], colour: object, seed: int) -> np.ndarray:
    """A picture pasted into a page of one colour."""
    top, left, bottom, right = box
    whole = np.empty((*size, 3), np.uint8)
    whole[:] = colour
    texture = np.random.default_rng(seed).integers(-30, 31, (bottom - top, right - left, 3))
    whole[top:bottom, left:right] = np.clip(drawn(400, 400, seed)[: bottom - top, : right - left] + texture, 40, 215)
    return whole


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(*[st.integers(0, 60)] * 4),
    st.integers(64, 160),
    st.integers(64, 160),
    st.sampled_from([0, 255, (0, 0, 0), (250, 240, 230), (10, 20, 30)]),
    st.sampled_from([None, 95, 80]),
    st.integers(0, 9),
)
def test_the_pasted_box_is_found(margins, height, width, colour, quality, seed):
    # JPEG smears a bar that is narrower than its blocks.
    above, before, below, after = (m if m >= 8 or not quality else 0 for m in margins)
    box = (above, before, above + height, before + width)
    pixels = page(box, (height + above + below, width + before + after), colour, seed)
    if quality:
        encoded = io.BytesIO()
        Image.fromarray(pixels).save(encoded, "JPEG", quality=quality)
        pixels = np.asarray(Image.open(encoded))
    found = borders.trim(pixels)
    if height * width > 0.99 * pixels.shape[0] * pixels.shape[1]:
        return
    assert 1 <= len(found) <= borders.MOST
    misses = [max(abs(a - b) for a, b in zip(candidate, box, strict=True)) for candidate in found]
    assert (min(misses) if quality else misses[0]) <= 1


def test_letterboxes_and_frames_in_pages():
    assert borders.trim(page((40, 0, 136, 160), (176, 160), 0, 1)) == [(40, 0, 136, 160)]
    framed = page((30, 50, 130, 170), (200, 220), 255, 2)
    framed[20:30, 40:180] = framed[130:140, 40:180] = framed[20:140, 40:50] = framed[20:140, 170:180] = 0
    assert borders.trim(framed) == [(20, 40, 140, 180), (30, 50, 130, 170)]


def test_no_border_no_box():
    assert borders.trim(page((0, 0, 128, 128), (128, 128), 0, 3)) == []
    assert borders.trim(np.full((64, 64, 3), 9, np.uint8)) == []
    assert borders.trim(np.zeros((1, 1, 3), np.uint8)) == []


def test_flat_cells():
    made = page((0, 0, 128, 128), (128, 128), 0, 4)
    assert not borders.flat(made, 8).any()
    corners = borders.flat(apply(made, Pose(angle=45), (128, 128)), 8)
    assert corners.shape == (16, 16)
    assert corners[0, 0] and corners[-1, -1] and not corners[4:12, 4:12].any()
    assert 0.05 < corners.mean() < 0.17
    assert borders.flat(made[:20, :30], 8).shape == (2, 3)
