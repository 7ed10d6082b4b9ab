"""Class values and the keyring file."""

import json
import os
import stat

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from treering.errors import InputError, KeyringError
from treering.marks.keyring import Keyring, plain_noise
from treering.marks.patterns import KINDS, Pattern

SECRET = bytes(range(32))


@pytest.fixture
def keyring():
    return Keyring(SECRET)


def test_values_are_standard_complex_normals(keyring):
    values = keyring.values(range(400)).ravel()
    for part in (values.real, values.imag):
        assert stats.kstest(part * np.sqrt(2), "norm").pvalue > 1e-3
    assert abs(np.corrcoef(values.real, values.imag)[0, 1]) < 0.02


def test_real_values_are_standard_normals():
    values = Keyring(SECRET, Pattern("real")).values(range(400))
    assert not values.imag.any()
    assert stats.kstest(values.real.ravel(), "norm").pvalue > 1e-3


def test_a_class_does_not_depend_on_the_others(keyring):
    assert np.array_equal(keyring.values([7])[0], keyring.values(range(10))[7])
    blocks = [values for _, values in keyring.blocks(range(100), rows=7)]
    assert np.array_equal(np.concatenate(blocks), keyring.values(range(100)))
    assert not np.array_equal(keyring.values([7]), keyring.with_secret(bytes(32)).values([7]))


@given(seed=st.integers(0, 2**63), count=st.integers(1, 4))
@settings(deadline=None, max_examples=20)
def test_noise_of_a_picture_depends_on_its_own_seed_alone(seed, count):
    keyring = Keyring(SECRET)
    together = keyring.noise(3, seed, count)
    for i in range(count):
        assert torch.equal(together[i : i + 1], keyring.noise(3, seed + i))


def test_noise_is_pinned():
    """Marks of today must be readable for ever: the values of a class may never change."""
    values = Keyring(SECRET, Pattern("rings", (0,), (), 1, 2)).values([0, 1])
    assert np.allclose(values, PINNED)


def test_negative_class_and_seed_are_refused(keyring):
    for key in (-1, 100, 2**70):
        with pytest.raises(InputError, match=f"has the classes 0 to 99; there is no class {key}"):
            keyring.noise(key, 0)
    with pytest.raises(InputError, match="must not be negative"):
        plain_noise((4, 8, 8), -1)


def test_seeds_count_beyond_32_bits():
    assert not torch.equal(plain_noise((4, 8, 8), 1), plain_noise((4, 8, 8), 1 + 2**32))


def test_streams_of_a_seed_are_independent_and_the_first_is_what_it_always_was():
    """Pictures of old seeds must come out as they did: stream 0 is numpy's Philox of the seed, without more."""
    first, second, third = (plain_noise((4, 64, 64), 7, 2, stream) for stream in range(3))
    for i, noise in enumerate(first):
        generator = np.random.Generator(np.random.Philox(7 + i))
        assert np.array_equal(noise.numpy(), generator.standard_normal((4, 64, 64), np.float32))
    assert torch.equal(first, plain_noise((4, 64, 64), 7, 2))
    pairs = np.corrcoef(torch.cat([first, second, third]).flatten(1).numpy())
    assert np.abs(pairs - np.eye(6)).max() < 5 / 128  # five standard deviations of no correlation


def test_plain_noise_is_standard_normal():
    noise = plain_noise((4, 32, 32), 5, 8)
    assert noise.dtype == torch.float32
    assert stats.kstest(noise.flatten().numpy(), "norm").pvalue > 1e-3


def test_the_secret_is_never_shown(keyring):
    shown = repr(keyring) + str(keyring) + json.dumps(keyring.as_dict())
    assert SECRET.hex() not in shown
    assert repr(SECRET)[2:20] not in shown


@pytest.mark.parametrize("kind", KINDS)
def test_file_round_trip(tmp_path, kind):
    rest = {"mixed": ((0,), (1, 2), 2, 8), "paper": ((0,), (), 1, 6)}.get(kind, ((0, 3), (), 2, 8))
    pattern = Pattern(kind, *rest)
    keyring = Keyring.new(pattern=pattern, classes=3, shape=(4, 40, 24), image_size=(320, 192))
    path = tmp_path / "deep" / "keyring.json"
    keyring.save(path)
    assert Keyring.load(path) == keyring
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == ["keyring.json"]


