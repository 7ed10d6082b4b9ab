"""Pixels to files, and what a failed write leaves behind."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from picture_files import (
    chunks,
    picture,
)

from treering.errors import ImageError
from treering.pictures import images, write

as_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root ignores permission bits")


# What is written


def test_round_trip(tmp_path):
    path = tmp_path / "a.png"
    images.write(picture(), path)
    result = images.read(path)
    np.testing.assert_array_equal(result.pixels, picture())
    assert result.notes == () and os.listdir(tmp_path) == ["a.png"]


def test_a_view_of_pixels_is_written_as_it_looks(tmp_path):
    images.write(picture()[::-1, ::2], tmp_path / "a.png")
    np.testing.assert_array_equal(images.read(tmp_path / "a.png").pixels, picture()[::-1, ::2])


def test_no_metadata(tmp_path):
    images.write(picture(), tmp_path / "a.png")
    assert set(chunks((tmp_path / "a.png").read_bytes())) == {b"IHDR", b"IDAT", b"IEND"}


@pytest.mark.skipif(os.name != "posix", reason="permission bits")
def test_usual_permissions(tmp_path):
    images.write(picture(), tmp_path / "a.png")
    (tmp_path / "plain").touch()
    assert (tmp_path / "a.png").stat().st_mode == (tmp_path / "plain").stat().st_mode


def refused(path: Path, pixels: np.ndarray | None = None, **options) -> str:
    """What the error says when this is written."""
    with pytest.raises(ImageError) as caught:
        images.write(picture() if pixels is None else pixels, path, **options)
    return str(caught.value)


def test_nothing_is_overwritten_unasked(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"precious")
    assert refused(path) == f"{path} exists already; use --force to overwrite it."
    assert path.read_bytes() == b"precious"
    images.write(picture(), path, overwrite=True)
    np.testing.assert_array_equal(images.read(path).pixels, picture())
    assert os.listdir(tmp_path) == ["a.png"]


def test_a_file_that_appears_meanwhile_is_kept(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    monkeypatch.setattr(write, "_check_target", lambda *_: path.write_bytes(b"precious"))
    assert refused(path) == f"{path} exists already; use --force to overwrite it."
    assert path.read_bytes() == b"precious" and os.listdir(tmp_path) == ["a.png"]


def test_where_it_cannot_be_written(tmp_path):
    path = tmp_path / "no" / "a.png"
    assert refused(path) == f"{path} cannot be written: its folder does not exist."
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "a.png"
    assert refused(path) == f"{path} cannot be written: {tmp_path / 'file'} is not a folder."
    assert refused(tmp_path, overwrite=True) == f"{tmp_path} is a folder, not a picture."
    assert "cannot be written" in refused(tmp_path / ("a" * 300 + ".png"))
    assert "cannot be written" in refused(tmp_path / "a\0b.png")
    path = tmp_path / "a.jpg"
    assert refused(path) == f"{path} must end in .png, because pictures are written as PNG."
    assert os.listdir(tmp_path) == ["file"]


@as_root
def test_no_permission_to_write(tmp_path):
    tmp_path.chmod(0o500)
    assert refused(tmp_path / "a.png") == f"No permission to write {tmp_path / 'a.png'}."
    tmp_path.chmod(0o700)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "{path} cannot be written: the disk is full."),
        (OSError(errno.EIO, "Input/output error"), "{path} cannot be written: Input/output error."),
        (PermissionError(errno.EACCES, "Permission denied"), "No permission to write {path}."),
    ],
)
def test_a_failed_write_leaves_nothing_behind(tmp_path, monkeypatch, error, expected):
    def fail(*_):
        raise error

    monkeypatch.setattr(os, "replace", fail)
    path = tmp_path / "a.png"
    path.write_bytes(b"precious")
    assert refused(path, overwrite=True) == expected.format(path=path)
    assert path.read_bytes() == b"precious" and os.listdir(tmp_path) == ["a.png"]


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4, 3), "u1")],
)
def test_pixels_of_another_form_are_not_written(tmp_path, pixels):
    assert refused(tmp_path / "a.png", pixels).startswith("Pixels must be uint8 [H, W, 3] and not empty, not ")
    assert os.listdir(tmp_path) == []
