"""The command line from end to end, with the demo model: what is embedded is detected, and nothing else."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from treering.marks.keyring import Keyring
from treering.models.demo import random_caption
from treering_cli.main import main

KEY, SEED, PLAIN_SEED = 2, 11, 21
MARKED, PLAIN = ("pictures/picture-0001.png", "pictures/picture-0002.png"), "pictures/picture-0003.png"


def run(*arguments: object, **settings: Any) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], **settings)


def lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(text) for text in result.stdout.splitlines()]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A current directory for the whole module, in which a first keyring will be made."""
    folder = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("TREERING_KEYRING", str(folder / "own.json"))
        yield folder


@pytest.fixture(scope="module")
def embedded(world: Path) -> list[Result]:
    """Two marked pictures and one that is not, with a manifest."""
    where = ("--output", "pictures", "--manifest", "pictures/manifest.csv", "--json")
    return [
        run("embed", "--key", KEY, "--count", 2, "--seed", SEED, *where),
        run("embed", "--key", "none", "--seed", PLAIN_SEED, "--prompt", "mountains at dawn", *where),
    ]


@pytest.fixture(scope="module")
def detected(embedded: list[Result]) -> Result:
    return run("detect", *MARKED, PLAIN, "--json")


def test_the_first_keyring(embedded: list[Result], world: Path) -> None:
    sentence = f"Made your keyring {world}/own.json; keep it safe and secret, because marks cannot be read without it."
    assert [result.exit_code for result in embedded] == [0, 0]
    assert [result.stderr for result in embedded] == [f"{sentence}\n", ""]


def test_json_of_embed(embedded: list[Result]) -> None:
    records = [record for result in embedded for record in lines(result)]
    assert all(record.pop("seconds") > 0 for record in records)
    how = {"steps": 20, "guidance": 3.0}
    assert records == [
        {"file": MARKED[0], "prompt": random_caption(SEED), **how, "key": KEY, "seed": SEED},
        {"file": MARKED[1], "prompt": random_caption(SEED + 1), **how, "key": KEY, "seed": SEED + 1},
        {"file": PLAIN, "prompt": "mountains at dawn", **how, "key": None, "seed": PLAIN_SEED},
    ]


def test_the_manifest(embedded: list[Result]) -> None:
    text = Path("pictures/manifest.csv").read_text()
    assert text == "file,key\npicture-0001.png,2\npicture-0002.png,2\npicture-0003.png,none\n"


def chunks(data: bytes) -> set[bytes]:
    """The kinds of chunk in a PNG file."""
    kinds, place = set(), 8
    while place < len(data):
        kinds.add(data[place + 4 : place + 8])
        place += 12 + int.from_bytes(data[place : place + 4], "big")
    return kinds


@pytest.mark.parametrize("name", [*MARKED, PLAIN])
def test_pictures_tell_nothing(embedded: list[Result], name: str) -> None:
    assert chunks(Path(name).read_bytes()) == {b"IHDR", b"IDAT", b"IEND"}
    with Image.open(name) as image:
        assert (image.size, image.mode, image.info) == ((256, 256), "RGB", {})


def test_marks_are_recognised_and_nothing_else(detected: Result) -> None:
    records = lines(detected)
    assert (detected.exit_code, detected.stderr) == (0, "")
    assert [(record["file"], record["key"]) for record in records] == [(MARKED[0], 2), (MARKED[1], 2), (PLAIN, None)]
    assert all(record["p_value"] <= 1e-6 for record in records[:2])
    assert records[2]["p_value"] > 1e-6


def test_json_of_detect(detected: Result) -> None:
    record = lines(detected)[0]
    assert list(record)[:4] == ["file", "key", "p_value", "log10_p"]
    assert record["keyring"] == Keyring.load(Path("own.json")).id
    assert record["model"].startswith("demo:")
    assert (record["method"], record["notes"]) == ("safeguarded", [])


