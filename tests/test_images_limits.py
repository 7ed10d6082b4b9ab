"""Cost and company: limits, reduced JPEGs, pipes and devices, threads, a quiet stderr."""

from __future__ import annotations

import io
import os
import socket
import stat
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from picture_files import encoded, picture, sentence
from PIL import Image

from treering.errors import ImageError
from treering.pictures import bands, images, limits
from treering.pictures.integrity import found, png

ORIGINAL_OPEN = Image.open

posix = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes")


@posix
def test_pipes_sockets_and_devices_are_refused_at_once(tmp_path):
    pipe = tmp_path / "a.png"
    os.mkfifo(pipe)  # without a writer: opening it would wait for ever
    assert sentence(pipe) == f"{pipe} is a named pipe, not a picture."
    (tmp_path / "link.png").symlink_to(pipe)
    assert sentence(tmp_path / "link.png").endswith("is a named pipe, not a picture.")
    assert sentence("/dev/zero") == "/dev/zero is a device, not a picture."
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        assert sentence(tmp_path / "s") == f"{tmp_path / 's'} is a socket, not a picture."


@posix
def test_a_pipe_that_takes_a_files_name_meanwhile_is_refused(tmp_path, monkeypatch):
    pipe, plain = tmp_path / "a.png", tmp_path / "b.png"
    os.mkfifo(pipe)
    plain.touch()
    before = os.stat
    monkeypatch.setattr(os, "stat", lambda path, **more: before(plain if path == pipe else path, **more))
    assert sentence(pipe) == f"{pipe} is a named pipe, not a picture."


def test_an_open_pipe_may_be_read():
    reader, writer = os.pipe()
    data = encoded(Image.fromarray(picture()), "PNG")
    with os.fdopen(writer, "wb") as file:
        file.write(data)
    with os.fdopen(reader, "rb") as file:
        np.testing.assert_array_equal(images.read(file).pixels, picture())


def test_a_jpeg_is_reduced_only_where_far_more_pixels_are_there():
    smooth = Image.fromarray(picture(32, 48)).resize((768, 512), Image.Resampling.BICUBIC)
    data = encoded(smooth, "JPEG", quality=95)
    whole = images.read(data).pixels
    near = images.read(data, size=(96, 96))
    assert near.notes == ("Cropped from 768x512 to 512x512 about the centre.", "Resized from 512x512 to 96x96.")
    far = images.read(data, size=(64, 64))
    assert far.notes[-1] == "Decoded at 384x256, far more than is needed, to save time."
    expected = images.read(encoded(Image.fromarray(whole), "PNG"), size=(64, 64))
    assert far.notes[:-1] == expected.notes
    assert np.abs(far.pixels.astype(int) - expected.pixels).mean() < 1


def test_a_reduced_jpeg_is_turned_too():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(Image.new("RGB", (512, 256)), "JPEG", exif=exif)
    result = images.read(data, size=(32, 16))
    assert result.pixels.shape == (32, 16, 3)
    assert result.notes[:2] == ("EXIF orientation applied.", "Resized from 256x512 to 16x32.")
    assert result.notes[2:] == ("Decoded at 64x128, far more than is needed, to save time.",)


def test_bands_change_nothing(monkeypatch):
    image = Image.fromarray(picture(40, 30))
    image.putalpha(Image.fromarray(picture(40, 30)[..., 0]))
    floats = Image.fromarray(picture(40, 30)[..., 0].astype(np.float32) / 255)
    for data in (encoded(image, "PNG"), encoded(image.quantize(9), "PNG"), encoded(floats, "TIFF")):
        whole = images.read(data)
        monkeypatch.setattr(bands, "PIXELS", 100)
        banded = images.read(data)
        monkeypatch.undo()
        np.testing.assert_array_equal(whole.pixels, banded.pixels)
        assert whole.notes == banded.notes


def test_webp_is_measured_before_it_is_opened(monkeypatch):
    monkeypatch.setitem(limits.SMALLER, "WEBP", limits.MAX_PIXELS // 100)
    expected = f"The picture has more than {limits.pixels('WEBP')} pixels, so it is not read."
    alpha = Image.fromarray(picture()).convert("RGBA")
    for options in ({}, {"lossless": True}, {"exif": b"Exif\0\0"}):
        data = encoded(alpha if options else Image.fromarray(picture()), "WEBP", **options)
        monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("opened"))
        assert sentence(data) == expected
        monkeypatch.setattr(Image, "open", ORIGINAL_OPEN)


@pytest.mark.parametrize(("depth", "colour"), [(8, 2), (16, 6), (16, 0)])
def test_a_large_png_is_not_unpacked(depth, colour, monkeypatch):
    monkeypatch.setattr(limits, "MAX_PIXELS", 20)
    monkeypatch.setattr(png, "zlib", None)
    data = bytearray(encoded(Image.fromarray(picture()), "PNG"))
    data[16:26] = (5).to_bytes(4, "big") * 2 + bytes([depth, colour])
    limit = 10 if colour == 6 else 20
    assert sentence(bytes(data)) == f"The picture has more than {limit} pixels, so it is not read."


