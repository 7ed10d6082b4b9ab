"""The JSON that commands print is what its schemas say, and the schemas can fail."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from schemas import SCHEMAS, check, holds

import treering
from treering import images
from treering.batch.exposure import Exposure, Shared
from treering.batch.items import Item
from treering.batch.lines import Loaded, _result
from treering.evidence.checks import Check
from treering.marks.keyring import Keyring
from treering.types import Answer, Detection
from treering_cli.main import main

jsonschema = pytest.importorskip("jsonschema", reason="the extra test is not installed")

RING = Keyring(bytes(range(32)))
STAGE = {
    "stage": "s",
    "share": 0.5,
    "seconds": 0.1,
    "log10_p": -9.0,
    "log10_p_keyring": -9.0,
    "tried": 1,
    "statuses": {},
}
FOUND = Detection(2, 1e-9, -9.0, Answer.KEY, 2, 7.1, 0.0, "m", RING.id, "encoder", 1, "", 0.1, stages=(STAGE,), nonce=0)
NONE = Detection(None, 1.0, 0.0, Answer.NONE, 2, float("-inf"), 0.0, "m", RING.id, "encoder", 1, "", 0.1)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TREERING_KEYRING", str(tmp_path / "own.json"))
    RING.save(Path("own.json"))
    return lambda *words: CliRunner().invoke(main, [str(word) for word in words])


def records(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_are_schemas(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])
    assert not holds(name, {})


@pytest.mark.parametrize("found", [FOUND, NONE])
def test_lines_of_verify(found: Detection) -> None:
    line = _result(Loaded(Item(Path("a.png"), "a.png"), "0" * 64), found, "ab")
    assert holds("verify", line)
    assert not holds("verify", line | {"answer": "maybe"})
    assert not holds("verify", line | {"p_value": 1.5})
    assert not holds("verify", line | {"key": None if found is FOUND else 3})
    assert not holds("verify", {name: value for name, value in line.items() if name != "log10_p"})
    failed = {"file": "a.png", "sha256": None, "settings": "ab", "error": "It is empty."}
    assert holds("verify", failed)
    assert not holds("verify", failed | {"error": None})


def test_what_detect_prints(run: Callable[..., Result], model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("treering.models.load", lambda *_: model)
    picture = treering.embed(model, RING, 2, ["green hills at dawn"], 5, steps=5)[0]
    images.write(picture, Path("p.png"))
    read, failed = records(run("detect", "p.png", "none.png", "--json", "--effort", "fast"))
    assert holds("detect", read), read
    assert holds("detect", failed)
    assert not holds("detect", {"file": "p.png"})
    assert not holds("detect", read | {"stages": [{}]})


def test_what_keys_and_the_doctor_print(run: Callable[..., Result]) -> None:
    run("keys", "name", 17, "Anna")
    run("keys", "retire", 3)
    (shown,) = records(run("keys", "show", "--json"))
    assert holds("keyring", shown), shown
    assert not holds("keyring", shown | {"secret": "00"})
    named = records(run("keys", "names", "--json"))
    assert [holds("names", one) for one in named] == [True, True]
    looked = records(run("doctor", "--quick", "--json"))
    assert looked and all(holds("doctor", one) for one in looked)
    assert not holds("doctor", looked[0] | {"state": "fine"})


@pytest.mark.parametrize("one", [Check("a", True, "b"), Check("a", None, "b")])
def test_checks(one: Check) -> None:
    assert holds("check", asdict(one))
    assert not holds("check", asdict(one) | {"holds": "yes"})


def test_records_of_embed() -> None:
    record = {"file": "a.png", "prompt": "hills", "seconds": 0.1}
    assert holds("embed", record)
    assert holds("embed", record | {"key": None, "seed": 3})
    assert not holds("embed", record | {"key": "2"})


def commands(group: click.Group, name: str) -> Iterator[tuple[str, click.Command]]:
    """Every command by its whole name."""
    context = click.Context(group, info_name=name)
    for word in group.list_commands(context):
        found = group.get_command(context, word)
        if isinstance(found, click.Group):
            yield from commands(found, f"{name} {word}")
        elif found is not None:
            yield f"{name} {word}", found


def test_whatever_prints_json_has_a_schema() -> None:
    told = " ".join(schema["title"] for schema in SCHEMAS.values()).replace(", keys", ", treering keys")
    printing = [name for name, one in commands(main, "treering") if any(p.name == "as_json" for p in one.params)]
    assert len(printing) >= 14
    assert [name for name in printing if f"{name} --json" not in told] == []


def test_what_audit_prints() -> None:
    shared = (Shared(3, 0, 20, 0.25), Shared(4, 1, 1, float("nan")))
    found = Exposure(30, shared, float("nan"), 64).as_dict()
    check("audit", found)
    assert not holds("audit", found | {"shared": [{}]})
    assert not holds("audit", found | {"common": 2})


def test_what_is_published_and_revealed(run: Callable[..., Result]) -> None:
    RING.save(Path("own.json"), overwrite=True)
    (told,) = records(run("keys", "commit", "--output", "c.json", "--json"))
    check("commitment", told, json.loads(Path("c.json").read_text()))
    assert not holds("commitment", told | {"root": "00"})
    assert not holds("commitment", told | {"secret": "00"})
    assert run("keys", "reveal", 3, "--nonce", 0, "--output", "r.json").exit_code == 0
    revealed = json.loads(Path("r.json").read_text())
    check("revealed", revealed)
    assert not holds("revealed", revealed | {"mark_seed": "00"})


def test_a_page_with_several_marks() -> None:
    mark = {"key": 2, "p_value": 1e-9, "box": [0, 0, 10, 10]}
    whole = {"file": "a.png", **NONE.as_dict(), "z": None, "marks": [mark], "share": 0.5, "looked": 3}
    parts = whole | {"answer": "parts", "nonce": 3}
    check("detect", parts)
    assert not holds("detect", parts | {"key": 2})
    assert not holds("detect", parts | {"marks": []})
