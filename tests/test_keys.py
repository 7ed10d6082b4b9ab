"""Keys: from a secret to values, their vectors, and what a keyring may be."""

import cmath
import hashlib
import json
import math
import struct
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from treering.errors import InputError, KeyringError, ModelError
from treering.marks import fourier
from treering.marks import keys as streams
from treering.marks.keyring import Keyring, plain_noise
from treering.marks.patterns import Pattern

SECRET = bytes(range(32))

FIRST = {
    "noise": (
        Pattern(),
        (4, 32, 32),
        "df0e9ee9ef605571",
        3225.010163,
        [
            (0, 0, 4, [-1.229708074 - 0.316390375j, -0.603800049 + 1.328623972j]),
            (0, 0, 5, [-1.048679363 + 0.020004545j, -0.446885342 + 0.339812124j]),
            (2, 0, 4, [-0.481584056 + 0.488705144j, -0.141986865 + 0.707470839j]),
            (3, 15, 3, [-0.946666921 + 1.507424787j, -0.179240446 - 1.53150099j]),
        ],
    ),
    "noise2": (
        Pattern("noise", (2, 0), (), 1, 5, 1),
        (3, 16, 16),
        "9663f4e8e03aeb6a",
        604.179022,
        [
            (2, 0, 1, [-1.229708074 - 0.316390375j, -0.603800049 + 1.328623972j]),
            (2, 0, 2, [-1.048679363 + 0.020004545j, -0.446885342 + 0.339812124j]),
            (0, 0, 1, [0.546184273 + 0.698214786j, -0.514646383 + 0.942436873j]),
            (0, 5, 2, [-0.107768084 + 0.798625686j, 0.379474491 - 0.546789845j]),
        ],
    ),
    "rings": (
        Pattern("rings", (0, 3), (), 2, 8),
        (4, 40, 24),
        "3196d482ec596c3c",
        3107.758905,
        [
            (0, 0, 2, [-1.229708074 - 0.316390375j, -0.603800049 + 1.328623972j]),
            (0, 0, 3, [-1.048679363 + 0.020004545j, -0.446885342 + 0.339812124j]),
            (3, 0, 2, [2.236149395 - 0.293327187j, -0.329524275 + 0.57347882j]),
            (3, 8, 2, [-0.309971063 + 0.24789348j, -0.64582196 + 0.966817872j]),
        ],
    ),
    "real": (
        Pattern("real", (1, 0, 2), (), 1, 5),
        (3, 16, 16),
        "9d69655a60d51032",
        639.079865,
        [
            (1, 0, 1, [-1.739069837 + 0.0j, -0.853902218 + 0.0j]),
            (1, 0, 2, [-0.44744356 + 0.0j, 1.87895804 + 0.0j]),
            (0, 2, 3, [0.257448484 + 0.0j, 1.789773304 + 0.0j]),
            (2, 5, 2, [3.162392802 + 0.0j, -0.466017699 + 0.0j]),
        ],
    ),
    "mixed": (
        Pattern("mixed", (0, 2), (1,), 2, 5),
        (3, 17, 16),
        "e1f35ac269fd3caf",
        677.826064,
        [
            (0, 0, 2, [-1.229708074 - 0.316390375j, -0.603800049 + 1.328623972j]),
            (0, 0, 3, [-1.048679363 + 0.020004545j, -0.446885342 + 0.339812124j]),
            (2, 2, 5, [2.236149395 - 0.293327187j, -0.329524275 + 0.57347882j]),
            (1, 5, 2, [-0.068785034 + 1.220565075j, 0.130734872 + 0.663681291j]),
        ],
    ),
    "paper": (
        Pattern.paper(),
        (4, 64, 64),
        "290b8694cdc48569",
        13051.924245,
        [
            (0, 0, 1, [1.5 + 0.0j, 0.5 + 0.0j]),
            (0, 0, 2, [0.75 + 0.0j, 1.75 + 0.0j]),
            (0, 3, -3, [1.0 + 0.0j, 0.75 + 0.0j]),
            (0, 6, 2, [2.25 + 0.0j, 1.5 + 0.0j]),
        ],
    ),
}


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
    """Marks of version 1 must be readable for ever: the values of a class may never change."""
    values = Keyring(SECRET, Pattern("rings", (0,), (), 1, 2), derivation=1).values([0, 1])
    assert np.allclose(values, PINNED)


