"""What commands and callers choose, each group as one frozen object that is made in one place.

Plain data: nothing heavy is imported, so that a command line can be checked before any library is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .errors import InputError

METHODS = ("safeguarded", "encoder", "gradient", "forward-step", "inertial-km", "adam", "adam-fixed", "anderson")
"""Names of the ways to invert a decoder; what they are is in :mod:`treering.inversion`."""

METHOD = "safeguarded"
"""The way to invert a decoder unless another is named."""

DTYPES = ("float32", "bfloat16", "float16")
"""Number types of the networks."""

MOST_FRAMES = 4096
"""Frames that a clip is made of at most."""

FLOAT32 = DTYPES[0]
"""The one that results are compared in."""

AUTO = "auto"
"""In place of a number type: the one that the machine does fastest, if the model is as good in it."""

STEPS, GUIDANCE = 20, 3.0
"""Sampler steps and guidance of embedding, of all models but those that were distilled to few steps."""

FPR = 1e-6
"""False-positive rate up to which a mark is named."""

CHECK_LEVEL = 1e-9
"""p-value that a picture is to reach when it is read back after it was made, as it is and cut to half.

Seven of eight pictures reach it as they are (``python -m treering.research remedies``).
"""

EFFORTS = ("fast", "normal", "max")
"""How much is done to find a mark, each with its plan of stages in :mod:`treering.reading.plan`."""

MOST = EFFORTS[-1]
"""The effort at which every stage is run, whatever was found before."""

EFFORT, SINGLE = "normal", "single"
"""The effort unless another is named; and one reading by a named decoder inversion."""

ENGINES = ("local", "ray")
"""Who runs the workers of a run over many pictures: processes of this machine, or actors of a Ray cluster."""

Scheme = Literal["naive", "fixed-point"]
SCHEMES: tuple[Scheme, ...] = ("naive", "fixed-point")
"""Noise inversion: one evaluation a step, or every step solved."""


@dataclass(frozen=True)
class Networks:
    """Which model, and where it runs.

    ``name``: a built-in model, a pipeline folder or a hub id; None where somebody else decides.  ``tf32``: whether a
    GPU may round float32 to TF32.
    """

    name: str | None = None
    device: str = "cpu"
    dtype: str = DTYPES[0]
    download: bool = False
    tf32: bool = False


@dataclass(frozen=True)
class Sampling:
    """How pictures are made; None: as the model's are made."""

    steps: int | None = None
    guidance: float | None = None


@dataclass(frozen=True)
class Reading:
    """How marks are read.

    ``effort``: how much is done (None: normal, or a single reading if only a decoder or noise inversion is named).
    ``method`` and ``iterations``: decoder inversion (None: the default and its own budget).  ``scheme`` and ``steps``:
    noise inversion (None: the keyring's steps).  ``fpr``: the p-value up to which a mark is named, after correction
    for all that was searched.  ``keys``: classes to search (None: all of the keyring).  ``prompt`` and ``guidance``:
    empty and 1, unless the prompt is known.  ``strict``: damaged files are refused.  Raises ``InputError`` for values
    that cannot be.
    """

    method: str | None = None
    iterations: int | None = None
    scheme: Scheme = "naive"
    fpr: float = FPR
    keys: Sequence[int] | None = None
    prompt: str = ""
    guidance: float = 1.0
    steps: int | None = None
    effort: str | None = None
    strict: bool = False

    @property
    def way(self) -> str:
        """The plan: the effort, or a single reading where only a decoder or noise inversion is named."""
        single = self.method is not None or self.iterations or self.steps or self.scheme != "naive"
        return self.effort or (SINGLE if single else EFFORT)

    def __post_init__(self) -> None:
        if self.effort not in (None, SINGLE, *EFFORTS):
            raise InputError(f"There is no effort {self.effort!r}: use one of {', '.join(EFFORTS)}.")
        if self.method is not None and self.method not in METHODS:
            raise InputError(f"There is no method {self.method!r}: use one of {', '.join(METHODS)}.")
        if self.scheme not in SCHEMES:
            raise InputError(f"There is no scheme {self.scheme!r}: use one of {', '.join(SCHEMES)}.")
        if not 0 < self.fpr < 1:
            raise InputError("The false-positive rate must lie between 0 and 1.")
        if self.keys is not None and (not len(self.keys) or min(self.keys) < 0):
            raise InputError("The classes to search are numbers from 0 up, at least one.")
        if self.steps is not None and self.steps < 1:
            raise InputError("A noise inversion needs at least one step.")
