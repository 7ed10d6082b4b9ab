"""`treering keys set` and `upgrade`, links, and numbers that are too large."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import treering_cli
from treering.marks.keyring import NONCES, Keyring
from treering.marks.patterns import KINDS, Kind, Pattern
from treering.models import demo
from treering_cli import keys
from treering_cli.main import main

Run = Callable[..., Result]
SECRET = bytes(range(32))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TREERING_KEYRING", str(tmp_path / "own.json"))
    return lambda *words: CliRunner().invoke(main, [str(word) for word in words])


def own(**settings: object) -> Keyring:
    keyring = Keyring(SECRET, **settings)  # type: ignore[arg-type]
    keyring.save(Path("own.json"))
    return keyring


def old() -> None:
    """A file of version 1."""
    pattern = {"kind": "noise", "channels": [0, 1, 2, 3], "noise_channels": [], "inner": 4, "outer": 15, "weight": 0.5}
    content = {"format": "treering keyring", "version": 1, "id": "df0e9ee9ef605571", "public": False, "classes": 100}
    content |= {"model": "demo", "shape": [4, 32, 32], "image_size": [256, 256], "steps": 10, "pattern": pattern}
    Path("own.json").write_text(json.dumps(content | {"secret": SECRET.hex()}))
    Path("own.json").chmod(0o600)


def fails(result: Result, sentence: str, code: int = 1) -> None:
    assert result.stdout == ""
    assert sentence in " ".join(result.stderr.split())
    assert result.exit_code == code
    assert SECRET.hex()[:8] not in result.output


def test_set_changes_what_was_named_and_keeps_the_id(run: Run) -> None:
    before = own()
    result = run("keys", "set", "--sizes", "512x256,256x256", "--steps", 7, "--classes", 2**40, "--nonces", 16)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "pictures     512x256, 256x256\n" in result.stdout
    after = Keyring.load("own.json")
    assert (after.id, after.sizes) == (before.id, ((256, 512), (256, 256)))
    assert (after.steps, after.classes, after.nonces, after.secret) == (7, 2**40, 16, SECRET)
    assert json.loads(run("keys", "set", "--classes", 3, "--json").stdout)["classes"] == 3
    assert Keyring.load("own.json").steps == 7


def test_set_names_another_model_of_the_same_latents(run: Run) -> None:
    own(model="elsewhere")
    assert run("keys", "set", "--model", "demo").exit_code == 0
    assert Keyring.load("own.json").model == "demo"
    own_large = Keyring(SECRET, shape=(4, 64, 64))
    own_large.save("own.json", overwrite=True)
    fails(run("keys", "set", "--model", "demo"), "The model demo makes pictures of 256x256; add them with --sizes.")
    assert run("keys", "set", "--model", "demo", "--sizes", "512x512,256x256").exit_code == 0
    Keyring(SECRET, shape=(16, 32, 32)).save("own.json", overwrite=True)
    fails(run("keys", "set", "--model", "demo"), "for latents of 16 channels and 8 pixels a cell, the model demo has 4")


@pytest.mark.parametrize(
    ("words", "sentence", "code"),
    [
        ("--sizes 260x256", "in steps of 8", 1),
        ("--sizes 64x64", "Rings 4 to 15 do not fit a 8x8 latent", 1),
        ("--sizes 1x", "is not a list of sizes", 2),
        ("--sizes 256x256,256x256", "names every size of pictures once", 1),
        ("--steps 1001", "Invalid value for '--steps'", 2),
        ("--classes 100000000000000000000", "Invalid value for '--classes'", 2),
        ("--nonces 0", "Invalid value for '--nonces'", 2),
        ("", "Nothing is to be changed", 2),
    ],
)
def test_what_cannot_be_set(run: Run, words: str, sentence: str, code: int) -> None:
    own()
    before = Path("own.json").read_bytes()
    fails(run("keys", "set", *words.split()), sentence, code)
    assert Path("own.json").read_bytes() == before


def test_set_has_no_more_classes_than_the_paper(run: Run) -> None:
    own(pattern=Pattern.paper(), classes=3)
    fails(run("keys", "set", "--classes", 4), "The pattern 'paper' has 3 classes.")


def test_upgrade_says_what_it_can_and_cannot_do(run: Run) -> None:
    old()
    before = Keyring.load("own.json")
    fails(run("keys", "set", "--steps", 3), "is of version 1; run: treering keys upgrade")
    result = run("keys", "upgrade")
    assert (result.exit_code, result.stdout) == (0, "")
    for words in (
        "is of version 2 now",
        "protected by a MAC",
        "no nonces, no synchronisation part and one latent size",
    ):
        assert words in result.stderr
    assert Keyring.load("own.json") == before
    again = run("keys", "upgrade", "own.json")
    assert (again.exit_code, again.stderr) == (0, f"The keyring {before.id} in own.json is of version 2 already.\n")
    assert run("keys", "set", "--steps", 3, "--classes", 5).exit_code == 0
    fails(run("keys", "set", "--nonces", 3), "has no nonces and no synchronisation; make a new one")
    fails(run("keys", "set", "--sizes", "512x512,256x256"), "has latents of one size; make a new one")
    assert "values       as in version 1" in run("keys", "show").stdout


@pytest.mark.skipif(os.name != "posix", reason="other systems have other links")
def test_new_through_a_link_says_which_file_it_replaced(run: Run, tmp_path: Path) -> None:
    before = own()
    Path("link.json").symlink_to("own.json")
    fails(run("keys", "new", "--output", "link.json"), "link.json exists already")
    result = run("keys", "new", "--output", "link.json", "--force")
    where = f"{tmp_path}/own.json, to which link.json is a link,"
    sentence = f"The keyring {before.id} in {where} is destroyed; marks made with it can never be read again.\n"
    assert (result.exit_code, result.stderr) == (0, sentence)
    assert Path("link.json").is_symlink()
    assert Keyring.load("own.json").id == Keyring.load("link.json").id != before.id
    assert stat.S_IMODE(Path("own.json").stat().st_mode) == 0o600
    Path("own.json").unlink()
    result = run("keys", "new", "--output", "link.json", "--force")
    assert result.stderr == f"link.json is a link to {tmp_path}/own.json, which did not exist.\n"
    assert Path("own.json").exists()


def test_new_has_as_many_nonces_as_were_asked_for(run: Run) -> None:
    assert run("keys", "new", "--nonces", 10**6).exit_code == 0
    assert (Keyring.load("own.json").nonces, Keyring.load("own.json").classes) == (10**6, Keyring.classes)
    assert run("keys", "new", "--force").exit_code == 0
    assert Keyring.load("own.json").nonces == NONCES
    assert run("keys", "new", "--force", "--classes", 10**4).exit_code == 0
    assert Keyring.load("own.json").nonces == 8  # so that the search stays small
    assert run("keys", "new", "--force", "--sync", 0).exit_code == 0
    assert Keyring.load("own.json").nonces == 1
    fails(run("keys", "new", "--force", "--nonces", 0), "Invalid value for '--nonces'", 2)


class Few(Kind):
    """A pattern that nobody knows but the table."""

    summary = "for a test"
    most_classes = 5
    defaults: Mapping[str, Any] = {"channels": (1, 2), "inner": 2, "outer": 5}


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more line in the table of patterns, and a command line that was loaded after it was written."""
    monkeypatch.setattr(treering_cli, "keys", keys)  # both are put back
    monkeypatch.delitem(sys.modules, "treering_cli.keys")
    monkeypatch.setitem(KINDS, "few", Few())