@pytest.mark.parametrize("name", FIRST)
def test_version_1_has_the_values_and_the_id_that_it_had(name):
    """Vectors that the code of version 1 printed: id, sum of the magnitudes of class 2, values of classes 0 and 2."""
    pattern, shape, key_id, total, points = FIRST[name]
    keyring = Keyring(SECRET, pattern, shape, classes=3, derivation=1)
    assert keyring.id == key_id
    noise = keyring.noise(2, 7).numpy()
    assert float(np.abs(noise).astype(float).sum()) == pytest.approx(total, rel=1e-6)
    cells, values = keyring.cells(), keyring.values([0, 2])
    for channel, *frequency, expected in points:
        at = (cells.channel == channel) & (cells.frequency == torch.tensor(frequency)).all(1)
        assert np.allclose(values[:, cells.cell[at].item()], expected, atol=1e-8)


# Version 2


def by_the_book(seed, channel, ring, position):
    """A value of a stream, from the words of the specification alone."""
    label = b"treering stream 2" + seed + struct.pack("<II", channel, ring)
    first, second = struct.unpack("<II", hashlib.shake_256(label).digest(8 * position + 8)[-8:])
    radius = math.sqrt(-math.log((first + 0.5) / 2**32))
    return cmath.rect(radius, 2 * math.pi * (second + 0.5) / 2**32)


def shake(label, parent, number):
    return hashlib.shake_256(label + parent + struct.pack("<Q", number)).digest(32)


def ring_by_the_book(ring):
    square = range(-ring - 1, ring + 2)
    half = [(y, x) for y in square for x in square if y > 0 or (y == 0 and x > 0)]
    return [k for k in half if (2 * ring - 1) ** 2 <= 4 * (k[0] ** 2 + k[1] ** 2) < (2 * ring + 1) ** 2]


@given(
    key=st.integers(0, 2**63 - 2),
    nonce=st.integers(0, 9),
    channel=st.sampled_from([0, 2]),
    ring=st.integers(2, 7),
    place=st.integers(0, 10**6),
    share=st.sampled_from([0.0, 0.3, 0.75]),
)
@settings(deadline=None, max_examples=60)
def test_values_are_derived_as_the_specification_says(key, nonce, channel, ring, place, share):
    keyring = Keyring(SECRET, Pattern("noise", (0, 2), (), 2, 7, sync_share=share), (3, 20, 16), nonces=10, variants=3)
    points = ring_by_the_book(ring)
    place %= len(points)
    cells = keyring.cells()
    at = (cells.channel == channel) & (cells.frequency == torch.tensor(points[place])).all(1)
    common = channel == 0 and math.floor((place + 1) * share) > math.floor(place * share)
    assert bool(cells.sync[at]) == common
    seed = shake(b"treering mark 2", shake(b"treering class 2", SECRET, key), nonce)
    seed = shake(b"treering synchronisation 2", SECRET, 1) if common else seed
    value = keyring.values([key], nonce, variant=1)[0, cells.cell[at].item()]
    assert value == pytest.approx(by_the_book(seed, channel, ring, place), rel=1e-12)


