"""Evidence that others can check: hash trees, commitments, signatures, statements."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from treering.errors import InputError, KeyringError, TreeringError
from treering.evidence import Commitment, Evidence, Revealed, Signer, Statement, checks, commit, document, reveal, tree
from treering.evidence.document import Complexes
from treering.marks.keyring import Keyring
from treering.marks.patterns import Pattern
from treering.reading.evidence import Values
from treering.settings import Reading
from treering.types import Answer, Detection
from treering_cli.main import main

pytest.importorskip("cryptography", reason="the extra evidence is not installed")

RING = Keyring(bytes(range(32)), Pattern.synchronised(), classes=10, nonces=3)
PAID = np.log10(2 / 0.25)
"""log10 of what a reading pays for two questions and for the stage's share."""
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


def test_roots_that_were_published_hold() -> None:
    """The root that a release gave which knew no last ring of the synchronisation part."""
    old = Keyring(bytes(range(32)), Pattern(sync_share=0.75), classes=10, nonces=3)
    assert (
        commit(old).root == reveal(old, 7, 2).root == "c9c8a0e3c1311fcb1dbd7d772592809aea0185f108efd37160f770b9607b62ce"
    )
    assert "sync_outer" not in commit(old).head.pattern
    assert commit(RING).head.pattern["sync_outer"] == RING.pattern.sync_outer > 0


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
    level = found.log10_p + PAID
    detection = Detection(
        found.key,
        max(10**level, 1e-38),
        level,
        Answer.KEY,
        found.key,
        found.z,
        0.0,
        "m",
        ring.id,
        "encoder",
        1,
        "",
        0.1,
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
    assert level == pytest.approx(_MADE.statement.says("test", "log10_p") - PAID + np.log10(checks.POSES), abs=0.1)
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
    words = [line.split()[:2] for line in result.stdout.splitlines()]
    assert [" ".join(two) for two in words] == [
        "holds signature",
        "holds picture",
        "judge answer",
        "holds commitment",
        "judge mark",
    ]
    Path("p.png").write_bytes(PICTURE + b"\0")
    told = run(*court, "--keyring", "own.json", "--json")
    found = {one["what"]: one["holds"] for one in map(json.loads, told.stdout.splitlines())}
    assert told.exit_code == 1
    assert found == {
        "signature": True,
        "picture": False,
        "answer": None,
        "commitment": True,
        "mark": None,
        "test": True,
    }


def lie(**changes: object) -> Statement:
    """The statement with another field: ``part__name=value``."""
    content = json.loads(json.dumps(_MADE.statement.content))
    for where, value in changes.items():
        part, _, name = where.partition("__")
        content[part][name] = value
    return Statement(content)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"answer__key": 3}, "the class named is not the best"),
        ({"answer__key": True, "answer__best_key": 1}, "the class named is not the best"),
        ({"answer__key": None}, "its answer is none of those"),
        ({"answer__answer": "guilty"}, "its answer is none of those"),
        ({"answer__answer": [1]}, "its answer is none of those"),
        ({"answer__key": None, "answer__answer": "none"}, "its p-value does not fit its answer"),
        ({"answer__p_value": 0.5}, "its p-value is not what its logarithm says"),
        ({"answer__log10_p": -500.0}, "it has two p-values"),
        ({"answer__log10_p": -500.0, "test__log10_p": -500.0}, "its p-value is smaller than its z"),
        ({"test__tests": 10**9}, "no test is like that"),
        ({"test__tests": 1.5}, "no test is like that"),
        ({"test__share": 2}, "no test is like that"),
        ({"answer__stage": "trimmed"}, "another share of the error budget"),
        ({"test__z": 500}, "its p-value is larger than any poses"),
        (
            {"answer__key": None, "answer__answer": "none", "answer__p_value": 1.0}
            | {"answer__log10_p": 0.0, "test__log10_p": 0.0},
            "its p-value is 1",
        ),
    ],
)
def test_evidence_that_contradicts_itself_is_told(changes: dict[str, object], sentence: str) -> None:
    told = checks.statement(replace(_MADE, statement=lie(**changes)), False)
    assert (told.holds, sentence in told.says) == (False, True), told


@pytest.mark.parametrize(
    "changes",
    [{"answer__log10_p": v} for v in (None, "x", True, 1e400, [], 10**400)]
    + [{"test__z": v} for v in (None, "-3", {}, float("nan"))]
    + [{"settings__steps": 10**9}, {"settings__iterations": 0}, {"settings__keys": [1.5]}, {"settings__keys": "ab"}]
    + [{"settings__keys": {"first": 0}}, {"settings__keys": [1, 1]}, {"settings__guidance": "x"}]
    + [{"settings__effort": []}, {"settings__fpr": None}, {"settings__prompt": 3}, {"settings__keys": [99]}],
)
def test_fields_of_other_types_are_one_sentence(changes: dict[str, object]) -> None:
    made = replace(_MADE, statement=lie(**changes))
    with pytest.raises(InputError):
        list(looked(made))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"test__tests": 1}, "another number of marks"),
        ({"answer__nonce": 0}, "another class or nonce"),
        ({"answer__best_key": 3}, "another class or nonce"),
        ({"test__share": 1.0}, None),
        ({"test__share": 0.01}, "which is too small"),
    ],
)
def test_the_owner_finds_each_lie(changes: dict[str, object], sentence: str | None) -> None:
    told = checks.by_owner(replace(_MADE, statement=lie(**changes)), RING)
    assert (told.holds, (sentence or "PUBLIC") in told.says) == (sentence is None, sentence is not None), told
    assert "PUBLIC" in checks.by_owner(_MADE, replace(RING, public=True)).says


