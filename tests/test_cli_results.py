"""The command line with a stand-in for the model: what is printed, what is written, and how it ends.

Nothing here loads PyTorch.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from PIL import Image
from schemas import check

from treering import batch, report
from treering.marks.keyring import Keyring
from treering.marks.seeds import draw_marks
from treering.models.batching import Batching
from treering.pictures import images
from treering.types import Answer, Detection
from treering_cli import console, options
from treering_cli.main import main

Run = Callable[..., Result]
NONE = 255


class Model:
    """Makes and knows pictures of one grey, which is their class; 255 is none."""

    name, fingerprint = "demo", "0123456789abcdef"
    shape, image_size = (4, 32, 32), (32, 32)
    batching = Batching({})

    def captions(self, seed: int) -> str:
        return f"a scene {seed}"

    def detector(self, keyring: Keyring) -> batch.Detect:
        def detect(pictures: NDArray[np.uint8], notes: Sequence[Sequence[str]] = ()) -> list[Detection]:
            return [
                detection(int(grey), keyring, tuple(n)) for grey, n in zip(pictures[:, 0, 0, 0], notes, strict=True)
            ]

        return detect


def detection(grey: int, keyring: Keyring, notes: tuple[str, ...]) -> Detection:
    if grey == 66:
        raise KeyboardInterrupt
    key, log10_p = (None, -0.37) if grey == NONE else (grey, -11.51)
    what = {"model": "demo:0123456789abcdef", "keyring": keyring.id, "method": "forward-step", "status": "budget"}
    numbers = {"p_value": 10**log10_p, "log10_p": log10_p, "best_key": 0, "z": -np.inf, "classical_log10_p": 0.0}
    answer = Answer.NONE if key is None else Answer.KEY
    return Detection(answer=answer, key=key, **numbers, **what, evaluations=3, seconds=1.94, notes=notes)  # type: ignore[arg-type]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs commands in an empty folder with a keyring."""
    from treering_cli import detect, embed, work

    def maker(*_: object) -> embed.Make:
        return lambda one: (np.full((32, 32, 3), NONE if one.key is None else one.key, np.uint8), None)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TREERING_KEYRING", str(tmp_path / "own.json"))
    monkeypatch.setattr(options.ModelChoice, "load", lambda *_: Model())
    for module in (detect, work):
        monkeypatch.setattr(module, "detector", lambda model, keyring, _: model.detector(keyring))
    monkeypatch.setattr(embed, "_marked", maker)
    monkeypatch.setattr(embed, "_unmarked", maker)
    monkeypatch.setattr(report, "confusion_figure", lambda *_: None)
    Keyring.new(shape=(4, 32, 32), image_size=(32, 32)).save(Path("own.json"))
    return lambda *words, **settings: CliRunner().invoke(main, [str(word) for word in words], **settings)


def picture(path: str, grey: int, size: tuple[int, int] = (32, 32)) -> Path:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (grey, grey, grey)).save(path)
    return Path(path)


def records(result: Result) -> list[dict[str, Any]]:
    return [json.loads(text) for text in result.stdout.splitlines()]


# embed


def test_embed_names_counts_and_prompts(run: Run) -> None:
    result = run("embed", "--key", 2, "--prompt", "a", "--prompt", "b", "--count", 3, "--output", "out")
    assert (result.exit_code, result.stderr) == (0, "")
    printed = [
        re.fullmatch(r"out/(picture-\d{4}\.png)  ([ab])  \d+\.\d s", text) for text in result.stdout.splitlines()
    ]
    expected = [("picture-0001.png", "a"), ("picture-0002.png", "b"), ("picture-0003.png", "a")]
    assert [match and match.groups() for match in printed] == expected
    assert sorted(path.name for path in Path("out").iterdir()) == [name for name, _ in expected]


def test_embed_makes_one_picture_a_prompt(run: Run) -> None:
    assert len(run("embed", "--key", "none", "--prompt", "a", "--prompt", "b").stdout.splitlines()) == 2


