"""Evidence of a real reading: from the picture to the check by somebody else."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import treering
from treering import images
from treering.evidence import Evidence, Statement, checks
from treering.reading.evidence import Values
from treering_cli.main import main

pytest.importorskip("cryptography", reason="the extra evidence is not installed")


@pytest.fixture
def run(model: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TREERING_SIGNING_KEY", str(tmp_path / "signing.pem"))
    monkeypatch.setattr("treering.models.load", lambda *_: model)
    return lambda *words: CliRunner().invoke(main, [str(word) for word in words])


def test_from_a_picture_to_the_check(run: Callable[..., Result], model: object) -> None:
    keyring = treering.Keyring(bytes(range(1, 33)), treering.Pattern.synchronised(), nonces=64)
    keyring.save(Path("k.json"))
    picture = treering.embed(model, keyring, 2, ["green hills at dawn"], 5, steps=10)[0]
    images.write(np.ascontiguousarray(picture[:, ::-1]), Path("p.png"))  # mirrored, so that a pose is found
    told = run("detect", "p.png", "--keyring", "k.json", "--evidence", "e.json")
    assert told.exit_code == 0, told.output
    assert "key 2" in told.stdout
    again = run("check", "e.json", "p.png", "--keyring", "k.json", "--repeat", "--json")
    found = {one["what"]: one["holds"] for one in map(json.loads, again.stdout.splitlines())}
    assert found == {"signature": None, "picture": True, "answer": None, "test": True, "reading": True}
    run("keys", "commit", "--output", "c.json", "--keyring", "k.json")
    unnamed = run("keys", "reveal", 2, "--output", "r.json", "--keyring", "k.json")
    assert "A class has 64 marks, and a picture one of them; name it with --nonce." in unnamed.stderr
    nonce = Evidence.load(Path("e.json")).statement.says("answer", "nonce")
    run("keys", "reveal", 2, "--nonce", nonce, "--output", "r.json", "--keyring", "k.json")
    expert = run("check", "e.json", "p.png", "--revealed", "r.json", "--commitment", "c.json")
    assert expert.exit_code == 0
    own = run("check", "e.json", "p.png", "--revealed", "r.json", "--commitment", "c.json", "--model", "demo", "--json")
    read = {one["what"]: one for one in map(json.loads, own.stdout.splitlines())}
    assert (own.exit_code, read["values"]["holds"]) == (0, True), own.output  # no secret was there
    assert "read anew here" in read["mark"]["says"]
    evidence = Evidence.load(Path("e.json"))
    _altered(run, evidence)
    assert evidence.statement.says("answer", "pose")["mirror"]
    from treering.evidence import Revealed

    assert (
        checks.log10_expert(evidence.statement.values, Revealed.load(Path("r.json"))) < -3
    )  # 0 for marks that are not there
    text = Path("e.json").read_text() + Path("c.json").read_text() + told.output
    assert keyring.secret.hex() not in text
    assert (
        "exists already; evidence is never replaced"
        in run("detect", "p.png", "--keyring", "k.json", "--evidence", "e.json").stderr
    )


def test_evidence_of_another_size_and_of_several_keyrings(run: Callable[..., Result], model: object) -> None:
    pattern, sizes = treering.Pattern.synchronised(), ((256, 256), (320, 320))
    rings = [treering.Keyring(bytes([i]) * 32, pattern, sizes=sizes, classes=20) for i in (5, 6)]
    for name, ring in zip("ab", rings, strict=True):
        ring.save(Path(f"{name}.json"))
    picture = treering.embed(model, rings[1], 7, ["green hills at dawn"], 5, steps=8, size=(320, 320))[0]
    images.write(picture, Path("p.png"))
    for words, searches, evidence in ((("b",), 2, "one.json"), (("a", "b"), 4, "two.json")):
        keyrings = [word for name in words for word in ("--keyring", f"{name}.json")]
        told = run("detect", "p.png", *keyrings, "--effort", "fast", "--evidence", evidence)
        assert told.exit_code == 0 and "key 7" in told.stdout, told.output
        said = Evidence.load(Path(evidence)).statement
        assert said.size == (320, 320) and said.searches == searches and said.pairs == len(words)
        again = run("check", evidence, "p.png", "--keyring", "b.json", "--repeat", "--json")
        holds = {one["what"]: one["holds"] for one in map(json.loads, again.stdout.splitlines())}
        assert holds == {"signature": None, "picture": True, "answer": None, "test": True, "reading": True}
        paid = said.number("answer", "log10_p") - checks.best(_searched(rings[1]), said.values).log10_p
        assert paid == pytest.approx(np.log10(searches * 2 * 2), abs=1e-6)  # sizes and keyrings, questions, stages
    run("keys", "commit", "--output", "c.json", "--keyring", "b.json")
    run("keys", "reveal", 7, "--output", "r.json", "--keyring", "b.json")
    expert = run("check", "one.json", "p.png", "--revealed", "r.json", "--commitment", "c.json")
    assert expert.exit_code == 0 and "Class 7" in expert.stdout
    anew = run("check", "two.json", "p.png", "--model", "demo", "--json")  # without any secret
    assert anew.exit_code == 0 and False not in [json.loads(line)["holds"] for line in anew.stdout.splitlines()]
    wrong = run("check", "two.json", "p.png", "--keyring", "a.json")
    assert wrong.exit_code == 1 and "The evidence is about the keyring" in wrong.stdout
    smaller = treering.Keyring(rings[1].secret, pattern, classes=20)
    smaller.save(Path("c.keyring.json"))
    other = run("check", "one.json", "p.png", "--keyring", "c.keyring.json")
    assert other.exit_code == 1 and "The keyring is not for pictures of 320x320" in other.stderr


def _searched(ring: treering.Keyring) -> Values:
    return Values(replace(ring, sizes=((320, 320),)))


UNSAID = "does not say how its values"


def _altered(run: Callable[..., Result], evidence: Evidence) -> None:
    """Values that are not the picture's are told, and so is what does not say how they were read."""
    rng, values = np.random.default_rng(0), evidence.statement.values
    other = [1, 1j] @ rng.normal(size=(2, len(values)))
    other *= np.linalg.norm(values) / np.linalg.norm(other)
    for share, holds in ((0.001, True), (0.05, None), (1.0, False)):
        assert checks.reread(evidence, values + share * other).holds is holds
    assert checks.reread(evidence, values[:-1]).holds is False
    plain = {"method": "encoder", "steps": 5, "undone": None, "within": None}
    for change, sentence in (
        (None, "an earlier treering wrote it"),
        ({**plain, "undone": [[0, 0, 0], [0, 0, 0]]}, UNSAID),
        ({**plain, "within": [[1, 0, 0]]}, UNSAID),
        ({**plain, "method": "guess"}, UNSAID),
        ({**plain, "steps": 10**9}, UNSAID),
        ([], UNSAID),
    ):
        changed = Statement({**evidence.statement.content, "reading": change})
        Evidence(changed, evidence.public, evidence.signature).save(Path("x.json"), overwrite=True)
        told = run("check", "x.json", "p.png", "--model", "demo")
        assert (told.exit_code, sentence in told.stderr) == (1, True), told.output


def test_a_picture_with_nothing_in_it(run: Callable[..., Result]) -> None:
    treering.Keyring.new().save(Path("k.json"))
    Image.new("RGB", (256, 256), "white").save("w.png")
    told = run("detect", "w.png", "--keyring", "k.json", "--evidence", "e.json")
    assert "There is no evidence in w.png" in told.stderr
    assert not Path("e.json").exists()


def test_evidence_is_about_one_file(run: Callable[..., Result]) -> None:
    for words in (["a.png", "b.png"], ["-"]):
        told = run("detect", *words, "--evidence", "e.json")
        assert (told.exit_code, "is about one picture" in told.stderr) == (2, True)
    assert run("detect", "a.png", "--signing-key", "s.pem").exit_code == 2
