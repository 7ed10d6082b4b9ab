"""Evidence that others can check: hash trees, commitments, signatures, statements."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from treering.errors import InputError, KeyringError, TreeringError
from treering.evidence import Commitment, Evidence, Revealed, Signer, Statement, checks, commit, reveal, tree
from treering.evidence.document import Complexes
from treering.marks.keyring import Keyring
from treering.marks.patterns import Pattern
from treering.settings import Reading
from treering.types import Answer, Detection
from treering_cli.main import main

pytest.importorskip("cryptography", reason="the extra evidence is not installed")

RING = Keyring(bytes(range(32)), Pattern.synchronised(), classes=10, nonces=3)
PICTURE = b"the bytes of a picture"
Run = Callable[..., Result]


def numbered(numbers: range) -> list[bytes]:
    return [i.to_bytes(32, "big") for i in numbers]


# ------------------------------------------------------------------------------------ hash trees


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 300), st.data())
def test_a_path_leads_to_the_root_and_no_other_leaf_does(count: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, count - 1))
    root, siblings = tree.path(numbered, count, index)
    leaf = numbered(range(index, index + 1))[0]
    assert len(siblings) == tree.depth(count)
    assert root == tree.root(numbered, count) == tree.climbed(leaf, index, siblings)
    assert tree.climbed(b"x" * 32, index, siblings) != root
    if count > 1:
        assert tree.climbed(leaf, index ^ 1, siblings) != root


def test_pieces_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = [tree.path(numbered, 77, i) for i in (0, 31, 64, 76)]
    monkeypatch.setattr(tree, "_PIECE", 8)
    assert [tree.path(numbered, 77, i) for i in (0, 31, 64, 76)] == whole


def test_more_leaves_are_another_root() -> None:
    assert len({tree.root(numbered, count) for count in range(1, 40)}) == 39


# ------------------------------------------------------------------------------------ commitments


def test_a_revealed_mark_belongs_to_the_commitment(tmp_path: Path) -> None:
    made, shown = commit(RING), reveal(RING, 7, 2)
    assert shown.root == made.root
    assert replace(shown, key=6).root != made.root
    assert replace(shown, seed=bytes(32)).root != made.root
    assert replace(shown, head=replace(shown.head, classes=11)).root != made.root
    assert commit(replace(RING, secret=bytes(32))).root != made.root
    assert RING.secret.hex() not in json.dumps([made.as_dict(), shown.as_dict()])


def test_files_of_commitments_come_back(tmp_path: Path) -> None:
    for name, one in {"c": commit(RING), "r": reveal(RING, 7, 2)}.items():
        (tmp_path / name).write_text(json.dumps(one.as_dict()))
    assert Commitment.load(tmp_path / "c").as_dict() == commit(RING).as_dict()
    assert Revealed.load(tmp_path / "r").root == commit(RING).root


def test_what_cannot_be_committed_to() -> None:
    with pytest.raises(InputError, match="are more than the 16777216 of a commitment"):
        commit(replace(RING, classes=2**24))
    with pytest.raises(InputError, match="Only marks of version 2"):
        commit(Keyring(bytes(32), derivation=1))
    with pytest.raises(InputError, match="there is no nonce 3"):
        reveal(RING, 1, 3)
    with pytest.raises(InputError, match="there is no class 10"):
        reveal(RING, 10)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"path": []}, "does not fit a tree of 30 marks"),
        ({"path": ["00"] * 5}, "has a hash that is none"),
        ({"mark_seed": "xy"}, "has a hash that is none"),
        ({"class": -1}, "has no usable class"),
        ({"class": 10}, "none of those that its commitment speaks of"),
        ({"nonces": True}, "has no usable nonces"),
        ({"classes": 1 << 40}, "speaks of more than"),
        ({"pattern": 3}, "does not say of which keyring"),
        ({"format": "x"}, "is no file of treering revealed mark"),
        ({"version": 2}, "is of version 2"),
    ],
)
def test_broken_files_are_one_sentence(tmp_path: Path, change: dict[str, object], sentence: str) -> None:
    (tmp_path / "r").write_text(json.dumps(reveal(RING, 7, 2).as_dict() | change))
    with pytest.raises(InputError, match=sentence):
        Revealed.load(tmp_path / "r")


@pytest.mark.parametrize(
    "change", [{"pattern": {"kind": "x"}}, {"pattern": {"foo": 1}}, {"sizes": [[1 << 40, 8]]}, {"sizes": [3]}]
)
def test_absurd_patterns_are_refused_before_anything_is_made(tmp_path: Path, change: dict[str, object]) -> None:
    (tmp_path / "r").write_text(json.dumps(reveal(RING, 7, 2).as_dict() | change))
    with pytest.raises(TreeringError):
        checks.log10_expert(np.zeros(1424, np.complex128), Revealed.load(tmp_path / "r"))


# ------------------------------------------------------------------------------------ statements


def values(ring: Keyring, key: int, nonce: int, strength: float) -> Complexes:
    """Recovered values with a mark in them."""
    noise = np.random.default_rng(5).standard_normal((2, len(ring.cells().index)))
    return strength * ring.values([key], nonce)[0] + noise[0] + 1j * noise[1]


def statement(ring: Keyring = RING, key: int = 7, nonce: int = 2, strength: float = 1.0) -> Statement:
    import torch

    read = values(ring, key, nonce, strength)
    found = ring.pattern.match(torch.from_numpy(read)[None], ring.cells(), ring.marks())[0]
    detection = Detection(
        found.key, 0.0, found.log10_p, Answer.KEY, found.key, found.z, 0.0, "m", ring.id, "encoder", 1, "", 0.1
    )
    return Statement.of(PICTURE, ring, Reading(), detection, read, share=0.25, created="2026-11-24T00:00:00Z")


def evidence() -> Evidence:
    return Evidence.signed(statement(), Signer.new())


def test_evidence_holds_what_was_signed(tmp_path: Path) -> None:
    made = evidence()
    made.save(tmp_path / "e.json")
    back = Evidence.load(tmp_path / "e.json")
    assert back.genuine
    assert back.as_dict() == made.as_dict()
    assert (back.statement.values == values(RING, 7, 2, 1.0)).all()
    assert back.statement.settings() == Reading()
    assert RING.secret.hex() not in (tmp_path / "e.json").read_text()
    assert (tmp_path / "e.json").stat().st_size < 60_000
    with pytest.raises(InputError, match="exists already; --force replaces it"):
        made.save(tmp_path / "e.json")


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_whatever_is_changed_the_signature_fails(data: st.DataObject) -> None:
    content = json.loads(json.dumps(_MADE.as_dict()))
    table = content["statement"]
    name = data.draw(st.sampled_from(sorted(table)))
    table[name] = data.draw(st.one_of(st.none(), st.integers(), st.text(max_size=5), st.just([])))
    assert not Evidence(Statement(table), _MADE.public, _MADE.signature).genuine


_MADE = evidence()


def test_the_owner_repeats_the_test() -> None:
    assert checks.by_owner(_MADE, RING).holds
    assert not checks.by_owner(_MADE, replace(RING, secret=bytes(32))).holds
    content = dict(_MADE.statement.content)
    less = Statement({**content, "test": {**content["test"], "z": content["test"]["z"] + 1}})
    assert not checks.by_owner(replace(_MADE, statement=less), RING).holds


def test_the_expert_repeats_the_test_without_the_secret() -> None:
    shown = reveal(RING, 7, 2)
    committed, mark = checks.by_expert(_MADE, shown, commit(RING))
    assert committed.holds
    assert mark.holds is None
    level = checks.log10_expert(_MADE.statement.values, shown)
    assert f"log10 p = {level:.1f}" in mark.says
    # As the owner's, but for all poses and without the part of the picture that all classes share.
    assert level == pytest.approx(_MADE.statement.says("test", "log10_p") + np.log10(checks.POSES), abs=0.1)
    assert checks.log10_expert(_MADE.statement.values, reveal(RING, 6, 2)) == 0.0
    assert not next(checks.by_expert(_MADE, shown, commit(replace(RING, classes=11)))).holds


def test_the_experts_p_is_uniform_over_other_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    read, shown = values(RING, 7, 2, 0.0), reveal(RING, 0)
    monkeypatch.setattr(checks, "POSES", 1 / RING.classes / RING.nonces)  # no correction at all
    seeds = [bytes([i % 256, i // 256]) * 16 for i in range(1000)]
    p = 10.0 ** np.asarray([checks.log10_expert(read, replace(shown, seed=seed)) for seed in seeds])
    assert 60 <= (p <= 0.1).sum() <= 140  # four deviations
    assert 440 <= (p <= 0.5).sum() <= 560
    assert p.min() > 1e-6


def test_signatures_and_pictures() -> None:
    signer = Signer.new()
    made = Evidence.signed(statement(), signer)
    assert checks.signature(made).holds is None
    assert checks.signature(made, signer.public.upper()).holds
    assert not checks.signature(made, "00" * 32).holds
    assert not checks.signature(replace(made, signature="00" * 64)).holds
    assert not checks.signature(replace(made, public="zz")).holds
    assert checks.picture(made, PICTURE).holds
    assert not checks.picture(made, PICTURE + b"\0").holds


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "treering evidence", "version": 1}', "[" * 99999])
def test_files_that_are_no_evidence(tmp_path: Path, text: str) -> None:
    (tmp_path / "e").write_text(text)
    with pytest.raises(InputError):
        Evidence.load(tmp_path / "e")


@pytest.mark.parametrize(
    "text", ["x", "AAAA", "////////////////////////////////////////" + "A" * 24, 3, None, "AAAAAAAA8H8AAAAAAADwfw=="]
)
def test_values_that_are_none(text: object) -> None:
    content = {**_MADE.statement.content, "values": text}
    with pytest.raises(InputError):
        list(checks.by_expert(replace(_MADE, statement=Statement(content)), reveal(RING, 7, 2), None))


# ------------------------------------------------------------------------------------ signing keys


def test_signing_keys_are_private_and_come_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "signing.pem"
    made, fresh = Signer.create_or_load(path)
    again, old = Signer.create_or_load(path)
    assert (fresh, old, again.public) == (True, False, made.public)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    with pytest.raises(KeyringError, match="Others can read"):
        Signer.load(path)
    path.chmod(0o600)
    path.write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    with pytest.raises(KeyringError, match="is no signing key"):
        Signer.load(path)


# ------------------------------------------------------------------------------------ commands


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TREERING_KEYRING", str(tmp_path / "own.json"))
    monkeypatch.setenv("TREERING_SIGNING_KEY", str(tmp_path / "signing.pem"))
    RING.save(Path("own.json"))
    return lambda *words: CliRunner().invoke(main, [str(word) for word in words])


def test_from_commitment_to_court(run: Run) -> None:
    root = run("keys", "commit", "--output", "c.json").stdout.strip()
    assert Keyring.load("own.json").root == root
    assert run("keys", "commit", "--output", "c.json").exit_code == 1
    assert run("keys", "reveal", 7, "--nonce", 2, "--output", "r.json").exit_code == 0
    assert stat.S_IMODE(Path("r.json").stat().st_mode) == 0o600
    public = run("keys", "signer").stdout.strip()
    Evidence.signed(statement(), Signer.load(Path("signing.pem"))).save(Path("e.json"))
    Path("p.png").write_bytes(PICTURE)
    court = ["check", "e.json", "p.png", "--signer", public, "--revealed", "r.json", "--commitment", "c.json"]
    result = run(*court)
    assert result.exit_code == 0, result.output
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["holds", "holds", "holds", "judge"]
    Path("p.png").write_bytes(PICTURE + b"\0")
    told = run(*court, "--keyring", "own.json", "--json")
    found = {one["what"]: one["holds"] for one in map(json.loads, told.stdout.splitlines())}
    assert told.exit_code == 1
    assert found == {"signature": True, "picture": False, "commitment": True, "mark": None, "test": True}


def test_options_that_need_each_other(run: Run) -> None:
    assert run("check", "e.json", "p.png", "--commitment", "c.json").exit_code == 2
    assert run("check", "e.json", "p.png", "--repeat").exit_code == 2
    result = run("check", "e.json", "p.png")
    assert (result.exit_code, result.stdout) == (1, "")


def test_the_expert_pays_for_more_than_the_largest_plan_tries() -> None:
    from treering.reading.lattice import wide
    from treering.reading.plan import EFFORTS
    from treering.reading.stages import BESIDE, Again, Posed

    searches = [stage for stage in EFFORTS["max"] if isinstance(stage, Posed | Again)]
    tried = sum(wide(stage.smallest, stage.largest, 1.0).count * len(BESIDE) for stage in searches)
    assert len(searches) >= 2
    assert tried + 1000 < checks.POSES  # pictures as given and boxes among them
    assert tried > checks.POSES / 100  # else the bound is idle
