"""Files that are there whole or not at all, journals that are cut, and folders that are locked."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

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


@pytest.mark.parametrize("act", [files.make_folder, lambda path: files.replace(path, b""), Journal])
def test_a_file_where_a_folder_should_be(tmp_path: Path, act: Callable[[Path], object]) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "a", tmp_path / "file" / "a" / "b"):
        with pytest.raises(InputError) as caught:
            act(path)
        assert str(caught.value) == f"{path} cannot be written: {tmp_path / 'file'} is not a folder."
    with pytest.raises(InputError, match=r"/file cannot be written: it is not a folder\.$"):
        files.make_folder(tmp_path / "file")


# Reading


def test_no_more_is_read_than_asked_for(tmp_path: Path) -> None:
    path, mega = tmp_path / "a", 1 << 20
    for size in (0, 5, mega):
        path.write_bytes(b"a" * size)
        assert files.read(path, mega) == b"a" * size
    path.write_bytes(b"a" * (mega + 1))
    with pytest.raises(OSError, match="it is larger than 1 MiB"):
        files.read(path, mega)


def test_a_file_that_grows_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"a" * 3)
    monkeypatch.setattr(files.disk, "_check_size", lambda *_: None)
    with pytest.raises(OSError, match="it is larger than 0 MiB"):
        files.read(tmp_path / "a", 2)


@posix
def test_pipes_devices_and_folders_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(OSError, match="it is not a file"):
            files.read(path, 1 << 20)


# Locks


OTHER_PROCESS = """
import sys
import threading
import time
from pathlib import Path
from typing import Any
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


# Names that are on the disk, and what writers that died left


@posix
def test_folders_are_synced_after_every_new_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file first, then its name; in the order that a power cut asks for."""
    done: list[str] = []
    names = {"fsync": os.fsync, "replace": os.replace, "link": os.link}

    def noting(name: str) -> Callable[..., object]:
        def call(*given: Any) -> object:
            folder = name == "fsync" and stat.S_ISDIR(os.fstat(given[0]).st_mode)
            done.append("sync folder" if folder else name)
            return names[name](*given)

        return call

    for name in names:
        monkeypatch.setattr(os, name, noting(name))
    files.write(tmp_path / "a", b"new")
    files.write(tmp_path / "b", b"new", overwrite=False)
    Journal(tmp_path / "c").__exit__()
    files.make_folder(tmp_path / "d" / "e")
    whole = ["fsync", "replace", "sync folder", "fsync", "link", "sync folder"]
    assert done == [*whole, "sync folder", "sync folder", "sync folder"]


def test_a_folder_that_cannot_be_synced_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "name", "nt")
    files.sync_folder(tmp_path / "not there")
    monkeypatch.undo()
    for code, wrong in ((errno.EINVAL, False), (errno.ENOTSUP, False), (errno.EIO, True)):
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", failing(OSError(code, "no")))
            with pytest.raises(OSError, match="no") if wrong else contextlib.nullcontext():
                files.sync_folder(tmp_path)


DIES = """
import os, signal, sys
from pathlib import Path
from typing import Any
from treering import files
calls = {}
def die(*_):
    print("dying", flush=True)
    if sys.argv[2] == "waits":
        sys.stdin.read()
    os.kill(os.getpid(), signal.SIGKILL)
