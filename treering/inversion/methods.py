"""Ways to invert a decoder, by name: frozen objects of numbers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from ..errors import InputError
from ..settings import METHOD
from ..solvers import Adam, Anderson, ForwardStep, InertialKM, Method, Rates


@dataclass(frozen=True)
class Gradient:
    """The baseline of Hong et al. 2024: Adam on ||D(z) - x||^2, by differentiating the decoder."""

    rate: float = 0.1
    schedule: Rates = "cosine"


@dataclass(frozen=True)
class Safeguarded:
    """Steps that the model itself vouches for.

    Where the model's profile trusts them (:mod:`treering.inversion.trust`): ``forward`` steps.  Elsewhere: steps
    fitted to the picture's twin (:mod:`treering.inversion.twin`), at two evaluations each.
    """

    forward: ForwardStep = field(default=ForwardStep(1.0))


@dataclass(frozen=True)
class DecoderInversion:
    """How to invert a decoder.

    ``name``: what results call it.  ``method``: a solver's method, :class:`Gradient`, :class:`Safeguarded`, or None
    for the encoder alone.  ``budget``: evaluations of the residual; of the picture's twin there may be as many.
    ``floor``: stop at this multiple of the rounding floor (0: never).  ``keep``: see :func:`treering.solvers.solve`.
    """

    method: Method | Gradient | Safeguarded | None
    budget: int = 0
    floor: float = 0.0
    keep: Literal["best", "last"] = "last"
    patience: int | None = None
    name: str = "custom"

    def with_budget(self, budget: int | None) -> DecoderInversion:
        """The same method with another budget."""
        if budget is not None and budget < 1:
            raise InputError("A decoder inversion needs at least one iteration.")
        return self if budget is None or self.method is None else replace(self, budget=budget)


_METHODS = {
    "safeguarded": DecoderInversion(Safeguarded(), 3, floor=1.0, patience=1),
    "encoder": DecoderInversion(None),
    "gradient": DecoderInversion(Gradient(), 100),
    "forward-step": DecoderInversion(ForwardStep(1.0), 3, floor=1.0, patience=1),
    "inertial-km": DecoderInversion(InertialKM(1.0, 0.3), 3, floor=1.0, patience=1),
    "adam": DecoderInversion(Adam(0.01), 100),
    "adam-fixed": DecoderInversion(Adam(0.01, schedule="fixed"), 100),
    "anderson": DecoderInversion(Anderson(3), 4, floor=1.0, keep="best", patience=2),
}
METHODS: dict[str, DecoderInversion] = {name: replace(plan, name=name) for name, plan in _METHODS.items()}
"""Methods by name.  ``adam`` is the paper's; the budgets of the others were chosen by measurement.  With a patience
of 1, a step that made the residual larger is taken back (but for the last one, which is not evaluated): where the
decoder is not near the encoder's inverse, the plain methods run away from the root; ``safeguarded`` does not."""

DEFAULT = METHOD


def method(name: str) -> DecoderInversion:
    """A method by its name; raises ``InputError`` for an unknown one."""
    if name not in METHODS:
        raise InputError(f"There is no method {name!r}: use one of {', '.join(METHODS)}.")
    return METHODS[name]