def test_vectors_of_version_2():
    """Marks of version 2 must be readable for ever."""
    keyring = Keyring(SECRET)
    assert keyring.id == "e53a6b187b1b4add"
    values = keyring.values([0, 2**62])[:, [0, 1, 700, 1423]]
    assert np.allclose(values, SECOND, atol=1e-7)
    rich = Keyring(SECRET, Pattern(sync_share=0.75), nonces=4, variants=3, classes=2**63 - 1)
    assert rich.id == "859c01a911001f01"
    assert np.allclose(rich.values([7], 3)[0][[0, 1423]], [-1.27482994 + 0.42902098j, -0.4638595 - 0.95369522j])
    common, values = rich.synchronisation(2)
    assert common.frequency[:2].tolist() == [[1, -4], [1, 4]]
    assert np.allclose(values[:2], [0.96950583 - 1.22461489j, 0.54292317 - 0.55578153j])
    assert np.allclose(Keyring(SECRET, Pattern("real")).values([1])[0][:2], [-1.66091228, 0.70289525])
    expected = [-1.17444234 + 0.19126542j, 0.497022 - 1.25124479j]
    assert np.allclose(Keyring(SECRET, Pattern("rings")).values([1])[0][:2], expected)


def by_place(keyring, size, key=5):
    """Value of every (channel, ky, kx)."""
    cells, values = keyring.cells(size), keyring.values([key], size=size)[0]
    places = torch.cat([cells.channel[:, None], cells.frequency], 1).tolist()
    return dict(zip(map(tuple, places), values[cells.cell].tolist(), strict=True))


SIDES = st.integers(5, 20)


@given(height=SIDES, width=SIDES, outer=st.integers(4, 9), kind=st.sampled_from(["rings", "real", "noise", "mixed"]))
@settings(deadline=None, max_examples=40)
def test_a_frequency_has_one_value_whatever_the_latent_and_the_rings(height, width, outer, kind):
    noise = (1,) if kind == "mixed" else ()
    large = Keyring(SECRET, Pattern(kind, (0, 2), noise, 3, 12), sizes=((256, 256),))
    small = Keyring(SECRET, Pattern(kind, (0, 2), noise, 3, outer), sizes=((height * 8, width * 8),), model="another")
    few, many = by_place(small, None), by_place(large, None)
    assert few.items() <= many.items()
    there = {(c, y, x) for c, y, x in many if 2 * abs(y) < height and 2 * abs(x) < width}
    assert set(few) == {(c, y, x) for c, y, x in there if 4 * (y * y + x * x) < (2 * outer + 1) ** 2}


def test_an_id_names_what_fixes_the_values_and_nothing_else():
    one = Keyring(SECRET, Pattern("noise", weight=1))
    for changes in ({"classes": 7}, {"nonces": 9}, {"steps": 3}, {"model": "x"}, {"public": True}, {"root": "00"}):
        assert replace(one, **changes).id == one.id
    assert replace(one, sizes=((512, 512), (256, 384))).id == one.id
    assert replace(one, pattern=Pattern("noise", weight=1.0)).id == one.id
    others = [one.with_secret(bytes(32)), replace(one, derivation=1), Keyring(SECRET, Pattern("noise", sync_share=0.5))]
    assert len({one.id, Keyring(SECRET).id, *(other.id for other in others)}) == 5


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_marks_read_back_at_every_size_and_nonce(share):
    sizes = ((256, 256), (128, 320), (64, 64))
    keyring = Keyring(SECRET, Pattern(sync_share=share), sizes=sizes, classes=5, nonces=3)
    for size in sizes:
        noise = torch.cat([keyring.noise(3, 1, nonce=nonce, size=size) for nonce in range(3)])
        cells = keyring.cells(size)
        means = fourier.read(fourier.coefficients(noise, cells), cells)
        for nonce in range(3):
            assert np.allclose(means[nonce], keyring.values([3], nonce, size=size)[0], atol=1e-5)
        assert [match.key for match in keyring.match(noise, size=size)] == [3, 3, 3]