os.replace = die
files.write(Path(sys.argv[1]), b"secret", private=True)
"""


@posix
def test_what_a_killed_writer_left_is_private_and_removed(tmp_path: Path) -> None:
    """But not what one is writing that lives."""
    path = tmp_path / "keyring"
    words = [sys.executable, "-c", DIES, str(path)]
    with subprocess.Popen([*words, "waits"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as alive:
        assert alive.stdout and alive.stdout.readline() == b"dying\n"
        (busy,) = os.listdir(tmp_path)
        assert subprocess.run([*words, "at once"], stdout=subprocess.DEVNULL, check=False).returncode == -signal.SIGKILL
        (left,) = set(os.listdir(tmp_path)) - {busy}
        assert stat.S_IMODE((tmp_path / left).stat().st_mode) == 0o600
        assert files.clean(tmp_path) == 1 and os.listdir(tmp_path) == [busy]
        alive.kill()
    with files.locked(tmp_path, "Busy."):  # the next start
        assert os.listdir(tmp_path) == [files.LOCK]


def test_what_is_not_of_a_writer_is_not_removed(tmp_path: Path) -> None:
    names = [".treering-notes.tmp", "treering-0123456789abcdef.tmp", ".treering-0123456789abcdef.tmp.png"]
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / ".treering-0123456789abcdef.tmp").mkdir()
    assert files.clean(tmp_path) == 0 and len(os.listdir(tmp_path)) == 4
    assert files.clean(tmp_path / "nowhere") == 0


def test_without_locks_only_old_files_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.locks, "fcntl", None)
    names = [f".treering-{number:016x}.tmp" for number in range(2)]
    for name in names:
        (tmp_path / name).touch()
    os.utime(tmp_path / names[0], (0, 0))
    assert files.clean(tmp_path) == 1 and os.listdir(tmp_path) == [names[1]]


def test_a_cleaner_that_is_faster_than_the_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the making of a temporary file and its lock: another is made."""
    take, calls = files.locks.take, []

    def late(handle: int) -> bool | None:
        calls.append(handle)
        if len(calls) == 1:
            for name in os.listdir(tmp_path):
                (tmp_path / name).unlink()
        return take(handle)

    monkeypatch.setattr(files.locks, "take", late)
    files.write(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new" and len(calls) == 2


# Permissions


@posix
@pytest.mark.usefixtures("_either_way")
def test_nobody_else_may_write_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        files.make_folder(tmp_path / "a" / "b")
        files.write(tmp_path / "a" / "usual", b"")
        files.write(tmp_path / "a" / "new", b"", overwrite=False)
        files.write(tmp_path / "a" / "private", b"", private=True)
        Journal(tmp_path / "a" / "journal").__exit__()
        with files.locked(tmp_path / "a", ""), files.held(tmp_path / "a" / "held"):
            pass
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a", *(tmp_path / "a").iterdir())}
    private = {"private": 0o600, "held": 0o600}
    usual = dict.fromkeys(("usual", "new", "journal", ".lock"), 0o644)
    assert modes == {"a": 0o755, "b": 0o755, **usual, **private}


@posix
def test_a_file_that_was_closed_to_others_stays_so(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.touch(0o600)
    files.replace(path, b"new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


# Locks that are waited for, and other systems


WAITS = """
import sys
import threading
import time
from pathlib import Path
from typing import Any
from treering import files
path, count = Path(sys.argv[1]), Path(sys.argv[2])
for _ in range(40):
    with files.held(path):
        number = int(count.read_text())
        count.write_text(str(number + 1))
        path.unlink()
"""


@pytest.mark.skipif(files.locks.fcntl is None, reason="another kind of lock")
def test_one_at_a_time(tmp_path: Path) -> None:
    """Also where the one who holds the lock removes it."""
    (tmp_path / "count").write_text("0")
    words = [sys.executable, "-c", WAITS, str(tmp_path / "lock"), str(tmp_path / "count")]
    processes = [subprocess.Popen(words) for _ in range(3)]
    assert [process.wait() for process in processes] == [0] * 3
    assert (tmp_path / "count").read_text() == "120" and os.listdir(tmp_path) == ["count"]


HOLDS = """
import sys
from pathlib import Path
from treering import files
with files.held(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def taken(tmp_path: Path) -> Iterator[Path]:
    """A lock file that another process holds."""
    words = [sys.executable, "-c", HOLDS, str(tmp_path / "lock")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout and other.stdout.readline() == b"held\n"
        yield tmp_path / "lock"
        other.kill()


@pytest.mark.skipif(files.locks.fcntl is None, reason="another kind of lock")
def test_a_lock_is_not_waited_for_without_end(
    taken: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert (files.guards.PATIENCE, files.guards._TELL) == (60, 3)
    now, pauses = [0.0], []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        now[0] += 0.5

    monkeypatch.setattr(files.guards, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    with pytest.raises(InputError) as caught, files.held(taken):
        pytest.fail("held twice")
    assert str(caught.value) == (f"Another process has held {taken} for 60 seconds; wait until it is done, or end it.")
    assert now == [60] and 0 < max(pauses) < 0.1
    assert [record.getMessage() for record in caplog.records] == [
        f"Waiting for another process that writes to {taken}."
    ]


@pytest.mark.skipif(files.locks.fcntl is None, reason="another kind of lock")
def test_those_who_come_one_after_another_are_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody holds it too long, all of them together do; and it is said once."""
    now = [0.0]

    def answers() -> Iterator[bool]:
        for _ in range(3):
            yield from [False] * 40
            (tmp_path / "lock").unlink()  # by the one who had it
            yield True
        yield True

    def sleep(_: float) -> None:
        now[0] += 1

    answer = answers()
    monkeypatch.setattr(files.guards, "take", lambda _: next(answer))
    monkeypatch.setattr(files.guards, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    with files.held(tmp_path / "lock"):
        assert now[0] == 120
    assert len(caplog.records) == 1


class Msvcrt:
    """The module of Windows, as far as it is used: a byte of a file is locked, or an error says that it is."""

    LK_NBLCK = 2

    def __init__(self) -> None:
        self.taken: dict[tuple[int, int], int] = {}  # inode and position, to handle

    def locking(self, handle: int, mode: int, count: int) -> None:
        assert (mode, count) == (self.LK_NBLCK, 1)
        place = (os.fstat(handle).st_ino, os.lseek(handle, 0, os.SEEK_CUR))
        if place in self.taken:
            raise OSError(errno.EACCES, "Permission denied")
        self.taken[place] = handle

    def close(self, handle: int) -> None:
        self.taken = {place: other for place, other in self.taken.items() if other != handle}


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> Msvcrt:
    """What Windows has, and what it has not."""
    module, close = Msvcrt(), os.close

    def closing(handle: int) -> None:
        module.close(handle)
        close(handle)

    monkeypatch.setattr(files.locks, "fcntl", None)
    monkeypatch.setattr(files.locks, "msvcrt", module)
    monkeypatch.setattr(files.whole, "_CLOSE_FIRST", True)
    monkeypatch.setattr(os, "close", closing)
    monkeypatch.delattr(os, "fchmod")
    monkeypatch.setattr(files.disk, "_FLAGS", 0)
    return module


def test_a_folder_is_locked_once_on_windows(tmp_path: Path, windows: Msvcrt) -> None:
    with files.locked(tmp_path, "Busy."):
        with pytest.raises(InputError, match=r"^Busy\.$"), files.locked(tmp_path, "Busy."):
            pytest.fail("locked twice")
        assert [position for _, position in windows.taken] == [1 << 30]  # none that anybody reads
    assert not windows.taken
    with files.locked(tmp_path, "Busy."):
        pass


def test_a_lock_is_waited_for_on_windows(tmp_path: Path, windows: Msvcrt) -> None:
    path, order = tmp_path / "lock", []

    def other() -> None:
        with files.held(path):
            order.append("second")

    with files.held(path) as handle:
        thread = threading.Thread(target=other)
        thread.start()
        time.sleep(0.1)
        order.append("first")
        assert os.lseek(handle, 0, os.SEEK_CUR) == 0
    thread.join()
    assert order == ["first", "second"]


@pytest.mark.parametrize("overwrite", [True, False])
def test_files_are_written_on_windows(tmp_path: Path, windows: Msvcrt, overwrite: bool) -> None:
    files.write(tmp_path / "a", b"new", overwrite=overwrite)
    assert (tmp_path / "a").read_bytes() == b"new" and os.listdir(tmp_path) == ["a"] and not windows.taken


def test_no_locks_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.locks, "fcntl", None)
    with files.locked(tmp_path, "Busy."), files.locked(tmp_path, "Busy."), files.held(tmp_path / "lock"):
        pass