def test_a_line_for_people(embedded: list[Result]) -> None:
    with Image.open(MARKED[0]) as image:
        image.resize((512, 512), Image.Resampling.LANCZOS).save("large.png")
    result = run("detect", MARKED[0], "large.png", "no.png")
    assert (result.exit_code, result.stderr) == (3, "Error: no.png does not exist.\n")
    first, second = result.stdout.splitlines()
    assert re.fullmatch(rf"{MARKED[0]}  key 2     p (= \d\.\de-\d+|< 1e-38 \(1e-\d+\)) +\d+\.\d s", first)
    assert re.fullmatch(
        r"large\.png +key 2 +p (= [\d.e-]+|< 1e-38 \(1e-\d+\)) +\d+\.\d s  \(Resized from 512x512 to 256x256\.\)",
        second,
    )


def test_standard_input_and_exit_code(embedded: list[Result]) -> None:
    data = Path(MARKED[0]).read_bytes()
    marked = run("detect", "-", "--exit-code", "--json", input=data)
    assert (marked.exit_code, lines(marked)[0]["file"], lines(marked)[0]["key"]) == (0, "-", 2)
    assert run("detect", MARKED[0], PLAIN, "--exit-code").exit_code == 1
    assert run("detect", MARKED[0], "no.png", "--exit-code").exit_code == 3


@pytest.mark.parametrize("words", [["--keyring", "other.json"], ["--fpr", "1e-300"]], ids=lambda words: words[0])
def test_what_is_not_searched_is_not_found(embedded: list[Result], words: list[str]) -> None:
    Keyring.new().save(Path("other.json"), overwrite=True)
    result = run("detect", MARKED[0], "--exit-code", "--json", *words)
    assert (result.exit_code, lines(result)[0]["key"]) == (1, None)


def test_a_class_that_is_not_searched_leaves_a_mark_of_the_keyring(embedded: list[Result]) -> None:
    result = run("detect", MARKED[0], "--exit-code", "--json", "--keys", "0-1,3-99")
    assert (result.exit_code, lines(result)[0]["key"], lines(result)[0]["answer"]) == (0, None, "keyring")


@pytest.mark.parametrize(
    ("words", "evaluations"), [(["--method", "encoder"], 0), (["--iterations", "1"], 1)], ids=["encoder", "iterations"]
)
def test_how_to_read_can_be_chosen(embedded: list[Result], words: list[str], evaluations: int) -> None:
    result = run("detect", MARKED[0], "--json", "--steps", 5, "--scheme", "naive", *words)
    assert (result.exit_code, lines(result)[0]["evaluations"]) == (0, evaluations)


def test_a_round_trip_through_verify(embedded: list[Result]) -> None:
    shutil.copytree("pictures", "checked/pictures")
    Path("checked/pictures/broken.png").write_text("not a picture")
    before = sorted(Path("checked").rglob("*"))
    result = run("verify", "checked/pictures")
    assert (result.exit_code, result.stderr.splitlines()[:2]) == (
        3,
        [
            "Labels are taken from checked/pictures/manifest.csv.",
            "Error: broken.png is not a picture that can be read.",
        ],
    )
    assert "Checked 3 of 4 pictures; 1 could not be read.\nFound: key 2 2x, none 1x\n" in result.stdout
    assert "Accuracy: 100.0 % (3 of 3; 95 % interval " in result.stdout
    assert "False positives, a key found in an unmarked picture: 0.0 % (0 of 1; " in result.stdout
    assert result.stdout.endswith("Results are in treering-results/pictures\n")
    assert sorted(Path("checked").rglob("*")) == before

    again = run("verify", "checked/pictures", "--json")
    (summary,) = lines(again)
    assert (again.exit_code, summary["checked"], summary["resumed"]) == (3, 0, 3)
    assert summary["found"] == {"2": 2, "none": 1}
    assert summary["confusion"]["accuracy"]["rate"] == 1
    assert summary["output"] == "treering-results/pictures"

    Path("checked/pictures/broken.png").unlink()
    assert run("verify", "checked/pictures").exit_code == 0


