"""The plain data that rooms hand to each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class Status(Enum):
    """Why a solver stopped, for one sample; the value is a sentence for the user."""

    CONVERGED = "The residual reached the tolerance."
    BUDGET = "The budget of evaluations was spent before the tolerance was reached."
    STALLED = "The residual stopped falling, so the best iterate was kept."
    GUARDED = "A further step would hardly have lowered the error, so it was not taken."
    NONFINITE = "The residual became infinite or not a number; the best iterate before that was kept."


@dataclass(frozen=True)
class Solution:
    """What a solver returns, each *per sample*.

    ``value``: the iterate that was kept ``[B, ...]``.  ``residual``: root mean square of the residual
    there (or at the iterate before it, if that was the last to be evaluated), ``[B]``.
    ``evaluations``: calls of the residual, int64 ``[B]``.  ``trace``: root mean square of the residual
    at every evaluation, ``[max_evaluations, B]``, NaN once a sample has stopped.
    """

    value: Tensor
    residual: Tensor
    evaluations: Tensor
    status: tuple[Status, ...]
    trace: Tensor


@dataclass(frozen=True)
class Step:
    """One step of a sampler: ``y = a * x + b * f(scale * x, time)``, from noisy ``x`` to cleaner ``y``."""

    time: float
    a: float
    b: float
    scale: float = 1.0


@dataclass(frozen=True)
class Match:
    """One reading against the keys of one keyring.

    ``key``: the best class.  ``z``: its score in standard deviations of the null.  ``log10_p``: of
    the best class after correction for all classes and transforms tried.  ``classical_log10_p``:
    log10 of the p-value with the key fixed and the noise random (Tree-Ring, section 3.3, over the
    half plane), with the same correction.  ``nonce``: which mark of the class it is.
    """

    key: int
    z: float
    log10_p: float
    classical_log10_p: float
    nonce: int = 0


class Answer(Enum):
    """What a reading says of a picture."""

    KEY = "key"
    KEYRING = "keyring"
    NONE = "none"
    NOT_ASSESSABLE = "not assessable"


class Key(NamedTuple):
    """A class of one of several keyrings, by the name of that keyring."""

    keyring: str
    key: int


Class = int | Key
"""A class: a number, and where several keyrings are searched, its keyring with it."""

Found = Class | None | Answer
"""An answer as a label: a class; None for no mark; ``Answer.KEYRING`` (a mark of this keyring whose class cannot be
read) or ``Answer.NOT_ASSESSABLE``."""


def order(label: Class) -> tuple[str, int]:
    """Classes in their order: by keyring, then by number."""
    return label if isinstance(label, Key) else ("", label)


PARTS = "parts"
"""The answer for a page on which some places are marked, and others are not."""


@dataclass(frozen=True)
class Detection:
    """What is known of one picture; one line of JSON.

    ``answer``: key, keyring, none or not assessable, the last with its ``reason``.  ``key``: the class named, or None.
    ``p_value``: of the class, ``p_keyring``: of any mark of the keyring, both corrected for everything that could have
    been tried, and not below 1e-38; their logarithms go on, as strength of evidence.  ``effort``: the plan; ``stage``:
    the one that decided; ``pose``: mirror, angle (degrees), scale, aspect and shift between the picture as made and as
    given, None as given; ``box``: (top, left, bottom, right) of what was left when borders were trimmed; ``stages``:
    all that were run, with cost, p-values and solver statuses.  ``nonce``: of the mark.  ``seconds``: of all of it.
    ``searched``: where several keyrings or models were, what each of them says; ``keyring``, its
    name and ``model`` are then those of the answer, or where there is none, of the least p-value.
    """

    key: int | None
    p_value: float
    log10_p: float
    answer: Answer
    best_key: int
    z: float
    classical_log10_p: float
    model: str
    keyring: str
    method: str
    evaluations: int
    status: str
    seconds: float
    reason: str | None = None
    notes: tuple[str, ...] = field(default=())
    p_keyring: float = 1.0
    log10_p_keyring: float = 0.0
    effort: str = "single"
    stage: str = ""
    pose: dict[str, Any] | None = None
    box: tuple[int, int, int, int] | None = None
    stages: tuple[dict[str, Any], ...] = ()
    nonce: int | None = None
    searched: tuple[dict[str, Any], ...] = ()
    keyring_name: str = ""

    @property
    def found(self) -> Found:
        """The answer as a label."""
        if self.answer is Answer.KEY and self.key is not None and self.searched:
            return Key(self.keyring_name, self.key)
        return {Answer.KEY: self.key, Answer.NONE: None}.get(self.answer, self.answer)

    def unless(self, why: str | None) -> Detection:
        """This, unless there is a reason why nothing could be read at all: then not assessable, and no evidence."""
        if why is None:
            return self
        nothing: dict[str, Any] = {"key": None, "nonce": None, "pose": None, "box": None}
        numbers: dict[str, Any] = {"p_value": 1.0, "log10_p": 0.0, "p_keyring": 1.0, "log10_p_keyring": 0.0}
        return replace(self, answer=Answer.NOT_ASSESSABLE, reason=why, **nothing, **numbers)

    def as_dict(self) -> dict[str, Any]:
        """Fields in the order of the JSON line."""
        record = {**asdict(self), "answer": self.answer.value, "notes": list(self.notes), "stages": list(self.stages)}
        several = {name: record.pop(name) for name in ("keyring_name", "searched")}
        return {**record, **several, "searched": list(self.searched)} if self.searched else record


Residual = Callable[["Tensor", "Tensor"], "Tensor"]
"""``residual(x, rows)``: ``x`` is ``[A, ...]``, ``rows`` (int64 ``[A]``) says which samples of the batch
these are; returns the residual ``[A, ...]``, each sample by itself."""
