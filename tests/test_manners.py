"""How commands behave where nobody sees to them: hostile names, closed streams, signals, a folder that is gone."""

from __future__ import annotations

import importlib
import inspect
import io
import json
import os
import signal
import stat
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from treering.marks.keyring import Keyring
from treering.research import door
from treering.research.studies import STUDIES
from treering.types import Answer, Detection
from treering_cli import console, detect, edit, embed, experiment, terminal
from treering_cli.main import COMMANDS, main

INVISIBLE = "\u00ad\u034f\u061c\u115f\u200b\u200d\u202e\u2028\u2066\u3164\u2060\ufe00\ufeff\U000e0001\U000e0100"
"""Bidirectional marks, spaces of no width and the like."""
HOSTILE = st.text(st.sampled_from("ab \t\r\n\x00\x07\x1b[31m\x7f\x85\x9b\udcff\ue000é字🌲" + INVISIBLE), max_size=20)
posix = pytest.mark.skipif(os.name != "posix", reason="another kind of system")


def commands_a_terminal(letter: str) -> bool:
    return letter != "\n" and (
        unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") or letter in INVISIBLE
    )


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def printed(say: Callable[[], object], stream: type[io.StringIO] = io.StringIO) -> str:
    """What reaches standard output and standard error."""
    with pytest.MonkeyPatch.context() as patch:
        out, err = stream(), stream()
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        with terminal.streams():
            say()
        return out.getvalue() + err.getvalue()


def detection(text: str) -> Detection:
    fixed = {"p_value": 1.0, "log10_p": 0.0, "best_key": 0, "z": 0.0, "classical_log10_p": 0.0, "evaluations": 0}
    words = {"model": text, "keyring": text, "method": text, "status": text, "reason": text, "notes": (text,)}
    return Detection(key=None, answer=Answer.NOT_ASSESSABLE, seconds=0.0, **fixed, **words)  # type: ignore[arg-type]


def as_bar(text: str) -> None:
    with click.progressbar(length=2, label=text, file=sys.stderr, item_show_func=str) as bar:
        bar.update(1, text)  # type: ignore[arg-type]


def edited(text: str) -> dict[str, object]:
    return {"file": text, "open": 0.5, "seconds": 1.0, "notes": [text]}


ONE_LINE: dict[str, Callable[[str], object]] = {
    "say": console.say,
    "complain": console.complain,
    "tell": console.tell,
    "failure": lambda text: console.Failure(text).show(),
    "no answer": lambda text: console.NoAnswer(text).show(),
    "embed": lambda text: embed._print({"file": text, "prompt": text, "seconds": 1.0}, None, as_json=False),
    "emit": lambda text: console.emit({text: [text, {"a": text}]}),
    "edit": lambda text: edit._print(edited(text), as_json=False),
    "edit, JSON": lambda text: edit._print(edited(text), as_json=True),
    "detect": lambda text: console.tell(f"{terminal.shown(text)}  {detect.line(detection(text))}"),
}
LINES: dict[str, Callable[[str], object]] = {
    "echo": click.echo,
    "echo to stderr": lambda text: click.echo(text, err=True),
    "print": print,
    "usage": lambda text: click.UsageError(text).show(),
    "interrupted": lambda text: console.Interrupted(text).show(),
    "experiment": lambda text: experiment._report(
        door.Result(text, (Path(text.replace("\x00", "") or "a"),), (text,)), text, as_json=False
    ),
}


@pytest.mark.parametrize("say", [*ONE_LINE.values(), *LINES.values()], ids=[*ONE_LINE, *LINES])
@given(text=HOSTILE)
@settings(max_examples=40, deadline=None)
def test_nothing_that_commands_a_terminal_is_printed(say: Callable[[str], object], text: str) -> None:
    for stream in (io.StringIO, Terminal):
        assert not [letter for letter in printed(lambda: say(text), stream) if commands_a_terminal(letter)]


@pytest.mark.parametrize("say", ONE_LINE.values(), ids=ONE_LINE)
@given(text=HOSTILE)
@settings(max_examples=20, deadline=None)
def test_a_name_does_not_look_like_two_lines(say: Callable[[str], object], text: str) -> None:
    assert printed(lambda: say(text)).count("\n") == 1


