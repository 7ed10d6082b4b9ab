"""Detect: pictures through the stages of a plan, to answers."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import inversion
from ..errors import InputError, SamplerError
from ..inversion import DecoderInversion
from ..marks.keyring import Keyring
from ..models import Model
from ..pictures import images
from ..settings import FLOAT32, METHOD, MOST
from ..settings import Reading as Settings
from ..types import Answer, Detection, Match, Solution
from . import plan as plans
from . import sizes
from .assessable import failure, one_colour
from .plan import EFFORTS, UNREAD, Outcome
from .record import Done, Reading, Watch
from .search import Candidate
from .stages import Given, Stage
from .tools import Tools

Size = tuple[int, int]
"""Height and width in pixels."""


class Examined(NamedTuple):
    """A reading for evidence: what is said, the stage that decided on the class, whose mark it is, and how many
    searches (keyrings and models, each in several sizes) share the error budget.
    """

    detection: Detection
    done: Done
    keyring: Keyring
    searches: int


class Detector:
    """Reads marks of one keyring from pictures.

    ``settings``: how; ``changes`` are its fields by name.  ``method`` may also be a plan of decoder inversion; where
    one is named without an effort, a picture is read once, by it.  ``every``: whether all stages are run, whatever is
    found; unless it is said, they are at the effort ``max`` alone.  To stop there too as soon as a mark is named is
    as valid, as its shares are fixed; the p-value may be larger then.
    Raises ``ModelError`` if the keyring's marks do not fit the model.
    """

    def __init__(
        self,
        model: Model,
        keyring: Keyring,
        settings: Settings | None = None,
        *,
        method: str | DecoderInversion | None = None,
        every: bool | None = None,
        **changes: Any,
    ) -> None:
        keyring.check_fits(model)
        if method is not None:
            changes["method"] = method if isinstance(method, str) else METHOD
        self.model, self.keyring = model, keyring
        self.settings = replace(settings or Settings(), **changes)
        self.every = self.settings.way == MOST if every is None else every
        keyring.check_classes(self.settings.keys)
        self.plan = method if isinstance(method, DecoderInversion) else _inversion(self.settings)
        self.tools = self._made_tools()
        self._tools: dict[tuple[int, int], Tools] = {}  # of other sizes

    def _made_tools(self) -> Tools:
        """What pictures of the keyring's first size are read with."""
        return Tools(self.model, self.keyring, self.settings, self.plan)

    chosen: tuple[Stage, ...] | None = None
    """Other stages than those of the effort."""

    @property
    def stages(self) -> tuple[Stage, ...]:
        """What is done to a picture, cheap first."""
        return self.chosen or EFFORTS[self.settings.way]

    @cached_property
    def _fingerprint(self) -> str:
        return f"{self.model.name}:{self.model.fingerprint}"

    # ------------------------------------------------------------------------- one reading, by hand

    def latent(self, pictures: NDArray[np.uint8]) -> Solution:
        """Pictures uint8 ``[B, H, W, 3]`` to latents, by the settings' decoder inversion."""
        pixels = torch.from_numpy(images.to_float(pictures))
        return inversion.invert_decoder(self.model, pixels, self.plan)

    def noise(self, latent: Tensor) -> Tensor:
        """Latents to noise, both ``[B, C, h, w]``, in the settings' or the keyring's steps."""
        return self.tools.back(latent, self.settings.steps or self.keyring.steps).value

    def match(self, noise: Tensor) -> list[Match]:
        """Noise ``[B, C, h, w]`` against the keyring."""
        return self.keyring.match(noise, self.settings.keys)

    # -------------------------------------------------------------------------------------- answers

    def __call__(
        self,
        pictures: NDArray[np.uint8],
        notes: Sequence[Sequence[str]] = (),
        watches: Sequence[Watch | None] = (),
    ) -> list[Detection]:
        """One result a picture uint8 ``[B, H, W, 3]`` of one of the keyring's sizes; it does not depend on the others.

        ``notes``: what to say beside each result.  ``watches``: for each picture who is told of its stages as they
        begin.  On a GPU several pictures go through the networks together: then they are independent up to rounding.
        """
        wanted = [(height, width, 3) for height, width in self.keyring.sizes]
        if np.ndim(pictures) != 4 or tuple(pictures.shape[1:]) not in wanted or pictures.dtype != np.uint8:
            given, shapes = f"{pictures.dtype} {list(pictures.shape)}", (f"[B, {h}, {w}, 3]" for h, w, _ in wanted)
            how = "image_size" if len(wanted) == 1 else "sizes"
            raise InputError(
                f"Pictures must be uint8 {' or '.join(shapes)}, not {given}; "
                f"images.read(path, keyring.{how}) makes them fit."
            )
        rows = self.model.batching.rows("detect")
        results: list[Detection] = []
        for i in range(0, len(pictures), rows):
            part = slice(i, i + rows)
            results += self._detect(pictures[part], notes[part], watches[part])
        return results

    def begun(self, pictures: NDArray[np.uint8], watches: Sequence[Watch | None] = ()) -> list[Reading]:
        """Records of pictures uint8 ``[B, H, W, 3]`` that went together through what every picture goes through."""
        tools = self.tools_for(pictures.shape[1:3])
        readings = [tools.reading(picture) for picture in pictures]
        for reading, watch in zip(readings, watches, strict=False):
            reading.watch = watch
        lively = [reading for reading in readings if not one_colour(reading)]
        first = self.stages[0]
        if lively and isinstance(first, Given):
            for reading in lively:
                reading.tell(first.name)
            with contextlib.suppress(SamplerError):  # which every picture then meets by itself
                tools.prepare(lively, first.method, first.count(tools))
        return readings

    def examine(self, picture: NDArray[np.uint8], notes: Sequence[str] = (), watch: Watch | None = None) -> Examined:
        """As a call, of one picture uint8 ``[H, W, 3]``, with what decided on the class: for evidence."""
        started = time.perf_counter()
        reading = self.tools_for(picture.shape[:2]).reading(picture)
        reading.watch = watch
        found, why = self._run(reading)
        seconds = round(time.perf_counter() - started, 3)
        detection = self.result(reading, found, seconds, tuple(notes), why)
        return Examined(detection, (found or UNREAD).by_class, self.keyring, len(self.sizes_of(reading)))

    def walk(self, reading: Reading, other: Callable[[Size], Reading] | None = None) -> Iterator[Outcome]:
        """What is known of a picture after each stage, which is run when it is asked for.

        All stages in the size that it is given in, then in each other that it may have been made in, with an equal
        share for each.  ``other``: gives the record of the picture in such a size (None: a new one).
        """
        tried, before = self.sizes_of(reading), UNREAD
        for size in tried:
            tools, told = self.tools_for(size), 0
            here = reading
            if size != reading.picture.shape[:2]:
                here = other(size) if other else tools.reading(sizes.resized(reading.picture, size))
                here.watch = reading.watch
            found = before
            for outcome in plans.walk(self.stages, here, tools):
                if here is not reading:
                    sizes.absorb(reading, here, size, told)
                    told = len(here.done)
                paid = sizes.shared(outcome, len(tried))
                found = paid if before is UNREAD else sizes.best(before, paid)
                yield found
            before = found

    def _detect(
        self, pictures: NDArray[np.uint8], notes: Sequence[Sequence[str]], watches: Sequence[Watch | None] = ()
    ) -> list[Detection]:
        started = time.perf_counter()
        readings = self.begun(pictures, watches)
        together = (time.perf_counter() - started) / len(pictures)
        for reading in readings:
            reading.spent = together
        return [
            self._one(reading, together, tuple(notes[i]) if i < len(notes) else ())
            for i, reading in enumerate(readings)
        ]

    def _one(self, reading: Reading, before: float, notes: tuple[str, ...]) -> Detection:
        started = time.perf_counter()
        found, why = self._run(reading)
        return self.result(reading, found, round(before + time.perf_counter() - started, 3), notes, why)

    def _run(self, reading: Reading) -> tuple[Outcome | None, str | None]:
        """All stages: what they come to, or why nothing can be said."""
        if why := one_colour(reading):
            return None, why
        try:
            return self._read(reading), None
        except SamplerError as error:  # nothing can be said of any picture with this model, and a run goes on
            return None, str(error)

    def tools_for(self, size: Sequence[int]) -> Tools:
        """What pictures of one of the keyring's sizes are read with."""
        height, width = size
        if (height, width) == self.keyring.image_size:
            return self.tools
        if (height, width) not in self._tools:
            self.keyring.check_fits(self.model, (height, width))
            ring = replace(self.keyring, sizes=((height, width),))
            self._tools[height, width] = Tools(self.model, ring, self.settings, self.plan)
        return self._tools[height, width]

    def _read(self, reading: Reading) -> Outcome:
        """A picture in every size that it may have been made in, until a class is named or to the end."""
        found, limit = UNREAD, math.log10(self.settings.fpr)
        for found in self.walk(reading):
            if found.log10_class <= limit and not self.every:
                break
        return found

    def sizes_of(self, reading: Reading) -> Sequence[Size]:
        """The sizes that a picture may have been made in, the one that it is given in first."""
        height, width = reading.picture.shape[:2]
        return self._sizes((height, width))

    def _sizes(self, given: Size) -> Sequence[Size]:
        """The sizes that a picture of this size may have been made in."""
        return sizes.fitting(self.keyring.sizes, given)

    def _answer(self, reading: Reading, found: Outcome) -> tuple[Answer, str | None]:
        limit = math.log10(self.settings.fpr)
        if found.log10_class <= limit:  # holds whatever became of the numbers: p is of the values that there are
            return Answer.KEY, None
        if self.tools.values.synchronised and found.log10_keyring <= limit:
            return Answer.KEYRING, None
        why = failure(reading)
        return (Answer.NOT_ASSESSABLE, why) if why else (Answer.NONE, None)

    def result(
        self,
        reading: Reading,
        outcome: Outcome | None,
        seconds: float,
        notes: tuple[str, ...],
        why: str | None = None,
    ) -> Detection:
        """What is said of a picture; ``outcome``: of its stages, None where there was nothing to read, and ``why``."""
        found = outcome or UNREAD
        answer, why = self._answer(reading, found) if outcome else (Answer.NOT_ASSESSABLE, why or one_colour(reading))
        decided = found.by_keyring if answer is Answer.KEYRING else found.by_class
        match = found.by_class.finding.match or Match(0, 0.0, 0.0, 0.0)
        return Detection(
            key=match.key if answer is Answer.KEY else None,
            p_value=bounded(found.log10_class),
            log10_p=found.log10_class,
            answer=answer,
            best_key=match.key,
            z=match.z,
            classical_log10_p=match.classical_log10_p,
            model=self._fingerprint,
            keyring=self.keyring.id,
            method=self.plan.name,
            evaluations=sum(int(one.evaluations[0]) for one in reading.solutions.values()),
            status=_status(reading),
            seconds=seconds,
            reason=why,
            notes=(*notes, *_said(self.model, self.keyring)),
            p_keyring=bounded(found.log10_keyring),
            log10_p_keyring=found.log10_keyring,
            effort=self.settings.way,
            stage=decided.stage,
            pose=_pose(decided.finding.pose, decided.size or self.tools.size) if answer in _FOUND else None,
            box=decided.finding.box if answer in _FOUND else None,
            stages=tuple(one.as_dict() for one in reading.done),
            nonce=match.nonce if answer is Answer.KEY else None,
        )


