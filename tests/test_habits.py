"""Settings files, names of classes, completion and the doctor."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from treering.errors import InputError
from treering.marks import names
from treering.marks.keyring import Keyring
from treering_cli import configuration, doctor, main

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TREERING_KEYRING", str(tmp_path / "own.json"))
    monkeypatch.delenv("TREERING_CONFIG", raising=False)
    return lambda *words: CliRunner().invoke(main.main, [str(word) for word in words])


@pytest.fixture
def ring(run: Run) -> Keyring:
    keyring = Keyring(bytes(range(32)))
    keyring.save(Path("own.json"))
    return keyring


def fails(result: Result, sentence: str, code: int = 1) -> None:
    assert sentence in " ".join(result.stderr.split())
    assert (result.stdout, result.exit_code) == ("", code)


# ------------------------------------------------------------------------------------ settings


@pytest.mark.parametrize("name", ["treering.toml", "pyproject.toml"])
def test_settings_stand_in_for_options(run: Run, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv("TREERING_KEYRING")
    Path("below/deep").mkdir(parents=True)
    head = "[tool.treering]\n" if name == "pyproject.toml" else ""
    Path("below", name).write_text(f'{head}keyring = "mine.json"\n')
    monkeypatch.chdir("below/deep")
    fails(run("detect", "x.png"), f"There is no keyring {Path.cwd().parent / 'mine.json'}")
    fails(run("detect", "x.png", "--keyring", "given.json"), "There is no keyring given.json")
    monkeypatch.setenv("TREERING_KEYRING", "environment.json")
    fails(run("detect", "x.png"), "There is no keyring environment.json")
    monkeypatch.delenv("TREERING_KEYRING")
    monkeypatch.setenv("TREERING_CONFIG", "off")
    assert "mine.json" not in run("detect", "x.png").stderr


def test_what_settings_are_used_is_said(run: Run, ring: Keyring) -> None:
    Path("treering.toml").write_text("fpr = 1e-9\n")
    assert f"Settings from {Path.cwd() / 'treering.toml'}: fpr." in run("keys", "show").stderr


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("fpr = true", "have no usable 'fpr': it is True"),
        ('fpr = "small"', "have no usable 'fpr'"),
        ("secret = 'a'", "have 'secret', which is none; there are keyring"),
        ("model = []", "have no usable 'model'"),
        ("model = [1]", "have no usable 'model'"),
        ("fpr 3", "are not TOML"),
        ("a = " + "[" * 9999, "are not TOML"),
        ("fpr = '\xff'", "are not TOML"),
        ("#" * (1 << 20) + "#", "are larger than 1 MiB"),
    ],
)
def test_settings_that_say_nothing_usable(run: Run, text: str, sentence: str) -> None:
    Path("treering.toml").write_bytes(text.encode("latin-1"))
    fails(run("keys", "path"), sentence)


def test_values_of_settings_are_checked_as_options_are(run: Run, ring: Keyring) -> None:
    Path("treering.toml").write_text("fpr = 5\n")
    fails(run("detect", "x.png"), "Invalid value for '--fpr'", 2)


def test_a_project_without_settings_is_passed_over(run: Run) -> None:
    Path("pyproject.toml").write_text('[project]\nname = "treering-user"\n[tool.other]\n')
    assert configuration.load().settings == {}


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="files have no owners here")
def test_settings_of_somebody_else_are_not_used(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("treering.toml").write_text("fpr = 0.5\n")
    assert configuration.load().settings == {"fpr": 0.5}
    owner = Path("treering.toml").stat().st_uid
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    assert configuration.load().settings == ({"fpr": 0.5} if owner == 0 else {})


@pytest.mark.skipif(os.name != "posix", reason="files have no such modes here")
def test_settings_that_anybody_can_write_are_not_used(run: Run) -> None:
    Path("treering.toml").write_text("fpr = 0.5\n")
    Path("treering.toml").chmod(0o666)
    assert configuration.load().settings == {}
    Path("treering.toml").unlink()
    Path("treering.toml").mkdir()
    assert configuration.load().settings == {}


@pytest.mark.parametrize("text", ["fpr 3", "fpr = '" + "a" * 5000 + "'"])
def test_broken_settings_lock_nobody_out(run: Run, ring: Keyring, text: str) -> None:
    Path("treering.toml").write_text(text)
    assert len(run("keys", "show").stderr) < 500
    assert run("keys", "show").exit_code == 1
    for words in (
        ["--help"],
        ["--version"],
        ["detect", "--help"],
        ["keys", "set", "-h"],
        ["completion", "--show", "zsh"],
    ):
        assert run(*words).exit_code == 0, words
    result = run("doctor", "--quick")
    assert "problem   settings     The settings" in result.stdout
    assert (result.exit_code, "ok        keyring" in result.stdout) == (1, True)


def test_settings_that_are_named_must_be_some(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("pyproject.toml").write_text("[project]\n")
    monkeypatch.setenv("TREERING_CONFIG", "pyproject.toml")
    fails(run("keys", "path"), "have no table [tool.treering]")
    os.mkfifo("pipe")
    monkeypatch.setenv("TREERING_CONFIG", "pipe")
    fails(run("keys", "path"), "cannot be read: it is not a file")


def test_a_home_that_nobody_has_is_no_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TREERING_KEYRING")
    Path("treering.toml").write_text('keyring = "~nobody-of-that-name/k.json"\n')
    fails(run("keys", "show"), "There is no keyring")


def test_several_keyrings_in_settings_are_told_where_one_is_needed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TREERING_KEYRING")
    Path("treering.toml").write_text('keyring = ["a.json", "b.json"]\n')
    fails(run("detect", "x.png"), f"There is no keyring {Path.cwd() / 'a.json'}")
    fails(run("keys", "commit", "--output", "c.json"), "this command takes one: name it.", 2)
    Path("treering.toml").write_text('keyring = ["a.json"]\n')
    fails(run("keys", "commit", "--output", "c.json"), f"There is no keyring {Path.cwd() / 'a.json'}")


def test_every_setting_is_an_option(run: Run) -> None:
    known = {p.name for name in main.COMMANDS for p in main.main.get_command(click.Context(main.main), name).params}
    assert set(configuration.KINDS) <= known


def test_the_commands_below_keys_are_all_named() -> None:
    group = main.main.get_command(click.Context(main.main), "keys")
    assert set(main.BELOW["keys"]) == set(group.commands)


# ------------------------------------------------------------------------------------ names


def test_names_and_retired_classes(run: Run, ring: Keyring) -> None:
    assert run("keys", "name", 17, " Anna's shop ").exit_code == 0
    assert run("keys", "name", 3, "Bo").exit_code == 0
    assert run("keys", "retire", 17).exit_code == 0
    lines = run("keys", "names").stdout.splitlines()
    assert lines[0] == '3 "Bo"'
    assert lines[1].startswith('17 "Anna\'s shop", retired 20')
    first = json.loads(run("keys", "names", "--json").stdout.splitlines()[0])
    assert first == {"key": 3, "name": "Bo", "retired": None}
    run("keys", "retire", 17, "--undo")
    run("keys", "name", 3, "")
    assert run("keys", "names").stdout == '17 "Anna\'s shop"\n'


def test_retired_classes_are_not_given_out(run: Run, ring: Keyring, no_model: None) -> None:
    run("keys", "retire", 17)
    fails(run("embed", "--key", 17), "Class 17, retired 20")
    given = names.load(Path("own.json"), ring)
    assert given.left(range(16, 19)) == [16, 18]
    assert list(given.left((3,))) == [3]
    with pytest.raises(InputError, match="All of these classes are retired"):
        names.Names("", {}, {1: "x", 2: "y"}).left((1, 2))


def test_names_are_told_where_a_class_is_found(run: Run, ring: Keyring, monkeypatch: pytest.MonkeyPatch) -> None:
    from treering.types import Answer, Detection
    from treering_cli import detect

    run("keys", "name", 2, "Anna")
    found = Detection(2, 1e-9, -9.0, Answer.KEY, 2, 7.1, 0.0, "m", ring.id, "encoder", 1, "", 0.1)
    monkeypatch.setattr(detect._Reader, "__call__", lambda self, name: found)
    assert 'x.png  key 2 "Anna"  p = ' in run("detect", "x.png").stdout
    assert json.loads(run("detect", "x.png", "--json").stdout)["name"] == "Anna"
    run("keys", "name", 2, "")
    assert "name" not in json.loads(run("detect", "x.png", "--json").stdout)


def test_names_are_private_and_hold_no_secret(run: Run, ring: Keyring) -> None:
    before = Path("own.json").read_bytes()
    run("keys", "name", 17, "Anna")
    place = Path("own.names.json")
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert ring.secret.hex()[:8] not in place.read_text()
    assert Path("own.json").read_bytes() == before
    assert sorted(os.listdir()) == ["own.json", "own.names.json"]


def test_names_that_cannot_be(run: Run, ring: Keyring) -> None:
    fails(run("keys", "name", 100, "x"), "The keyring has the classes 0 to 99, not 100.")
    fails(run("keys", "name", 1, "a\nb"), "one line of at most 200 visible letters")
    fails(run("keys", "name", 1, "a" * 201), "one line of at most 200 visible letters")
    fails(run("keys", "name", 1, "a\u202eb"), "one line of at most 200 visible letters")
    fails(run("keys", "name", "none", "x"), "is not a class", 2)
    assert not Path("own.names.json").exists()


def test_names_given_at_once_are_all_kept(run: Run, ring: Keyring) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: names.name(Path("own.json"), ring, key, f"number {key}"), range(24)))
    assert names.load(Path("own.json"), ring).names == {key: f"number {key}" for key in range(24)}
    assert sorted(os.listdir()) == ["own.json", "own.names.json"]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"format": "treering names", "version": 9}', "[" * 99999, "\xff", '{"format": 1, "version": {}}'],
)
def test_broken_names_are_told_and_kept(run: Run, ring: Keyring, text: str) -> None:
    Path("own.names.json").write_bytes(text.encode("latin-1"))
    fails(run("keys", "name", 1, "x"), "The names in own.names.json are broken".replace("own", str(Path.cwd() / "own")))
    assert Path("own.names.json").read_bytes() == text.encode("latin-1")
    assert sorted(os.listdir()) == ["own.json", "own.names.json"]


def test_names_of_another_keyring_are_told(run: Run, ring: Keyring) -> None:
    names.name(Path("own.json"), ring, 1, "x")
    other = Keyring(bytes(32))
    with pytest.raises(InputError, match=f"those of the keyring {ring.id}, not of {other.id}"):
        names.load(Path("own.json"), other)


# ------------------------------------------------------------------------------------ completion, doctor


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_installed_where_the_shell_looks(run: Run, monkeypatch: pytest.MonkeyPatch, shell: str) -> None:
    for name, folder in {"XDG_DATA_HOME": "data", "XDG_CONFIG_HOME": "settings"}.items():
        monkeypatch.setenv(name, str(Path(folder).absolute()))
    monkeypatch.setenv("SHELL", f"/usr/bin/{shell}")
    shown = run("completion", "--show").stdout
    assert run("completion").exit_code == 0
    (written,) = [path for path in Path().rglob("*treering*") if path.is_file()]
    assert written.read_text().strip() == shown.strip()
    assert "_TREERING_COMPLETE" in shown


def test_completion_needs_a_shell(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/usr/bin/tcsh")
    fails(run("completion"), "name one of bash, zsh, fish")


def test_the_shell_gets_its_answer() -> None:
    words = {"COMP_WORDS": "treering keys na", "COMP_CWORD": "2", "_TREERING_COMPLETE": "bash_complete"}
    code = "from treering_cli.start import treering; treering()"
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | words, capture_output=True, text=True)
    assert done.stdout.split() == ["plain,name", "plain,names"]


def test_the_doctor_looks_at_everything(run: Run, ring: Keyring) -> None:
    Path("treering.toml").write_text("fpr = 1e-9\n")
    result = run("doctor", "--quick", "--json")
    found = {one["what"]: one for one in map(json.loads, result.stdout.splitlines())}
    assert result.exit_code == 0
    assert {"versions", "settings", "keyring", "cache", "devices", *doctor.EXTRAS} == set(found)
    assert ring.id in found["keyring"]["says"]
    assert "fpr" in found["settings"]["says"]


def test_the_doctor_finds_what_is_wrong(run: Run, ring: Keyring, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("own.json").chmod(0o644)
    monkeypatch.setitem(doctor.EXTRAS, "more", (("no_such_module",), "nothing"))
    result = run("doctor", "--quick")
    assert result.exit_code == 1
    assert "problem   keyring" in result.stdout
    assert "missing   more         nothing: pip install 'treering[more]' brings no_such_module" in result.stdout


def test_the_doctor_marks_and_reads(model: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("treering.models.load", lambda name: model)
    assert doctor._mark().state == doctor.GOOD
