"""Methods of decoder inversion compared on the model that is really read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor

from ... import inversion
from ...inversion import DecoderInversion
from ...marks.keyring import Keyring
from ...models import LatentModel
from ...reading import Detector
from ...solvers import Adam, Anderson, ForwardStep, InertialKM
from ..common import Note, Pictures, decibel, draw, fixed, jpeg, write_table
from ..experiments.timing import timed


def _plans() -> dict[str, DecoderInversion]:
    return {
        "encoder": inversion.METHODS["encoder"],
        "gradient, 20": inversion.METHODS["gradient"].with_budget(20),
        "Adam (paper), 20": DecoderInversion(Adam(0.01), 20),
        "Adam (paper), 100": DecoderInversion(Adam(0.01), 100),
        "Adam, fixed rate, 20": DecoderInversion(Adam(0.01, schedule="fixed"), 20),
        **{f"forward step, {n}": DecoderInversion(ForwardStep(1.0), n) for n in (1, 2, 3, 5, 8, 20)},
        **{f"forward step, rho 0.5, {n}": DecoderInversion(ForwardStep(0.5), n) for n in (3, 8)},
        **{f"inertial KM, {n}": DecoderInversion(InertialKM(1.0, 0.3), n) for n in (3, 8)},
        **{f"Anderson (3), {n}": DecoderInversion(Anderson(3), n, keep="best") for n in (4, 8)},
        "forward-step": inversion.METHODS["forward-step"],
        f"default: {inversion.DEFAULT}": inversion.METHODS[inversion.DEFAULT],
    }


def methods(model: LatentModel, keyring: Keyring, output: Path, count: int, note: Note) -> str:
    """Methods of decoder inversion: the latent's error and what is read, on PNG and JPEG 75."""
    rows: dict[tuple[str, str], list[tuple[float, ...]]] = {}
    for i in range(count):
        seed = 2_000_000 + i
        true, picture = draw(model, keyring.noise(i % 3, seed), seed)
        for form, shown in (("PNG", picture), ("JPEG", jpeg(picture, 75))):
            for name, plan in _plans().items():
                rows.setdefault((name, form), []).append(_invert(model, keyring, plan, shown, true))
        note(f"picture {i + 1} of {count}")
    header = ("method", "NMSE dB, PNG", "log10 p, PNG", "NMSE dB, JPEG 75", "log10 p, JPEG 75", "evaluations", "s")
    table = []
    for name in _plans():
        png, jpg = (np.median(rows[name, form], 0) for form in ("PNG", "JPEG"))
        figures = ((png[0], 1), (png[3], 1), (jpg[0], 1), (jpg[3], 1), (png[1], 0), (png[2], 2))
        table.append([name, *(fixed(*figure) for figure in figures)])
    return write_table(output / "methods.md", header, table)


def _invert(
    model: LatentModel, keyring: Keyring, plan: DecoderInversion, picture: Pictures, true: Tensor
) -> tuple[float, ...]:
    """NMSE in dB, evaluations, seconds, log10 p."""
    detector = Detector(model, keyring, method=plan)
    solution, seconds = timed(model, lambda: detector.latent(picture[None]))
    log10_p = detector.match(detector.noise(solution.value))[0].log10_p
    return decibel(solution.value, true), float(solution.evaluations[0]), seconds, log10_p
