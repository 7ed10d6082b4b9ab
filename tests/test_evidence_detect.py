"""Evidence of a real reading: from the picture to the check by somebody else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import treering
from treering import images
from treering.evidence import Evidence, Statement, checks
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
