"""Where pictures go and which rows they get: names, several processes, kills, and what the next start mends."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from treering import files
from treering.batch import Gallery, Manifest, labels_from_manifest
from treering.batch.manifest import TakenError
from treering.batch.notes import LARGEST, Note
from treering.errors import ImageError, InputError
from treering.pictures import images

LOCK = ".m.csv.lock"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def pixels(value: int = 0) -> NDArray[np.uint8]:
    return np.full((4, 4, 3), value, np.uint8)


def make(output: str = "out", key: int | None = 1, manifest: str | None = "m.csv", force: bool = False) -> Path:
    gallery = Gallery.plan(Path(output), 1, None if manifest is None else Path(manifest), force)
    return gallery.add(pixels(200 if key is None else key), gallery.files[0], key)


def rows() -> list[list[str]]:
    return list(csv.reader(Path("m.csv").read_text().splitlines()))[1:]


def hidden() -> list[str]:
    return sorted(path.name for path in Path().rglob(".*"))


def a_note(file: str = "a.png", new: bool = True) -> bytes:
    return Note(file, "1", "x", new).encoded()


# Names and rows


def test_rows_of_a_manifest() -> None:
    for key in (2, None):
        make(key=key)
    make("a, b.png", 7)
    assert Path("m.csv").read_text() == ('file,key\nout/picture-0001.png,2\nout/picture-0002.png,none\n"a, b.png",7\n')
    items = labels_from_manifest(Path("m.csv"))
    assert [item.label for item in items] == [2, None, 7] and all(item.path.exists() for item in items)
    assert hidden() == []


def test_a_row_is_replaced_with_its_picture() -> None:
    make("a.png", 2), make("b.png", 3)
    with pytest.raises(InputError, match=r"^a\.png exists already; use --force to overwrite it\.$"):
        make("a.png", 5)
    make("a.png", 5, force=True)
    assert rows() == [["b.png", "3"], ["a.png", "5"]] and images.read("a.png").pixels.max() == 5
    Path("b.png").unlink()
    with pytest.raises(InputError, match=r"^m\.csv has a row for b\.png already; use --force\.$"):
        make("b.png", 5)


def test_names_go_on_after_the_last() -> None:
    Path("out").mkdir()
    for name in ("picture-0041.png", "other-0099.png"):
        images.write(pixels(), f"out/{name}")
    assert make(manifest=None).name == "picture-0042.png"
    Path("m.csv").write_text("file,key\nout/picture-0050.png,1\nelse/picture-0060.png,1\n")
    assert make().name == "picture-0051.png"  # the row of a picture that was moved is not taken over
    assert rows()[0] == ["out/picture-0050.png", "1"]


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("manifest", [None, "m.csv"])
def test_a_number_that_another_process_took_meanwhile(force: bool, manifest: str | None) -> None:
    gallery = Gallery.plan(Path(), 1, manifest and Path(manifest), force)
    images.write(pixels(9), "picture-0001.png")
    named = [gallery.add(pixels(1), gallery.files[0], 1).name for _ in range(2)]
    assert named == ["picture-0002.png", "picture-0003.png"]
    assert images.read("picture-0001.png").pixels.max() == 9
    assert not manifest or rows() == [[name, "1"] for name in named]


def test_a_disk_that_fails_is_no_name_that_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """The picture is there, its folder could not be synced: no second one is made."""

    def fail(_: Path) -> None:
        raise OSError(5, "Input/output error")

    gallery = Gallery.plan(Path(), 1)
    monkeypatch.setattr("treering.files.disk.sync_folder", fail)
    with pytest.raises(ImageError, match="Input/output error"):
        gallery.add(pixels(), gallery.files[0], 1)
    assert [path.name for path in Path().iterdir()] == ["picture-0001.png"]


def test_an_empty_manifest_is_begun_anew() -> None:
    Path("m.csv").touch()
    make("a.png", 1)
    assert Path("m.csv").read_text() == "file,key\na.png,1\n"


def test_a_manifest_of_others_is_left_alone() -> None:
    for text in ("name,class\n", "file,key\na.png,1", "\0", '"'):
        Path("m.csv").write_text(text)
        with pytest.raises(InputError, match="is not a manifest that rows can be added to"):
            make()
        assert Path("m.csv").read_text() == text
    with pytest.raises(InputError, match=r"^a\.png cannot be both a picture and the manifest\.$"):
        make("a.png", manifest="a.png")
    Path("m.csv").unlink()
    with pytest.raises(InputError, match="is not valid Unicode, so no manifest can tell it"):
        make("b\udcff.png")


def test_a_manifest_that_is_too_large() -> None:
    """Refused before anything is read or made, also where a note asks for a row in it."""
    Path("m.csv").write_text("file,key\n")
    os.truncate("m.csv", LARGEST + 1)
    Path("a.png").touch()
    for note in (b"", a_note()):
        Path(LOCK).write_bytes(note)
        with pytest.raises(InputError, match=r"^m\.csv cannot be written: it is larger than 256 MiB\.$"):
            make("b.png")
    assert Path("m.csv").stat().st_size == LARGEST + 1 and not Path("b.png").exists()


@pytest.mark.parametrize("end", ["z.png,9\na.pn", "z" * 99 + "a.pn", "a.png,1,", "a.p\u00e9"])
def test_only_a_torn_row_of_the_note_is_cut_off(end: str) -> None:
    Path("m.csv").write_text(f"file,key\n{end}", encoding="utf-8")
    Path(LOCK).write_bytes(a_note())
    torn = end.endswith("\na.pn")
    with contextlib.nullcontext() if torn else pytest.raises(InputError, match="its last line has no end"):
        Manifest(Path("m.csv")).mend()
    assert Path("m.csv").read_text(encoding="utf-8") == "file,key\n" + end.removesuffix("a.pn" if torn else "")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_a_manifest_that_is_a_pipe() -> None:
    os.mkfifo("m.csv")
    for note in (b"", a_note()):
        Path(LOCK).write_bytes(note)
        with pytest.raises(InputError, match=r"^m\.csv is not a file, so (no rows can be added to it|nothing is)"):
            make("b.png")
    assert not Path("b.png").exists()


@pytest.mark.skipif(os.name != "posix", reason="links need rights elsewhere")
def test_a_manifest_that_is_a_link_stays_one() -> None:
    Path("far").mkdir()
    Path("m.csv").symlink_to("far/list.csv")
    make("a.png", 1), make("b.png", 2), make("a.png", 3, force=True)
    assert Path("m.csv").is_symlink() and rows() == [["b.png", "2"], ["a.png", "3"]]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
@pytest.mark.parametrize("force", [True, False])
def test_a_pipe_is_refused_before_the_picture_is_made(force: bool) -> None:
    os.mkfifo("a.png")
    Path("link.png").symlink_to("a.png")
    for name in ("a.png", "link.png"):
        with pytest.raises(InputError) as caught:
            Gallery.plan(Path(name), 1, force=force)
        sentence = f"{name} is a pipe or a device, so no picture is written there."
        assert str(caught.value) == sentence
        with pytest.raises(ImageError, match=re.escape(sentence)):
            images.write(pixels(), name, overwrite=True)


# Kills


class Killed(BaseException):
    """As if the process were gone: nothing is caught, nothing is cleaned."""


def kill_at(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """Die at a step of adding a picture, as by a signal: what would run after it does not."""

    def die(*_: object, **__: object) -> None:
        raise Killed

    monkeypatch.setattr(Manifest, "_settle", lambda *_: None)
    if what == "picture":
        monkeypatch.setattr(images, "write", die)
    elif what == "row":
        monkeypatch.setattr(Manifest, "_put", die)
    elif what == "torn-row":
        monkeypatch.setattr(Manifest, "_put", tear)
    else:
        monkeypatch.setattr(Manifest, "_put", finish)


def finish(manifest: Manifest, note: Any, put: Callable[..., None] = Manifest._put) -> None:
    """The whole row."""
    put(manifest, note)
    raise Killed


def tear(manifest: Manifest, note: object) -> None:
    """Half a row, or half a header."""
    fresh = not Path("m.csv").exists()
    with Path("m.csv").open("ab") as file:
        file.write(b"file,k" if fresh else b"a.pn")
    raise Killed


@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(("step", "there"), [("picture", 0), ("row", 1), ("torn-row", 1), ("end", 1)])
def test_the_next_start_mends(
    monkeypatch: pytest.MonkeyPatch, step: str, there: bool, force: bool, fresh: bool
) -> None:
    if not fresh:
        make("z.png", 9)
    if force:
        make("a.png", 4)
    with monkeypatch.context() as patch:
        kill_at(patch, step)
        with pytest.raises(Killed):
            make("a.png", 1, force=force)
    assert json.loads(Path(LOCK).read_text())["file"] == "a.png"
    manifest = Manifest(Path("m.csv"))
    manifest.mend()
    told = ["The row of a.png, which a stopped process had left out, was written to m.csv."]
    assert manifest.mended == (told if "row" in step else [])
    expected = [] if fresh else [["z.png", "9"]]
    if there or force:
        expected.append(["a.png", "1" if there else "4"])
    assert (rows() if Path("m.csv").exists() else []) == expected
    assert Path("a.png").exists() == (there or force)
    manifest.mend()
    assert manifest.mended == (told if "row" in step else []) and hidden() == []


def test_what_has_no_note_is_left_alone() -> None:
    """A picture made without the manifest, and a row whose picture was moved: their owner's business."""
    make("a.png", 1, manifest=None)
    Path("m.csv").write_text("file,key\nmoved.png,3\n")
    make("b.png", 2)
    assert rows() == [["moved.png", "3"], ["b.png", "2"]]


