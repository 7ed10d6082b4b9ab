"""The key rule for disks: whatever write fails, the old state or the new one is there, and one sentence says it."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from batch_tools import Formula
from click.testing import CliRunner, Result
from faults import Disk
from PIL import Image

from treering import batch, report
from treering.marks.keyring import Keyring
from treering.models.batching import Batching
from treering.pictures import images
from treering_cli import embed, options, work
from treering_cli.main import main

ERRORS = (errno.ENOSPC, errno.EIO, errno.EDQUOT)
SECRET = bytes(range(32))
SIZE = (32, 32)


class Model:
    """A stand-in."""

    name, fingerprint = "demo", "0123456789abcdef"
    shape, image_size = (4, 32, 32), SIZE
    batching = Batching({})

    def captions(self, seed: int) -> str:
        return f"a scene {seed}"


@dataclass(frozen=True)
class Case:
    """A command, what is there before it, and what must hold after it failed: now, and after the next start."""

    words: str
    prepare: Callable[[], None]
    holds: Callable[[], None]


def nothing() -> None:
    pass


def paint(name: str, first: int) -> None:
    Path(name).parent.mkdir(exist_ok=True)
    pixels = np.full((*SIZE, 3), first, np.uint8)
    Image.fromarray(pixels).save(name)


# What must hold


def whole_lines() -> None:
    """Every line that is there is whole, but for one that no truncation could take back."""
    path = Path("out/results.jsonl")
    *whole, rest = path.read_bytes().split(b"\n") if path.exists() else [b""]
    assert all(json.loads(line)["file"] for line in whole)
    assert not rest or b'"file"' in rest


def rows_agree() -> None:
    """After the next start, pictures and rows are the same, and the rows are true."""
    batch.Manifest(Path("m.csv")).mend()
    there = Path("m.csv").exists() and Path("m.csv").stat().st_size
    rows = {item.name: item.label for item in batch.labels_from_manifest(Path("m.csv"))} if there else {}
    assert {item.name for item in batch.find(Path())} - {"old.png"} == set(rows)
    assert all(images.read(name).pixels[0, 0, 0] == label for name, label in rows.items())


def a_keyring() -> None:
    """The old one, to the byte, or a new one that can be read; or none where there was none."""
    path, before = Path("own.json"), Path("before.json")
    if path.exists():
        assert (before.exists() and path.read_bytes() == before.read_bytes()) or Keyring.load(path)
        assert path.stat().st_mode & 0o077 == 0
    else:
        assert not before.exists()


# Before


def with_pictures() -> None:
    for i in range(2):
        paint(f"in/{i}.png", i)


def with_results() -> None:
    with_pictures()
    assert call("verify in --output out --labels none").exit_code == 0
    paint("in/9.png", 9)


def with_a_picture() -> None:
    assert call("embed --key 1 --output a.png --manifest m.csv").exit_code == 0


def with_a_keyring() -> None:
    Keyring(SECRET, public=False).save(Path("own.json"), overwrite=True)
    shutil.copy("own.json", "before.json")


def with_an_old_keyring() -> None:
    """Of version 1."""
    keyring = Keyring(SECRET, shape=(4, 32, 32), image_size=SIZE, derivation=1)
    pattern = {"kind": "noise", "channels": [0, 1, 2, 3], "noise_channels": [], "inner": 4, "outer": 15, "weight": 0.5}
    body = {"format": "treering keyring", "version": 1, "id": keyring.id, "public": False, "classes": 100}
    rest = {"model": "demo", "shape": [4, 32, 32], "image_size": list(SIZE), "steps": 10, "pattern": pattern}
    Path("own.json").write_text(json.dumps({**body, **rest, "secret": SECRET.hex()}))
    shutil.copy("own.json", "before.json")


def without_a_keyring() -> None:
    Path("own.json").unlink()


CASES = {
    "verify": Case("verify in --output out --labels none --batch 1", with_pictures, whole_lines),
    "verify goes on": Case("verify in --output out --labels none", with_results, whole_lines),
    "embed": Case("embed --key 3 --count 2 --manifest m.csv", nothing, rows_agree),
    "embed one": Case("embed --key 3 --output a.png --manifest m.csv", nothing, rows_agree),
    "embed in its place": Case("embed --key 3 --output a.png --manifest m.csv --force", with_a_picture, rows_agree),
    "keys new": Case("keys new", without_a_keyring, a_keyring),
    "keys new --force": Case("keys new --force", with_a_keyring, a_keyring),
    "keys set": Case("keys set --steps 7", with_a_keyring, a_keyring),
    "keys upgrade": Case("keys upgrade", with_an_old_keyring, a_keyring),
    "keys export": Case("keys export own.json --keyring before.json --force", with_a_keyring, a_keyring),
}


def call(words: str) -> Result:
    return CliRunner().invoke(main, words.split())


@pytest.fixture(autouse=True)
def _stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    def maker(*_: object) -> embed.Make:
        return lambda one: (np.full((*SIZE, 3), one.key, np.uint8), None)

    monkeypatch.setattr(options.ModelChoice, "load", lambda *_: Model())
    monkeypatch.setattr(work, "detector", lambda *_: Formula())
    monkeypatch.setattr(embed, "_marked", maker)
    monkeypatch.setattr(report, "confusion_figure", lambda *_: None)


@pytest.mark.skipif(os.name != "posix", reason="other systems have other calls")
@pytest.mark.parametrize(
    ("case", "lasting"),
    [
        pytest.param(case, lasting, id=f"{name}, {'lasting' if lasting else 'once'}")
        for name, case in CASES.items()
        for lasting in (False, True)
        if not (lasting and name == "embed one")
    ],
)
def test_every_write_fails_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: Case, lasting: bool) -> None:
    calls = at = 1
    while at <= calls:
        folder = tmp_path / str(at)
        folder.mkdir()
        monkeypatch.chdir(folder)
        monkeypatch.setenv("TREERING_KEYRING", str(folder / "own.json"))
        Keyring(SECRET, shape=(4, 32, 32), image_size=SIZE).save(Path("own.json"))
        case.prepare()
        disk = Disk(folder, 0 if at == 1 else at - 1, ERRORS[at % 3], lasting)
        with monkeypatch.context() as patch:
            disk.install(patch)
            result = call(case.words)
        if at == 1:  # nothing fails: how many calls there are
            assert result.exit_code == 0, result.stderr
            calls = disk.count + 1
            assert calls > 4
        else:
            assert disk.failed
            check(result)
        case.holds()
        again(case.words)
        assert [path.name for path in folder.rglob(".treering-*")] == []
        at += 1


def check(result: Result) -> None:
    """One sentence; or success, where there was another way."""
    assert result.exit_code in (0, 1), result.exception
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == result.exit_code, result.stderr
    assert "Traceback" not in result.stderr


def again(words: str) -> None:
    """The same command succeeds, or says that its work is done already."""
    result = call(words)
    assert result.exit_code == 0 or "exists already" in result.stderr or "has a row" in result.stderr, result.stderr
