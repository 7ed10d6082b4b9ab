"""How a picture is read: the methods that are compared, their keys, and one row for every reading.

Classification and the qualitative experiment both measure with this.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ... import inversion
from ...inversion import DecoderInversion
from ...marks import fourier, matching
from ...marks.keyring import Keyring
from ...marks.patterns import Pattern
from ...models import LatentModel
from ...pictures import images
from ...reading import Detector
from ...settings import FPR
from ...types import Match, Solution, Status
from .bench import Bench, Drawn, Settings
from .peak import peak
from .rows import Row, number
from .timing import timed

ENCODER, BASED, SHORT, FREE, OURS = (
    "encoder",
    "gradient-based",
    "gradient-based, shortened",
    "gradient-free",
    "treering",
)
METHODS = (ENCODER, BASED, SHORT, FREE, OURS)
EXACT = (ENCODER, FREE, OURS)
"""The methods that also read secret marks and unmarked pictures."""
PAPER, SECRET, PLAIN = "paper", "secret", "unmarked"
"""What a picture is marked with."""
UNKNOWN, KNOWN = PROMPTS = ("unknown", "known")
CALIBRATION, MEMORY, READING = "calibration", "memory", "reading"
"""Kinds of rows."""
CLASSES = 3
PROBE, ROUNDS = 5, 3
"""Iterations and repetitions of the calibration."""


def plans(settings: Settings, shortened: int) -> dict[str, DecoderInversion]:
    """Every method with its budget; ``shortened``: iterations of the shortened gradient-based one."""
    most = max(settings.iterations)
    based = inversion.METHODS["gradient"]
    return {
        ENCODER: inversion.METHODS["encoder"],
        BASED: based.with_budget(most),
        SHORT: based.with_budget(shortened),
        FREE: inversion.METHODS["adam"].with_budget(most),
        OURS: inversion.METHODS[inversion.DEFAULT],
    }


def paper_keyring(bench: Bench) -> Keyring:
    """The paper's three public keys."""
    return replace(bench.keyring, pattern=Pattern.paper(), classes=CLASSES)


# ---------------------------------------------------------------------------------- one step


def invert(model: LatentModel, picture: NDArray[np.uint8], plan: DecoderInversion) -> tuple[Tensor, int, float]:
    """Latent ``[1, C, h, w]`` of a picture uint8 ``[H, W, 3]``, evaluations, and seconds."""
    pixels = torch.from_numpy(images.to_float(picture[None]))
    solution, seconds = timed(model, lambda: inversion.invert_decoder(model, pixels, plan))
    return solution.value, int(solution.evaluations[0]), seconds


def noise_of(bench: Bench, latent: Tensor, words: str | None) -> tuple[Solution, float]:
    """Noise ``[1, C, h, w]`` of a latent, in the model's own steps, and seconds; ``words``: the prompt, if known.

    Few steps are solved as far as a reading solves them.
    """
    steps, guidance = bench.model.steps, 1.0 if words is None else bench.model.guidance
    named = None if bench.model.few_steps else steps
    detector = Detector(bench.model, bench.keyring, prompt=words or "", guidance=guidance, steps=named)
    return timed(bench.model, lambda: detector.tools.back(latent, named or bench.keyring.steps))


def verdicts(bench: Bench, noise: Tensor, mark: str) -> Row:
    """What the rules that apply to a mark say of noise ``[1, C, h, w]``."""
    public, row = paper_keyring(bench), Row()
    if mark == PAPER:
        row |= closed_sets(public, noise)
    if mark != SECRET:
        row |= _test("classical", Detector(bench.model, public).match(noise)[0])
    if mark != PAPER:
        row |= _test("exact", Detector(bench.model, bench.keyring, keys=range(CLASSES)).match(noise)[0])
    return row


def closed_sets(public: Keyring, noise: Tensor) -> Row:
    """What the two closed-set rules name: a key, or None where the noise is not finite or no key fits at all."""
    if not bool(torch.isfinite(noise).all()):
        return {"closed_set": None, "gain_fitted": None}
    cells, values = public.cells(), public.values(range(CLASSES))
    reading = fourier.coefficients(noise.cpu(), cells).numpy(), values, cells.cell.numpy()
    fitted = int(matching.closed_set_fitted(*reading)[0])
    return {"closed_set": int(matching.closed_set(*reading)[0]), "gain_fitted": None if fitted < 0 else fitted}


