"""Whether the adapter does what it should for every family of pipelines at hand."""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...errors import ModelError, TreeringError
from ...marks import fourier, matching
from ...marks.keyring import Keyring
from ...marks.patterns import Pattern
from ...models.adapter import PipelineModel
from ...models.calling import BINNING
from ...models.hub import quiet
from ...models.sentences import first_line
from ..common import SECRET, Note, write_table
from ..families import Family
from ..families import families as at_hand

STEPS, EVALUATIONS = 10, (1, 8)
LEAST_SIDE, LEAST_VALUES = 8, 256
"""Latents are made at least so high and wide, and of so many numbers, for a mark to have room."""
_OURS = ("prompt", "num_inference_steps")
_SIZES = ("height", "width", "num_frames")
HEADER = (
    "family", "sampler", "latent", "as the loop has it", "error, 1", "error, 8", "bfloat16, 1", "bfloat16, 8",
    "log10 p", "own call, s", "sample, s", "recover, s", "refused, or remark",
)  # fmt: skip


@dataclass
class Row:
    """What was measured of one family; ``refused`` is the sentence with which it was, if it was.

    ``remark``: what else there is to say; ``steps`` are those of the sampler.
    """

    name: str
    sampler: str = ""
    shape: tuple[int, ...] = ()
    looped: tuple[int, ...] = ()
    errors: dict[tuple[str, int], float] = field(default_factory=dict)
    log10_p: float = math.nan
    seconds: tuple[float, ...] = ()
    refused: str = ""
    remark: str = ""
    steps: int = STEPS

    @property
    def passes(self) -> bool:
        """Small error with eight evaluations in float32, and a mark that is read; bfloat16 is told but not asked."""
        return self.errors.get(("float32", 8), math.inf) <= 0.02 and self.log10_p <= -6

    def cells(self) -> list[str]:
        """As the table shows it."""
        shapes = ["x".join(map(str, shape)) for shape in (self.shape, self.looped)]
        errors = [self.errors.get((dtype, n), math.nan) for dtype in ("float32", "bfloat16") for n in EVALUATIONS]
        seconds = [f"{value:.2f}" for value in self.seconds] or [""] * 3
        shown = ["" if math.isnan(error) else f"{error:.1e}" for error in errors]
        p = "" if math.isnan(self.log10_p) else f"{self.log10_p:.0f}"
        return [self.name, self.sampler, *shapes, *shown, p, *seconds, self.refused or self.remark]


def families(output: Path, count: int, note: Note) -> str:
    """Every family at hand, ``count`` noises each: RMS error of noise to latent to noise at :data:`STEPS` steps."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    rows = list[Row]()
    with quiet():
        for family in at_hand():
            rows.append(measure(family, count))
            note(" | ".join(rows[-1].cells()))
            text = write_table(output / "families.md", HEADER, [row.cells() for row in rows])
    good = sum(row.passes for row in rows)
    refused = sum(bool(row.refused) for row in rows)
    return f"{text}\n{good} of {len(rows)} families pass, {refused} are refused.\n"


def measure(family: Family, count: int = 1, half: bool = True) -> Row:
    """One family in float32 and, with ``half``, in bfloat16."""
    row = Row(family.name, type(family.pipe.scheduler).__name__)
    call = {k: v for k, v in family.call.items() if k not in _OURS and (v is not None or k not in _SIZES)}
    prompt = family.call.get("prompt", "")
    try:
        _in_float32(row, family, prompt, call, count)
    except TreeringError as error:
        row.refused = str(error)
        return row
    if half:
        _in_bfloat16(row, family, prompt, call, count)
    return row


def _in_bfloat16(row: Row, family: Family, prompt: str, call: dict[str, Any], count: int) -> None:
    """What goes wrong is a remark, as some pipelines cannot be run in it by themselves."""
    pipe = family.pipe.to(torch.bfloat16)
    try:
        _measure(row, pipe, prompt, call, count, "bfloat16")
    except TreeringError as error:
        alone = _fails(pipe, family.call)
        why = f"the pipeline fails by itself: {first_line(alone)}" if alone else str(error)
        row.remark = f"in bfloat16 {why}"


def _in_float32(row: Row, family: Family, prompt: str, call: dict[str, Any], count: int) -> None:
    """With :data:`STEPS` steps, or as many as the family's own call has, where it takes no others."""
    own = family.call.get("num_inference_steps")
    try:
        _measure(row, family.pipe, prompt, call, count, "float32")
    except ModelError:
        if not own or own == STEPS:
            raise
        row.steps, row.remark = own, f"with {own} steps"
        _measure(row, family.pipe, prompt, call, count, "float32")


