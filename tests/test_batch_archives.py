"""Pictures in archives: what there is, what is refused, and what a hostile one costs."""

from __future__ import annotations

import io
import os
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest
from batch_tools import Formula, lines, paint, run, sentence
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from treering.batch import Item, archives
from treering.errors import InputError
from treering.pictures import images, limits


def png(folder: Path, key: int | None, number: int = 0) -> bytes:
    return paint(folder / "one.png", key, number).read_bytes()


def zipped(path: Path, members: dict[str, bytes]) -> str:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return str(path)


def tarred(path: Path, members: dict[str, bytes]) -> str:
    with tarfile.open(path, "w:" + {".gz": "gz", ".xz": "xz", ".bz2": "bz2"}.get(path.suffix, "")) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return str(path)


def pack(path: Path, members: dict[str, bytes]) -> str:
    return zipped(path, members) if path.suffix == ".zip" else tarred(path, members)


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tar.xz", "a.tar.bz2"])
def test_an_archive(tmp_path: Path, name: str) -> None:
    members = {f"key-{i % 3}/{i}.png": png(tmp_path, i % 3, i) for i in range(7)}
    more = {"notes.txt": b"text", ".hidden.png": b"x", "__MACOSX/0.png": b"x", "broken.png": b"no picture"}
    archive = pack(tmp_path / name, members | more)
    items = list(archives.find(archive))
    assert [item.name for item in items] == [*members, "broken.png"]
    summary = run(items, tmp_path / "out")
    assert summary.found == {0: 3, 1: 2, 2: 2, None: 0}
    assert summary.failed == (("broken.png", "broken.png is not a picture that can be read."),)
    read = {line["file"]: line["sha256"] for line in lines(tmp_path / "out") if not line["error"]}
    assert read == {name: images.digest(data) for name, data in members.items()}
    detect = Formula()
    assert run(archives.find(archive), tmp_path / "out", detect).resumed == 7  # and nothing was unpacked again
    assert set(os.listdir(tmp_path)) == {name, "one.png", "out"}


def test_an_archive_that_changed_is_read_again(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {"a.png": png(tmp_path, 1)})
    items = list(archives.find(archive))
    assert run(items, tmp_path / "out").found == {1: 1, None: 0}
    zipped(tmp_path / "a.zip", {"a.png": png(tmp_path, 2), "b.png": b""})
    stale = run(items, tmp_path / "other")
    assert stale.failed == (("a.png", f"a.png: the archive {archive} changed after it was listed."),)
    summary = run(archives.find(archive), tmp_path / "out")
    assert (summary.found, summary.failed) == ({2: 1, None: 0}, (("b.png", "b.png is empty."),))


# Hostile ones


def problems(archive: str) -> dict[str, str | None]:
    return {item.name: item.problem for item in archives.find(archive)}


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_names_lead_nowhere(tmp_path: Path, kind: str) -> None:
    names = ["../a.png", "/etc/a.png", "a/../../b.png", "C:\\a.png", "..\\a.png", "a\nb.png"]
    found = problems(pack(tmp_path / f"a.{kind}", dict.fromkeys([*names, "good..png"], b"x")))
    assert found.pop("good..png") is None
    assert len(found) == len(names)
    assert all(
        problem and problem.endswith("leads out of the archive, so it is not read.") for problem in found.values()
    )