def test_classes_nonces_and_the_common_part_are_independent():
    keyring = Keyring(SECRET, Pattern(sync_share=0.5), nonces=40, variants=2)
    class_part = keyring.weights() > 0
    rows = np.concatenate([keyring.values(range(40)), *(keyring.values([3], nonce) for nonce in range(1, 40))])
    own = rows[:, class_part]
    pairs = np.abs(np.corrcoef(own) - np.eye(len(own)))
    assert pairs.max() < 5.5 / math.sqrt(own.shape[1])
    common = rows[:, ~class_part]
    assert (common == common[0]).all()
    assert np.array_equal(common[0], keyring.synchronisation()[1])
    assert not np.isclose(common[0], keyring.synchronisation(1)[1]).any()


def test_some_cells_have_the_values_that_all_have():
    keyring = Keyring(SECRET, Pattern("mixed", (0, 3), (1, 2), 4, 9, sync_channels=(2,), sync_share=0.3))
    cells = keyring.cells()
    for derivation in (1, 2):
        ring = keyring if derivation == 2 else Keyring(SECRET, Pattern("mixed", (0, 3), (1, 2), 4, 9), derivation=1)
        which = torch.randperm(len(cells.count), generator=torch.Generator().manual_seed(1))[:50]
        assert np.array_equal(ring.values([1, 4], cells=ring.cells().take(which)), ring.values([1, 4])[:, which])


def test_a_search_has_a_row_for_every_nonce():
    keyring = Keyring(SECRET, Pattern("rings"), nonces=3, classes=4)
    found = list(keyring.marks([2, 0], rows=4))
    pairs = [(k, n) for keys, nonces, _ in found for k, n in zip(keys, nonces, strict=True)]
    assert pairs == [(2, 0), (2, 1), (2, 2), (0, 0), (0, 1), (0, 2)]
    values = np.concatenate([values for _, _, values in found])
    assert np.array_equal(values[4], keyring.values([0], 1)[0])


def test_searches_have_an_end():
    large = Keyring(SECRET, classes=2**63 - 1)
    assert large.values([2**63 - 2]).shape == (1, 1424)
    with pytest.raises(InputError, match=r"9223372036854775807 classes are more than .* name fewer with --keys"):
        large.blocks()
    with pytest.raises(InputError, match="33554432 classes times nonces are more than"):
        replace(large, nonces=2**20).blocks(range(32))
    with pytest.raises(InputError, match="has the classes 0 to 99; there is no class 500"):
        Keyring(SECRET).blocks([3, 500])
    for keys in (range(10**30), range(5, -1, -1), [-1], []):
        with pytest.raises(InputError):
            Keyring(SECRET, classes=5).blocks(keys)
    with pytest.raises(InputError, match="has the nonces 0 to 0; there is no nonce 1"):
        Keyring(SECRET).noise(1, 1, nonce=1)


def test_a_thousand_keys_are_drawn_quickly():
    keyring = Keyring(SECRET)
    cells = keyring.cells()
    some = cells.take(torch.arange(128))
    keyring.values(range(10))
    for what, keys, of in (("a thousand keys", 1000, cells), ("the first 128 values of 10 000 keys", 10_000, some)):
        started = time.process_time()
        keyring.values(range(keys), cells=of)
        spent = time.process_time() - started
        print(f"{what}: {spent:.3f} s, {keys * len(of.count) / spent / 1e6:.1f} million values a second")
        assert spent < 3


def test_negative_class_and_seed_are_refused(keyring):
    for key in (-1, 100, 2**70):
        with pytest.raises(InputError, match=f"has the classes 0 to 99; there is no class {key}"):
            keyring.noise(key, 0)
    with pytest.raises(InputError, match="must not be negative"):
        plain_noise((4, 8, 8), -1)


def test_seeds_count_beyond_32_bits():
    assert not torch.equal(plain_noise((4, 8, 8), 1), plain_noise((4, 8, 8), 1 + 2**32))