@pytest.mark.parametrize("zeros", [0, 9])
@pytest.mark.parametrize("new", [True, False])
def test_half_a_note_is_none(new: bool, zeros: int) -> None:
    """Wherever it was cut; and zeros, as a power cut can leave them."""
    whole = a_note('"\\: "é\\', new)
    for size in range(len(whole)):
        Path(LOCK).write_bytes(whole[:size] + b"\0" * zeros)
        assert Manifest(Path("m.csv")).mend() == [] and hidden() == []
    make("b.png", 2)
    assert rows() == [["b.png", "2"]] and hidden() == []


FOREIGN = [b"[]", b"{}", b"\n", b" ", b"dear diary", b"\xff", b'{"file": "a"}', b'{"file": "a\n', a_note() + b" x"]
FOREIGN += [b"[" * 70_000, b'{"file": "' + b"a" * 70_000, b'{"file": 1, "key": "1", "pixels": "", "new": true}']
FOREIGN += [
    b'{"file": "%s", "key": "1", "pixels": "x", "new": true}' % name for name in (rb"\ud800", rb"\u0000", rb"\n")
]


@pytest.mark.parametrize("content", FOREIGN, ids=lambda content: repr(content[:24]))
def test_a_lock_file_of_others_is_left_alone(content: bytes) -> None:
    Path(LOCK).write_bytes(content)
    for _ in range(2):
        with pytest.raises(InputError) as caught:
            make("b.png", 2)
        sentence = f"{LOCK} is not of treering's making, so it is left alone; choose another manifest."
        assert str(caught.value) == sentence and Path(LOCK).read_bytes() == content
    assert not Path("b.png").exists() and not Path("m.csv").exists()