def test_links_and_archives_in_archives_are_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for name, kind in (
            ("soft.png", tarfile.SYMTYPE),
            ("hard.png", tarfile.LNKTYPE),
            ("pipe.png", tarfile.FIFOTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        archive.addfile(tarfile.TarInfo("inner.zip"))
    found = problems(str(path))
    assert all("is a link" in str(found[name]) for name in ("soft.png", "hard.png", "pipe.png"))
    assert found["inner.zip"] == "'inner.zip' is an archive in an archive, so it is not opened."
    link = zipfile.ZipInfo("soft.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    assert "is a link" in str(problems(str(tmp_path / "b.zip"))["soft.png"])


def test_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is packed too well is not unpacked, and what says that it is small is read no further than a picture."""
    monkeypatch.setattr(archives, "_SMALL", 1 << 16)
    bomb = zipped(tmp_path / "a.zip", {"a.png": bytes(1 << 20)})
    assert (
        problems(bomb)["a.png"]
        == "'a.png' is packed more than 200 times smaller than a picture can be, so it is not read."
    )
    monkeypatch.setattr(limits, "MAX_BYTES", 1 << 16)
    monkeypatch.setattr(images, "MAX_BYTES", 1 << 16)
    monkeypatch.setattr(archives, "_SMALL", 1 << 30)
    data = bytearray(Path(bomb).read_bytes())
    place = data.rindex(b"PK\x01\x02")
    data[place + 24 : place + 28] = struct.pack("<L", 100)  # the size that the list of members tells
    Path(bomb).write_bytes(data)
    (line,) = run(archives.find(bomb), tmp_path / "out").failed
    assert "a.png" in line[1]


def test_a_packed_tar_is_not_unpacked_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_BYTES", 1 << 16)
    archive = tarred(tmp_path / "a.tar.gz", {"a.bin": bytes(1 << 20), "b.png": b"x"})
    assert list(problems(archive).values()) == [
        "'a.bin, member 1' is larger than 65536 bytes, so the archive is not read any further."
    ]


def test_a_list_of_members_that_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = zipped(tmp_path / "a.zip", dict.fromkeys(map("{}.png".format, range(100)), b"x"))
    monkeypatch.setattr(archives, "_DIRECTORY", 1000)
    with pytest.raises(InputError, match="lists too many members"):
        list(archives.find(archive))
    header = tarfile.TarInfo("long.png").tobuf(tarfile.PAX_FORMAT)
    huge = bytearray(header)
    huge[124:136], huge[156:157] = b"77777777777\0", b"x"  # a header of 8 GiB
    huge[148:156] = b" " * 8
    huge[148:156] = f"{sum(huge[:512]):06o}\0 ".encode()
    (tmp_path / "b.tar").write_bytes(bytes(huge) + bytes(10240))
    with pytest.raises(InputError) as caught:
        list(archives.find(str(tmp_path / "b.tar")))
    assert sentence(caught) == f"The archive {tmp_path / 'b.tar'} cannot be read: a header is too large."


def found_or_told(archive: str) -> list[Item] | str:
    """The pictures, or how the sentence begins that says why there are none."""
    try:
        return list(archives.find(archive))
    except InputError as error:
        return str(error).partition(": ")[0] + ": "


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz"])
def test_what_is_no_archive(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="There is no archive"):
        list(archives.find(str(tmp_path / name)))
    for content in (b"", b"no archive", bytes(range(256)) * 40):
        (tmp_path / name).write_bytes(content)
        assert found_or_told(str(tmp_path / name)) in ([], f"The archive {tmp_path / name} cannot be read: ")


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_damage_is_told(tmp_path: Path, data: st.DataObject) -> None:
    """Whatever is changed in an archive: a list of items or one sentence, and each item a line."""
    kind = data.draw(st.sampled_from(["zip", "tar", "tar.gz"]))
    archive = Path(pack(tmp_path / f"a.{kind}", {f"{i}.png": png(tmp_path, i, i) for i in range(3)}))
    whole = archive.read_bytes()
    place, cut = data.draw(st.integers(0, len(whole))), data.draw(st.integers(0, 50))
    archive.write_bytes(whole[:place] + data.draw(st.binary(max_size=4)) + whole[place + cut :])
    items = found_or_told(str(archive))
    if isinstance(items, str):
        assert items == f"The archive {archive} cannot be read: "
    else:
        summary = run(items, tmp_path / f"out-{os.urandom(6).hex()}")
        assert summary.checked + summary.copies + summary.failures == len(items)
