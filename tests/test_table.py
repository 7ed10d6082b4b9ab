"""Tables of many marks: the same answers as the exact search, corrected for all; a cache that cannot be poisoned."""

import hashlib
import logging
import math
import os
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from treering.errors import InputError
from treering.marks import cache, fourier, keys, nulls, table
from treering.marks.keyring import Keyring, plain_noise
from treering.marks.patterns import Pattern
from treering.marks.table import Table
from treering.reading import evidence
from treering.reading.evidence import Values

SHAPE = (4, 16, 16)
SECRET = bytes(range(32))
PATTERNS = {
    "noise": Pattern("noise", (0, 2), (), 2, 6),
    "synchronised": Pattern("noise", (0, 2), (), 2, 6, sync_share=0.75),
    "rings": Pattern("rings", (0, 1, 2, 3), (), 1, 6),
    "real": Pattern("real", (0, 1, 2, 3), (), 1, 6),
    "mixed": Pattern("mixed", (0, 1), (3,), 1, 6, 1.0),
}
SIMPLE = PATTERNS["noise"]


def ring(pattern=SIMPLE, classes=2000, **rest):
    return Keyring(SECRET, pattern, SHAPE, classes=classes, **rest)


def coefficients(keyring, noise):
    return fourier.coefficients(noise, keyring.cells())[0].numpy()


def hurt(keyring, key, nonce=0, share=0.5):
    """What a bad reading leaves of a marked noise: half of it is another's."""
    return coefficients(keyring, share * keyring.noise(key, 3, nonce=nonce) + (1 - share) * plain_noise(SHAPE, 4))


# the same answers


@pytest.mark.parametrize(
    ("name", "derivation"),
    [(name, version) for name in PATTERNS for version in (1, 2) if (name, version) != ("synchronised", 1)],
)
def test_a_table_names_what_the_exact_search_names(name, derivation):
    keyring = ring(PATTERNS[name], derivation=derivation)
    found = hurt(keyring, 1234)
    exact = keyring.pattern.match(torch.from_numpy(found)[None], keyring.cells(), keyring.marks())[0]
    screened = Table(keyring, length=40).match(found)
    assert (screened.key, screened.nonce) == (exact.key, exact.nonce) == (1234, 0)
    assert screened.z == pytest.approx(exact.z, rel=1e-12)
    assert screened.log10_p == pytest.approx(exact.log10_p, rel=1e-9)  # of 2 000, though 1 000 were looked at
    assert screened.classical_log10_p == pytest.approx(exact.classical_log10_p, rel=1e-9)


def test_some_classes_and_their_nonces():
    keyring = ring(classes=10_000, nonces=8)
    classes = range(9_000, 100, -7)
    one = Table(keyring, classes)
    assert one.tests == len(classes) * 8
    best = one.best(hurt(keyring, classes[700], 5))
    assert best[:2] == (classes[700], 5)
    assert best.tests == one.tests
    assert [one.mark(row) for row in (0, 7, 8)] == [(9000, 0), (9000, 7), (8993, 0)]


def test_a_small_and_a_large_search_say_the_same(monkeypatch):
    keyring = ring(PATTERNS["synchronised"], nonces=2)
    noise = (0.5 * keyring.noise(77, 3, nonce=1) + 0.5 * plain_noise(SHAPE, 4))[0].numpy()
    kept = Values(keyring, range(1500))
    assert kept.table is None
    known = kept.read(noise)
    monkeypatch.setattr(evidence, "CACHED", 1)
    screened = Values(keyring, range(1500))
    assert screened.table is not None
    found = screened.read(noise)
    assert (found.match.key, found.match.nonce) == (77, 1)
    assert found.log10_sync == known.log10_sync
    assert found.match.log10_p == pytest.approx(known.match.log10_p, rel=1e-9)


def test_a_mark_among_a_hundred_thousand_is_named():
    keyring = Keyring(SECRET, Pattern.synchronised(), classes=10_000, nonces=10)
    one = Table(keyring, length=32)
    noise = keyring.noise(6_789, 5, nonce=3) * 0.4 + 0.6 * plain_noise(keyring.shape, 6)
    match = one.match(coefficients(keyring, noise))
    assert (match.key, match.nonce) == (6_789, 3)
    single = float(nulls.log_p(match.z)) / math.log(10)
    assert match.log10_p == pytest.approx(single + 5, abs=1e-6)  # all were searched, whatever the screen left


def test_an_empty_reading_is_the_first_mark_and_no_evidence():
    keyring = ring()
    match = Table(keyring).match(np.zeros(len(keyring.cells().index), np.complex128))
    assert (match.key, match.z) == (0, 0)
    assert match.log10_p > -1e-6