LEAST = 1e-38
"""The least p-value that is told."""

_FOUND = (Answer.KEY, Answer.KEYRING)


def _said(model: Model, keyring: Keyring) -> tuple[str, ...]:
    """What to know of the numbers: another type than the usual, or another test than the exact one."""
    chosen = getattr(model, "chosen", None)
    said = [f"Read in {chosen}, which this machine does fastest."] if chosen not in (None, FLOAT32) else []
    if not keyring.pattern.secret:
        said.append("The p-value is the classical one, as the values of this pattern are public.")
    return tuple(said)


def _inversion(settings: Settings) -> DecoderInversion:
    return inversion.method(settings.method or METHOD).with_budget(settings.iterations)


def bounded(log10_p: float) -> float:
    """A bound that holds: a secret has no more to give than :data:`LEAST`, whatever the strength of the evidence."""
    return max(float(10.0**log10_p), LEAST) if math.isfinite(log10_p) else 1.0


def _status(reading: Reading) -> str:
    """Of the last decoder inversion; nothing where none was needed."""
    statuses = [one.status[0].name.lower() for one in reading.solutions.values()]
    return statuses[-1] if statuses else ""


def _pose(pose: Candidate | None, size: Size) -> dict[str, Any] | None:
    """A pose for people and JSON, in a picture of this height and width; None as given."""
    if pose is None:
        return None
    mirror, angle, scale, aspect, shift = pose.pose(size[1] / size[0])
    rounded = {"angle": round(angle, 2), "scale": round(scale, 4), "aspect": round(aspect, 4)}
    return {"mirror": mirror, **rounded, "shift": [round(part, 4) for part in shift]}