def test_a_manifest_and_folders_as_labels(embedded: list[Result]) -> None:
    for name, folder in zip((*MARKED, PLAIN), ("key-2", "7", "none"), strict=True):
        Path("sorted", folder).mkdir(parents=True)
        shutil.copy(name, Path("sorted", folder))
    by_manifest = run("verify", "pictures/manifest.csv", "--output", "results", "--json")
    by_folder = run("verify", "sorted", "--labels", "folders", "--output", "results", "--json")
    without = run("verify", "sorted", "--output", "results", "--json")
    assert lines(by_manifest)[0]["confusion"]["accuracy"]["count"] == 3
    assert (by_folder.exit_code, lines(by_folder)[0]["resumed"]) == (0, 3)  # the bytes were seen before
    assert lines(by_folder)[0]["confusion"]["wrong_class"]["count"] == 1
    assert lines(without)[0]["confusion"] is None


def test_the_folders_keyring_is_used_if_it_is_named(embedded: list[Result]) -> None:
    Keyring.new(public=True).save(Path("public/keyring.json"))
    assert run("embed", "--key", 1, "--keyring", "public/keyring.json", "--output", "public/1").exit_code == 0
    result = run("verify", "public", "--labels", "folders", "--json", "--keyring", "public/keyring.json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert lines(result)[0]["found"] == {"1": 1, "none": 0}


def test_a_picture_depends_on_its_seed_alone(embedded: list[Result]) -> None:
    words = ("--steps", 2, "--prompt", "a sea by night")
    both = run("embed", "--key", 0, "--seed", 5, "--count", 2, "--output", "both", "--json", *words)
    one = run("embed", "--key", 0, "--seed", 6, "--output", "one.png", *words)
    plain = run("embed", "--key", "none", "--seed", 6, "--output", "plain.png", *words)
    assert [set(record) for record in lines(both)] == [
        {"file", "prompt", "steps", "guidance", "seconds"}
    ] * 2  # neither key nor seed
    assert re.fullmatch(r"one\.png  a sea by night  \d+\.\d s\n", one.stdout)
    assert plain.exit_code == 0
    pictures = [np.asarray(Image.open(name)) for name in ("both/picture-0002.png", "one.png", "plain.png")]
    np.testing.assert_array_equal(pictures[0], pictures[1])
    assert (pictures[1] != pictures[2]).any()


def test_seeds_are_random_unless_given(embedded: list[Result]) -> None:
    words = ("embed", "--key", 0, "--steps", 2, "--prompt", "hills", "--output", "free.png", "--force")
    assert run(*words).exit_code == 0
    first = Path("free.png").read_bytes()
    assert run(*words).exit_code == 0
    assert Path("free.png").read_bytes() != first


def test_other_models_need_a_prompt(embedded: list[Result]) -> None:
    from treering.models.demo import WEIGHTS

    result = run("embed", "--key", "none", "--model", WEIGHTS, "--output", "never.png")
    sentence = f"Error: The model {WEIGHTS} needs a --prompt; only the demo model has captions of its own.\n"
    assert (result.exit_code, result.stderr) == (1, sentence)


def test_a_keyring_of_another_shape(embedded: list[Result]) -> None:
    Keyring.new(shape=(4, 64, 64), image_size=(256, 256)).save(Path("large.json"))
    result = run("detect", MARKED[0], "--keyring", "large.json")
    sentence = "Error: The keyring is for latents of 4x64x64, the model demo has 4x32x32.\n"
    assert (result.exit_code, result.stderr) == (1, sentence)


def test_stderr_is_silent_in_a_process_of_its_own(embedded: list[Result]) -> None:
    """Neither warnings nor bars of the libraries reach the user."""
    code = "from treering_cli.main import main; main(prog_name='treering')"
    words = [sys.executable, "-c", code, "detect", "--method", "encoder", "--steps", "2", "--json", PLAIN]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert json.loads(done.stdout)["key"] is None