@given(
    secret=st.binary(min_size=32, max_size=32),
    marks=st.lists(st.tuples(st.integers(0, 2**63 - 1) | st.integers(0, 2), st.integers(0, 2**63 - 1)), max_size=8),
)
@settings(deadline=None, max_examples=50)
def test_many_seeds_are_those_of_the_tree(secret, marks):
    tree = [streams.mark_seed(streams.class_seed(secret, key), nonce) for key, nonce in marks]
    assert streams.mark_seeds(secret, marks) == tree


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


def test_latents_and_pictures():
    assert Keyring(SECRET).shape == (4, 32, 32)
    large = Keyring(SECRET, shape=(16, 64, 96), image_size=(1024, 1536))
    assert (large.channels, large.factor, large.sizes) == (16, 16, ((1024, 1536),))
    assert Keyring(SECRET, shape=(4, 64, 64)).image_size == (512, 512)
    assert Keyring(SECRET, sizes=((512, 256), (256, 256))).shape_of((256, 256)) == (4, 32, 32)
    with pytest.raises(InputError, match="Pictures of 260x256 are no multiple of the 8 pixels"):
        Keyring(SECRET).shape_of((256, 260))
    with pytest.raises(KeyringError, match="do not belong together"):
        Keyring(SECRET, shape=(4, 32, 32), image_size=(300, 256))
    with pytest.raises(TypeError, match="has no colour"):
        Keyring(SECRET, colour="red")


class Model:
    name = "theirs"

    def __init__(self, shape, image_size):
        self.shape, self.image_size = shape, image_size


def test_a_keyring_fits_the_models_of_its_sizes():
    keyring = Keyring(SECRET, sizes=((256, 256), (512, 256)))
    for size in keyring.sizes:
        keyring.check_fits(Model(keyring.shape_of(size), size))
    with pytest.raises(ModelError, match="for latents of 4x32x32, the model theirs has 4x32x64"):
        keyring.check_fits(Model((4, 32, 64), (256, 512)))
    with pytest.raises(ModelError, match="for pictures of 512x256, the model theirs makes 1024x512"):
        keyring.check_fits(Model((4, 64, 32), (1024, 512)))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"nonces": 2}, "has no nonces and no synchronisation"),
        ({"sizes": ((256, 256), (512, 512))}, "has latents of one size"),
        ({"pattern": Pattern(sync_share=0.1)}, "has no nonces and no synchronisation"),
    ],
)
def test_what_version_1_cannot_have(changes, sentence):
    with pytest.raises(KeyringError, match=sentence):
        Keyring(SECRET, derivation=1, **{"pattern": Pattern(), **changes})


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"weight": "x"}, "weight of a pattern is a number"),
        ({"weight": float("nan")}, "weight of a pattern is a number"),
        ({"inner": "4"}, "rings of a pattern are whole numbers"),
        ({"outer": 3}, "the first not above the last"),
        ({"inner": -1}, "the first not above the last"),
        ({"weight": 10**400}, "weight of a pattern is a number"),
        ({"outer": 10**30}, "rings of a pattern are whole numbers"),
        ({"channels": ("a",)}, "channels of a pattern are whole numbers"),
        ({"channels": (True,)}, "channels of a pattern are whole numbers"),
        ({"channels": (0, 0)}, "each named once"),
        ({"channels": tuple(range(4096)), "outer": 500}, "at most 16777216 values"),
        ({"sync_share": 1.5}, "a number from 0 to 1"),
        ({"kind": "rings", "sync_share": 0.5}, "Only channels that carry noise"),
        ({"channels": (0,), "sync_share": 1}, "leaves no values for the classes"),
    ],
)
def test_patterns_have_bounds(settings, sentence):
    with pytest.raises(InputError, match=sentence):
        Pattern(**settings)


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
SECOND = [
    [1.0592133 - 0.15467161j, -0.18422432 - 1.14556662j, -0.37168898 - 1.01700632j, -0.65735577 + 0.85790892j],
    [0.57311675 - 0.35965714j, -1.17552088 - 0.40009616j, -0.45923383 + 0.08903711j, -1.22161416 - 0.18373214j],
]
