"""The tables and figures of Hong et al. 2024 ("Gradient-free Decoder Inversion in Latent Diffusion Models"),
measured again on any model that treering loads.

An experiment is a module with an ``EXPERIMENT``; :mod:`.bench` runs them all in the same way.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ...errors import InputError

if TYPE_CHECKING:
    from .bench import Experiment

SUMMARIES = {
    "decoder-inversion": "Error, time and memory of gradient-free and gradient-based inversion (Figure 3, Table S1).",
    "ablation": "Forward step, inertial KM and Adam, with and without the schedule (Tables S2a and S2b).",
    "convergence": "Cocoercivity against convergence, and the share that satisfies the theorems (theory figure).",
    "classification": "Which of three keys a picture carries, method by method (Table 2, confusion matrices).",
    "qualitative": "A few pictures: reconstruction, error, recovered spectrum and verdict of every method.",
    "editing": "How well the background survives an edit, method by method, and whether the mark does.",
}
"""Every experiment and the line that tells what it is."""


def get(name: str) -> Experiment:
    """An experiment by its name; raises ``InputError`` for an unknown one."""
    if name not in SUMMARIES:
        raise InputError(f"There is no experiment {name!r}: use one of {', '.join(SUMMARIES)}.")
    experiment: Experiment = import_module(f"{__name__}.{name.replace('-', '_')}").EXPERIMENT
    return experiment