@pytest.mark.skipif(os.name != "posix", reason="owners and modes")
@pytest.mark.parametrize(("mode", "others"), [(0o620, False), (0o602, False), (0o600, True)])
def test_a_note_that_others_can_write_is_not_followed(monkeypatch: pytest.MonkeyPatch, mode: int, others: bool) -> None:
    Path("picture-0001.png").touch()
    Path(LOCK).write_bytes(a_note("picture-0001.png"))
    Path(LOCK).chmod(mode)
    if others:
        user = os.geteuid() + 1
        monkeypatch.setattr(os, "geteuid", lambda: user)
    with pytest.raises(InputError, match="belongs to somebody else or can be written by others"):
        Manifest(Path("m.csv")).mend()
    assert Path("picture-0001.png").exists() and Path(LOCK).read_bytes() == a_note("picture-0001.png")


# A note whose picture is an empty file: a name that was claimed where there are no hard links
CLAIMS = {
    "picture-0001.png": True,  # in the manifest's own folder
    "out/picture-0001.png": True,  # in the folder that is written
    "out/new.png": True,  # the name that is to be made
    "out/./picture-0001.png": True,
    "victim.png": False,
    "new.png": False,
    "m.csv": False,
    "out/victim.png": False,
    "out/picture-1.png": False,
    "else/picture-0001.png": False,
    "out/../else/picture-0001.png": False,
    "link/picture-0001.png": False,
    "../victim.png": False,
}