def _test(name: str, match: Match) -> Row:
    return {name: match.key if match.log10_p <= math.log10(FPR) else None, f"{name}_log10_p": match.log10_p}


# -------------------------------------------------------------------------------------- units


def calibrate(bench: Bench) -> Row:
    """How many gradient-based iterations take the time of gradient-free: seconds of both, by turns, on picture 0.

    The number is kept in the journal, so that a run that goes on uses the same.
    """
    drawn, most = bench.draw(0, 0, paper_keyring(bench)), max(bench.settings.iterations)
    few = min(PROBE, most)
    probes = {name: plan.with_budget(few) for name, plan in plans(bench.settings, 1).items()}
    seconds: dict[str, list[float]] = {name: [] for name in (ENCODER, BASED, FREE)}
    for _ in range(1 + ROUNDS):
        for name, times in seconds.items():
            times.append(invert(bench.model, drawn.picture, probes[name])[2])
    encoder, based, free = (median(times[1:]) for times in seconds.values())  # the first round warms up
    each = [max(total - encoder, 1e-9) / few for total in (based, free)]
    wanted = round(most * each[1] / each[0])
    found: Row = {"iterations": min(max(wanted, 1), most), "wanted": wanted, "most": most}
    return {"kind": CALIBRATION, **found, "based_seconds": each[0], "free_seconds": each[1]}


def calibrated(bench: Bench) -> int:
    """What :func:`calibrate` found earlier in this run; measured now if there was no such unit."""
    found = bench.known.get(CALIBRATION) or [calibrate(bench)]
    return int(number(found[0], "iterations"))


def memory(bench: Bench) -> Iterator[Row]:
    """Peak memory of every method; it does not depend on the number of iterations."""
    for name, plan in plans(bench.settings, max(bench.settings.iterations)).items():
        used = peak(bench.settings, plan, bench.settings.dtype)
        sizes = {"peak_mb": used.total_mb, "model_mb": used.model_mb, "above_mb": used.above_mb}
        yield {"kind": MEMORY, "method": name, **sizes}


def picture(bench: Bench, i: int) -> Iterator[Row]:
    """All readings of picture i: with the paper's mark, with treering's own, and unmarked."""
    every = plans(bench.settings, calibrated(bench))
    drawn = bench.draw(i, i % CLASSES, paper_keyring(bench))
    invert(bench.model, drawn.picture, every[BASED].with_budget(1))  # the first calls of a process are slow
    noise_of(bench, drawn.latent, None)
    yield from _readings(bench, i, PAPER, drawn, every)
    few = {name: every[name] for name in EXACT}
    yield from _readings(bench, i, SECRET, bench.draw(i, i % CLASSES), few)
    yield from _readings(bench, i, PLAIN, bench.draw(i), few)


def _readings(bench: Bench, i: int, mark: str, drawn: Drawn, methods: dict[str, DecoderInversion]) -> Iterator[Row]:
    """One row for every method and prompt."""
    head: Row = {"kind": READING, "picture": i, "mark": mark, "true": None if mark == PLAIN else i % CLASSES}
    for name, plan in methods.items():
        latent, evaluations, seconds = invert(bench.model, drawn.picture, plan)
        for prompt in PROMPTS:
            found, more = noise_of(bench, latent, drawn.prompt if prompt == KNOWN else None)
            spent: Row = {"decoder_seconds": seconds, "seconds": seconds + more}
            how: Row = {"method": name, "prompt": prompt, "evaluations": evaluations}
            yield {**head, **how, **spent, **verdicts(bench, found.value, mark), **_sampler(bench, found)}


def _sampler(bench: Bench, found: Solution) -> Row:
    """How the noise was recovered: steps, guidance of a known prompt, and of solved steps what became of them."""
    residual = float(found.residual[0])
    solved = {} if math.isnan(residual) else {"solved": found.status[0] is Status.CONVERGED, "residual": residual}
    return {"sampler_steps": bench.model.steps, "guidance": bench.model.guidance, **solved}
