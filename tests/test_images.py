"""Files to pixels: real files of every mode and kind."""

from __future__ import annotations

import hashlib
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as npst
from picture_files import (
    encoded,
    linear_grey_profile,
    picture,
    png,
    sentence,
    srgb_profile,
    swapped_profile,
    with_alpha,
)
from PIL import Image, ImageCms, features

from treering.errors import ImageError
from treering.pictures import images

needs_avif = pytest.mark.skipif(".avif" not in images.SUFFIXES, reason="this Pillow has no AVIF")


# What is read


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP"])
@pytest.mark.parametrize("how", ["path", "stream", "bytes"])
def test_lossless_kinds_give_the_same_pixels(tmp_path, kind, how):
    data = encoded(Image.fromarray(picture()), kind, **({"lossless": True} if kind == "WEBP" else {}))
    path = tmp_path / "a.picture"
    path.write_bytes(data)
    if how == "stream":
        with path.open("rb") as file:
            result = images.read(file)
    else:
        result = images.read(path if how == "path" else data)
    np.testing.assert_array_equal(result.pixels, picture())
    assert result.pixels.dtype == np.uint8 and result.notes == ()


@pytest.mark.parametrize("kind", ["JPEG", pytest.param("AVIF", marks=needs_avif)])
def test_lossy_kinds_give_nearly_the_same_pixels(kind):
    smooth = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    result = images.read(encoded(Image.fromarray(smooth), kind, quality=95))
    assert np.abs(result.pixels.astype(int) - smooth).max() <= 4 and result.notes == ()