@given(text=HOSTILE)
@settings(max_examples=40, deadline=None)
def test_only_our_own_bars_move_the_cursor(text: str) -> None:
    seen = printed(lambda: as_bar(text.replace("\n", "")), Terminal)
    assert "\x1b[?25l" in seen or os.name == "nt"
    for ours in ("\r\x1b[?25l", "\x1b[?25h\n", "\r"):
        seen = seen.replace(ours, "") if ours != "\r" or os.name == "nt" else seen
    assert not [letter for letter in seen if commands_a_terminal(letter)]


def test_the_cleared_line_is_ours() -> None:
    assert printed(terminal.clear_line, Terminal) == "\r\x1b[K"
    assert printed(terminal.clear_line) == ""


@given(text=HOSTILE)
@settings(max_examples=40, deadline=None)
def test_json_tells_names_as_they_are(text: str) -> None:
    line = printed(lambda: console.emit({"file": text}))
    assert json.loads(line) == {"file": text}
    assert line[:-1].isascii()
    assert line[:-1].isprintable()


@pytest.mark.parametrize("text", ["", "a name.png", "café ∞ 字 🌲", "no\u00a0break", "naïve \\x1b"])
def test_visible_letters_stay(text: str) -> None:
    assert terminal.plain(text) == text


@pytest.mark.parametrize(
    ("text", "seen"), [("\x1b[2J", "\\x1b[2J"), ("a\u202eb", "a\\u202eb"), ("\U000e0001", "\\U000e0001")]
)
def test_what_is_hidden_is_written_out(text: str, seen: str) -> None:
    assert terminal.plain(text) == seen


@pytest.mark.parametrize(
    "words",
    [
        ["\x1b[2J"],
        ["detect", "\x1b]0;title\x07.png"],
        ["detect", "a.png", "--keys", "\u202e"],
        ["verify", "\x9b31m"],
        ["keys", "show", "\x1bc.json"],
        ["edit", "\u202e.png", "--mask", "\u2066.png", "--prompt", "a"],
        ["experiment", "\x1b[31m"],
    ],
    ids=lambda words: words[0].encode("unicode_escape").decode(),
)
def test_words_of_the_command_line_come_back_plain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TREERING_KEYRING", str(tmp_path / "own.json"))
    Keyring.new().save(Path("own.json"))
    result = CliRunner().invoke(main, words, color=True)
    assert result.exit_code in (1, 2)
    assert "Error: " in result.stderr
    assert not [letter for letter in result.output if commands_a_terminal(letter)]


# Help


def every_help(group: click.Command, words: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    context = click.Context(group)
    names = group.list_commands(context) if isinstance(group, click.Group) else []
    inner = [every_help(group.get_command(context, name), (*words, name)) for name in names]  # type: ignore[union-attr, arg-type]
    return [words, *(word for found in inner for word in found)]


@pytest.mark.parametrize("columns", [60, 78, 108])
def test_help_fits_the_terminal(columns: int) -> None:
    helps = every_help(main)
    assert len(helps) > len(COMMANDS)
    for words in helps:
        result = CliRunner().invoke(main, [*words, "--help"], terminal_width=columns)
        assert result.exit_code == 0
        assert max(map(len, result.output.splitlines())) <= columns, words


# Processes: closed streams, permissions, a folder that is gone

COMMAND = "from treering_cli.start import treering; treering()"


def run(script: str, *words: str, code: str = COMMAND, **settings: object) -> subprocess.CompletedProcess[str]:
    """A process of its own, started by a line of shell in which ``"$@"`` is the command."""
    arguments = ["sh", "-c", script, "sh", sys.executable, "-c", code, *words]
    return subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=60, **settings)  # type: ignore[call-overload, no-any-return]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TREERING_KEYRING", str(tmp_path / "own.json"))
    Keyring.new(classes=100).save(tmp_path / "own.json")
    return tmp_path