@pytest.mark.parametrize(
    ("words", "more"), [([], {}), (["--manifest", "m.csv"], {"key": 2, "seed": 7})], ids=["plain", "manifest"]
)
def test_embed_tells_key_and_seed_only_with_a_manifest(run: Run, words: list[str], more: dict[str, int]) -> None:
    (record,) = records(run("embed", "--key", 2, "--seed", 7, "--json", *words))
    assert record.pop("seconds") >= 0
    how = {"steps": 20, "guidance": 3.0}
    assert record == {"file": "picture-0001.png", "prompt": "a scene 7", **how, **more}


def test_embed_goes_on_and_adds_to_the_manifest(run: Run) -> None:
    for key in (5, "none", 6):
        assert run("embed", "--key", key, "--output", "out", "--manifest", "out/m.csv").exit_code == 0
    rows = "file,key\npicture-0001.png,5\npicture-0002.png,none\npicture-0003.png,6\n"
    assert Path("out/m.csv").read_text() == rows


def test_embed_draws_a_class_for_each_picture(run: Run) -> None:
    words = ("embed", "--keys", "3-9,40", "--count", 12, "--seed", 7, "--manifest", "m.csv", "--json")
    found = records(run(*words))
    drawn = [key for key, _ in draw_marks(Keyring.load("own.json"), (*range(3, 10), 40), 12, 7)]
    assert [record["key"] for record in found] == drawn
    assert [record["seed"] for record in found] == list(range(7, 19))
    assert len(set(drawn)) > 3
    assert set(drawn) <= {*range(3, 10), 40}
    rows = [f"picture-{i + 1:04d}.png,{key}\n" for i, key in enumerate(drawn)]
    assert Path("m.csv").read_text() == "".join(["file,key\n", *rows])
    for record in found:
        assert (np.asarray(Image.open(record["file"])) == record["key"]).all()


@pytest.mark.parametrize(
    ("words", "sentence", "code"),
    [
        (["--key", "2", "--keys", "0-9"], "--key and --keys exclude each other; give one of them.", 2),
        (["--key", "none", "--keys", "0-9"], "--key and --keys exclude each other; give one of them.", 2),
        (["--keys", "0-9999"], "classes 0 to 99, so class 9999 would not be searched for", 1),
        (["--keys", "9-0"], "Invalid value for '--keys'", 2),
    ],
)
def test_embed_refuses_classes_that_cannot_be(run: Run, words: list[str], sentence: str, code: int) -> None:
    result = run("embed", *words)
    assert (result.exit_code, result.stdout) == (code, "")
    assert sentence in " ".join(result.stderr.split())
    assert os.listdir() == ["own.json"]


def test_a_prompt_of_two_lines_is_printed_on_one(run: Run) -> None:
    result = run("embed", "--key", 1, "--prompt", "a sea\nby night")
    assert re.fullmatch(r"picture-0001\.png  a sea\\nby night  \d+\.\d s\n", result.stdout)
    (record,) = records(run("embed", "--key", 1, "--prompt", "a sea\nby night", "--json"))
    assert record["prompt"] == "a sea\nby night"


def test_embed_with_force_replaces_the_row_too(run: Run) -> None:
    words = ("embed", "--output", "a.png", "--manifest", "m.csv")
    assert run(*words, "--key", 1).exit_code == 0
    assert run(*words, "--key", 2).exit_code == 1
    assert run(*words, "--key", 2, "--force").exit_code == 0
    assert Path("m.csv").read_text() == "file,key\na.png,2\n"
    assert np.asarray(Image.open("a.png")).max() == 2