def test_suffixes():
    assert {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp"} <= images.SUFFIXES
    assert (".avif" in images.SUFFIXES) == features.check("avif")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(kind, orientation):
    # A quarter of the picture is dark; where it is shown follows from the definition of the eight values.
    stored = np.full((16, 32, 3), 250, np.uint8)
    stored[:8, :16] = 10  # top left as stored
    exif = Image.Exif()
    exif[0x0112] = orientation
    result = images.read(encoded(Image.fromarray(stored), kind, exif=exif))
    dark = {1: "tl", 2: "tr", 3: "br", 4: "bl", 5: "tl", 6: "tr", 7: "br", 8: "bl"}[orientation]
    height, width = (16, 32) if orientation < 5 else (32, 16)
    assert result.pixels.shape == (height, width, 3)
    row = height // 4 if dark[0] == "t" else 3 * height // 4
    column = width // 4 if dark[1] == "l" else 3 * width // 4
    assert result.pixels[row, column, 0] < 60
    assert (result.pixels[:, :, 0] < 130).mean() == pytest.approx(0.25, abs=0.02)
    assert result.notes == (() if orientation == 1 else ("EXIF orientation applied.",))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_broken_exif_is_ignored(kind):
    plain = Image.fromarray(picture())
    result = images.read(encoded(plain, kind, exif=b"Exif\0\0this is no EXIF at all"))
    assert result.pixels.shape == (12, 16, 3) and result.notes == ()


@pytest.mark.parametrize(("mode", "kind"), [("RGBA", "PNG"), ("RGBA", "WEBP"), ("LA", "PNG"), ("PA", "TIFF")])
def test_alpha_is_laid_over_white(mode, kind):
    result = images.read(encoded(with_alpha(mode), kind, **({"lossless": True} if kind == "WEBP" else {})))
    np.testing.assert_array_equal(result.pixels, np.repeat([[[255] * 3] * 4 + [[0] * 3] * 4], 8, axis=0))
    assert result.notes == ("Alpha was laid over white.",)


def test_half_alpha():
    result = images.read(encoded(Image.new("RGBA", (2, 2), (255, 0, 100, 128)), "PNG"))
    np.testing.assert_allclose(result.pixels[0, 0], [255, 127, 177], atol=1)


def test_opaque_alpha_needs_no_note():
    image = Image.fromarray(picture())
    image.putalpha(255)
    result = images.read(encoded(image, "PNG"))
    np.testing.assert_array_equal(result.pixels, picture())
    assert result.notes == ()


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
@pytest.mark.parametrize("transparent", [False, True])
def test_palette(kind, transparent):
    image = Image.new("P", (4, 2), 1)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((0, 0), 0)
    result = images.read(encoded(image, kind, **({"transparency": 0} if transparent else {})))
    assert result.pixels[1, 1].tolist() == [200, 100, 50]
    assert result.pixels[0, 0].tolist() == ([255] * 3 if transparent else [10, 20, 30])
    assert result.notes == (("Alpha was laid over white.",) if transparent else ())


def test_palette_with_an_alpha_for_each_colour():
    image = Image.new("P", (2, 1), 1)
    image.putpalette([0, 0, 0, 0, 0, 0])
    image.putpixel((0, 0), 0)
    result = images.read(encoded(image, "PNG", transparency=bytes([0, 255])))
    assert result.pixels[0].tolist() == [[255] * 3, [0] * 3]


@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
def test_one_colour_that_is_see_through(mode):
    image = Image.new(mode, (2, 1), 0)
    image.putpixel((1, 0), (255, 255, 254) if mode == "RGB" else 255)
    transparent = (0, 0, 0) if mode == "RGB" else 0
    result = images.read(encoded(image, "PNG", transparency=transparent))
    assert result.pixels[0, 0].tolist() == [255] * 3
    assert result.notes == ("Alpha was laid over white.",)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_one_bit_and_grey(kind):
    grey = picture()[:, :, 0]
    result = images.read(encoded(Image.fromarray(grey), kind))
    np.testing.assert_array_equal(result.pixels, np.stack([grey] * 3, axis=-1))
    result = images.read(encoded(Image.fromarray(grey > 100), kind))
    np.testing.assert_array_equal(result.pixels, np.stack([(grey > 100) * 255] * 3, axis=-1))
    assert result.notes == ()


@pytest.mark.parametrize(("mode", "kind"), [("I;16", "PNG"), ("I;16", "TIFF"), ("I;16B", "TIFF"), ("I", "TIFF")])
def test_sixteen_bit_grey_is_scaled_not_clipped(mode, kind):
    dtype = {"I;16": "<u2", "I;16B": ">u2", "I": "<i4"}[mode]
    values = np.array([[0, 257, 32896, 65535]])
    image = Image.frombytes(mode, (4, 1), values.astype(dtype).tobytes())
    result = images.read(encoded(image, kind))
    assert result.pixels[0, :, 0].tolist() == [0, 1, 128, 255]
    assert result.notes == ("16-bit channels were reduced to 8.",)


def test_sixteen_bit_grey_with_a_see_through_value():
    data = png(2, 1, 16, 0, b"\0" + struct.pack(">HH", 300, 301), transparent=struct.pack(">H", 300))
    result = images.read(data)
    assert result.pixels[0, :, 0].tolist() == [255, 1]
    assert result.notes == ("16-bit channels were reduced to 8.", "Alpha was laid over white.")


@pytest.mark.parametrize(("colour_type", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_sixteen_bit_png_with_more_channels(colour_type, channels):
    values = [0xFFFF, 0x8000, 0x0100][: channels - (channels != 3)] + [0xFFFF] * (channels != 3)
    result = images.read(png(1, 1, 16, colour_type, b"\0" + struct.pack(f">{channels}H", *values)))
    assert result.pixels[0, 0].tolist() == ([255, 255, 255] if channels == 2 else [255, 128, 1])
    assert result.notes == ("16-bit channels were reduced to 8.",)


def test_sixteen_bit_rgb_tiff():
    # One pixel, by hand: header, nine entries (tag, type, count, value), bits of each channel, the pixel.
    depths = 8 + 2 + 9 * 12 + 4
    tags = [(256, 3, 1, 1), (257, 3, 1, 1), (258, 3, 3, depths), (259, 3, 1, 1), (262, 3, 1, 2)]
    tags += [(273, 4, 1, depths + 6), (277, 3, 1, 3), (278, 3, 1, 1), (279, 4, 1, 6)]
    data = b"II*\0" + struct.pack("<IH", 8, len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
    data += struct.pack("<I", 0) + struct.pack("<6H", 16, 16, 16, 0xFFFF, 0x8000, 0x0100)
    result = images.read(data)
    assert result.pixels[0, 0].tolist() == [255, 128, 1]
    assert result.notes == ("16-bit channels were reduced to 8.",)


@pytest.mark.parametrize("values", [[-1, 5], [0, 65536]])
def test_integers_of_unknown_range(values):
    data = encoded(Image.fromarray(np.array([values], np.int32)), "TIFF")
    assert sentence(data) == "The picture has integer values outside 0..65535, so its brightness is not known."


@pytest.mark.parametrize(("values", "expected"), [([0, 0.5, 1], [0, 128, 255]), ([0, 100.4, 255], [0, 100, 255])])
def test_floats(values, expected):
    result = images.read(encoded(Image.fromarray(np.array([values], np.float32)), "TIFF"))
    assert result.pixels[0, :, 0].tolist() == expected
    assert result.notes == ("Floating-point values were scaled to 8 bits.",)


@pytest.mark.parametrize("values", [[-0.1, 1], [0, 300]])
def test_floats_of_unknown_range(values):
    data = encoded(Image.fromarray(np.array([values], np.float32)), "TIFF")
    assert "floating-point values outside 0..1 and 0..255" in sentence(data)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_floats_that_are_not_finite(bad):
    data = encoded(Image.fromarray(np.array([[0, bad]], np.float32)), "TIFF")
    assert sentence(data, name="sky.tif") == "sky.tif has floating-point values that are not finite."


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk(kind):
    result = images.read(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), kind))
    np.testing.assert_allclose(result.pixels[4, 4], [255, 0, 0], atol=3)
    assert result.notes == ("CMYK was converted to RGB.",)


def test_ycbcr_and_lab_tiff():
    colour = Image.new("RGB", (4, 4), (200, 100, 50))
    result = images.read(encoded(colour.convert("YCbCr"), "TIFF"))
    np.testing.assert_allclose(result.pixels[0, 0], [200, 100, 50], atol=2)
    assert result.notes == ("YCbCr was converted to RGB.",)


def test_lab_tiff_with_and_without_its_profile():
    lab_profile = ImageCms.createProfile("LAB")
    colour = Image.new("RGB", (4, 4), (200, 100, 50))
    lab = ImageCms.profileToProfile(colour, ImageCms.createProfile("sRGB"), lab_profile, outputMode="LAB")
    with_profile = images.read(encoded(lab, "TIFF"))
    del lab.info["icc_profile"]
    without = images.read(encoded(lab, "TIFF"))
    for result in (with_profile, without):
        np.testing.assert_allclose(result.pixels[0, 0], [200, 100, 50], atol=4)
    assert with_profile.notes == ("The embedded colour profile was converted to sRGB.",)
    assert without.notes == ("LAB was converted to RGB.",)


def test_first_frame_of_an_animation():
    frames = [Image.new("RGB", (4, 4), (60 * n, 0, 0)) for n in range(3)]
    for kind in ("GIF", "PNG", "WEBP"):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
        result = images.read(data)
        assert result.pixels.max() == 0
        assert result.notes == ("Animated: only the first of 3 frames was read.",)


def test_first_page():
    pages = [Image.new("L", (4, 4), 60 * n) for n in range(3)]
    result = images.read(encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:]))
    assert result.pixels.max() == 0 and result.notes == ("Only the first of 3 pages was read.",)


