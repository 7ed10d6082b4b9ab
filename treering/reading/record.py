"""What is known of one picture so far, handed from stage to stage, and what a stage found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..types import Match, Solution
from .affine import Floats
from .search import Candidate

NOTHING = 0.0
"""log10 of a p-value of 1."""

Watch = Callable[[str], None]
"""Is told what a reading does next, in a word or two: the name of a stage, or what it does inside."""


@dataclass(frozen=True)
class Way:
    """How values came out of a picture, so that others can read them again, with the model and without any secret.

    ``method``: of the decoder inversion, ``encoder`` or ``plan``.  ``steps``: of the noise inversion.  ``undone``: the
    pose ``[2, 3]`` that was undone in pixels before, None as given.  ``within``: the pose in which the noise was read.
    """

    method: str
    steps: int
    undone: Floats | None = None
    within: Floats | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON, to the last bit."""
        undone, within = (None if pose is None else pose.tolist() for pose in (self.undone, self.within))
        return {"method": self.method, "steps": self.steps, "undone": undone, "within": within}


@dataclass(frozen=True)
class Finding:
    """What a stage says; p-values are corrected for all that the stage could have tried, not for its share.

    ``log10_class``: of the best class, by class values alone.  ``log10_keyring``: of any mark of the keyring.
    ``match``: the best class.  ``pose``: the pose that the class was read in, None as given.  ``box``: (top, left,
    bottom, right) of what was left of the picture when its borders were trimmed.  ``tried``: poses and shifts that
    could have been tried.  ``values``: the coefficients that the class was read from, complex ``[N]``;
    ``way``: how they were read.
    """

    log10_class: float = NOTHING
    log10_keyring: float = NOTHING
    match: Match | None = None
    pose: Candidate | None = None
    box: tuple[int, int, int, int] | None = None
    tried: int = 1
    values: NDArray[np.complex128] | None = field(default=None, repr=False, compare=False)
    way: Way | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Done:
    """A stage that was run: what it found, what it cost, and its share of the error budget.

    ``statuses``: of all its solver calls, how many ended how.  ``size``: height and width that the picture was read in.
    """

    stage: str
    share: float
    finding: Finding
    seconds: float
    statuses: dict[str, int] = field(default_factory=dict)
    size: tuple[int, int] | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        found = self.finding
        return {
            "stage": self.stage,
            "share": self.share,
            "seconds": round(self.seconds, 3),
            "log10_p": found.log10_class,
            "log10_p_keyring": found.log10_keyring,
            "tried": found.tried,
            "statuses": dict(self.statuses),
        }


@dataclass(eq=False)
class Reading:
    """One picture on its way: uint8 ``[H, W, 3]`` of the model's size, and what stages have made of it.

    ``solutions``: latents by the name of the decoder inversion, ``[1, C, h, w]``.  ``noises``: by that name and the
    number of steps, float32 ``[C, h, w]``, zero in cells of one colour; ``failed``: those whose numbers are not finite.
    ``calls``: how many solver calls ended how since a stage last told of them.
    ``alive``: cells that are not of one colour, ``[h, w]``.  ``done``: the stages so far.
    ``spent``: seconds before the first of them, which it is told to have taken.
    ``watch``: is told what is done next, as it happens; nothing depends on it.
    """

    picture: NDArray[np.uint8]
    alive: NDArray[np.bool_]
    solutions: dict[str, Solution] = field(default_factory=dict)
    noises: dict[tuple[str, int], NDArray[np.float32]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    done: list[Done] = field(default_factory=list)
    spent: float = 0.0
    watch: Watch | None = None

    def tell(self, what: str) -> None:
        """What is done next, to who watches."""
        if self.watch is not None:
            self.watch(what)

    def keep(self, name: str, steps: int, noise: Tensor) -> NDArray[np.float32]:
        """Put away one recovered noise ``[C, h, w]``; numbers that are not finite count for nothing, and are told."""
        found = noise.detach().cpu().float().numpy()
        if not np.isfinite(found).all():
            self.failed["sampler"] = f"The noise inversion of {name} gave numbers that are not finite."
            found = np.zeros_like(found)
        self.noises[name, steps] = np.where(self.alive, found, np.float32(0))
        return self.noises[name, steps]
