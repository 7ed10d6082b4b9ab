"""Which pictures, and what is known of them: folders, labels, manifests, and what can be wrong with them."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from batch_tools import gallery, paint, run, sentence
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from treering.batch import UNKNOWN, Item, find, labels_from_folders, labels_from_manifest
from treering.batch.items import Unknown
from treering.batch.notes import LARGEST
from treering.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
as_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root ignores permission bits")


# Finding pictures


def test_find(tmp_path: Path) -> None:
    for name in ("b.png", "a/z.JPG", "a/b/c.webp", "a-b/x.tiff", ".hidden.png", ".cache/d.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    items = find(tmp_path)
    assert [item.name for item in items] == ["a-b/x.tiff", "a/b/c.webp", "a/z.JPG", "b.png"]
    assert all(item.path == tmp_path / item.name and item.label is UNKNOWN for item in items)


def test_find_skips_its_own_figure(tmp_path: Path) -> None:
    gallery(tmp_path)
    (tmp_path / "other").mkdir()
    paint(tmp_path / "other" / "confusion.png", None)
    items = labels_from_folders(find(tmp_path))
    run(items, tmp_path / "results")
    assert (tmp_path / "results" / "confusion.png").exists()
    assert labels_from_folders(find(tmp_path)) == items
    run(items, tmp_path)  # results among the pictures
    assert labels_from_folders(find(tmp_path)) == items


def test_find_survives_links(tmp_path: Path) -> None:
    paint(tmp_path / "in" / "z" / "a.png", 1)
    paint(tmp_path / "elsewhere" / "b.png", 1)
    (tmp_path / "in" / "a-link").symlink_to(tmp_path / "in" / "z")
    (tmp_path / "in" / "z" / "up").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "self").symlink_to(tmp_path / "in" / "self")
    (tmp_path / "in" / "far").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "c.png").symlink_to(tmp_path / "elsewhere" / "b.png")
    assert [item.name for item in find(tmp_path / "in")] == ["c.png", "far/b.png", "z/a.png"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_pipes_are_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    os.mkfifo(tmp_path / "in" / "a.png")
    os.mkfifo(tmp_path / "in" / "other")
    path = manifest(tmp_path, b"file,key\nin/a.png,1\n")
    sentence = "{} is a named pipe, not a picture."
    assert run(find(tmp_path / "in"), tmp_path / "out").failed == (("a.png", sentence.format("a.png")),)
    assert run(labels_from_manifest(path), tmp_path / "out").failed == (("in/a.png", sentence.format("in/a.png")),)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_a_manifest_that_is_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "list.csv")
    with pytest.raises(InputError, match="it is not a file"):
        labels_from_manifest(tmp_path / "list.csv")


def test_a_folder_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.png", "shut/b.png", "z/c.png"):
        paint(tmp_path / name, 1)
    scandir = os.scandir

    def shut(folder: Path) -> object:
        if Path(folder).name == "shut":
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", shut)
    summary = run(find(tmp_path), tmp_path / "out")
    assert summary.checked + summary.copies == 2
    assert summary.failed == (("shut", "The folder shut cannot be read: Permission denied."),)


@pytest.mark.parametrize(
    ("name", "text"), [("nowhere", "There is no folder {}."), ("file", "{} is not a folder.")], ids=["none", "file"]
)
def test_find_needs_a_folder(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError) as caught:
        find(tmp_path / name)
    assert sentence(caught) == text.format(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("key-2/a.png", 2),
        ("2/a.png", 2),
        ("KEY_12/a.png", 12),
        ("class 3/deeper/a.png", 3),
        ("none/a.png", None),
        ("Unmarked/a.png", None),
        ("none/key-4/a.png", 4),
        ("a.png", UNKNOWN),
        ("2.png", UNKNOWN),
        ("keys/a.png", UNKNOWN),
        ("-2/a.png", UNKNOWN),
        ("2nd/a.png", UNKNOWN),
        ("٢/a.png", UNKNOWN),
    ],
)
def test_labels_from_folders(name: str, label: int | None) -> None:
    assert labels_from_folders([Item(Path("9") / name, name)])[0].label == label


# Manifests


def manifest(folder: Path, content: bytes) -> Path:
    path = folder / "list.csv"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"], ids=["plain", "bom"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
def test_a_manifest(tmp_path: Path, start: bytes, end: bytes) -> None:
    rows = [b"File, key ,camera", b"a.png,2,x", b'"sub/b, c.png",none,', b"", b"d.png,,", b"e.png, key-3,"]
    items = labels_from_manifest(manifest(tmp_path, start + end.join(rows)))
    assert [(item.name, item.label) for item in items] == [
        ("a.png", 2),
        ("sub/b, c.png", None),
        ("d.png", None),
        ("e.png", 3),
    ]
    assert items[1].path == tmp_path / "sub" / "b, c.png"


WRONG = {
    "empty": (b"", "line 1: the header must have one column 'file', as in: file,key"),
    "semicolons": (b"file;key\n", "line 1: the header must have one column 'file', as in: file,key"),
    "no key": (b"\nfile\na.png\n", "line 2: the header must have one column 'key', as in: file,key"),
    "two keys": (b"file,key,key\n", "line 1: the header must have one column 'key', as in: file,key"),
    "quote": (b'file,key\n"a.png,1\n', "line 2: this is not CSV (unexpected end of data)."),
}
WRONG_ROWS = {
    "short": (b"a.png\n", "the number of columns is 1, but the header has 2."),
    "long": (b"a,b.png,2\n", "the number of columns is 3, but the header has 2."),
    "word": (b"a.png,two\n", "'two' is not a key; write a number from 0 up, or none."),
    "negative": (b"a.png,-1\n", "'-1' is not a key; write a number from 0 up, or none."),
    "fraction": (b"a.png,1.0\n", "'1.0' is not a key; write a number from 0 up, or none."),
    "no file": (b",1\n", "the file is missing."),
    "twice": (b"./b.png,1\n", "b.png was named in line 2 already."),
    "quote": (b'"a"b.png,1\n', "this is not CSV (',' expected after '\"')."),
    "bytes": (b"\xff.png,1\n", "this is not text in UTF-8."),
}


@pytest.mark.parametrize(("content", "text"), WRONG.values(), ids=WRONG)
def test_a_wrong_manifest(tmp_path: Path, content: bytes, text: str) -> None:
    path = manifest(tmp_path, content)
    with pytest.raises(InputError) as caught:
        labels_from_manifest(path)
    assert sentence(caught) == f"{path}, {text}"


@pytest.mark.parametrize(("row", "text"), WRONG_ROWS.values(), ids=WRONG_ROWS)
def test_a_wrong_row_is_a_failed_line(tmp_path: Path, row: bytes, text: str) -> None:
    """The other rows are read."""
    for name in "bc":
        paint(tmp_path / f"{name}.png", 2, ord(name))
    path = manifest(tmp_path, b"file,key\nb.png,2\n" + row + b"c.png,2\n")
    summary = run(labels_from_manifest(path), tmp_path / "out")
    assert (summary.checked, summary.confusion and summary.confusion.total) == (2, 2)
    assert [text for _, text in summary.failed] == [f"{path}, line 3: {text}"]
    found = labels_from_manifest(path, find(tmp_path))
    assert [item.label for item in found] == [2, 2, UNKNOWN]
    assert found[-1].problem == f"{path}, line 3: {text}"


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=60)
    | st.text('file,key\n\r"01a.\0\ud800', max_size=40).map(lambda t: t.encode("utf-8", "replace"))
)
def test_any_manifest_is_items_or_one_sentence(tmp_path: Path, content: bytes) -> None:
    for start in (b"", b"file,key\n"):
        path = manifest(tmp_path, start + content)
        with contextlib.suppress(InputError):
            assert all(
                item.name and isinstance(item.label, int | None | Unknown) for item in labels_from_manifest(path)
            )


def test_a_manifest_that_is_not_text(tmp_path: Path) -> None:
    path = manifest(tmp_path, "file,key\na.png,1\n".encode("utf-16"))
    with pytest.raises(InputError) as caught:
        labels_from_manifest(path)
    assert sentence(caught) == f"The manifest {path} is not text in UTF-8."


def test_a_manifest_that_is_too_large(tmp_path: Path) -> None:
    """Refused by its size, before it is read."""
    path = manifest(tmp_path, b"")
    os.truncate(path, LARGEST + 1)
    with pytest.raises(InputError) as caught:
        labels_from_manifest(path)
    assert sentence(caught) == f"The manifest {path} cannot be read: it is larger than 256 MiB."


def test_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        labels_from_manifest(tmp_path / "list.csv")
    assert sentence(caught) == f"There is no manifest {tmp_path / 'list.csv'}."


def test_a_manifest_as_the_source(tmp_path: Path) -> None:
    paint(tmp_path / "a.png", 2)
    items = labels_from_manifest(manifest(tmp_path, b"file,key\na.png,2\ngone.png,1\n"))
    summary = run(items, tmp_path / "out")
    assert summary.failed == (("gone.png", "gone.png does not exist."),)
    assert summary.confusion is not None
    assert summary.confusion.total == 1


def test_a_manifest_labels_what_was_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.png", "b.png", "sub/c.png"):
        paint(tmp_path / "in" / name, 2)
    path = manifest(tmp_path, b"file,key\nin/a.png,2\nin/sub/c.png,none\nin/other.png,1\n")
    monkeypatch.chdir(tmp_path)
    items = labels_from_manifest(path, find(Path("in")))
    assert [(item.name, item.label) for item in items] == [("a.png", 2), ("b.png", UNKNOWN), ("sub/c.png", None)]


def test_a_manifest_of_other_pictures(tmp_path: Path) -> None:
    paint(tmp_path / "in" / "a.png", 2)
    path = manifest(tmp_path, b"file,key\na.png,2\n")
    with pytest.raises(InputError) as caught:
        labels_from_manifest(path, find(tmp_path / "in"))
    assert sentence(caught) == (
        f"The manifest {path} names none of the pictures; its paths are relative to its own folder."
    )