def test_first_picture_of_a_phone():
    pictures = [Image.new("L", (8, 8), 100 * n) for n in range(2)]
    result = images.read(encoded(pictures[0], "MPO", save_all=True, append_images=pictures[1:]))
    assert result.pixels.max() < 5 and result.notes == ("Only the first of 2 pictures was read.",)


# Colour profiles


def test_srgb_profile_changes_nothing():
    result = images.read(encoded(Image.fromarray(picture()), "PNG", icc_profile=srgb_profile()))
    np.testing.assert_array_equal(result.pixels, picture())
    assert result.notes == ()


@pytest.mark.parametrize("mode", ["RGB", "P", "RGBA"])
def test_another_profile_is_converted(mode):
    image = Image.new("RGB", (4, 4), (200, 30, 10)).convert(mode, palette=Image.Palette.ADAPTIVE)
    if mode == "RGBA":
        image.putpixel((0, 0), (0, 0, 0, 0))
    result = images.read(encoded(image, "PNG", icc_profile=swapped_profile()))
    np.testing.assert_allclose(result.pixels[1, 1], [30, 200, 10], atol=6)
    assert result.notes[0] == "The embedded colour profile was converted to sRGB."
    assert result.notes[1:] == (("Alpha was laid over white.",) if mode == "RGBA" else ())
    if mode == "RGBA":
        assert result.pixels[0, 0].tolist() == [255] * 3


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_grey_profile(mode):
    result = images.read(encoded(Image.new("L", (4, 4), 55).convert(mode), "PNG", icc_profile=linear_grey_profile()))
    np.testing.assert_allclose(result.pixels[0, 0], [128] * 3, atol=3)  # 0.2157 of the light is sRGB 128
    assert result.notes == ("The embedded colour profile was converted to sRGB.",)