def looked(made: Evidence) -> Iterator[checks.Check]:
    yield checks.statement(made, False)
    yield checks.by_owner(made, RING)


def test_classes_that_were_chosen_are_told() -> None:
    found = Statement.of(
        PICTURE,
        RING,
        Reading(keys=range(5, 9)),
        _detection(_MADE),
        _MADE.statement.values,
        share=0.25,
        created="2026-11-24T00:00:00Z",
    )
    back = Statement(json.loads(json.dumps(found.content)))
    assert back.content["settings"]["keys"] == {"first": 5, "last": 8}
    assert back.settings() == Reading(keys=range(5, 9))
    assert "among 12 marks of 30 that the keyring has" in checks.by_owner(replace(_MADE, statement=back), RING).says


def _detection(made: Evidence) -> Detection:
    said = made.statement.content["answer"]
    return Detection(**{**said, "answer": Answer(said["answer"])}, seconds=0.0)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"statement": {', '"statement": {}, "statement": {'),
        ('"key": 7', '"key": 3, "key": 7'),
        ('"key": 7', '"key": 7, "x": NaN'),
        ('"key": 7', '"key": 7, "x": 1e400'),
        ('"key": 7', '"key": 7, "x": ' + "9" * 5000),
        ('"key": 7', '"key": 7, "x": ' + "[" * 600 + "]" * 600),
        ('"key": 7', '"key": 7, "x": "\xff"'),
    ],
)
def test_files_that_two_programs_read_in_two_ways_are_refused(tmp_path: Path, old: str, new: str) -> None:
    text = json.dumps(_MADE.as_dict())
    assert old in text
    (tmp_path / "e.json").write_bytes(text.replace(old, new, 1).encode("latin-1"))
    with pytest.raises(InputError, match="is not JSON of one meaning"):
        Evidence.load(tmp_path / "e.json")


def test_one_key_has_one_name() -> None:
    spaced = " ".join(_MADE.public[i : i + 2] for i in range(0, 64, 2))
    for public in (spaced, _MADE.public.upper(), _MADE.public + "\n"):
        assert not replace(_MADE, public=public).genuine


def test_what_strangers_wrote_cannot_look_like_a_line_of_ours() -> None:
    long = " " * 100 + "holds  signature  Signed by the key that you named."
    told = checks.by_owner(replace(_MADE, statement=lie(keyring__id=long)), RING)
    assert (told.holds, "Signed by" in told.says) == (False, False)


def test_the_experts_p_is_the_owners_whatever_the_pattern() -> None:
    patterns = [
        Pattern(kind="rings"),
        Pattern(kind="real"),
        Pattern(kind="mixed", channels=(0, 1), noise_channels=(2, 3), outer=12),
        Pattern.synchronised(),
    ]
    for pattern in patterns:
        ring = Keyring(bytes(range(32)), pattern, classes=10, sizes=((512, 256), (256, 256)))
        read = ring.values([4])[0][ring.cells().cell.numpy()]
        read = 0.6 * read + np.random.default_rng(1).standard_normal(len(read))
        owner = document.best(Values(ring), read)
        expert = checks.log10_expert(read, reveal(ring, 4))
        assert owner.key == 4
        assert expert == pytest.approx(min(0.0, owner.log10_p + np.log10(checks.POSES)), abs=0.05), pattern.kind


def test_a_root_that_no_longer_fits_is_told(run: Run) -> None:
    run("keys", "commit", "--output", "c.json")
    changed = run("keys", "set", "--classes", 20)
    assert "is of the former classes" in changed.stderr
    told = run("keys", "reveal", 7, "--nonce", 0, "--output", "r.json")
    assert (told.exit_code, "set them back with" in told.stderr) == (1, True)
    assert not Path("r.json").exists()
    run("keys", "set", "--classes", 10, "--steps", 12)
    assert run("keys", "reveal", 7, "--nonce", 0, "--output", "r.json").exit_code == 0
    assert Revealed.load(Path("r.json")).root == Commitment.load(Path("c.json")).root


def test_files_that_are_not_there_are_told_so(run: Run) -> None:
    Path("p.png").write_bytes(PICTURE)
    assert "There is no file e.json." in run("check", "e.json", "p.png").stderr
    assert "There is no evidence" not in run("check", "e.json", "p.png").stderr
    assert run("check", "e.json", "p.png", "--signer", "abc").exit_code == 2


def test_a_signing_key_is_made_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: Signer.create_or_load(tmp_path / "s.pem"), range(8)))
    assert len({signer.public for signer, _ in made}) == 1
    assert [fresh for _, fresh in made].count(True) == 1
    with pytest.raises(InputError, match=r"No permission|cannot be written"):
        Signer.create_or_load(Path("/proc/none/s.pem"))


def test_options_that_need_each_other(run: Run) -> None:
    assert run("check", "e.json", "p.png", "--commitment", "c.json").exit_code == 2
    assert run("check", "e.json", "p.png", "--repeat").exit_code == 2
    result = run("check", "e.json", "p.png")
    assert (result.exit_code, result.stdout) == (1, "")


def test_the_expert_pays_for_more_than_the_largest_plan_tries() -> None:
    from treering.reading.lattice import wide
    from treering.reading.plan import EFFORTS
    from treering.reading.stages import PLACES, RANKS, WARPS, Again, Posed

    searches = [stage for stage in EFFORTS["max"] if isinstance(stage, Posed | Again)]
    read = len(RANKS) * (1 + len(PLACES) + len(WARPS))  # of the class, for each pose
    tried = sum(wide(stage.smallest, stage.largest, 1.0).count * read for stage in searches)
    assert len(searches) >= 2
    assert tried + 1000 < checks.POSES  # pictures as given and boxes among them
    assert tried > checks.POSES / 100  # else the bound is idle