def _fails(pipe: Any, call: dict[str, Any]) -> Exception | None:
    """What a pipeline says of its own call, without any of us."""
    try:
        pipe(**{**call, "output_type": "latent"})
    except Exception as error:  # in any way
        return error
    return None


def _measure(row: Row, pipe: Any, prompt: str, call: dict[str, Any], count: int, dtype: str) -> None:
    model, steps = PipelineModel(pipe, row.name), row.steps
    call = _roomy(model, call)
    found = model.layout_of_call(call)
    row.shape, row.looped = found.shape, found.looped
    keyring = keyring_for(found.shape)
    noise = keyring.noise(1, 7, count).view(count, *found.shape)
    latent = model.sample(noise, prompt, steps, None, **call)
    for evaluations in EVALUATIONS:
        again = model.recover(latent, prompt, steps, None, evaluations, **call)
        row.errors[dtype, evaluations] = float((again.cpu() - noise).square().mean().sqrt())
    if dtype == "float32":
        row.log10_p = max(read(keyring, again))
        row.seconds = _seconds(model, pipe, prompt, steps, call, noise, latent)


def _roomy(model: PipelineModel, call: dict[str, Any]) -> dict[str, Any]:
    """The call at a size whose latent has room for a mark."""
    found = model.layout_of_call(call)
    times = max(
        math.ceil(LEAST_SIDE / min(found.shape[-2:])), math.ceil((LEAST_VALUES / math.prod(found.shape)) ** 0.5)
    )
    if times == 1:
        return call
    height, width = call.get("height", found.size[0]), call.get("width", found.size[1])
    return call | {"height": times * height, "width": times * width}


def keyring_for(shape: tuple[int, ...]) -> Keyring:
    """A keyring whose marks fill the planes of a latent; the frames of a clip count as channels, at most 16."""
    planes = math.prod(shape[:-2])
    pattern = Pattern("noise", tuple(range(min(planes, 16))), (), 1, min((min(shape[-2:]) - 1) // 2, 15))
    return Keyring(SECRET, pattern, (planes, shape[-2], shape[-1]), public=True)


def read(keyring: Keyring, noise: Tensor, key: int = 1) -> list[float]:
    """log10 p of each noise for one class, corrected for all classes of the keyring; 0 where another was best."""
    cells = keyring.cells()
    points = fourier.coefficients(noise.cpu().reshape(-1, *keyring.shape), cells)
    means = fourier.read(points, cells).numpy()
    found = matching.match(points.numpy(), means, keyring.marks(), keyring.weights(), cells.cell.numpy())
    return [match.log10_p if match.key == key else 0.0 for match in found]


def _seconds(
    model: PipelineModel, pipe: Any, prompt: str, steps: int, call: dict[str, Any], noise: Tensor, latent: Tensor
) -> tuple[float, float, float]:
    """Seconds of the pipeline's own call, of ``sample``, and of ``recover`` with one evaluation a step."""
    source, one = torch.Generator().manual_seed(0), (noise[:1], latent[:1])
    asked = {"prompt": prompt, "num_inference_steps": steps, "output_type": "latent", "generator": source}
    own = {**asked, BINNING: False, **model.layout_of_call(call).asked, **call}
    own = {name: value for name, value in own.items() if name in model.caller.takes}
    calls = (
        lambda: pipe(**own),
        lambda: model.sample(one[0], prompt, steps, None, **call),
        lambda: model.recover(one[1], prompt, steps, None, **call),
    )
    return tuple(_time(each) for each in calls)  # type: ignore[return-value]


def _time(call: Any) -> float:
    started = time.perf_counter()
    try:
        call()
    except Exception:  # the pipeline itself refuses these arguments
        return math.nan
    return time.perf_counter() - started