def test_what_a_table_says_of_other_secrets_is_valid():
    noise = plain_noise(SHAPE, 9) + torch.linspace(-1, 1, 16)
    logs = []
    for i in range(100):
        keyring = replace(ring(Pattern("noise", (0,), (), 2, 4), 1200), secret=hashlib.sha256(bytes([i])).digest())
        logs.append(Table(keyring, length=16).match(coefficients(keyring, noise)).log10_p)
    p = 10.0 ** np.asarray(logs)
    assert stats.kstest(p, "uniform", alternative="greater").pvalue > 1e-3  # never too many small ones


# the screen


@given(row=st.integers(0, 299), seed=st.integers(0, 99), length=st.integers(1, 200))
@settings(deadline=None, max_examples=15)
def test_the_screen_has_the_values_to_half_a_step(row, seed, length):
    keyring = ring(classes=300, nonces=1)
    one = Table(keyring, length=length)
    key, _ = one.mark(row)
    values = keyring.values([key])[0][one.order] * np.sqrt(2)
    exact = np.concatenate([values.real, values.imag])
    inside = np.abs(exact) < 4
    assert np.abs(one.values[row] * keys.STEP - exact)[inside].max() < 0.51 * keys.STEP
    found = coefficients(keyring, plain_noise(SHAPE, seed))
    weighted = fourier.read(torch.from_numpy(found)[None], keyring.cells()).numpy()[0] * keyring.weights()
    scores = (keyring.values(range(300))[:, one.order] @ weighted[one.order].conj()).real
    assert np.corrcoef(scores, one.scores(found))[0, 1] > 0.999


def test_a_table_does_not_depend_on_memory_or_chance(monkeypatch):
    keyring = ring(classes=1000)
    once = Table(keyring)
    monkeypatch.setattr(table, "_ROWS", 37)
    again = Table(keyring)
    assert np.array_equal(once.values, again.values)
    found = hurt(keyring, 500)
    assert once.scores(found) == pytest.approx(again.scores(found), rel=1e-4)


def test_the_most_reliable_come_first():
    keyring = ring(PATTERNS["synchronised"])
    cells = keyring.cells()
    place = table.places(cells)
    usual = table.order(cells, keyring)
    assert not cells.sync[cells.first].numpy()[usual].any()
    assert len(usual) == int((~cells.sync[cells.first]).sum())
    assert [tuple(place[i, :2]) for i in (usual[0], usual[-1])] == [(0, 6), (2, 6)]
    profile = [(2, 4), (0, 3)]
    chosen = table.order(cells, keyring, profile)
    assert sorted(chosen) == sorted(usual)
    named = [tuple(map(int, place[i, :2])) for i in chosen]
    count = sum(one in profile for one in named)
    assert list(dict.fromkeys(named[:count])) == profile
    found = hurt(keyring, 321)
    assert Table(keyring, length=30, profile=profile).best(found).key == 321


@given(scores=st.lists(st.integers(0, 5), min_size=1, max_size=60), count=st.integers(1, 60))
def test_the_highest_rows_and_of_equal_ones_the_first(scores, count):
    expected = sorted(sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:count])
    assert table.highest(np.asarray(scores, np.float32), count).tolist() == expected


def test_a_table_stays_small():
    million = Keyring(SECRET, Pattern.synchronised(), classes=1_000_000)
    assert table.fits(million)
    assert table._length(10**6) * 2 * 10**6 <= 256e6
    assert table._length(10**5) == 256


def test_what_has_no_table():
    assert not table.fits(Keyring(SECRET, classes=2 * table.MOST))
    with pytest.raises(InputError, match="more than the 16777216 of one search"):
        Table(Keyring(SECRET, classes=2**25))
    with pytest.raises(InputError, match="1 to 4194304 marks of a pattern whose values are secret"):
        Table(Keyring(SECRET, Pattern.paper(), (4, 64, 64), classes=3))
    with pytest.raises(InputError, match="there is no class 2000"):
        Table(ring(), [2000])


# the cache


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "_KEPT", 1)
    return tmp_path / "cache" / "tables"


def files(folder: Path):
    return sorted(path.name for path in folder.iterdir())


def no_making(*_):
    raise AssertionError("the table was made anew")


def test_a_table_is_kept_for_its_owner_and_read_again(folder, monkeypatch):
    keyring = ring(PATTERNS["synchronised"])
    made = Table(keyring, folder=folder)
    (name,) = files(folder)
    assert name.startswith(keyring.id)
    if os.name == "posix":
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    monkeypatch.setattr(Table, "_made", no_making)
    again = Table(keyring, folder=folder)
    assert np.array_equal(made.values, again.values)
    assert SECRET not in (folder / name).read_bytes()