def test_embed_makes_the_first_keyring(run: Run, tmp_path: Path) -> None:
    Path("own.json").unlink()
    assert run("embed", "--key", "none").stderr == ""
    assert not Path("own.json").exists()  # an unmarked picture needs none
    result = run("embed", "--key", 99)
    sentence = (
        f"Made your keyring {tmp_path}/own.json; keep it safe and secret, because marks cannot be read without it."
    )
    assert (result.exit_code, result.stderr) == (0, f"{sentence}\n")
    assert Keyring.load(Path("own.json")).image_size == (32, 32)


# detect


def test_detect_for_people(run: Run) -> None:
    picture("sunset.png", 2)
    picture("a.png", NONE, (16, 16))
    result = run("detect", "sunset.png", "a.png")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        "sunset.png  key 2     p = 3.1e-12    1.9 s\n"
        "a.png       none      p = 0.43       1.9 s  (Resized from 16x16 to 32x32.)\n"
    )


def test_detect_for_programs(run: Run) -> None:
    picture("a.png", 2)
    result = run("detect", "a.png", "no.png", "--json")
    first, second = records(result)
    assert (list(first)[:4], first["key"], first["z"]) == (["file", "key", "p_value", "log10_p"], 2, None)
    assert second == {"file": "no.png", "error": "no.png does not exist."}
    assert result.exit_code == 3


@pytest.mark.parametrize(
    ("names", "code"),
    [
        ("marked.png", 0),
        ("marked.png marked.png", 0),
        ("plain.png", 1),
        ("marked.png plain.png", 1),
        ("no.png", 3),
        ("plain.png no.png", 3),
    ],
)
def test_detect_as_a_question(run: Run, names: str, code: int) -> None:
    picture("marked.png", 0)  # class 0 is a class
    picture("plain.png", NONE)
    assert run("detect", "--exit-code", *names.split()).exit_code == code


def test_detect_reads_standard_input(run: Run) -> None:
    result = run("detect", "-", input=picture("a.png", 4).read_bytes())
    assert (result.exit_code, result.stdout) == (0, "-  key 4     p = 3.1e-12    1.9 s\n")
    assert run("detect", "-", input=b"").stderr == "Error: Standard input is empty.\n"


# verify


def folder() -> None:
    """Five pictures: three found rightly, one missed, one of no known class; and a broken file."""
    for name, grey in {"2/a": 2, "2/b": NONE, "deep/key-3/c": 3, "none/d": NONE, "e": 7}.items():
        picture(f"in/{name}.png", grey)
        path = Path(f"in/{name}.png")
        path.write_bytes(path.read_bytes() + name.encode())  # so that no two have the same bytes
    Path("in/broken.png").write_text("text")


EXPECTED = """\
Checked 5 of 6 pictures; 1 could not be read.
Found: key 2 1x, key 3 1x, key 7 1x, none 2x

"""


def test_verify_with_folders(run: Run) -> None:
    folder()
    result = run("verify", "in", "--labels", "folders", "--batch", 2)
    assert result.exit_code == 3
    error, note = result.stderr.splitlines()
    assert error == "Error: broken.png is not a picture that can be read."
    assert "without a label" in note
    assert result.stdout.startswith(EXPECTED)
    assert "Accuracy: 75.0 % (3 of 4; 95 % interval 30.1 % to 95.4 %)\n" in result.stdout
    assert result.stdout.endswith("\n\nResults are in treering-results/in\n")
    written = {path.name for path in Path("treering-results/in").iterdir()}
    assert {"results.jsonl", "summary.json", "confusion.md"} <= written


