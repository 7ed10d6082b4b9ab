"""Several keyrings and models in one search: paid for, encoded once, and named."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from treering.batch import labels_from_manifest
from treering.errors import InputError, ModelError, SamplerError
from treering.marks.keyring import Keyring
from treering.marks.patterns import Pattern
from treering.models.batching import Batching
from treering.pictures import images
from treering.pictures.fit import fitted
from treering.reading import Detector, Detectors
from treering.statistics import Confusion
from treering.types import Answer, Detection, Key
from treering.writing import embed
from treering_cli import options, searched
from treering_cli.main import main

FIRST, SECOND = (Keyring(bytes([i]) * 32, Pattern.synchronised()) for i in (1, 2))


@pytest.fixture(scope="module")
def picture(model):
    return embed(model, SECOND, 7, ["green hills at dawn, trees"], 5)[0]


# the search


def test_two_keyrings_cost_a_factor_of_two_and_one_encoding(model, picture, monkeypatch):
    calls = []
    encode = model.encode
    monkeypatch.setattr(model, "encode", lambda pixels: calls.append(len(pixels)) or encode(pixels))
    (alone,) = Detector(model, SECOND, effort="fast")(picture[None])
    (found,) = Detectors([(model, FIRST), (model, SECOND)], names=["old", "new"], effort="fast")(picture[None])
    assert calls == [1, 1]
    assert (found.answer, found.key, found.keyring, found.keyring_name) == (Answer.KEY, 7, SECOND.id, "new")
    assert found.found == Key("new", 7)
    assert found.log10_p == pytest.approx(alone.log10_p + math.log10(2))
    assert found.log10_p_keyring == pytest.approx(alone.log10_p_keyring + math.log10(2))
    assert [one["keyring_name"] for one in found.searched] == ["old", "new"]
    assert found.searched[0]["log10_p"] > -4 > found.searched[1]["log10_p"]
    assert [(one["keyring_name"], one["stage"]) for one in found.stages] == [
        ("old", "encoder, 2 steps"),
        ("new", "encoder, 2 steps"),
    ]


def test_one_keyring_says_what_it_always_said(model, picture):
    (alone,) = Detector(model, SECOND, effort="fast")(picture[None])
    record = alone.as_dict()
    assert not {"searched", "keyring_name"} & record.keys()
    (found,) = Detectors([(model, SECOND)], effort="fast")(picture[None])
    same = {**found.as_dict(), "seconds": 0, "stages": []}
    assert {name: same[name] for name in record} == {**record, "seconds": 0, "stages": []}


@pytest.mark.parametrize("broken", [(True, True), (True, False)])
def test_a_sampler_that_cannot_be_undone_says_nothing_and_ends_no_run(model, picture, monkeypatch, broken):
    def refused(*_, **__):
        raise SamplerError("this sampler adds noise")

    other = copy.copy(model)
    monkeypatch.setattr(other, "recovered", refused)
    models = [other if bad else model for bad in broken]
    (found,) = Detectors(list(zip(models, (FIRST, SECOND), strict=True)), effort="fast")(picture[None])
    assert found.answer is (Answer.NOT_ASSESSABLE if all(broken) else Answer.KEY)
    assert found.reason == ("this sampler adds noise" if all(broken) else None)
    (lost,) = Detectors([(other, SECOND), (model, FIRST)], effort="fast")(picture[None])
    assert (lost.answer, lost.reason) == (Answer.NOT_ASSESSABLE, "this sampler adds noise")  # and not none


def test_what_no_keyring_marked_is_none_of_them(model, picture):
    other = Keyring(bytes(32), Pattern.synchronised())
    (found,) = Detectors([(model, FIRST), (model, other)], effort="fast")(picture[None])
    assert (found.answer, found.found) == (Answer.NONE, None)
    assert found.log10_p == min(one["log10_p"] for one in found.searched)


SIZES = ((256, 256), (320, 320))


@pytest.fixture(scope="module")
def larger(model):
    """A picture made at the second size of its keyring and published at the first."""
    from treering.reading.sizes import resized

    ring = Keyring(bytes([3]) * 32, Pattern.synchronised(), sizes=SIZES, classes=20)
    return ring, resized(embed(model, ring, 7, ["green hills at dawn, trees"], 5, steps=8, size=SIZES[1])[0], SIZES[0])


def test_several_keyrings_try_the_sizes_that_one_tries(model, larger, monkeypatch):
    ring, picture = larger
    other = Keyring(bytes([4]) * 32, Pattern.synchronised(), sizes=SIZES, classes=20)
    (alone,) = Detector(model, ring, effort="fast", every=True)(picture[None])
    calls = []
    encode = model.encode
    monkeypatch.setattr(model, "encode", lambda pixels: calls.append(tuple(pixels.shape[2:])) or encode(pixels))
    (found,) = Detectors([(model, other), (model, ring)], effort="fast", every=True)(picture[None])
    assert calls == list(SIZES)  # once a size, whatever the number of keyrings
    assert {one["stage"] for one in found.stages if one["keyring"] == ring.id} == {one["stage"] for one in alone.stages}
    assert found.searched[1]["log10_p"] == pytest.approx(min(0.0, alone.log10_p + math.log10(2)))
    assert alone.key == found.key == 7


def test_keyrings_of_other_sizes_read_each_in_its_own(model, larger):
    ring, _ = larger
    picture = embed(model, ring, 7, ["green hills at dawn, trees"], 5, steps=8, size=SIZES[1])
    (alone,) = Detector(model, ring, effort="fast")(picture)
    several = Detectors([(model, FIRST), (model, ring)], effort="fast")
    assert several.size is None
    (found,) = several(picture)
    assert (found.key, found.keyring) == (7, ring.id)
    assert found.log10_p == pytest.approx(alone.log10_p + math.log10(2))


def test_one_colour_is_not_assessable_by_any(model):
    flat = np.full((1, 64, 64, 3), 9, np.uint8)  # of any size
    (found,) = Detectors([(model, FIRST), (model, SECOND)], effort="fast")(flat)
    assert found.answer is Answer.NOT_ASSESSABLE
    assert "one colour" in str(found.reason)


def test_pictures_of_any_size_are_made_to_fit():
    picture = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    encoded = images_png(picture)
    assert (fitted(picture[None], (32, 32))[0] == images.read(encoded, (32, 32)).pixels).all()
    assert fitted(picture[None], (40, 60)) is not None


def images_png(picture: np.ndarray) -> bytes:
    import io

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


def test_pairs_that_cannot_be(model):
    with pytest.raises(InputError, match="At least one keyring"):
        Detectors([])
    with pytest.raises(InputError, match="is named twice"):
        Detectors([(model, FIRST), (model, FIRST)])
    with pytest.raises(ModelError, match="for latents of 4x16x16"):
        Detectors([(model, FIRST), (model, Keyring(bytes(32), shape=(4, 16, 16), image_size=(128, 128)))])
    with pytest.raises(InputError, match="1 names for 2"):
        Detectors([(model, FIRST), (model, SECOND)], names=["a"])


# labels and confusion


def test_classes_of_several_keyrings_have_an_order_and_a_name():
    a, b = Key("a", 10), Key("b", 2)
    matrix = Confusion.of([(b, b), (a, b), (None, None), (a, Answer.KEYRING)])
    assert matrix.labels == (a, b, None)
    assert (matrix.accuracy.count, matrix.wrong_class.count, matrix.unread.count) == (2, 1, 1)
    assert matrix.as_dict()["labels"] == ["a 10", "b 2", None]


def test_a_manifest_may_say_whose_class_it_is(tmp_path):
    manifest = tmp_path / "m.csv"
    manifest.write_text("file,key,keyring\n1.png,2,a\n2.png,2,\n3.png,none,a\n4.png,1,c\n")
    named = labels_from_manifest(manifest, None, ["a", "b"])
    assert [one.label for one in named[:3]] == [Key("a", 2), 2, None]
    assert "'c' is none of the keyrings a, b" in str(named[3].problem)
    assert [one.label for one in labels_from_manifest(manifest)] == [2, 2, None, 1]  # as ever


# the commands, with a stand-in that reads greys


@dataclasses.dataclass
class Greys:
    """Knows pictures of one grey: 10 i + c is class c of keyring i; 255 is none."""

    names: Sequence[str]
    ids: Sequence[str]
    model = SimpleNamespace(name="demo", fingerprint="0" * 16, batching=Batching({}))

    @property
    def all(self):
        return [SimpleNamespace(model=self.model, keyring=SimpleNamespace(as_dict=lambda: dict.fromkeys(_KEYS, 1)))] * 2

    def __call__(self, pictures, notes=()):
        return [self._one(int(one[0, 0, 0])) for one in pictures]

    def _one(self, grey: int) -> Detection:
        key, which = (None, 0) if grey == 255 else (grey % 10, grey // 10)
        what = {
            "model": "demo:00",
            "keyring": self.ids[which],
            "method": "m",
            "status": "",
            "keyring_name": self.names[which],
        }
        numbers = {"p_value": 0.5, "log10_p": -9.0, "best_key": 0, "z": 0.0, "classical_log10_p": 0.0, "evaluations": 0}
        answer = Answer.NONE if key is None else Answer.KEY
        return Detection(answer=answer, key=key, seconds=1.0, searched=({"model": "demo:00"},), **numbers, **what)


_KEYS = ("id", "classes", "nonces", "variants", "steps")


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TREERING_KEYRING", str(tmp_path / "own.json"))
    monkeypatch.setattr(
        searched.Searched, "detectors", lambda self, _: Greys(self.names, [ring.id for ring in self.keyrings])
    )
    for name in ("y2025", "y2026"):
        Keyring.new(shape=(4, 32, 32), image_size=(32, 32)).save(Path(f"{name}.json"))
    for grey in (2, 12, 13, 255):
        Image.new("RGB", (32, 32), (grey, grey, grey)).save(f"{grey}.png")
    return lambda *words: CliRunner().invoke(main, [str(word) for word in words])


TWO = ("--keyring", "y2025.json", "--keyring", "y2026.json")


def test_detect_says_which_keyring(run):
    found = run("detect", "12.png", "255.png", *TWO)
    assert found.exit_code == 0, found.output
    assert [line.split("  p")[0] for line in found.stdout.splitlines()] == [
        "12.png   key 2 of y2026",
        "255.png  none    ",
    ]
    record = json.loads(run("detect", "13.png", "--json", *TWO).stdout)
    assert (record["key"], record["keyring_name"], record["keyring"]) == (
        3,
        "y2026",
        Keyring.load(Path("y2026.json")).id,
    )


def test_verify_counts_by_keyring(run):
    Path("m.csv").write_text("file,key,keyring\n2.png,2,y2025\n12.png,2,y2025\n13.png,3,\n255.png,none,\n")
    found = run("verify", "m.csv", *TWO, "--output", "out", "--json")
    assert found.exit_code == 0, found.output
    summary = json.loads(found.stdout)
    assert summary["found"] == {"y2025 2": 1, "y2026 2": 1, "y2026 3": 1, "none": 1}
    assert summary["confusion"]["labels"] == ["y2025 2", "y2026 2", "y2026 3", None]
    assert summary["confusion"]["wrong_class"]["count"] == 1
    assert list(summary["keyrings"]) == ["y2025", "y2026"]
    lines = [json.loads(line) for line in Path("out/results.jsonl").read_text().splitlines()]
    assert [(line["key"], line["keyring_name"]) for line in lines[:3]] == [(2, "y2025"), (2, "y2026"), (3, "y2026")]
    again = run("verify", "m.csv", *TWO, "--output", "out")
    assert "4 of them earlier" in again.stdout
    assert "key 3 of y2026 1x" in again.stdout
    assert "y2026 2" in Path("out/confusion.md").read_text()


@pytest.mark.parametrize("command", ["detect", "verify"])
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ("--keyring", "y2025.json", "--keyring", "y2025.json"),
            "The keyring y2025.json is named twice; name it once.",
        ),
        (
            ("--keyring", "y2025.json", "--keyring", "copy.json"),
            "y2025.json and copy.json are one keyring; name it once.",
        ),
        ((*TWO, "--model", "demo", "--model", "demo"), "The model demo is named twice; name it once."),
        ((*TWO, "--keys", "0-500"), "The keyring has the classes 0 to 99; there is no class 500."),
        (
            ("--keyring", "y2025.json", "--keyring", "none.json"),
            "There is no keyring none.json; `treering keys new` makes one.",
        ),
    ],
)
def test_what_cannot_be_searched(run, command, words, sentence):
    Path("copy.json").write_bytes(Path("y2025.json").read_bytes())
    Path("copy.json").chmod(0o600)
    Path("m.csv").write_text("file,key\n2.png,2\n")
    found = run(command, "2.png" if command == "detect" else "m.csv", *words)
    assert (found.exit_code, found.stderr) == (1, f"Error: {sentence}\n")


def test_parts_of_a_page_are_of_one_keyring(run):
    found = run("detect", "2.png", *TWO, "--several")
    assert found.exit_code == 2
    assert "--several is about one keyring and one model." in found.stderr


def test_models_are_loaded_once_and_each_has_a_keyring(tmp_path, monkeypatch):
    loaded = []

    def load(self, otherwise=""):
        loaded.append(self.name)
        side = {"demo": 32, "large": 64, "huge": 128}[self.name]
        return SimpleNamespace(name=self.name, shape=(4, side, side), image_size=(8 * side, 8 * side))

    monkeypatch.setattr(options.ModelChoice, "load", load)
    monkeypatch.setattr(
        "treering.reading.Detectors", lambda pairs, reading, names: list(zip(pairs, names, strict=True))
    )
    rings = Keyring(bytes(32)), Keyring(bytes(32), shape=(4, 64, 64), image_size=(512, 512), model="large")
    paths = (Path("a/k.json"), Path("b/k.json"))

    def choose(*names):
        return searched.Searched(paths, rings, options.ModelChoices(names, "cpu", "float32", False, False))

    found = [(model.name, name) for (model, _), name in choose().detectors(None)]
    assert found == [("demo", "a/k.json"), ("large", "b/k.json")]
    assert [model.name for (model, _), _ in choose("large", "demo").detectors(None)] == ["demo", "large"]
    assert loaded == ["demo", "large", "large", "demo"]
    with pytest.raises(ModelError, match="The model huge fits none of the keyrings"):
        choose("large", "demo", "huge").detectors(None)
    with pytest.raises(ModelError, match="for latents of 4x64x64"):
        choose("demo").detectors(None)


def test_a_picture_smaller_than_a_cell_is_not_assessable(run):
    Image.new("RGB", (30, 7), (2, 2, 2)).save("small.png")
    Path("m.csv").write_text("file,key\nsmall.png,2\n")
    found = run("detect", "small.png", "--json", *TWO)
    record = json.loads(found.stdout)
    assert (found.exit_code, record["answer"], record["key"], record["p_value"]) == (3, "not assessable", None, 1.0)
    sentence = "The picture has 30x7 pixels, less than a cell of a latent, so there is nothing to read."
    assert record["reason"] == sentence
    checked = run("verify", "m.csv", *TWO, "--output", "out", "--json")
    assert checked.exit_code == 3
    assert json.loads(checked.stdout)["found"] == {"none": 0, "not assessable": 1}
    assert json.loads(Path("out/results.jsonl").read_text())["reason"] == sentence