def spoiled(data: bytes) -> dict[str, bytes]:
    middle = len(data) // 2
    return {
        "a bit": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
        "the head": b"T" + data[1:],
        "the MAC": data[:-1] + bytes([data[-1] ^ 128]),
        "two rows": data[:64] + data[96:128] + data[64:96] + data[128:],
        "cut short": data[:-1000],
        "longer": data + bytes(10),
        "empty": b"",
    }


@pytest.mark.parametrize("what", spoiled(bytes(200)))
def test_a_spoiled_table_is_made_anew(folder, caplog, what):
    keyring = ring()
    made = Table(keyring, folder=folder).values.copy()
    (name,) = files(folder)
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(spoiled(whole)[what])
    with caplog.at_level(logging.WARNING, "treering"):
        again = Table(keyring, folder=folder)
    assert np.array_equal(made, again.values)
    assert (folder / name).read_bytes() == whole
    assert len(caplog.records) == 1
    assert "is made anew" in caplog.text
    assert keyring.secret.hex() not in caplog.text


def test_a_table_serves_one_purpose(folder, caplog, monkeypatch):
    """The file of another keyring, other classes, nonces, order or length is none, even under the right name."""
    keyring = ring(classes=601)
    Table(keyring, range(600), folder=folder)
    (name,) = files(folder)
    data = (folder / name).read_bytes()
    monkeypatch.setattr(cache.Kept, "path", property(lambda self: folder / name))
    others = [
        (replace(keyring, secret=bytes(32)), {"keys": range(600)}),
        (keyring, {"keys": range(1, 601)}),
        (keyring, {"keys": [*range(599), 600]}),
        (replace(keyring, nonces=2), {"keys": range(300)}),
        (keyring, {"keys": range(600), "profile": [(2, 4)]}),
        (keyring, {"keys": range(600), "length": 44}),
    ]
    for other, how in others:
        (folder / name).write_bytes(data)
        caplog.clear()
        assert np.array_equal(Table(other, folder=folder, **how).values, Table(other, **how).values)
        assert "is made anew" in caplog.text


@pytest.mark.skipif(os.name != "posix", reason="modes and links of POSIX")
def test_a_table_that_others_can_read_and_a_link_are_not_used(folder, caplog, tmp_path):
    keyring = ring(classes=50)
    Table(keyring, folder=folder)
    (name,) = files(folder)
    (folder / name).chmod(0o640)
    folder.chmod(0o755)
    Table(keyring, folder=folder)
    assert "others could read it" in caplog.text
    assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    caplog.clear()
    elsewhere = (folder / name).rename(tmp_path / "elsewhere")
    (folder / name).symlink_to(elsewhere)
    Table(keyring, folder=folder)
    assert "cannot be read, so it is made anew" in caplog.text
    assert not (folder / name).is_symlink()


def test_a_cache_that_cannot_be_written_is_no_failure(folder, caplog, tmp_path):
    (tmp_path / "cache").write_text("a file")
    assert Table(ring(classes=50), folder=folder).tests == 50
    assert "The table of marks is not kept." in caplog.text
    if os.name == "posix":
        caplog.clear()
        (tmp_path / "cache").unlink()
        (tmp_path / "cache").mkdir()
        (tmp_path / "real").mkdir()
        folder.symlink_to(tmp_path / "real")
        Table(ring(classes=50), folder=folder)
        assert "is not a folder of your own" in caplog.text
        assert not list((tmp_path / "real").iterdir())


def test_old_tables_go_and_nothing_else(folder):
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    for i in range(cache.KEPT + 2):
        Table(ring(classes=50 + i), folder=folder)
        for place, name in enumerate(files(folder)):  # the clock of a file system may be coarse
            if name.endswith(".table"):
                path = folder / name
                os.utime(path, (1e9 + path.stat().st_size + place / 100,) * 2)
    kept = [path for path in folder.iterdir() if path.suffix == ".table"]
    assert len(kept) == cache.KEPT
    assert (folder / "notes.txt").exists()


def test_where_tables_are_kept(monkeypatch, tmp_path):
    monkeypatch.setenv(cache.VARIABLE, cache.OFF)
    assert cache.folder() is None
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path))
    assert cache.folder() == tmp_path / "tables"
    monkeypatch.delenv(cache.VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    found = cache.folder()
    assert found is not None
    assert found.parts[-2:] == ("treering", "tables")


def test_small_tables_are_not_kept(tmp_path):
    Table(ring(), folder=tmp_path / "tables")
    assert not (tmp_path / "tables").exists()
