"""Whatever a file's colours are, to sRGB: by the embedded profile where there is one that works."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageCms


class Colours:
    """Converts the bands of one picture (all of one mode) to mode RGB in sRGB, and notes how."""

    def __init__(self, profile: object, notes: list[str]) -> None:
        self._profile = profile if isinstance(profile, bytes) else b""
        self._notes = notes
        self._transform: ImageCms.ImageCmsTransform | None = None
        self._space = ""

    def __call__(self, image: Image.Image) -> Image.Image:
        """Convert one band, or a whole picture."""
        if self._profile:
            try:
                return self._by_profile(image)
            except Exception:  # Pillow raises several kinds here, and none is a reason to refuse the picture
                self._profile = b""
                self._notes.append("The embedded colour profile could not be used and was ignored.")
        if image.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
            self._notes.append(f"{image.mode} was converted to RGB.")
        return image.convert("RGB")

    def _by_profile(self, image: Image.Image) -> Image.Image:
        if not self._space:
            self._prepare(image.mode)
        image = _in_space(image, self._space)
        if self._transform is None:
            return image
        converted = ImageCms.applyTransform(image, self._transform)
        if converted is None:  # only in place, which this is not
            raise ValueError("no picture came back")
        self._notes.append("The embedded colour profile was converted to sRGB.")
        return converted

    def _prepare(self, mode: str) -> None:
        """Build the transform once, from a profile that may be large; none where it would change nothing."""
        profile = ImageCms.ImageCmsProfile(io.BytesIO(self._profile))
        space = profile.profile.xcolor_space
        mode = _in_space(Image.new(mode, (1, 1)), space).mode
        srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
        transform = ImageCms.buildTransform(profile, srgb, mode, "RGB")
        self._transform = None if mode == "RGB" and _changes_nothing(transform) else transform
        self._space = space


def _in_space(image: Image.Image, space: str) -> Image.Image:
    """Give the picture the mode that a profile of this colour space ("RGB ", "GRAY", "CMYK", "Lab ") takes."""
    if space == "RGB " and image.mode not in ("CMYK", "LAB"):
        return image.convert("RGB")
    if space == "GRAY" and image.mode in ("1", "L"):
        return image.convert("L")
    if (space, image.mode) in (("CMYK", "CMYK"), ("Lab ", "LAB")):
        return image
    raise ValueError(f"a {space} profile does not fit {image.mode}")


def _changes_nothing(transform: ImageCms.ImageCmsTransform) -> bool:
    """Try the transform on 6 x 6 x 6 colours; many a profile is sRGB under another name, up to rounding."""
    levels = np.arange(0, 256, 51, dtype=np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    converted = ImageCms.applyTransform(Image.fromarray(colours), transform)
    return bool(np.abs(np.asarray(converted, dtype=int) - colours).max() <= 2)
