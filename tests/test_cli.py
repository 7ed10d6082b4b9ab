"""The command line without a model: every sentence, every exit code, and help that costs nothing."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from treering import __version__, inversion, models, settings
from treering.marks.keyring import Keyring
from treering.marks.patterns import KINDS, Pattern
from treering_cli import console, options
from treering_cli.checked import Checked
from treering_cli.main import COMMANDS, main
from treering_cli.options import Many

Run = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory, and a place for the user's keyring in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TREERING_KEYRING", str(tmp_path / "own.json"))
    return tmp_path


@pytest.fixture
def run(home: Path) -> Run:
    def call(*arguments: object, **settings: object) -> Result:
        return CliRunner().invoke(main, [str(argument) for argument in arguments], **settings)  # type: ignore[arg-type]

    return call


def own(**settings: object) -> Keyring:
    keyring = Keyring.new(**settings)
    keyring.save(Path("own.json"))
    return keyring


def picture(path: str) -> Path:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path)
    return Path(path)


def fails(result: Result, sentence: str, code: int = 1) -> None:
    """One sentence on stderr, nothing on stdout, no traceback."""
    assert (result.stdout, result.stderr) == ("", f"Error: {sentence}\n")
    assert result.exit_code == code


def misused(result: Result, sentence: str) -> None:
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.splitlines()[-1] == f"Error: {sentence}"


# The whole


def every_command() -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield (), main
    for name in COMMANDS:
        command = import_module(f"treering_cli.{name}").command
        yield (name,), command
        for inner, subcommand in getattr(command, "commands", {}).items():
            yield (name, inner), subcommand


HELP = {" ".join(words) or "treering": (words, command) for words, command in every_command()}


def test_version(run: Run) -> None:
    assert run("--version").output == f"treering, version {__version__}\n"


@pytest.mark.parametrize(("encoding", "seen"), [("utf-8", "café ∞"), ("latin-1", "café \\u221e")])
def test_letters_that_the_terminal_lacks(home: Path, encoding: str, seen: str) -> None:
    program = "import click; from treering_cli.terminal import streams\nwith streams(): click.echo('café ∞')"
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
    assert done.stdout.decode(encoding) == f"{seen}\n"


def test_no_command_is_wrong_usage(run: Run) -> None:
    assert run().exit_code == 2


def test_unknown_command(run: Run) -> None:
    misused(run("paint"), "No such command 'paint'.")


@pytest.mark.parametrize(("words", "command"), HELP.values(), ids=HELP)
def test_help_lists_every_option(run: Run, words: tuple[str, ...], command: click.Command) -> None:
    result = run(*words, "--help")
    assert result.exit_code == 0
    for parameter in command.params:
        for name in names(command, parameter):
            assert name in result.output
        if isinstance(parameter, click.Option):
            assert parameter.help
            assert parameter.is_flag or parameter.required or parameter.show_default or parameter.default is not None


def names(command: click.Command, parameter: click.Parameter) -> list[str]:
    """What the help must call a parameter."""
    return parameter.opts if isinstance(parameter, click.Option) else [parameter.make_metavar(click.Context(command))]


def test_help_shows_defaults(run: Run) -> None:
    text = " ".join(run("embed", "--help").output.split())
    assert "Sampler steps. [default: (20, or the model's own few); 1<=x<=1000]" in text
    assert "[default: (random)]" in text


def test_short_help_is_what_the_commands_say() -> None:
    assert {name: import_module(f"treering_cli.{name}").command.short_help for name in COMMANDS} == COMMANDS


HEAVY = ("torch", "diffusers", "transformers", "numpy", "scipy", "PIL", "matplotlib")
LIGHT = f"""
import sys
from treering_cli.main import main
try:
    main(sys.argv[1:], prog_name="treering")
except SystemExit as end:
    assert not end.code, end.code
