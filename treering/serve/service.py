"""What the worker does: pictures to answers, and prompts to pictures."""

from __future__ import annotations

import base64
import colorsys
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from .. import writing
from ..errors import ImageError, InputError
from ..evidence import Signer, check_secret, witnessed
from ..marks import fourier
from ..marks.keyring import Keyring
from ..marks.names import Names
from ..models import LatentModel
from ..pictures import decode, images
from ..pictures.images import Picture
from ..reading import Detector
from ..reading.record import Watch
from ..report.page.words import certainty, verdict
from ..review.thumbnails import as_found, jpeg
from ..settings import Reading
from ..text import pose_text
from ..types import Answer, Detection

_STEPS = 2  # of the way back for the spectrum that is shown


@dataclass(frozen=True, eq=False)
class Detect:
    """A picture to read.

    ``spectrum``: whether its spectrum and its pose undone are asked for too.  ``data``: the bytes of its file, where
    evidence is asked for.  ``watch``: is told of the stages as they begin.
    """

    picture: Picture
    spectrum: bool = False
    data: bytes | None = None
    watch: Watch | None = None


@dataclass(frozen=True)
class Embed:
    """A picture to make."""

    prompt: str
    key: int | None
    seed: int | None = None


class Service:
    """A model, a keyring and settings, for the worker's thread alone; ``load`` may be called by others.

    ``signer``: signs evidence; without one there is none.  ``names``: of classes.  Raises ``InputError`` for a signer
    where the values of the pattern are public.
    """

    signer: Signer | None = None
    names: Names | None = None

    def __init__(
        self,
        model: LatentModel,
        keyring: Keyring,
        reading: Reading | None = None,
        *,
        signer: Signer | None = None,
        names: Names | None = None,
    ) -> None:
        if signer is not None:
            check_secret(keyring)
        self.model, self.keyring, self.signer, self.names = model, keyring, signer, names
        self.detector = Detector(model, keyring, reading)

    @property
    def rows(self) -> int:
        """Pictures that are best read together."""
        return self.model.batching.rows("detect")

    def load(self, data: bytes, name: str, pixels: int) -> Picture:
        """A picture from the bytes of a file, of one of the keyring's sizes; raises ``ImageError``."""
        with decode.pillow(name):
            width, height = decode.opened(data, name).size
        if width * height > pixels:
            raise ImageError(f"{name} has more than {pixels} pixels, so it is not read.")
        return images.read(data, self.keyring.sizes, name, strict=self.detector.settings.strict)

    def __call__(self, tasks: Sequence[Any]) -> list[Any]:
        """Results of tasks of one kind."""
        if isinstance(tasks[0], Embed):
            return [self.embed(task) for task in tasks]
        alone = {id(task): self._witnessed(task) for task in tasks if task.data is not None}
        together = [task for task in tasks if task.data is None]
        found = dict(zip(map(id, together), self._read(together), strict=True))
        return [alone[id(task)] if id(task) in alone else self._shown(task, found[id(task)]) for task in tasks]

    def _read(self, tasks: Sequence[Detect]) -> list[Detection]:
        if not tasks:
            return []
        if len({task.picture.pixels.shape for task in tasks}) > 1:  # those of one size go together
            return [self._read([task])[0] for task in tasks]
        pixels = np.stack([task.picture.pixels for task in tasks])  # [B, H, W, 3]
        notes, watches = [task.picture.notes for task in tasks], [task.watch for task in tasks]
        found = self.detector(pixels, notes, watches)
        return [one.unless(task.picture.too_small) for task, one in zip(tasks, found, strict=True)]

    def _witnessed(self, task: Detect) -> dict[str, Any]:
        """An answer with its evidence, or with the reason why there is none."""
        assert self.signer is not None  # nobody asks for evidence where there is none
        assert task.data is not None
        try:
            detection, evidence = witnessed(self.detector, task.picture, task.data, self.signer, task.watch)
        except InputError as error:  # the picture can be read all the same
            return {**self._shown(task, self._read([task])[0]), "evidence": None, "no_evidence": str(error)}
        if evidence is None:
            why = detection.reason or "Nothing was read from it."
            return {**self._shown(task, detection), "evidence": None, "no_evidence": why}
        return {**self._shown(task, detection), "evidence": evidence.as_dict()}

    def embed(self, task: Embed) -> bytes:
        """A PNG file."""
        pixels = writing.embed(self.model, self.keyring, task.key, [task.prompt], task.seed)[0]
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "PNG")
        return stream.getvalue()

    def _shown(self, task: Detect, detection: Detection) -> dict[str, Any]:
        """All that there is to know; who may not know it is not told."""
        name = self.names.of(detection.key) if self.names else None
        answer = {"answer": detection.answer.value, "key": detection.key, "name": name, "reason": detection.reason}
        whole = {**answer, **_finite(detection.as_dict()), "pose_text": pose_text(detection.pose, detection.box)}
        p = detection.log10_p_keyring if detection.answer is Answer.KEYRING else detection.log10_p
        whole["verdict"] = verdict(detection.answer.value, detection.key)
        whole["certainty"] = certainty(detection.answer.value, p, detection.reason or "")
        return whole | (self._views(task.picture.pixels, detection) if task.spectrum else {})

    # What is to be seen

    @cached_property
    def _quick(self) -> Detector:
        return Detector(self.model, self.keyring, method="encoder", steps=_STEPS)

    def _views(self, pixels: NDArray[np.uint8], detection: Detection) -> dict[str, Any]:
        """The picture as found, if its pose was undone, and the spectrum of its noise, as data addresses."""
        found = as_found(pixels, detection.pose, detection.box)
        seen = pixels if found is None else found
        noise = self._quick.noise(self._quick.latent(seen[None]).value)[0]
        view = {"spectrum": _address("png", spectrum_png(noise)), "rings": self._rings}
        return view if found is None else {**view, "as_found": _address("jpeg", jpeg(found))}

    @property
    def _rings(self) -> list[float]:
        """Inner and outer radius of the marked rings, in shares of the spectrum's half side (above 1: the corners)."""
        half = min(self.keyring.shape[-2:]) / 2
        pattern = self.keyring.pattern
        return [round(ring / half, 4) for ring in (pattern.inner - 0.5, pattern.outer + 0.5)]


def spectrum_png(noise: Tensor) -> bytes:
    """The spectrum of a noise ``[C, h, w]``, its first channel, as a PNG: phase is hue, strength is brightness."""
    spectrum = fourier.spectrum(noise[0].float().cpu()).numpy()  # [h, w]
    strength = np.clip(np.abs(spectrum) / 2.5, 0, 1) ** 0.7
    hue = (np.angle(spectrum) / (2 * math.pi)) % 1
    colours = np.array([colorsys.hsv_to_rgb(i / 64, 0.62, 1.0) for i in range(64)])
    pixels = colours[(hue * 64).astype(int) % 64] * strength[..., None]
    stream = io.BytesIO()
    Image.fromarray((255 * pixels).round().astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def _address(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _finite(value: Any) -> Any:
    """JSON knows no infinity and no NaN: they become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list | tuple) else value
