"""The tables and figures of Hong et al. 2024 ("Gradient-free Decoder Inversion in Latent Diffusion Models"),
measured again on any model that treering loads, and what marks withstand.

An experiment is a module with an ``EXPERIMENT``; :mod:`.bench` runs them all in the same way.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ...errors import InputError

if TYPE_CHECKING:
    from .bench import Experiment

SUMMARIES = {
    "decoder-inversion": "error, time and memory, gradient-free and gradient-based (Figure 3, Table S1)",
    "ablation": "forward step, inertial KM and Adam, with and without schedule (Tables S2a, S2b)",
    "convergence": "cocoercivity against convergence, and who satisfies the theorems (theory figure)",
    "classification": "which of three keys, method by method (Table 2, confusion matrices)",
    "qualitative": "a few pictures: reconstruction, error, recovered spectrum and verdict",
    "robustness": "attacks by marks: treering's at every effort, and those of others",
    "editing": "how well the background survives an edit, and whether the mark does",
}
"""Every experiment and the line that tells what it is."""

CHOOSING = "robustness"
"""The experiment that attacks and methods can be chosen for."""


def get(name: str) -> Experiment:
    """An experiment by its name; raises ``InputError`` for an unknown one."""
    if name not in SUMMARIES:
        raise InputError(f"There is no experiment {name!r}: use one of {', '.join(SUMMARIES)}.")
    experiment: Experiment = import_module(f"{__name__}.{name.replace('-', '_')}").EXPERIMENT
    return experiment