def test_an_existing_keyring_is_kept(tmp_path, keyring):
    path = tmp_path / "k.json"
    keyring.save(path)
    before = path.read_bytes()
    with pytest.raises(KeyringError, match="exists already; a lost keyring cannot be made again"):
        Keyring.new().save(path)
    assert path.read_bytes() == before
    other = Keyring.new()
    other.save(path, overwrite=True)
    assert Keyring.load(path) == other


def test_a_keyring_that_others_can_read_is_refused(tmp_path, keyring):
    path = tmp_path / "k.json"
    keyring.save(path)
    path.chmod(0o640)
    with pytest.raises(KeyringError, match=r"Other users can read the keyring .*; run: chmod 600"):
        Keyring.load(path)


def test_a_public_keyring_says_so_and_may_be_read_by_all(tmp_path):
    path = tmp_path / "k.json"
    Keyring(SECRET, public=True).save(path)
    path.chmod(0o644)
    assert Keyring.load(path).public
    assert "PUBLIC" in path.read_text()


@given(cut=st.integers(0, 2000))
@settings(deadline=None, max_examples=60)
def test_a_truncated_file_is_refused(tmp_path_factory, cut):
    folder = tmp_path_factory.mktemp("cut")
    Keyring(SECRET, public=True).save(folder / "k.json")
    data = (folder / "k.json").read_bytes()
    (folder / "k.json").write_bytes(data[: min(cut, len(data.rstrip()) - 1)])
    with pytest.raises(KeyringError) as caught:
        Keyring.load(folder / "k.json")
    assert SECRET.hex()[:16] not in str(caught.value)


def change(tmp_path, **changes):
    path = tmp_path / "k.json"
    Keyring(SECRET).save(path, overwrite=True)
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))
    return path


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"version": 2}, "has version 2; this treering reads version 1"),
        ({"format": "other"}, "is not a treering keyring"),
        ({"secret": None}, "is damaged: 'secret' is missing"),
        ({"secret": "zz"}, "is damaged: a value is not of the form that is needed"),
        ({"secret": "00"}, "A secret has 32 bytes, this one has 1"),
        ({"classes": 0}, "at least one class"),
        ({"classes": float("inf")}, "is damaged"),
        ({"shape": [4, 32]}, "is damaged"),
        ({"pattern": {"kind": "spiral"}}, "is damaged"),
        ({"pattern": []}, "is damaged"),
        ({"id": "0" * 16}, "its id does not fit its content"),
    ],
)
def test_a_changed_file_is_refused(tmp_path, changes, sentence):
    with pytest.raises(KeyringError, match=sentence):
        Keyring.load(change(tmp_path, **changes))


@pytest.mark.parametrize("data", [b"", b"\xff\xfe\x00", b"[]", b"null", b"{", b"[" * 100_000])
def test_rubbish_is_refused(tmp_path, data):
    path = tmp_path / "k.json"
    path.write_bytes(data)
    path.chmod(0o600)
    with pytest.raises(KeyringError):
        Keyring.load(path)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(KeyringError, match=r"There is no keyring .*; `treering keys new` makes one"):
        Keyring.load(tmp_path / "none.json")
    with pytest.raises(KeyringError, match="cannot be read: Is a directory"):
        Keyring.load(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(KeyringError, match="cannot be written"):
        Keyring.new().save(tmp_path / "file" / "k.json")


def test_impossible_patterns_are_refused():
    with pytest.raises(InputError, match="There is no pattern 'spiral'"):
        Pattern("spiral")
    with pytest.raises(InputError, match="needs noise channels"):
        Pattern("mixed")
    with pytest.raises(InputError, match="either rings or noise"):
        Pattern("mixed", (0, 1), (1,))
    with pytest.raises(InputError, match="is fixed"):
        Pattern("paper")
    with pytest.raises(KeyringError, match="has 3 classes"):
        Keyring(SECRET, Pattern("paper", (0,), (), 1, 6), classes=4)


def test_the_papers_table():
    values = Keyring(SECRET, Pattern("paper", (0,), (), 1, 6), classes=3).values([0, 2])
    assert values[0, 0] == pytest.approx(80 * 1.2 / 64)
    assert values[1, 5] == pytest.approx(80 * 1.2 / 64)
    assert values[0, 5] == pytest.approx(80 * 1.8 / 64)


PINNED = [[(-1.229708 - 0.31639j), (-1.048679 + 0.020005j)], [(0.355166 + 1.960513j), (1.196399 - 0.007683j)]]