@pytest.mark.parametrize(("name", "goes"), CLAIMS.items(), ids=CLAIMS)
def test_only_a_claim_of_our_own_is_removed(tmp_path: Path, name: str, goes: bool) -> None:
    for folder in ("here/out", "here/else"):
        Path(folder).mkdir(parents=True)
    os.chdir("here")
    if name.startswith("link"):
        Path("link").symlink_to("else")
    Path(name).touch()
    Path(LOCK).write_bytes(a_note(name))
    make("out/new.png", 2, force=True)
    assert rows() == [["out/new.png", "2"]] and hidden() == []
    assert Path(name).exists() == (not goes or name == "out/new.png")


def test_what_is_no_claim_is_not_removed() -> None:
    """A picture, a link, a folder; whatever a note says of them."""
    Path("far").touch()
    Path("picture-0001.png").write_bytes(b"picture")
    Path("picture-0002.png").symlink_to("far")
    Path("picture-0003.png").mkdir()
    for number in (1, 2, 3):
        Path(LOCK).write_bytes(a_note(f"picture-000{number}.png"))
        Manifest(Path("m.csv")).mend()
    assert sorted(path.name for path in Path().iterdir()) == ["far", *(f"picture-000{i}.png" for i in (1, 2, 3))]


def test_a_name_that_no_note_could_tell() -> None:
    with pytest.raises(InputError, match="has control characters, so no manifest can tell it"):
        make("a\nb.png")
    make("a\u3000b\u200d.png")
    assert rows() == [["a\u3000b\u200d.png", "1"]]


@pytest.mark.parametrize("lasting", [False, True])
def test_a_row_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, lasting: bool) -> None:
    """At once it is tried again; where that fails, there is no picture either."""
    put: Callable[..., None] = Manifest._put
    calls = []

    def fail(*given: object) -> None:
        calls.append(given)
        if lasting or len(calls) == 1:
            raise InputError("The disk is full.")
        put(*given)

    monkeypatch.setattr(Manifest, "_put", fail)
    with pytest.raises(InputError, match="disk is full"):
        make("a.png", 1)
    assert Path("a.png").exists() == (not lasting) == Path("m.csv").exists()
    assert hidden() == []


def test_a_row_of_the_same_name_is_taken() -> None:
    Path("m.csv").write_text("file,key\na.png,3\n")
    with pytest.raises(TakenError):
        Manifest(Path("m.csv")).add(Path("a.png"), pixels(), 1, lambda: None)


PROGRAM = "import sys; from pathlib import Path; from treering.research.studies.kills import kills; "


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")
def test_kill_9_loses_nothing(tmp_path: Path) -> None:
    """Eight processes that embed, killed 15 times and at last together; 30 kills of verify."""
    program = PROGRAM + "print(kills(Path(sys.argv[1]), 15, 30))"
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    table = [re.split(r" *\| *", line.strip("| ")) for line in done.stdout.splitlines()]
    embed, verify = table[2], table[3]
    assert (embed[0], int(embed[2]) >= 15, embed[5:]) == ("embed, one folder and manifest", True, ["0", "0", "0"])
    assert (verify[0], int(verify[2]), verify[5:]) == ("verify, one folder of results", 30, ["0", "0", "0"])
    assert files.clean(tmp_path) == 0 and (tmp_path / "kills.md").exists()