def test_verify_lists_a_folder_once_and_tells_a_sample_and_names(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    folder()
    assert run("keys", "name", 2, "Anna").exit_code == 0
    listed = []
    walk = batch.sources.walk
    monkeypatch.setattr(batch.sources, "walk", lambda path: listed.append(path) or walk(path))
    result = run("verify", "in", "--labels", "folders")
    assert listed == [Path("in")]
    assert 'Found: key 2 "Anna" 1x, key 3 1x' in result.stdout
    kept = json.loads(Path("treering-results/in/run.json").read_text())
    assert (kept["names"], kept["part"]) == ({"2": "Anna"}, None)
    page = Path("treering-results/in/report.html")
    assert "Anna" in page.read_text()
    run("keys", "name", 2, "Bert")
    for words, name in (((), "Anna"), (("--keyring", "own.json"), "Bert")):
        assert run("report", "treering-results/in", *words).exit_code == 0
        assert name in page.read_text()


def test_a_sample_is_remembered(run: Run) -> None:
    folder()
    sampled = run("verify", "in", "--labels", "folders", "--sample", 2, "--since", "1d")
    told = "A sample of 2 of 6 pictures, chosen by chance (seed 0)"
    assert told in sampled.stderr
    part = json.loads(Path("treering-results/in/run.json").read_text())["part"]
    assert (part["sample"], part["listed"], part["changed"]) == (2, 6, 6)
    again = run("report", "treering-results/in")
    assert (again.exit_code, told in again.stderr) == (0, True)
    assert told in Path("treering-results/in/report.html").read_text()


def test_verify_without_labels_has_no_matrix(run: Run) -> None:
    folder()
    result = run("verify", "in")
    assert result.stdout == f"{EXPECTED[:-1]}Results are in treering-results/in\n"


def test_verify_goes_on(run: Run) -> None:
    folder()
    assert run("verify", "in").exit_code == 3
    Path("in/broken.png").unlink()
    picture("in/new.png", 9)
    result = run("verify", "in")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("Checked 6 of 6 pictures, 5 of them earlier.\n")


@pytest.mark.parametrize(
    "words", [["--fpr", "0.01"], ["--keys", "0-9,12"], ["--keys", "1-3"], ["--prompt", "x"], ["--dtype", "bfloat16"]]
)
def test_verify_starts_afresh_with_other_settings(run: Run, words: list[str]) -> None:
    folder()
    run("verify", "in")
    (summary,) = records(run("verify", "in", "--json", *words))
    check("summary", summary)
    assert (summary["checked"], summary["resumed"]) == (5, 0)


def test_verify_is_interrupted_and_goes_on(run: Run) -> None:
    for number, grey in enumerate((1, 2, 66)):
        picture(f"in/{number}.png", grey)
    result = run("verify", "in")
    sentence = "\nInterrupted; the same command goes on where it stopped.\n"
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", sentence)
    picture("in/2.png", 3)
    (summary,) = records(run("verify", "in", "--json"))
    assert (summary["checked"], summary["resumed"], summary["output"]) == (1, 2, "treering-results/in")


def test_verify_a_manifest(run: Run) -> None:
    folder()
    Path("in/list.csv").write_text("file,key\n2/a.png,2\n2/b.png,none\n")
    (summary,) = records(run("verify", "in/list.csv", "--json", "--output", "here"))
    check("summary", summary)
    check("report", *records(run("report", "here", "--json")))
    assert (summary["total"], summary["confusion"]["accuracy"]["count"], summary["output"]) == (2, 2, "here")
    (summary,) = records(run("verify", "in", "--labels", "in/list.csv", "--json", "--output", "here"))
    assert (summary["total"], summary["confusion"]["total"]) == (6, 2)


def test_verify_takes_the_folders_manifest(run: Run) -> None:
    folder()
    Path("in/manifest.csv").write_text("file,key\n2/a.png,2\n")
    result = run("verify", "in", "--json")
    assert result.stderr.startswith("Labels are taken from in/manifest.csv.\n")
    assert records(result)[0]["confusion"]["total"] == 1
    assert records(run("verify", "in", "--json", "--labels", "none"))[0]["confusion"] is None


NOT_USED = "The keyring in/keyring.json in the folder is not used; --keyring in/keyring.json uses it.\n"


@pytest.mark.parametrize("public", [False, True])
def test_verify_uses_the_folders_keyring_only_if_it_is_named(run: Run, public: bool) -> None:
    folder()
    Keyring.new(public=public, shape=(4, 32, 32), image_size=(32, 32)).save(Path("in/keyring.json"))
    theirs, own = (Keyring.load(Path(name)).id for name in ("in/keyring.json", "own.json"))
    result = run("verify", "in", "--json")
    assert (result.stderr.startswith(NOT_USED), records(result)[0]["keyring"]) == (True, own)
    result = run("verify", "in", "--json", "--keyring", "own.json")
    assert (result.stderr.startswith(NOT_USED), records(result)[0]["keyring"]) == (True, own)
    result = run("verify", "in", "--json", "--keyring", "in/keyring.json")
    assert (NOT_USED in result.stderr, records(result)[0]["keyring"]) == (False, theirs)


def test_copies_of_one_run_are_not_called_earlier(run: Run) -> None:
    picture("in/a.png", 1)
    for name in "bc":
        shutil.copy("in/a.png", f"in/{name}.png")
    assert run("verify", "in").stdout.startswith("Checked 3 of 3 pictures, 2 of them copies of others.\n")
    assert run("verify", "in").stdout.startswith("Checked 3 of 3 pictures, 3 of them earlier.\n")


def test_a_wrong_row_is_a_failed_line(run: Run) -> None:
    picture("in/a.png", 2)
    Path("in/manifest.csv").write_text("file,key\na.png,2\nb.png,blue\n")
    result = run("verify", "in")
    assert result.exit_code == 3
    assert result.stderr.splitlines()[1] == (
        "Error: b.png: in/manifest.csv, line 3: 'blue' is not a key; write a number from 0 up, or none."
    )
    assert result.stdout.startswith("Checked 1 of 2 pictures; 1 could not be read.\n")


def test_verify_complains_of_twenty(run: Run) -> None:
    picture("in/a.png", 1)
    for number in range(25):
        Path(f"in/{number}.png").write_text("text")
    result = run("verify", "in")
    assert result.exit_code == 3
    assert result.stderr.count("Error: ") == 20
    assert result.stderr.endswith("5 more errors are in treering-results/in/results.jsonl.\n")


def test_bars_on_a_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from treering_cli import embed, verify

    for module in (console, embed, verify):
        monkeypatch.setattr(module, "on_terminal", lambda: True)
    folder()
    assert run("embed", "--key", 1, "--count", 2, "--output", "out").exit_code == 0
    result = run("verify", "in", "--json")
    assert (result.exit_code, len(records(result))) == (3, 1)


def test_pace() -> None:
    from treering_cli.verify import _pace

    progress = batch.Progress(done=3, total=9, resumed=0, failed=0, rate=0.25, remaining=3661.0)
    assert _pace(progress) == "4.0 s each, 1:01:01 left"
    assert _pace(None) is None


# What else can happen


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--output", "-"), "Pictures are not written to standard output; name a folder or a .png file."),
        (("--output", "x.gif"), "x.gif is not a folder, and pictures are written as .png files."),
        (("--output", ".png"), ".png is a suffix without a name; name a folder, or a file such as picture.png."),
        (("--manifest", "-"), "A manifest is not written to standard output; name a file."),
        (("--manifest", "in"), "in is not a file, so no rows can be added to it."),
    ],
)
def test_places_that_no_picture_goes_to(run: Run, words: tuple[str, str], sentence: str) -> None:
    Path("in").mkdir()
    before = sorted(Path().iterdir())
    result = run("embed", "--key", 1, *words)
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", f"Error: {sentence}\n")
    assert sorted(Path().iterdir()) == before


