"""Stages for boxes of a page, of which there are many, most of them without a mark: dear steps only where they promise.

What promises is told by the synchronisation part alone, which is independent of all class values; so the class is read
once, whatever was skipped.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from .confirm import Confirmer
from .evidence import fisher
from .lattice import LEFT_OVER
from .record import Finding, Reading
from .search import Candidate, confirm
from .spectra import Template
from .stages import Posed, best_in_pose
from .tools import ENCODER, Tools

PROMISING, LIKELY = -1.5, -0.5
"""log10 p of the synchronisation part from which a pose near the box, or any, is undone in pixels."""

STEPS = 5
"""Of the noise inversion of what was undone in pixels."""


@dataclass(frozen=True)
class Near:
    """The class in the pose near that of the box which the synchronisation part likes best, by it alone."""

    name: str
    share: float
    steps: int

    def run(self, reading: Reading, tools: Tools) -> Finding | None:
        """Look near; None for a keyring without a synchronisation part."""
        if not tools.values.synchronised:
            return None
        noise = tools.noise(reading, ENCODER, self.steps)
        # All the weight there is: half of a hypothesis's own goes to its fine points, the rest to what follows them.
        here = Candidate(np.eye(2, 3), np.eye(2, 3), -math.inf, math.log10(2))
        pose = confirm(noise, tools.values.sync_template, here, LEFT_OVER, tools.model.offset, tools.ratio)
        level = pose.level
        if level <= PROMISING:
            seen = Confirmer(tools, tools.values.sync_template, reading, STEPS).best([pose])
            if seen is not None:
                level = min(level, seen.level)
                if seen.pose.z > pose.z:
                    noise, pose = seen.noise, seen.pose
        found = tools.values.read(noise, pose.within)
        keyring = fisher(min(0.0, level), found.match.log10_p)
        return Finding(found.match.log10_p, keyring, found.match, pose, tried=LEFT_OVER.count, values=found.values)


@dataclass(frozen=True)
class Sought(Posed):
    """Any pose, searched in the noise, and undone in pixels only where it is likely to be one.

    ``steps``: of the search, which takes the noise that the box was read with anyway; what is undone takes
    :data:`STEPS`.
    """

    keep: int = 1

    def run(self, reading: Reading, tools: Tools) -> Finding | None:
        """Search, undo, read."""
        if not tools.values.synchronised:
            return super().run(reading, tools)
        template = tools.values.sync_template
        found = self._search(reading, tools, template)
        return best_in_pose(reading, tools, template, found, replace(self, steps=STEPS))

    def _search(self, reading: Reading, tools: Tools, template: Template) -> list[Candidate]:
        return [one for one in super()._search(reading, tools, template) if one.level <= LIKELY]