def test_rgb_profile_on_a_grey_picture():
    result = images.read(encoded(Image.new("L", (4, 4), 55), "PNG", icc_profile=srgb_profile()))
    assert result.pixels[0, 0].tolist() == [55] * 3 and result.notes == ()


@pytest.mark.parametrize("profile", [b"no profile", srgb_profile()[:300], linear_grey_profile()])
def test_broken_or_wrong_profile_is_ignored(profile):
    result = images.read(encoded(Image.fromarray(picture()), "PNG", icc_profile=profile))
    np.testing.assert_array_equal(result.pixels, picture())
    assert result.notes == ("The embedded colour profile could not be used and was ignored.",)


# Size


@pytest.mark.parametrize(
    ("stored", "size", "notes"),
    [
        ((12, 16), (12, 16), ()),
        ((12, 16), (6, 8), ("Resized from 16x12 to 8x6.",)),
        ((12, 16), (12, 12), ("Cropped from 16x12 to 12x12 about the centre.",)),
        ((16, 12), (8, 8), ("Cropped from 12x16 to 12x12 about the centre.", "Resized from 12x12 to 8x8.")),
        ((1, 50), (4, 4), ("Cropped from 50x1 to 1x1 about the centre.", "Resized from 1x1 to 4x4.")),
        ((1, 50), (400, 1), ("Cropped from 50x1 to 1x1 about the centre.", "Resized from 1x1 to 1x400.")),
    ],
)
def test_resize(stored, size, notes):
    result = images.read(encoded(Image.fromarray(picture(*stored)), "PNG"), size=size)
    assert result.pixels.shape == (*size, 3) and result.notes == notes


def test_crop_is_central():
    result = images.read(encoded(Image.fromarray(picture(12, 16)), "PNG"), size=(12, 12))
    np.testing.assert_array_equal(result.pixels, picture(12, 16)[:, 2:14])


def test_resize_sees_the_upright_picture():
    exif = Image.Exif()
    exif[0x0112] = 6
    result = images.read(encoded(Image.fromarray(picture(12, 16)), "PNG", exif=exif), size=(8, 6))
    assert result.notes == ("EXIF orientation applied.", "Resized from 12x16 to 6x8.")


@pytest.mark.parametrize("size", [(0, 4), (4, -1), (100_000, 100_000)])
def test_impossible_size(size):
    data = encoded(Image.fromarray(picture()), "PNG")
    assert sentence(data, size=size) == f"The picture cannot be resized to {size[1]}x{size[0]}."


# Numbers


def test_digest():
    assert images.digest(b"tree") == hashlib.sha256(b"tree").hexdigest()


@settings(max_examples=50, deadline=None)
@given(npst.arrays(np.uint8, npst.array_shapes(min_dims=2, max_dims=4, max_side=4).map(lambda shape: (*shape, 3))))
def test_bytes_to_floats_and_back(pixels):
    floats = images.to_float(pixels)
    assert floats.dtype == np.float32 and floats.shape == (*pixels.shape[:-3], 3, *pixels.shape[-3:-1])
    assert np.abs(floats).max() <= 1 and floats.flags.c_contiguous
    np.testing.assert_array_equal(images.to_bytes(floats), pixels)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_every_byte_survives_as_a_float(dtype):
    every = np.stack([np.arange(256, dtype=np.uint8).reshape(16, 16)] * 3, axis=-1)
    assert (images.to_float(every).min(), images.to_float(every).max()) == (-1, 1)
    np.testing.assert_array_equal(images.to_bytes(images.to_float(every).astype(dtype)), every)


def test_floats_are_rounded_and_clipped():
    values = np.array([-np.inf, -3, -1, 0.6 / 127.5 - 1, 0.4 / 127.5 - 1, 1, 7, np.inf])
    pixels = images.to_bytes(np.broadcast_to(values, (3, 1, 8)))
    assert pixels[0, :, 0].tolist() == [0, 0, 0, 1, 0, 255, 255, 255]


def test_wrong_numbers():
    with pytest.raises(ImageError, match=r"^The pixels hold values that are not a number\.$"):
        images.to_bytes(np.full((3, 1, 1), np.nan))
    with pytest.raises(ImageError, match=r"^Pixels must be float \[\.\.\., 3, H, W\], not uint8 \[3, 1, 1\]\.$"):
        images.to_bytes(np.zeros((3, 1, 1), np.uint8))
    with pytest.raises(ImageError, match=r"^Pixels must be uint8 \[\.\.\., H, W, 3\], not float64 \[1, 1, 3\]\.$"):
        images.to_float(np.zeros((1, 1, 3)))
