"""The methods of the decoder-inversion experiment: families in two number types at the paper's rates."""

from __future__ import annotations

from dataclasses import dataclass

from ...inversion import DEFAULT, METHODS, DecoderInversion, Gradient
from ...solvers import Adam, Anderson, ForwardStep, Method, Rates
from .bench import Settings
from .watched import rate_text

FREE, BASED, OURS, PLAIN, ANDERSON, ENCODER = (
    "gradient-free",
    "gradient-based",
    "treering's default",
    "forward step",
    "Anderson",
    "encoder",
)
RATES: tuple[tuple[float, Rates], ...] = ((0.1, "cosine"), (0.01, "fixed"))
"""The two of the paper's Table S1: 0.1 with the schedule, and 0.01 fixed."""
FREE_RATES: tuple[tuple[float, Rates], ...] = (*RATES, (0.01, "cosine"))
"""With that of its Table 2, in 32 bit, which is :data:`treering.inversion.METHODS`' ``adam``."""
FEW = (1, 2, 3, 5, 8)
"""Iterations at which the fast methods are shown, and in 32 bit the others that run at a fixed rate."""


@dataclass(frozen=True)
class Variant:
    """One method in one number type at one rate."""

    family: str
    bits: int = 32
    rate: float = 0.0
    schedule: Rates = "fixed"

    @property
    def name(self) -> str:
        """For rows and units."""
        return ", ".join([self.family, f"{self.bits} bit", *([self.rate_text] if self.rate else [])])

    @property
    def rate_text(self) -> str:
        """``0.1 scheduled`` or ``0.01 fixed``."""
        return rate_text(self.rate, self.schedule)

    @property
    def label(self) -> str:
        """For readers: the number type only where there are two."""
        return self.name if self.rate else self.family

    @property
    def most(self) -> int:
        """Evaluations that the method takes by itself, at most."""
        return METHODS[DEFAULT].budget if self.family == OURS else 0

    def plan(self, budget: int) -> DecoderInversion:
        """How to invert, with so many iterations where there is a choice."""
        if self.family in (OURS, ENCODER):
            return METHODS[DEFAULT if self.family == OURS else "encoder"]
        methods: dict[str, Method | Gradient] = {
            FREE: Adam(self.rate, schedule=self.schedule),
            BASED: Gradient(self.rate, self.schedule),
            PLAIN: ForwardStep(1.0),
            ANDERSON: Anderson(3),
        }
        return DecoderInversion(methods[self.family], budget, name=self.name)

    def budgets(self, settings: Settings) -> tuple[int, ...]:
        """Iterations at which the error is noted; 0 where the method knows by itself."""
        if self.family in (FREE, BASED):
            early = self.schedule == "fixed" and self.bits == 32
            return tuple(sorted({*(FEW if early else ()), *settings.iterations}))
        return FEW if self.family in (PLAIN, ANDERSON) else (0,)


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant(ENCODER),
        Variant(OURS),
        Variant(PLAIN),
        Variant(ANDERSON),
        *(Variant(FREE, bits, *rate) for bits, rates in ((32, FREE_RATES), (16, RATES)) for rate in rates),
        *(Variant(BASED, bits, *rate) for bits in (32, 16) for rate in RATES),
    )
}