@posix
@pytest.mark.parametrize(
    ("script", "words", "code", "sentence"),
    [
        ('"$@" >&-', ["keys", "show"], 1, "Standard output cannot be used: it is closed."),
        ('"$@" >&-', ["--help"], 1, "Standard output cannot be used: it is closed."),
        ('"$@" >&-', ["detect", "a.png", "--exit-code"], 3, "Standard output cannot be used: it is closed."),
        ('"$@" <&-', ["detect", "-"], 1, "Standard input is closed."),
        ('"$@" <&-', ["detect", "-", "--exit-code"], 3, "Standard input is closed."),
        ('"$@" <&-', ["edit", "-", "--mask", "m", "--prompt", "", "--output", "b.png"], 1, "Standard input "),
        ('"$@" >/dev/full', ["keys", "path"], 1, "Standard output cannot be written: the disk is full."),
        ('mkdir g && cd g && rmdir ../g && "$@"', ["keys", "path"], 1, "The current folder has been deleted;"),
        ('mkdir g && cd g && rmdir ../g && "$@"', ["detect", "-", "--exit-code"], 3, "The current folder has been "),
        ('"$@"', ["detect", "a.png", "--keys", "500"], 1, "The keyring has the classes 0 to 99;"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_surroundings(home: Path, script: str, words: list[str], code: int, sentence: str) -> None:
    if "/dev/full" in script and not os.path.exists("/dev/full"):
        pytest.skip("no full disk to write to")
    done = run(script, *words)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(f"Error: {sentence}")
    assert done.stderr.count("\n") == 1


@posix
def test_nobody_to_tell_and_nobody_who_asks(home: Path) -> None:
    """With all three streams closed, no file takes the place of one of them."""
    assert run('"$@" <&- 2>&-', "keys", "path").stdout == f"{home}/own.json\n"
    done = run('"$@" <&- >&- 2>&-', "keys", "export", "copy.json")
    assert (done.returncode, Path("copy.json").exists()) == (1, False)
    piped = run('"$@" | true', "keys", "show")
    assert (piped.stdout, piped.stderr) == ("", "")


@posix
def test_permissions_whatever_the_umask(home: Path) -> None:
    assert run('umask 000; "$@"', "keys", "export", "deep/er/copy.json").returncode == 0
    work = "lambda **_: (open('f', 'w').close(), __import__('os').mkdir('d'))"
    probe = f"from treering_cli.start import _run; _run(lambda: {work}, '')"
    assert run('umask 000; "$@"', code=probe).returncode == 0
    made = ["deep", "deep/er", "deep/er/copy.json", "f", "d"]
    assert [stat.S_IMODE(os.stat(name).st_mode) & stat.S_IWOTH for name in made] == [0] * 5
    assert stat.S_IMODE(os.stat("f").st_mode) == 0o664  # a group that is let in stays so


# Signals

SIGNAL_AT = """
import os, signal, sys, time
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            {how}
sys.meta_path.insert(0, Finder())
from treering_cli.start import treering
treering()
"""
PLAIN = "os.kill(os.getpid(), {signal}); time.sleep(5)"
TRANSLATED = """
            try:
                os.kill(os.getpid(), {signal}); time.sleep(5)
            except KeyboardInterrupt:
                raise ImportError("a part of me is missing")"""
IN_A_FINALISER = """
            class Last:
                def __del__(self):
                    os.kill(os.getpid(), {signal}); time.sleep(5)
            Last(); time.sleep(5)"""


@posix
@pytest.mark.parametrize(
    ("module", "how"),
    [
        ("click", PLAIN),
        ("treering_cli.detect", PLAIN),
        ("treering.marks.keyring", PLAIN),
        ("PIL", PLAIN),
        ("click", TRANSLATED),
        ("treering.marks.keyring", TRANSLATED),
        ("treering.marks.keyring", IN_A_FINALISER),
    ],
    ids=["click", "command", "keyring", "PIL", "click, translated", "keyring, translated", "finaliser"],
)
def test_control_c_while_something_is_imported(home: Path, module: str, how: str) -> None:
    Path("a.png").write_bytes(b"not a picture")
    code = SIGNAL_AT.format(module=module, how=how.format(signal=int(signal.SIGINT)).strip("\n "))
    done = run('"$@"', "detect", "a.png", code=code)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "\nInterrupted.\n")


@posix
@pytest.mark.parametrize("module", ["click", "treering.marks.keyring"])
def test_a_kill(home: Path, module: str) -> None:
    code = SIGNAL_AT.format(module=module, how=PLAIN.format(signal=int(signal.SIGTERM)))
    done = run('"$@"', "detect", "a.png", code=code)
    assert (done.returncode, done.stdout, done.stderr) == (143, "", "\nInterrupted.\n")


# The front door of research


def test_both_doors_are_one(home: Path) -> None:
    code = "import runpy, sys; sys.argv[0] = 'x'; runpy.run_module('treering.research', run_name='__main__')"
    ours = CliRunner().invoke(main, ["experiment", "--help"]).output
    theirs = run('COLUMNS=82 "$@"', "--help", code=code).stdout
    assert theirs.startswith("Usage: python -m treering.research [OPTIONS] NAME [STEP]\n")
    assert theirs.split("\n", 1)[1] == ours.split("\n", 1)[1]
    for name in door.NAMES:
        assert f"\n  {name} " in ours


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["demo"], "demo needs a step: data, autoencoder, latents, diffusion, export, measure, or all."),
        (["demo", "data", "--iterations", "3"], "demo has no --iterations."),
        (["accuracy", "--seed", "3"], "accuracy has no --seed."),
        (["speed", "--model", "demo"], "speed has no --model."),
        (["ablation", "data"], "ablation has no step."),
        (["ablation", "--work", "here"], "ablation has no --work."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_a_name_does_not_take_is_refused(words: list[str], sentence: str) -> None:
    result = CliRunner().invoke(main, ["experiment", *words])
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (2, f"Error: {sentence}")


def test_the_doors_behind_the_door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A study, an experiment and a step get what was asked for, each in its own way."""
    from treering.research.demo import steps
    from treering.research.experiments import bench
    from treering.research.studies import sizes

    calls: list[object] = []
    monkeypatch.setattr(steps, "make", lambda *given: calls.append(given))
    monkeypatch.setattr(sizes, "sizes", lambda *given: calls.append(given[:3]) or "| a |")
    outcome = bench.Outcome("| b |", (tmp_path / "table.md",), ("A note.",))
    monkeypatch.setattr(bench, "run", lambda experiment, settings, *rest: calls.append(settings) or outcome)
    monkeypatch.chdir(tmp_path)
    results = [
        CliRunner().invoke(main, ["experiment", *words.split()])
        for words in (
            "demo data --count 9 --work w",
            "sizes --device cuda",
            "ablation --images 3 --iterations 5,2 --seed 7 --dtype float16",
        )
    ]
    assert [result.exit_code for result in results] == [0, 0, 0]
    assert calls == [
        ("data", Path("w"), None, 9),
        (Path("treering-results/studies"), "cuda", 1),
        bench.Settings(3, (2, 5), "demo", "cpu", "float16", 7),
    ]
    wrote = Path("treering-results", "studies", "sizes.md")
    assert [result.stdout for result in results[:2]] == ["", f"| a |\n\nWrote {wrote}\n"]
    assert (results[2].stdout, results[2].stderr) == (f"| b |\nWrote {tmp_path}/table.md\n", "A note.\n")


def test_every_study_takes_what_the_door_hands_it() -> None:
    for name in STUDIES:
        module = importlib.import_module(f"treering.research.studies.{name}")
        takes = list(inspect.signature(getattr(module, name)).parameters)
        wanted = ["output", "device", "count", "note"] if name == "sizes" else ["output"]
        if "model" in door.takes(name):
            wanted = ["model", "keyring", "output", "count", "note"]
        assert takes[: len(wanted)] == wanted, name


# Systems that lack what others have

LACKING = """
import sys
# These look after themselves:
import torch, diffusers, transformers, scipy.stats, scipy.special, PIL.Image, click
import concurrent.futures.process, multiprocessing.popen_spawn_posix, logging.handlers, tempfile, subprocess
for name in ("resource", "fcntl", "pwd", "grp", "termios", "_posixsubprocess"):
    sys.modules[name] = None
import importlib, pkgutil, treering, treering_cli
for package in (treering, treering_cli):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
            print(module.name)
import math, ctypes
from treering.research import memory
assert math.isnan(memory._maxrss())
def nothing(name):
    raise TypeError("no library has this name")
ctypes.CDLL = nothing
from treering.research.experiments import peak
peak.reset("cpu")
"""


def test_without_what_windows_lacks(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LACKING], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {"treering.files", "treering_cli.embed", "treering.research.studies.sizes"} <= set(done.stdout.split())