def test_a_jpeg_of_many_scans(monkeypatch):
    data = encoded(Image.fromarray(picture()), "JPEG", progressive=True)
    monkeypatch.setattr(limits, "MAX_SCANNED", 12 * 16 * 3)
    assert "passes over its pixels" in sentence(data)


def test_frames_are_not_counted_without_end(monkeypatch):
    frames = [Image.new("L", (16, 16), 25 * n) for n in range(9)]
    monkeypatch.setattr(limits, "MAX_FRAMES", 5)
    for kind in ("GIF", "TIFF", "WEBP"):
        notes = images.read(encoded(frames[0], kind, save_all=True, append_images=frames[1:])).notes
        assert len(notes) == 1 and "only the first of more than 5 " in notes[0].lower()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
def test_files_of_too_many_parts_are_not_opened(kind, monkeypatch):
    data = encoded(Image.fromarray(picture()), kind)
    monkeypatch.setattr(found, "MOST_PARTS", 0)
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("opened"))
    assert sentence(data) == "The picture is made of too many parts, so it is not read."


def test_a_tiff_whose_pages_go_in_a_circle():
    data = encoded(Image.fromarray(picture()), "TIFF")
    at = int.from_bytes(data[4:8], "little")
    link = at + 2 + 12 * int.from_bytes(data[at : at + 2], "little")
    result = images.read(data[:link] + data[4:8] + data[link + 4 :])
    assert result.notes == ("Only the first frame was read: the others are broken.",)


def test_threads_read_the_same_as_one(tmp_path):
    kinds = [("PNG", {}), ("JPEG", {}), ("WEBP", {}), ("TIFF", {"compression": "tiff_lzw"}), ("GIF", {})]
    paths = []
    for number in range(200):
        kind, options = kinds[number % len(kinds)]
        data = encoded(Image.fromarray(np.roll(picture(40, 48), number, axis=1)), kind, **options)
        path = tmp_path / f"{number}.picture"
        path.write_bytes(data[: -(number % 7) or None])  # some are damaged
        paths.append(path)

    def outcome(path):
        try:
            result = images.read(path, (24, 24))
        except ImageError as error:
            return str(error), b""
        return result.notes, result.pixels.tobytes()

    alone = [outcome(path) for path in paths]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(outcome, paths)) == alone
    assert len({type(first) for first, _ in alone}) == 2


def test_reading_leaves_other_threads_warnings_alone():
    data = encoded(Image.fromarray(picture()), "JPEG", exif=b"Exif\0\0this is no EXIF at all")
    stop = threading.Event()

    def read_on():
        while not stop.is_set():
            images.read(data)

    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        thread = threading.Thread(target=read_on)
        thread.start()
        for number in range(200):
            warnings.warn(f"mine {number}", stacklevel=1)
        stop.set()
        thread.join()
    assert [str(warning.message) for warning in heard] == [f"mine {number}" for number in range(200)]


@pytest.mark.skipif(sys.platform != "linux", reason="libtiff is not a library of its own everywhere")
def test_broken_files_print_nothing():
    data = encoded(Image.fromarray(picture(64, 64)), "TIFF", compression="tiff_lzw")
    code = (
        "import sys; from treering.pictures import images\n"
        "try: images.read(sys.stdin.buffer.read())\n"
        "except Exception as error: sys.stdout.write(str(error))"
    )
    broken = data[:200] + bytes(200) + data[400:]
    done = subprocess.run([sys.executable, "-c", code], input=broken, capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"The picture is broken or cut short.", b"")


def test_written_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, expected in {
        "-": "A picture is not written to standard output; name a file, such as picture.png.",
        ".png": ".png is a suffix without a name; name a file, such as picture.png.",
        ".gif": ".gif is a suffix without a name; name a file, such as picture.png.",
        "x.gif": "x.gif must end in .png, because pictures are written as PNG.",
        ".": ". is a folder, not a picture.",
    }.items():
        with pytest.raises(ImageError) as caught:
            images.write(picture(), name)
        assert str(caught.value) == expected
    assert os.listdir() == []


@posix
def test_no_picture_takes_the_place_of_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(ImageError, match="is a pipe or a device"):
        images.write(picture(), tmp_path / "a.png", overwrite=True)
    assert stat.S_ISFIFO((tmp_path / "a.png").stat().st_mode)


@posix
def test_written_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        images.write(picture(), tmp_path / "a.png")
    finally:
        os.umask(before)
    np.testing.assert_array_equal(images.read(tmp_path / "a.png").pixels, picture())


def test_an_endless_stream_is_bounded(monkeypatch):
    monkeypatch.setattr(limits, "MAX_BYTES", 1000)

    class Endless(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            return b"x" * 500

    assert sentence(Endless()) == "The picture is larger than 1000 bytes, so it is not read."
