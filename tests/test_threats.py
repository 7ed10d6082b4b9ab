"""Threats and what is done about them: nonces, flocks, look-alikes, exposure; and the tools of their studies."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from treering.batch import Summary, alike, exposure
from treering.errors import InputError, KeyringError
from treering.marks.keyring import NONCES, Keyring, plain_noise, usual_nonces
from treering.marks.patterns import Pattern
from treering.marks.seeds import draw_marks
from treering.models import BUILT_IN
from treering.pictures import images, pages
from treering.reading import flocks, plan
from treering.reading.lattice import wide
from treering.reading.record import Done, Finding
from treering.research import averaging, scores
from treering.research.studies import spotting
from treering_cli import verify
from treering_cli.main import main

SECRET = bytes(range(32))
SYNC = Pattern.synchronised()


# Nonces


def test_new_keyrings_have_nonces_as_far_as_a_search_stays_small() -> None:
    assert Keyring.new().nonces == NONCES > 1
    for classes in (1, 2048, 10**4, 10**6):
        keyring = Keyring.new(classes=classes)
        assert keyring.nonces == usual_nonces(classes, SYNC)
        assert keyring.nonces == 1 or classes * keyring.nonces <= 1 << 17
    assert Keyring.new(pattern=Pattern()).nonces == 1
    assert Keyring.new(derivation=1).nonces == 1
    assert Keyring.new(nonces=1).nonces == 1
    assert Keyring(SECRET, SYNC).nonces == 1


def test_marked_noise_has_the_nonce_of_its_seed() -> None:
    keyring = Keyring(SECRET, SYNC, (4, 32, 32), nonces=1000)
    drawn = draw_marks(keyring, [3], 4, 50)
    each = [keyring.noise(3, 50 + i, nonce=nonce) for i, (_, nonce) in enumerate(drawn)]
    assert torch.equal(keyring.noise(3, 50, 4), torch.cat(each))
    assert len({nonce for _, nonce in drawn}) > 1


# Flocks


@pytest.mark.parametrize("kind", pages.KINDS)
def test_pages_come_from_their_numbers_alone(kind: str) -> None:
    page = pages.draw(kind, (64, 96), 1)
    assert (page.shape, page.dtype) == ((64, 96, 3), np.uint8)
    assert np.array_equal(page, pages.draw(kind, (64, 96), 1, layout=1))
    assert not np.array_equal(page, pages.draw(kind, (64, 96), 2, layout=1))
    assert not np.array_equal(page, pages.draw(kind, (64, 96), 1, layout=2))


def test_the_pages_that_ship_fit_their_model() -> None:
    having = [model for model in BUILT_IN.values() if model.pages]
    assert having
    for model in having:
        noises = flocks.stored(model.pages)
        assert noises.shape == (flocks.EACH * len(pages.KINDS), *model.settings["shape"])
        assert np.isfinite(noises).all()
        assert noises.std() > 0.1


def test_a_secret_that_names_a_page_is_drawn_again() -> None:
    keyring = Keyring(SECRET, SYNC, (4, 32, 32), classes=5, nonces=2)
    marked = keyring.noise(2, 1).numpy()
    chosen = flocks.careful(keyring, marked)
    assert chosen.secret != keyring.secret
    assert min(flocks.evidence(chosen, marked)) > np.log10(flocks.REFUSED / 2)
    assert chosen.accepted == 1 - flocks.REFUSED
    assert replace(chosen, secret=SECRET, accepted=1.0) == keyring
    plain = keyring.noise(2, 1).flip(3).numpy()
    assert flocks.careful(keyring, plain) == replace(keyring, accepted=0.9)


def test_at_most_the_stated_share_of_secrets_is_refused() -> None:
    noises = plain_noise((4, 32, 32), 5, 2).numpy()
    keyrings = [Keyring(bytes([i] * 32), SYNC, (4, 32, 32), classes=2) for i in range(150)]
    refused = sum(flocks.careful(one, noises).secret != one.secret for one in keyrings)
    assert refused <= 150 * flocks.REFUSED + 3 * np.sqrt(150 * 0.1 * 0.9)


def test_nothing_is_chosen_where_there_is_nothing_to_test() -> None:
    keyring = Keyring(SECRET, SYNC)
    assert flocks.careful(keyring, flocks.stored(None)) is keyring
    assert flocks.careful(keyring, np.zeros((1, 8, 32, 32), np.float32)) is keyring
    public = Keyring(SECRET, Pattern.paper(), classes=3)
    assert flocks.careful(public, np.ones((1, 4, 32, 32), np.float32)) is public


def test_p_is_divided_by_the_share_of_secrets_that_are_taken() -> None:
    done = [Done("one", 1.0, Finding(-3.0, -5.0), 0.0)]
    levels = []
    for accepted in (1.0, 0.8):
        values, keyring = SimpleNamespace(synchronised=False), Keyring(SECRET, accepted=accepted)
        levels.append(plan.outcome(done, SimpleNamespace(values=values, keyring=keyring)))
    assert levels[1].log10_class - levels[0].log10_class == pytest.approx(-np.log10(0.8))
    assert levels[1].log10_keyring - levels[0].log10_keyring == pytest.approx(-np.log10(0.8))


def test_the_share_is_kept_in_the_file_and_only_where_there_is_one(tmp_path: Path) -> None:
    plain, chosen = Keyring(SECRET), Keyring(SECRET, accepted=0.9)
    plain.save(tmp_path / "plain.json")
    chosen.save(tmp_path / "chosen.json")
    assert "accepted" not in (tmp_path / "plain.json").read_text()
    assert Keyring.load(tmp_path / "chosen.json") == chosen
    assert chosen.id == plain.id
    body = json.loads((tmp_path / "chosen.json").read_text())
    (tmp_path / "chosen.json").write_text(json.dumps(body | {"accepted": 0.95}))
    with pytest.raises(KeyringError, match="its MAC does not fit"):
        Keyring.load(tmp_path / "chosen.json")
    for wrong in (0.4, 1.1, True, "1", float("nan")):
        with pytest.raises(KeyringError, match=r"lies between 0\.5 and 1"):
            Keyring(SECRET, accepted=wrong)


# Look-alikes


def _picture(path: Path, seed: int, mirrored: bool = False) -> Path:
    rng = np.random.default_rng(seed)
    pixels = np.kron(rng.integers(0, 256, (8, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    images.write(pixels[:, ::-1].copy() if mirrored else pixels, path)
    return path


def test_many_pictures_of_one_nonce_are_told(tmp_path: Path) -> None:
    paths = {f"{i}.png": _picture(tmp_path / f"{i}.png", i) for i in range(6)}
    same = [(name, 3, 17, name) for name in paths]
    (group,) = alike.groups(same, paths.get, 64)
    assert (group.key, group.nonce, group.files, group.named) == (3, 17, tuple(paths), 6)
    assert "6 of the 6 different pictures named key 3 share the nonce 17 of 64" in group.sentence(64)
    assert alike.groups(same, paths.get, 1) == []  # there is no other nonce


def test_copies_are_one_picture(tmp_path: Path) -> None:
    paths = {f"{i}.png": _picture(tmp_path / f"{i}.png", 1, mirrored=i % 2 == 1) for i in range(6)}
    assert alike.groups([(name, 3, 17, name) for name in paths], paths.get, 64) == []
    assert alike.groups([(name, 3, 17, "the same bytes") for name in paths], paths.get, 64) == []


def test_nonces_that_were_drawn_are_hardly_ever_told() -> None:
    rng, told = np.random.default_rng(0), 0
    for _ in range(200):
        found = [(str(i), int(rng.integers(3)), int(rng.integers(16)), str(i)) for i in range(60)]
        told += bool(alike.groups(found, lambda name: None, 16))
    assert told <= 200 * alike.LEVEL + 4


def test_groups_come_from_the_lines_of_this_run(tmp_path: Path) -> None:
    head = {"settings": "s", "error": None, "answer": "key", "key": 3, "nonce": 17}
    lines = [head | {"file": f"{i}.png", "sha256": f"{i:064x}"} for i in range(5)]
    lines.append(head | {"file": "0.png", "sha256": "f" * 64, "settings": "other"})
    journal = tmp_path / "results.jsonl"
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines) + "damaged\n")
    for i in range(4):
        _picture(tmp_path / f"{i}.png", i)
    assert len(list(alike.named(journal, "s"))) == 5
    (sentence,) = alike.notes(journal, "s", {"id": 64}, lambda name: tmp_path / name)  # one of them is gone
    assert "5 of the 5 different pictures named key 3 share the nonce 17" in sentence
    assert alike.notes(journal, "s", {"id": 1}, lambda name: None) == []


def test_groups_of_several_keyrings_are_told_apart(tmp_path: Path) -> None:
    from treering.batch.run import _nonces

    settings = {"searched": [{"keyring": {"id": "a", "nonces": 64}}, {"keyring": {"id": "b", "nonces": 16}}]}
    assert _nonces(settings) == {"a": 64, "b": 16}
    assert _nonces({"keyring": {"id": "a", "nonces": 64}}) == {"a": 64} and _nonces({}) == {}
    head = {"settings": "s", "error": None, "answer": "key", "key": 3, "nonce": 5}
    whose = [("a", "old")] * 2 + [("b", "new")] * 6
    lines = [
        head | {"file": f"{i}.png", "sha256": f"{i:064x}", "keyring": ring, "keyring_name": name}
        for i, (ring, name) in enumerate(whose)
    ]
    journal = tmp_path / "results.jsonl"
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (sentence,) = alike.notes(journal, "s", _nonces(settings), lambda name: None)  # two of "old" are chance
    assert "6 of the 6 different pictures named key 3 of new share the nonce 5 of 16" in sentence


# A whole run


def _verified(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *arguments: str):
    seen = {}

    def run(whole):
        seen["fpr"], count = whole.reading.fpr, len(list(whole.items))
        return Summary(count, count, 0, 0, (), {None: count}, None, "s", 0.0)

    Keyring(SECRET, public=True).save(tmp_path / "k.json")
    for i in range(4):
        _picture(tmp_path / f"{i}.png", i)
    monkeypatch.setattr(verify, "_verify", run)
    out = ("--output", str(tmp_path / "out"), "--keyring", str(tmp_path / "k.json"))
    return CliRunner().invoke(main, ["verify", str(tmp_path), *out, *arguments]), seen


def test_a_whole_run_shares_its_error_rate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    result, seen = _verified(monkeypatch, tmp_path, "--run-fpr", "0.02")
    assert result.exit_code == 0, result.output
    assert seen["fpr"] == 0.02 / 4
    assert "any of these 4 pictures is named falsely is at most 0.02" in result.stderr


def test_two_error_rates_are_one_too_many(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    result, seen = _verified(monkeypatch, tmp_path, "--run-fpr", "0.02", "--fpr", "1e-6")
    assert result.exit_code == 2
    assert "--fpr and --run-fpr exclude each other" in result.stderr
    assert not seen


# Exposure


def _audit(keyring: Keyring, marks: list[tuple[int, int]]) -> exposure.Exposure:
    """Pictures that show a third of their marks."""
    found = []
    for i, (key, nonce) in enumerate(marks):
        noise = 0.35 * keyring.noise(key, i, nonce=nonce) + plain_noise(keyring.shape, 1000 + i)
        found.append((key, nonce, noise[0].numpy()))
    return exposure.audit(keyring, found, lambda one: one)


def test_an_average_shows_the_more_the_more_pictures_share_a_mark() -> None:
    keyring = Keyring(SECRET, SYNC, (4, 32, 32), nonces=64)
    found = _audit(keyring, [(1, 0)] * 25 + [(2, 3)] * 6 + [(2, 4)])
    assert [(one.key, one.nonce, one.pictures, one.threat) for one in found.shared] == [
        (1, 0, 25, "forge and remove"),
        (2, 3, 6, "forge and remove"),
        (2, 4, 1, ""),
    ]
    shown = [one.shown for one in found.shared]
    assert shown == sorted(shown, reverse=True)
    assert shown[0] > 0.7 > shown[2]
    assert found.common > shown[0]  # it is on all of them
    told = " ".join(found.sentences())
    assert "can, without the secret, forge the classes 1, 2, and take the mark off 31 of them" in told
    assert json.loads(json.dumps(found.as_dict()))["marked"] == 32


def test_a_nonce_for_each_picture_leaves_the_common_part_alone() -> None:
    keyring = Keyring(SECRET, SYNC, (4, 32, 32), nonces=1000)
    found = _audit(keyring, [(1, i) for i in range(25)])
    assert not any(one.threat for one in found.shared)
    assert "No mark is on 5 of these pictures or more" in found.sentences()[0]
    assert "this keyring, class unreadable" in " ".join(found.sentences())


def test_what_is_not_marked_is_read_and_no_more() -> None:
    found = exposure.audit(Keyring(SECRET), [1, 2, 3], lambda one: None if one == 3 else (None, 0, None))
    assert (found.read, found.marked, found.shared) == (2, 0, ())
    assert found.as_dict()["common"] is None


def test_audit_of_a_folder(tmp_path: Path, pictures, keyring, monkeypatch: pytest.MonkeyPatch) -> None:
    keyring.save(tmp_path / "k.json")
    (tmp_path / "published").mkdir()
    for name, key in (("a", 1), ("b", 1), ("c", None)):
        images.write(pictures[key], tmp_path / "published" / f"{name}.png")
    (tmp_path / "published" / "broken.png").write_bytes(b"nothing")
    arguments = ["audit", str(tmp_path / "published"), "--keyring", str(tmp_path / "k.json"), "--effort", "fast"]
    result = CliRunner().invoke(main, [*arguments, "--json"])
    assert result.exit_code == 3, result.output
    told = json.loads(result.stdout)
    assert (told["read"], told["marked"]) == (2, 1)  # b is a copy of a
    assert [(one["key"], one["pictures"]) for one in told["shared"]] == [(1, 1)]
    assert told["shared"][0]["shown"] > 0.2
    assert "broken.png" in result.stderr


def test_audit_of_nothing_is_a_sentence(tmp_path: Path) -> None:
    Keyring(SECRET).save(tmp_path / "k.json")
    (tmp_path / "empty").mkdir()
    result = CliRunner().invoke(main, ["audit", str(tmp_path / "empty"), "--keyring", str(tmp_path / "k.json")])
    assert (result.exit_code, result.stderr) == (1, f"Error: There are no pictures in {tmp_path / 'empty'}.\n")


# Tools of the studies


def test_scores_of_wrong_secrets_are_standard_normal_and_those_of_the_right_one_are_not() -> None:
    keyring = Keyring(SECRET, SYNC, (4, 32, 32))
    lattice, noise = wide(0.95, 1.05), keyring.noise(0, 1)[0].numpy()
    wrong = scores.tails(noise, keyring, [scores.secret(i) for i in range(30)], lattice)
    found, allowed = sum(one.beyond[0] for one in wrong), sum(one.scores for one in wrong) * scores.LEVELS[0]
    assert 0.6 * allowed < found < 1.6 * allowed
    (right,) = scores.tails(noise, keyring, [SECRET], lattice)
    assert right.beyond[-1] > 0
    assert scores.tails(np.zeros_like(noise), keyring, [SECRET], lattice)[0].scores == 0
    assert scores.tails(noise, keyring, [], lattice) == []  # a rerun that has nothing left to do


def test_how_many_pictures_share_a_nonce() -> None:
    rng = np.random.default_rng(0)
    assert averaging.needed(1, 5, rng, 3) == 5
    pair = averaging.needed(365, 2, rng, 400)
    assert 19 <= pair <= 28  # the birthday problem: 23
    assert pair < averaging.needed(365, 3, rng, 50)


def test_the_network_sees_what_can_be_seen_and_nothing_else() -> None:
    rng = torch.Generator().manual_seed(0)
    plain = torch.rand((48, 3, 32, 32), generator=rng)
    pattern = 0.7 * torch.randn((1, 3, 32, 32), generator=rng)
    seen, unseen = torch.stack([plain + pattern, plain], 1), torch.stack([plain, plain], 1)
    assert spotting.rate(spotting.train(seen[:36], 12), seen[36:]) > 0.9
    assert spotting.rate(spotting.train(unseen[:16], 1), unseen[16:]) == 0.5


def test_wrong_seeds_are_refused() -> None:
    with pytest.raises(InputError, match="must not be negative"):
        Keyring(SECRET, SYNC, nonces=5).noise(0, -1)
