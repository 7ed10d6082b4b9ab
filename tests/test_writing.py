"""Marks drawn for pictures: classes and nonces that a seed stands for, and embedding with them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from treering import writing
from treering.errors import InputError
from treering.marks.keyring import Keyring
from treering.marks.patterns import Pattern
from treering.reading import Detector
from treering.types import Answer

SECRET = bytes(range(32))
PROMPTS = ["green hills at dawn, trees", "a desert"]


@pytest.fixture(scope="module")
def ring():
    return Keyring(SECRET, Pattern.synchronised(), classes=50, nonces=1000)


@given(seed=st.integers(0, 2**70), ahead=st.integers(0, 5))
@settings(deadline=None, max_examples=20)
def test_marks_of_a_picture_depend_on_its_own_seed_alone(seed, ahead):
    keyring = Keyring(SECRET, classes=100, nonces=64)
    some = writing.draw_marks(keyring, range(10, 90, 3), 6, seed)
    assert writing.draw_marks(keyring, range(10, 90, 3), 1, seed + ahead)[0] == some[ahead]
    assert all(key in range(10, 90, 3) and 0 <= nonce < 64 for key, nonce in some)
    assert [nonce for _, nonce in writing.draw_marks(keyring, [5], 6, seed)] == [nonce for _, nonce in some]


def test_marks_are_drawn_evenly_and_apart():
    keyring = Keyring(SECRET, classes=10, nonces=10)
    drawn = np.asarray(writing.draw_marks(keyring, range(10), 4000, 7))
    counts = np.zeros((10, 10))
    np.add.at(counts, tuple(drawn.T), 1)
    assert stats.chisquare(counts.ravel()).pvalue > 1e-4  # every pair is as likely as the others


def test_marks_that_cannot_be(ring):
    with pytest.raises(InputError, match="there is no class 50"):
        writing.draw_marks(ring, [50], 1, 0)
    with pytest.raises(InputError, match="At least one class"):
        writing.draw_marks(ring, [], 1, 0)
    with pytest.raises(InputError, match="must not be negative"):
        writing.draw_marks(ring, [1], 1, -1)


def test_each_picture_has_a_nonce_of_its_own_and_detection_tells_it(model, ring):
    seed, steps = 40, 6
    pictures = writing.embed(model, ring, 3, PROMPTS, seed, steps)
    nonces = [nonce for _, nonce in writing.draw_marks(ring, [3], 2, seed)]
    assert nonces[0] != nonces[1]
    second = writing.embed(model, ring, 3, PROMPTS[1:], seed + 1, steps, nonce=nonces[1])
    assert np.array_equal(pictures[1:], second)
    result = Detector(model, ring, effort="fast")(pictures[:1])[0]  # 50 000 marks: by a table
    assert (result.key, result.nonce) == (3, nonces[0])
    assert result.as_dict()["nonce"] == nonces[0]
    other = Detector(model, ring, effort="fast", keys=[4])(pictures[:1])[0]
    assert other.answer is not Answer.KEY
    assert other.nonce is None


def test_a_nonce_that_the_keyring_does_not_have(model, ring):
    with pytest.raises(InputError, match="there is no nonce 1000"):
        writing.embed(model, ring, 3, PROMPTS[0], 1, 2, nonce=1000)
