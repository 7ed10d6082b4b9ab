"""A stage for a box that was found in a page: the mark is in it as given, or nearly, as boxes are not exact."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .confirm import Confirmer
from .evidence import fisher
from .lattice import LEFT_OVER
from .record import Finding, Reading
from .search import Candidate, confirm
from .tools import ENCODER, Tools

PROMISING = -1.5
"""log10 p of the synchronisation part from which a pose is undone in pixels."""


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
            seen = Confirmer(tools, tools.values.sync_template, reading, self.steps).best([pose])
            level = min(level, seen.level)
            if seen.pose.z > pose.z:
                noise, pose = seen.noise, seen.pose
        match = tools.values.read(noise, pose.within).match
        keyring = fisher(min(0.0, level), match.log10_p)
        return Finding(match.log10_p, keyring, match, pose, tried=LEFT_OVER.count)
