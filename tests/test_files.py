"""Files that are there whole or not at all, journals that are cut, and folders that are locked."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from treering import files
from treering.errors import InputError
from treering.files import Journal

posix = pytest.mark.skipif(os.name != "posix", reason="permission bits")


def failing(error: BaseException) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise error

    return fail


NO_LINKS = failing(PermissionError(errno.EPERM, "Operation not permitted"))
FULL = OSError(errno.ENOSPC, "No space left on device")

# Writing


@pytest.fixture(params=["hard links", "no hard links"])
def _either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "no hard links":
        monkeypatch.setattr(os, "link", NO_LINKS)


@pytest.mark.usefixtures("_either_way")
def test_what_is_there_is_replaced_only_if_asked(tmp_path: Path) -> None:
    path = tmp_path / "a"
    files.write(path, b"first", overwrite=False)
    with pytest.raises(FileExistsError):
        files.write(path, b"second", overwrite=False)
    assert path.read_bytes() == b"first"
    files.write(path, b"third")
    assert path.read_bytes() == b"third" and os.listdir(tmp_path) == ["a"]


@posix
@pytest.mark.usefixtures("_either_way")
@pytest.mark.parametrize("overwrite", [True, False])
def test_permissions(tmp_path: Path, overwrite: bool) -> None:
    before = os.umask(0o027)
    try:
        files.write(tmp_path / "usual", b"", overwrite=overwrite)
        files.write(tmp_path / "private", b"", overwrite=overwrite, private=True)
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("usual", "private")]
    assert modes == [0o640, 0o600]


@posix
def test_a_private_file_is_never_open_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[int] = []
    monkeypatch.setattr(os, "replace", lambda temporary, _: modes.append(stat.S_IMODE(temporary.stat().st_mode)))
    files.write(tmp_path / "a", b"secret", private=True)
    assert modes == [0o600]


@pytest.mark.parametrize("error", [FULL, KeyboardInterrupt()], ids=["full", "interrupt"])
@pytest.mark.parametrize(
    ("calls", "overwrite"),
    [(["fsync"], True), (["fsync"], False), (["replace"], True), (["link", "replace"], False)],
)
def test_nothing_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: list[str], overwrite: bool, error: BaseException
) -> None:
    for call in calls:
        monkeypatch.setattr(os, call, failing(error))
    with pytest.raises(type(error)) as caught:
        files.write(tmp_path / "a", b"new", overwrite=overwrite)
    assert caught.value is error and os.listdir(tmp_path) == []


def test_replace_keeps_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "table.md"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", failing(FULL))
    with pytest.raises(InputError) as caught:
        files.replace(path, b"new")
    assert str(caught.value) == f"{path} cannot be written: the disk is full."
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["table.md"]


def test_replace_without_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "table.md"
    with pytest.raises(InputError) as caught:
        files.replace(path, b"")
    assert str(caught.value) == f"{path} cannot be written: its folder does not exist."


# Locks


OTHER_PROCESS = """
import sys
from pathlib import Path
from treering import errors, files
try:
    with files.locked(Path(sys.argv[1]), "Busy."):
        print("locked twice")
except errors.InputError as error:
    print(error)
"""


def test_a_folder_is_locked_once(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    folder = tmp_path / "deep" / "er"
    with files.locked(folder, "Busy."):
        with pytest.raises(InputError, match=r"^Busy\.$"), files.locked(folder, "Busy."):
            pytest.fail("locked twice")
        words = [sys.executable, "-c", OTHER_PROCESS, str(folder)]
        assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == "Busy.\n"
    with files.locked(folder, "Busy."):
        assert os.listdir(folder) == [files.LOCK]


def test_a_file_cannot_be_locked_as_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"mine")
    with pytest.raises(InputError, match="is not a folder"), files.locked(path, "Busy."):
        pytest.fail("locked a file")
    assert path.read_bytes() == b"mine"


# Journals


def test_lines_come_back(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with Journal(path) as journal:
        assert not journal.cut and list(journal.lines()) == []
        assert journal.append([b"one\n", b"three\n"]) == [0, 4]
        assert journal.append([]) == []
        assert journal.append([b"\n"]) == [10]
    with Journal(path) as journal:
        assert not journal.cut and list(journal.lines()) == [(0, b"one\n"), (4, b"three\n"), (10, b"\n")]
        assert journal.append([b"four\n"]) == [11]
        assert [journal.line(start) for start in (4, 11)] == [b"three\n", b"four\n"]


@pytest.mark.parametrize("whole", [b"", b"one\n", b"one\ntwo\n"])
def test_a_cut_last_line_is_dropped(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(whole + b"thr")
    with Journal(path) as journal:
        assert journal.cut and path.read_bytes() == whole
        assert journal.append([b"four\n"]) == [len(whole)]
    assert path.read_bytes() == whole + b"four\n"


@pytest.mark.parametrize("error", [FULL, KeyboardInterrupt()], ids=["full", "interrupt"])
def test_all_is_appended_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"one\n")
    write, room = os.write, [6]

    def until_full(handle: int, data: memoryview) -> int:
        if not room[0]:
            raise error
        written = write(handle, data[: room[0]])
        room[0] -= written
        return written

    with Journal(path) as journal:  # and nothing was read, so that this must not count on it
        monkeypatch.setattr(os, "write", until_full)
        with pytest.raises((InputError, KeyboardInterrupt)) as caught:
            journal.append([b"two\n", b"three\n"])
        if error is FULL:
            assert str(caught.value) == f"{path} cannot be written: the disk is full."
        assert room == [0] and path.read_bytes() == b"one\n"
        monkeypatch.undo()
        assert journal.append([b"two\n"]) == [4]
    assert path.read_bytes() == b"one\ntwo\n"


def test_a_journal_that_cannot_be_opened(tmp_path: Path) -> None:
    for path, sentence in ((tmp_path, "Is a directory"), (tmp_path / "no" / "a", "its folder does not exist")):
        with pytest.raises(InputError) as caught:
            Journal(path)
        assert str(caught.value) == f"{path} cannot be written: {sentence}."