print(sorted(set({HEAVY}) & set(sys.modules)))
"""


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["embed", "--help"], ["detect", "--help"], ["verify", "-h"]]
)
def test_help_loads_nothing_heavy(words: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", LIGHT, *words], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_names_of_the_settings_are_those_of_the_rooms() -> None:
    assert tuple(inversion.METHODS) == settings.METHODS
    assert inversion.DEFAULT == settings.METHOD
    assert tuple(models.DTYPES) == settings.DTYPES


def test_the_reading_that_is_not_changed_is_the_librarys() -> None:
    detect = dict(every_command())[("detect",)]
    defaults = {parameter.name: parameter.default for parameter in detect.params}
    for name, field in settings.Reading.__dataclass_fields__.items():
        assert defaults[name] == field.default or name in ("effort", "keys", "iterations", "steps", "strict")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "a.png"), "a.png cannot be written: the disk is full."),
        (PermissionError(errno.EACCES, "Permission denied", "a.png"), "a.png cannot be used: Permission denied."),
        (OSError("odd"), "A file cannot be used: odd."),
        (MemoryError(), "There is not enough memory."),
    ],
)
def test_unexpected_errors_are_sentences(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: Exception, sentence: str
) -> None:
    def load(_: Path) -> Keyring:
        raise error

    monkeypatch.setattr(Keyring, "load", load)
    fails(run("keys", "show"), sentence)


def test_a_bug_keeps_its_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(_: Path) -> Keyring:
        raise ZeroDivisionError

    monkeypatch.setattr(Keyring, "load", load)
    assert isinstance(run("keys", "show").exception, ZeroDivisionError)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["detect", "a.png"], "Interrupted."),
        (["verify", "."], "Interrupted; the same command goes on where it stopped."),
    ],
)
def test_control_c(run: Run, monkeypatch: pytest.MonkeyPatch, words: list[str], sentence: str) -> None:
    def load(_: Path) -> Keyring:
        raise KeyboardInterrupt

    picture("a.png")
    monkeypatch.setattr(Keyring, "load", load)
    result = run(*words)
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", f"\n{sentence}\n")


def test_nobody_reads_on(home: Path) -> None:
    """As in `treering keys show | true`: quiet."""
    own()
    code = "from treering_cli.main import main; main(['keys', 'show'], prog_name='treering')"
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize(
    ("log10_p", "text"),
    [
        (0.0, "1"),
        (-0.37, "0.43"),
        (-1.9, "0.013"),
        (-2.0, "0.01"),
        (-11.51, "3.1e-12"),
        (-5.00001, "1.0e-5"),
        (-400.2, "6.3e-401"),
        (float("nan"), "nan"),
    ],
)
def test_p_values_for_people(log10_p: float, text: str) -> None:
    assert console.p_text(log10_p) == text


def test_json_has_no_infinity(capsys: pytest.CaptureFixture[str]) -> None:
    console.emit({"z": float("-inf"), "deep": [{"p": float("nan")}], "fine": 0.5})
    assert json.loads(capsys.readouterr().out) == {"z": None, "deep": [{"p": None}], "fine": 0.5}


def test_names_cannot_command_a_terminal() -> None:
    assert console.shown("a\x1b[31m\n.png") == "a\\x1b[31m\\n.png"


# Values of options


@pytest.mark.parametrize(
    ("text", "classes"),
    [("0-99", range(100)), ("7", range(7, 8)), ("0-2,12", (0, 1, 2, 12)), ("5,3,3-4", (3, 4, 5))],
)
def test_classes(text: str, classes: object) -> None:
    assert options.Classes().convert(text, None, None) == classes


@pytest.mark.parametrize("text", ["", "x", "3-1", "-1", "1-", "1,,2", "1.5", "²", "9" * 19])
def test_classes_that_are_none(run: Run, text: str) -> None:
    sentence = f"{text!r} is not a list of classes such as 0-99 or 0-9,12."
    misused(run("detect", "a.png", "--keys", text), f"Invalid value for '--keys': {sentence}")


def test_too_many_classes(run: Run) -> None:
    sentence = "Invalid value for '--keys': '0-1000000' has more than 1000000 classes."
    misused(run("verify", ".", "--keys", "0-1000000"), sentence)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["embed"], "Name the class to mark with: --key, or --keys for one of many, or --key none."),
        (["embed", "--key", "two"], "Invalid value for '--key': 'two' is not a class: a number from 0 up, or none."),
        (
            ["embed", "--key", str(10**20)],
            "Invalid value for '--key': 100000000000000000000 is too large: classes are numbers from 0 to "
            "9223372036854775806.",
        ),
        (["embed", "--key", "-1"], "Invalid value for '--key': '-1' is not a class: a number from 0 up, or none."),
        (
            ["embed", "--key", "1", "--seed", "-1"],
            "Invalid value for '--seed': '-1' is not a seed: a number from 0 up, of at most 18 digits.",
        ),
        (["embed", "--key", "1", "--count", "0"], "Invalid value for '--count': 0 is not in the range 1<=x<=1000000."),
        (["embed", "--key", "1", "--guidance", "nan"], "Invalid value for '--guidance': 'nan' is not a number."),
        (
            ["embed", "--key", "1", "--prompt", "a", "--prompt", "b", "--count", "1"],
            "--count 1 is less than the 2 prompts given.",
        ),
        (
            ["embed", "--key", "1", "--count", "2", "--output", "a.png"],
            "a.png is one file, but 2 pictures are to be made; give a folder.",
        ),
        (["detect"], "Missing argument 'IMAGE...'."),
        (["detect", "a.png", "--fpr", "0"], "Invalid value for '--fpr': 0.0 is not in the range 0<x<1."),
        (
            ["detect", "a.png", "--method", "encoder", "--iterations", "3"],
            "The method encoder has no iterations; leave --iterations out.",
        ),
        (
            ["keys", "new", "--rings", "10-1"],
            "Invalid value for '--rings': '10-1' is not a range of rings such as 1-10.",
        ),
        (
            ["keys", "new", "--channels", "a"],
            "Invalid value for '--channels': 'a' is not a list of channels such as 0,1.",
        ),
        (["keys", "new", "--channels", "1,1"], "Invalid value for '--channels': '1,1' names a channel twice."),
        (["verify"], "Missing argument 'SOURCE'."),
        (
            ["verify", ""],
            "Invalid value for 'SOURCE': An empty name is no folder; . is the current one.",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
@pytest.mark.usefixtures("no_model")
def test_wrong_usage(run: Run, words: list[str], sentence: str) -> None:
    misused(run(*words), sentence)


# embed


@pytest.mark.usefixtures("no_model")
class TestEmbed:
    def test_a_class_that_is_not_searched(self, run: Run) -> None:
        own(classes=3)
        fails(
            run("embed", "--key", 3),
            "The keyring has the classes 0 to 2, so class 3 would not be searched for; "
            "`treering keys new --classes 4` makes a keyring that has it.",
        )

    def test_a_class_that_the_first_keyring_would_not_have(self, run: Run, home: Path) -> None:
        assert "has the classes 0 to 99, so class 100" in run("embed", "--key", 100).stderr
        assert os.listdir(home) == []

    def test_a_keyring_that_is_named_must_be_there(self, run: Run) -> None:
        sentence = "There is no keyring other.json; `treering keys new` makes one."
        fails(run("embed", "--key", 1, "--keyring", "other.json"), sentence)

    def test_a_picture_that_exists(self, run: Run) -> None:
        own()
        picture("a.png")
        fails(run("embed", "--key", 1, "--output", "a.png"), "a.png exists already; use --force to overwrite it.")

    def test_a_folder_that_is_a_file(self, run: Run) -> None:
        own()
        sentence = "own.json is not a folder, and pictures are written as .png files."
        fails(run("embed", "--key", 1, "--output", "own.json"), sentence)

    def test_another_kind_of_file(self, run: Run) -> None:
        sentence = "a.jpg is not a folder, and pictures are written as .png files."
        fails(run("embed", "--key", "none", "--output", "a.jpg"), sentence)
        assert not Path("a.jpg").exists()

    @pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="all is allowed here")
    def test_a_folder_without_permission(self, run: Run) -> None:
        own()
        Path("shut").mkdir(mode=0o500)
        fails(run("embed", "--key", 1, "--output", "shut"), "No permission to write into shut.")

    def test_a_file_that_is_no_manifest(self, run: Run) -> None:
        own()
        Path("m.csv").write_text("name,class\n")
        fails(
            run("embed", "--key", 1, "--manifest", "m.csv"),
            "m.csv is not a manifest that rows can be added to: its first line must be file,key.",
        )

    def test_a_manifest_cut_short(self, run: Run) -> None:
        own()
        Path("m.csv").write_text("file,key\na.png,1")
        fails(
            run("embed", "--key", 1, "--manifest", "m.csv"),
            "m.csv is not a manifest that rows can be added to: its last line has no end.",
        )

    def test_a_manifest_that_has_the_file(self, run: Run) -> None:
        own()
        Path("m.csv").write_text("file,key\na.png,1\n")
        result = run("embed", "--key", 1, "--manifest", "m.csv", "--output", "a.png")
        fails(result, "m.csv has a row for a.png already; use --force.")

    def test_a_manifest_without_a_folder(self, run: Run) -> None:
        own()
        sentence = "no/m.csv cannot be written: its folder does not exist."
        fails(run("embed", "--key", 1, "--manifest", "no/m.csv"), sentence)


def test_an_unknown_model(run: Run) -> None:
    sentence = "nowhere is not a pipeline folder: it has no model_index.json."
    fails(run("embed", "--key", 1, "--model", "nowhere"), sentence)
    assert not Path("own.json").exists()  # no keyring for a picture that was never made


# detect


@pytest.mark.usefixtures("no_model")
class TestDetect:
    def test_no_keyring(self, run: Run, home: Path) -> None:
        fails(run("detect", "a.png"), f"There is no keyring {home}/own.json; `treering keys new` makes one.")

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("{", "The keyring own.json is damaged: it is not valid JSON (line 1)."),
            ("{}", "own.json is not a treering keyring."),
            (
                '{"format": "treering keyring", "version": 9}',
                "The keyring own.json has version 9; this treering reads versions 1 and 2.",
            ),
            ('{"format": "treering keyring", "version": 1}', "The keyring own.json is damaged: 'pattern' is missing."),
        ],
    )
    def test_a_bad_keyring(self, run: Run, text: str, sentence: str) -> None:
        Path("own.json").write_text(text)
        fails(run("detect", "a.png", "--keyring", "own.json"), sentence)

    @pytest.mark.skipif(os.name != "posix", reason="other systems have other permissions")
    def test_a_keyring_that_others_can_read(self, run: Run) -> None:
        own()
        Path("own.json").chmod(0o644)
        sentence = "Other users can read the keyring own.json; run: chmod 600 own.json"
        fails(run("detect", "a.png", "--keyring", "own.json"), sentence)

    @pytest.mark.parametrize("code", [[], ["--exit-code"]], ids=["plain", "exit code"])
    @pytest.mark.parametrize(
        ("name", "sentence"),
        [
            ("no.png", "no.png does not exist."),
            ("folder", "folder is a folder; check it with `treering verify folder`."),
            ("text.png", "text.png is not a picture that can be read."),
            ("empty.png", "empty.png is empty."),
            ("broken.png", "broken.png is broken or cut short."),
            ("-", "Standard input is empty."),
        ],
    )
    def test_what_is_no_picture(self, run: Run, name: str, sentence: str, code: list[str]) -> None:
        own()
        Path("folder").mkdir()
        Path("text.png").write_text("a picture")
        Path("empty.png").touch()
        Path("broken.png").write_bytes(picture("whole.png").read_bytes()[:45])
        fails(run("detect", name, *code), sentence, 3 if code else 1)

    def test_several_of_which_some_fail(self, run: Run) -> None:
        own()
        result = run("detect", "a.png", "b.png", "--json")
        assert result.exit_code == 3
        assert result.stderr == "Error: a.png does not exist.\nError: b.png does not exist.\n"
        lines = [json.loads(text) for text in result.stdout.splitlines()]
        assert lines == [{"file": name, "error": f"{name} does not exist."} for name in ("a.png", "b.png")]

    def test_with_exit_code_an_error_is_not_an_answer(self, run: Run, home: Path) -> None:
        sentence = f"There is no keyring {home}/own.json; `treering keys new` makes one."
        fails(run("detect", "a.png", "--exit-code"), sentence, 3)


# verify


@pytest.mark.usefixtures("no_model")
class TestVerify:
    def test_nowhere(self, run: Run) -> None:
        fails(run("verify", "nowhere"), "There is no folder or manifest nowhere.")

    def test_an_empty_folder(self, run: Run) -> None:
        fails(run("verify", "."), "There are no pictures in ..")

    def test_a_picture(self, run: Run) -> None:
        picture("a.png")
        fails(run("verify", "a.png"), "a.png is a picture; read it with `treering detect a.png`.")

    def test_no_keyring(self, run: Run, home: Path) -> None:
        picture("in/a.png")
        fails(run("verify", "in"), f"There is no keyring {home}/own.json; `treering keys new` makes one.")

    def test_a_manifest_has_labels(self, run: Run) -> None:
        Path("m.csv").write_text("file,key\na.png,1\n")
        misused(run("verify", "m.csv", "--labels", "folders"), "A manifest has labels of its own; leave --labels out.")

    def test_labels_that_are_not_there(self, run: Run) -> None:
        picture("in/a.png")
        fails(run("verify", "in", "--labels", "m.csv"), "There is no manifest m.csv.")

    def test_a_bad_manifest_in_the_folder(self, run: Run) -> None:
        picture("in/a.png")
        Path("in/manifest.csv").write_text("file;key\na.png;2\n")
        result = run("verify", "in")
        assert result.exit_code == 1
        assert result.stderr == (
            "Labels are taken from in/manifest.csv.\n"
            "Error: in/manifest.csv, line 1: the header must have one column 'file', as in: file,key\n"
        )

    @pytest.mark.parametrize("public", [False, True])
    def test_the_folders_keyring_is_not_used(
        self, run: Run, home: Path, monkeypatch: pytest.MonkeyPatch, public: bool
    ) -> None:
        monkeypatch.delenv("TREERING_KEYRING")
        monkeypatch.setattr(options.keyrings, "own_keyring", lambda: home / "mine.json")
        picture("in/a.png")
        Keyring.new(public=public).save(Path("in/keyring.json"))
        result = run("verify", "in")
        assert result.exit_code == 1
        assert result.stderr == (
            "The keyring in/keyring.json in the folder is not used; --keyring in/keyring.json uses it.\n"
            f"Error: There is no keyring {home}/mine.json; `treering keys new` makes one.\n"
        )


@pytest.mark.parametrize(
    ("here", "source", "output"),
    [
        (".", "in", "treering-results/in"),
        (".", "in/deep", "treering-results/deep"),
        ("in", ".", "{top}/treering-results/in"),
        ("in/deep", "..", "{top}/treering-results/in"),
        ("in", "deep", "treering-results/deep"),
    ],
)
def test_results_stay_out_of_the_checked_folder(
    home: Path, monkeypatch: pytest.MonkeyPatch, here: str, source: str, output: str
) -> None:
    Path("in/deep").mkdir(parents=True)
    monkeypatch.chdir(here)
    assert str(Checked(source, None, Many()).output()) == output.format(top=home)


def test_results_of_everything(home: Path) -> None:
    with pytest.raises(console.Failure, match="name a folder for them with --output"):
        Checked("/", None, Many()).output()


# keys


def secret(path: str = "own.json") -> str:
    text = json.loads(Path(path).read_text())["secret"]
    assert isinstance(text, str)
    return text


class TestKeys:
    def test_new_show_path(self, run: Run, home: Path) -> None:
        made = run("keys", "new")
        shown = run("keys", "show")
        assert (made.exit_code, made.stderr) == (0, "")
        assert made.stdout == shown.stdout
        default = Pattern.synchronised()
        assert shown.stdout == (
            f"file         {home}/own.json\n"
            f"id           {Keyring.load(Path('own.json')).id}\n"
            "secret       not shown\n"
            "classes      100 (0 to 99)\n"
            f"pattern      {default.kind}, channels {','.join(map(str, default.channels))}, "
            f"rings {default.inner}-{default.outer}\n"
            "model        demo, latents of 4x32x32\n"
            "pictures     256x256\n"
            f"steps        {Keyring.steps}\n"
            "nonces       64 for each class\n"
            "common       0.75 of channels 0, to ring 15\n"
            "chosen       out of secrets of which 90% say nothing of reference pages\n"
        )
        assert run("keys", "path").stdout == f"{home}/own.json\n"

    def test_show_as_json(self, run: Run) -> None:
        keyring = own()
        shown = json.loads(run("keys", "show", "own.json", "--json").stdout)
        assert shown == {"file": "own.json", **json.loads(json.dumps(keyring.as_dict()))}

    @pytest.mark.skipif(os.name != "posix", reason="other systems have other permissions")
    def test_files_are_private(self, run: Run) -> None:
        run("keys", "new")
        run("keys", "export", "copy.json")
        assert [stat.S_IMODE(os.stat(name).st_mode) for name in ("own.json", "copy.json")] == [0o600, 0o600]

    def test_the_secret_is_never_printed(self, run: Run) -> None:
        outputs = [run("keys", "new"), run("keys", "new", "--output", "second.json", "--json")]
        outputs += [run("keys", "show"), run("keys", "show", "--json"), run("keys", "path")]
        outputs += [run("keys", "export", "copy.json"), run("keys", "new", "--force"), run("detect", "a.png", "--json")]
        secrets = [secret(name) for name in ("own.json", "second.json", "copy.json")]
        assert not [word for word in secrets for result in outputs if word in result.output]

    def test_where_keyrings_lie(self, run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TREERING_KEYRING", "")  # as if it were not set
        monkeypatch.setattr(click, "get_app_dir", lambda name: str(home / name))
        assert run("keys", "path").stdout == f"{home}/treering/keyring.json\n"
        assert run("keys", "new").exit_code == 0
        assert (home / "treering" / "keyring.json").exists()

    def test_new_does_not_overwrite(self, run: Run, home: Path) -> None:
        old = own()
        sentence = f"{home}/own.json exists already; a lost keyring cannot be made again, so only --force replaces it."
        fails(run("keys", "new"), sentence)
        assert Keyring.load(Path("own.json")) == old

    def test_force_says_what_is_lost(self, run: Run, home: Path) -> None:
        old = own()
        result = run("keys", "new", "--force")
        assert result.stderr == (
            f"The keyring {old.id} in {home}/own.json is destroyed; marks made with it can never be read again.\n"
        )
        assert Keyring.load(Path("own.json")).secret != old.secret

    def test_force_over_something_else(self, run: Run) -> None:
        Path("a.json").write_text("notes")
        result = run("keys", "new", "--force", "--output", "a.json")
        assert result.stderr == "What was in a.json is destroyed; marks made with it can never be read again.\n"

    def test_a_folder_is_no_file(self, run: Run) -> None:
        fails(run("keys", "new", "--force", "--output", "."), ". is a folder; name a file.")

    @pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "mixed"])
    def test_patterns(self, run: Run, kind: str) -> None:
        assert run("keys", "new", "--pattern", kind).exit_code == 0
        keyring = Keyring.load(Path("own.json"))
        assert keyring.pattern.kind == kind
        assert keyring.classes == (3 if kind == "paper" else 100)
        assert keyring.values([0]).shape == (1, len(keyring.cells().count))

    def test_a_mixed_pattern(self, run: Run) -> None:
        words = "--pattern mixed --channels 2,0 --noise-channels 1 --rings 2-5 --classes 7 --public"
        result = run("keys", "new", *words.split())
        assert result.exit_code == 0
        assert "pattern      mixed, channels 0,2, rings 2-5, noise in channels 1\n" in result.stdout
        assert "secret       PUBLIC: anyone can read, forge or remove its marks\n" in result.stdout
        pattern = Pattern("mixed", channels=(0, 2), noise_channels=(1,), inner=2, outer=5)
        keyring = Keyring.load(Path("own.json"))
        assert (keyring.pattern, keyring.classes, keyring.public) == (pattern, 7, True)

    @pytest.mark.parametrize(
        ("words", "sentence"),
        [
            ("--rings 1-22", "Rings 1 to 22 do not fit a 32x32 latent: use 1 to 21."),
            ("--pattern rings --rings 1-16", "Rings 1 to 16 do not fit a 32x32 latent: use 1 to 15."),
            ("--rings 0-3", "Rings 0 to 3 do not fit a 32x32 latent: use 1 to 21."),
            ("--channels 4", "Channels [4] do not fit a latent of 4 channels."),
            ("--channels 0,5", "Channels [0, 5] do not fit a latent of 4 channels."),
            ("--noise-channels 1", "The pattern 'mixed' needs noise channels, and no other pattern has them."),
            ("--pattern mixed", "The pattern 'mixed' needs noise channels, and no other pattern has them."),
            (
                "--pattern mixed --channels 0,1 --noise-channels 1",
                "A channel carries either rings or noise, not both.",
            ),
            ("--pattern paper --rings 1-10", "The pattern 'paper' is fixed: channel 0, rings 1 to 6."),
            ("--pattern paper --classes 4", "The pattern 'paper' has 3 classes."),
            ("--model nowhere", "nowhere is not a pipeline folder: it has no model_index.json."),
        ],
    )
    def test_what_cannot_be(self, run: Run, home: Path, words: str, sentence: str) -> None:
        fails(run("keys", "new", *words.split()), sentence)
        assert os.listdir(home) == []

    def test_export(self, run: Run, home: Path) -> None:
        keyring = own()
        result = run("keys", "export", "far/copy.json")
        assert (result.exit_code, result.stdout) == (0, "")
        assert result.stderr == f"Copied {home}/own.json to far/copy.json; it holds the secret.\n"
        assert Keyring.load(Path("far/copy.json")) == keyring

    def test_export_does_not_overwrite(self, run: Run) -> None:
        own()
        Keyring.new().save(Path("copy.json"))
        sentence = "copy.json exists already; a lost keyring cannot be made again, so only --force replaces it."
        fails(run("keys", "export", "copy.json"), sentence)
        assert secret("copy.json") != secret()
        assert run("keys", "export", "copy.json", "--force").exit_code == 0
        assert secret("copy.json") == secret()

    @pytest.mark.parametrize("force", [[], ["--force"]], ids=["plain", "force"])
    def test_export_to_itself(self, run: Run, force: list[str]) -> None:
        own()
        fails(run("keys", "export", "own.json", *force), "own.json is the keyring itself.")

    def test_export_of_nothing(self, run: Run, home: Path) -> None:
        sentence = f"There is no keyring {home}/own.json; `treering keys new` makes one."
        fails(run("keys", "export", "copy.json"), sentence)