@pytest.mark.usefixtures("few")
def test_a_pattern_is_one_line_of_the_table(run: Run) -> None:
    assert run("keys", "new", "--pattern", "few").exit_code == 0
    made = Keyring.load("own.json")
    assert (made.pattern, made.classes) == (Pattern("few", (1, 2), (), 2, 5), 5)
    assert [match.key for match in made.match(made.noise(3, seed=7, count=2))] == [3, 3]
    assert "few, channels 1,2, rings 2-5" in run("keys", "show").stdout
    assert run("keys", "new", "--pattern", "few", "--force", "--rings", "3-7", "--classes", 2).exit_code == 0
    assert Keyring.load("own.json").pattern == Pattern("few", (1, 2), (), 3, 7)
    fails(run("keys", "new", "--pattern", "few", "--force", "--classes", 6), "The pattern 'few' has 5 classes.")
    told = " ".join(run("keys", "new", "--help").stdout.split())
    for words in ("few for a test", "100, or 3 for paper, or 5 for few", "1-6 for paper, or 2-5 for few"):
        assert words in told


@pytest.mark.parametrize(
    ("words", "pattern", "classes"),
    [
        ("", Pattern.synchronised(), 100),
        ("--sync 0", Pattern(outer=21), 100),
        ("--rings 4-12", Pattern(outer=12, sync_share=0.75, sync_outer=12), 100),
        ("--pattern paper", Pattern.paper(), 3),
        ("--pattern rings", Pattern("rings"), 100),
        (
            "--pattern mixed --channels 0 --noise-channels 2,3 --sync 0.5",
            Pattern("mixed", (0,), (2, 3), sync_channels=(2,), sync_share=0.5),
            100,
        ),
    ],
)
def test_what_is_left_open_is_as_the_pattern_has_it(run: Run, words: str, pattern: Pattern, classes: int) -> None:
    assert run("keys", "new", *words.split()).exit_code == 0
    made = Keyring.load("own.json")
    assert (made.pattern, made.classes) == (pattern, classes)


def test_numbers_that_are_too_large(run: Run) -> None:
    fails(run("keys", "new", "--classes", 10**20), "Invalid value for '--classes'", 2)
    assert run("keys", "new", "--classes", 2**63 - 1).exit_code == 0
    fails(run("embed", "--key", 10**20), "is too large: classes are numbers", 2)


def test_the_sample_keyring_is_the_demos() -> None:
    sample = Path(__file__).parent.parent / "samples" / "keyring.json"
    body = json.loads(sample.read_text())
    assert body["version"] == 2
    assert (Keyring.load(sample), Keyring.load(sample).id) == (demo.keyring(), "d8060f07cbbd5310")


@pytest.mark.skipif(os.name != "posix", reason="there are no FIFOs")
def test_a_secret_goes_to_plain_files_alone(run):
    os.mkfifo("pipe")
    for words in (("new", "--output", "pipe", "--force"), ("new", "--output", "pipe")):
        fails(run("keys", *words), "pipe is a pipe or a device; name a file.")
    fails(run("keys", "new", "--output", "-"), "not written to standard output")
    fails(run("keys", "new", "--output", ""), "An empty name is no file.", 2)
    assert not os.path.exists("-")