def test_results_are_no_stream(run: Run) -> None:
    folder()
    result = run("verify", "in", "--output", "-")
    sentence = "Results are a folder of files; name one with --output, or use --json for the summary."
    assert (result.exit_code, result.stderr, Path("-").exists()) == (1, f"Error: {sentence}\n", False)


@pytest.mark.skipif(os.name != "posix", reason="other systems keep the folder")
@pytest.mark.parametrize("words", ["embed --key 1", "embed --key 1 --output a.png --manifest m.csv", "verify ."])
def test_a_working_directory_that_was_removed(run: Run, tmp_path: Path, words: str) -> None:
    (tmp_path / "gone").mkdir()
    os.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    result = run(*words.split())
    sentence = "The current folder has been deleted; change to one that exists."
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", f"Error: {sentence}\n")


@pytest.mark.skipif(os.name != "posix", reason="other systems have no umask")
def test_nothing_is_open_to_be_written_by_others(run: Run) -> None:
    picture("in/a.png", 2)
    before = os.umask(0)
    try:
        assert run("embed", "--key", 1, "--output", "new/deep", "--manifest", "new/m.csv").exit_code == 0
        assert run("verify", "in").exit_code == 0
        assert run("keys", "new", "--output", "new/own/k.json").exit_code == 0
    finally:
        os.umask(before)
    made = [Path("new"), Path("treering-results")]
    every = [path for top in made for path in (top, *top.rglob("*"))]
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in every if path.stat().st_mode & 0o022} == {}
    assert len(every) == 13 and Path("new/own/k.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("words", ["--manifest m.csv", "--output a.png --manifest m.csv", ""])
def test_embed_is_interrupted(run: Run, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    """Between the picture and its row: both are there."""

    def interrupted(*given: Any, **named: Any) -> None:
        write(*given, **named)
        raise KeyboardInterrupt

    write = images.write
    monkeypatch.setattr(images, "write", interrupted)
    result = run("embed", "--key", 1, *words.split())
    sentence = "Interrupted; every picture that was named is complete."
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", f"\n{sentence}\n")
    (name,) = [path.name for path in Path().glob("*.png")]
    assert not words or Path("m.csv").read_text() == f"file,key\n{name},1\n"
    assert [path.name for path in Path().glob(".*")] == []


CLOSED = """
import os, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from batch_tools import Formula
from test_faults import Model
from treering_cli import embed, options, verify
from treering_cli.main import main
import numpy as np
options.ModelChoice.load = lambda *_: Model()
verify.detector = lambda *_: Formula()
embed._marked = lambda *_: lambda one: np.full((32, 32, 3), one.key, np.uint8)
main(sys.argv[1:], prog_name="treering")
"""


@pytest.mark.skipif(os.name != "posix", reason="closed by a shell")
@pytest.mark.parametrize("words", ["embed --key 1 --output in", "verify in --labels none"])
def test_closed_streams(run: Run, words: str) -> None:
    """The files are written, and nothing that was to be printed gets into them."""
    picture("in/a.png", 2)
    program = CLOSED.format(tests=str(Path(__file__).parent))
    command = f'exec "$0" -c "$1" {words} <&- >&-'
    done = subprocess.run(["sh", "-c", command, sys.executable, program], capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr and len(done.stderr.splitlines()) <= 1
    for path in Path("in").glob("*.png"):
        assert images.read(path).damaged == ()
    for line in Path().rglob("results.jsonl"):
        assert all(json.loads(text) for text in line.read_text().splitlines())


def test_a_full_disk(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    result = run("embed", "--key", 1, "--output", "a.png")
    assert (result.exit_code, result.stderr) == (1, "Error: a.png cannot be written: the disk is full.\n")


def test_strict_refuses_what_is_damaged(run: Run) -> None:
    data = bytearray(picture("in/a.png", 2).read_bytes())
    data[-5] ^= 1  # the checksum of the end
    Path("in/a.png").write_bytes(data)
    assert "(Damaged: " in run("detect", "in/a.png").stdout
    assert run("verify", "in").exit_code == 0
    for words in (("detect", "in/a.png"), ("verify", "in")):
        result = run(*words, "--strict")
        assert (result.exit_code, "Error: " in result.stderr, "Traceback" in result.output) == (
            1 if words[0] == "detect" else 3,
            True,
            False,
        )
