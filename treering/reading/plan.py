"""Plans: which stages in which order, and how their findings become one answer.

Weighted Bonferroni over the stages of a plan, run or not: the least p over its share, with shares that are fixed before
the picture is seen and add up to 1.  So a reading may stop as soon as it has found something.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from .confirm import Glance
from .record import NOTHING, Done, Finding, Reading
from .stages import Again, Care, Given, Posed, Stage, Trimmed
from .tools import ENCODER, Tools

PLAN = "plan"
"""Name of the decoder inversion that the settings have."""

BOX = Glance(hope=3.5)
"""A box may be no border at all (sky, water, a wall), so that the first is given up as well."""

LOOK = Glance(steps=5, sure=7.0)
"""As the reading itself, for many poses of which few are put right."""

ALL = Care(math.inf, 0.0, -1.0)
"""Whatever may be the pose is read with more steps."""

EFFORTS: dict[str, tuple[Stage, ...]] = {
    "fast": (
        Given("encoder, 2 steps", 1 / 2, ENCODER, 2),
        Given("encoder, 5 steps", 1 / 2, ENCODER, 5),
    ),
    "normal": (
        Given("encoder, 2 steps", 1 / 4, ENCODER, 2),
        Given("encoder, 5 steps", 1 / 4, ENCODER, 5),
        Trimmed("trimmed", 1 / 8, 5, glance=BOX, last=10),
        Posed("pose", 1 / 4, 5, keep=3, small=0.6, glance=Glance(), placed=True, last=10),
        Given("decoder inversion", 1 / 8, PLAN, 0, hope=-1.0),
    ),
    "max": (
        Given("encoder, 2 steps", 1 / 8, ENCODER, 2),
        Given("encoder, 5 steps", 1 / 8, ENCODER, 5),
        Trimmed("trimmed", 1 / 8, 5, glance=BOX, last=10),
        Posed("pose", 1 / 4, 5, keep=8, most=100, small=0.6, glance=LOOK, placed=True, last=10, care=ALL),
        Given("decoder inversion", 1 / 8, PLAN, 0),
        Again("pose, read again", 1 / 4, 5, keep=8, glance=LOOK, placed=True, last=10, care=ALL),
    ),
    "single": (Given("as given", 1.0, PLAN, 0),),
}
"""Stages by effort, cheap first.  ``single`` is one reading by a named decoder inversion."""


@dataclass(frozen=True)
class Outcome:
    """log10 p of both questions, corrected for everything; the stages that decided them."""

    log10_class: float
    log10_keyring: float
    by_class: Done
    by_keyring: Done


_NO_STAGE = Done("", 1.0, Finding(), 0.0)

UNREAD = Outcome(NOTHING, NOTHING, _NO_STAGE, _NO_STAGE)
"""What comes of no stage at all."""


def walk(stages: tuple[Stage, ...], reading: Reading, tools: Tools) -> Iterator[Outcome]:
    """Stage by stage, each when it is asked for: what is known after it."""
    for stage in stages:
        reading.tell(stage.name)
        started, reading.spent = time.perf_counter() - reading.spent, 0.0
        found = stage.run(reading, tools)
        statuses, reading.calls = dict(reading.calls), Counter()
        if found is not None:
            seconds = time.perf_counter() - started
            reading.done.append(Done(stage.name, stage.share, found, seconds, statuses, tools.size))
        yield outcome(reading.done, tools)


def run(stages: tuple[Stage, ...], reading: Reading, tools: Tools, fpr: float, every: bool = False) -> Outcome:
    """Stage by stage until a class is named at ``fpr`` (or, with ``every``, to the end)."""
    found = UNREAD
    for found in walk(stages, reading, tools):
        if not every and found.log10_class <= math.log10(fpr):
            break
    return found


def outcome(done: list[Done], tools: Tools) -> Outcome:
    """What the stages so far come to.

    Where a keyring has a synchronisation part, two questions are asked and each gets half of the error budget.  Where
    its secret was chosen, p is divided by the share of secrets that would have been taken.
    """
    if not done:
        return UNREAD
    questions = math.log10(2) if tools.values.synchronised else 0.0
    questions -= math.log10(tools.keyring.accepted)
    by_class = min(done, key=lambda one: one.finding.log10_class - math.log10(one.share))
    by_keyring = min(done, key=lambda one: one.finding.log10_keyring - math.log10(one.share))
    return Outcome(
        _corrected(by_class.finding.log10_class, by_class.share, questions),
        _corrected(by_keyring.finding.log10_keyring, by_keyring.share, questions),
        by_class,
        by_keyring,
    )


def _corrected(log10_p: float, share: float, questions: float) -> float:
    return min(NOTHING, log10_p - math.log10(share) + questions)
