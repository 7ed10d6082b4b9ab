"""Any diffusers pipeline that makes pictures or clips: from noise to latent and back by calling the pipeline itself.

Nothing here knows a family.  What is particular to one (prompts, guidance, time ids, packing, shifts) is done by the
pipeline's own call; how it lays out its latents is found by probing (``layout``), how its scheduler steps likewise
(``response``), and the way back is the same call with a scheduler that undoes those steps (``backwards``).

Units: noise and latents are as the denoiser's loop has them, in the axes of the picture: float32 ``[B, C, h, w]``, or
``[B, C, F, h, w]`` for clips; noise has unit variance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from ..settings import STEPS
from ..solvers import Method
from ..types import Solution
from . import coding, fingerprint
from .backwards import Blend, Exact, Watch
from .batching import PARTS, Batching
from .calling import GUIDANCE, Caller
from .layout import Layout, Shape
from .layouts import Layouts
from .planning import Plan, Planner
from .precision import exact_float32
from .response import unclipped
from .twin import husk, modules, twin, untouched, watched
from .undo import SOLVER, Found
from .walker import Prompts, Walker

ROWS = 8
"""Samples that go through the networks together on an accelerator, as long as memory allows; one on a CPU."""


class PipelineModel:
    """A pipeline that makes pictures or clips from text: a :class:`protocol.Model`; the pipeline is not changed.

    ``pipe``: any text-to-image or text-to-video pipeline of diffusers, on any device, in any number type.  ``name``:
    where it came from, or its class, unless another is given.  ``folder``: that it was loaded from.  ``captions`` and
    ``offset``: see the protocol.  Raises ``ModelError``, at the latest when it is first used, for what has no
    autoencoder, takes no ``latents=`` or edits pictures.
    """

    def __init__(
        self,
        pipe: Any,
        name: str | None = None,
        *,
        folder: Path | None = None,
        captions: Callable[[int], str] | None = None,
        offset: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        self.chosen: str | None = None
        self.caller = Caller(pipe, name)
        self.captions, self.offset, self._folder = captions, offset, folder
        rows = Batching({} if self.device.type == "cpu" else dict.fromkeys(PARTS, ROWS))
        self._layouts, self._planner = Layouts(self.caller), Planner(self.caller)
        self._walker = Walker(self.caller, rows)
        self._fingerprint = ""

    # ---------------------------------------------------------------------------------- what it is

    @property
    def name(self) -> str:
        """Where the pipeline came from, or its class."""
        return self.caller.name

    @property
    def device(self) -> torch.device:
        """Where the pipeline computes."""
        return self.caller.device

    @property
    def dtype(self) -> torch.dtype:
        """Number type of the network that predicts."""
        return self.caller.dtype

    @property
    def shape(self) -> Shape:
        """Latent of the pipeline's own size: ``(C, h, w)`` or ``(C, F, h, w)``."""
        return self.layout().shape

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width in pixels of the pipeline's own size."""
        return self.layout().size

    @property
    def factor(self) -> int:
        """Pixels along one side of a latent cell."""
        return self.image_size[0] // self.shape[-2]

    @property
    def clips(self) -> bool:
        """Whether the pipeline makes clips."""
        return self.caller.frames_name is not None

    @property
    def frames(self) -> int | None:
        """Frames of a clip unless others are asked for; None where pictures are made."""
        name = self.caller.frames_name
        usual = self.caller.usual(name) if name else None
        return usual if isinstance(usual, int) or name is None else self.layout().frames

    @property
    def steps(self) -> int:
        """Sampler steps of the pipeline's own call unless others are asked for."""
        usual = self.caller.usual("num_inference_steps")
        return usual if isinstance(usual, int) else STEPS

    @property
    def guidance(self) -> float:
        """Guidance of the pipeline's own call, by the argument that :meth:`sample` gives it; 1 where there is none."""
        usual = next((self.caller.usual(name) for name in GUIDANCE[::-1] if name in self.caller.takes), None)
        return float(usual) if isinstance(usual, int | float) else 1.0

    @property
    def batching(self) -> Batching:
        """How many samples go through the networks together."""
        return self._walker.batching

    @batching.setter
    def batching(self, rows: Batching) -> None:
        self._walker.batching = rows

    @property
    def tf32(self) -> bool:
        """Whether a GPU may round float32 to TF32."""
        return self.caller.tf32

    @tf32.setter
    def tf32(self, allowed: bool) -> None:
        self.caller.tf32 = allowed

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with the weights or the scheduler; read when first asked for.

        Of the folder, if it came from one.
        """
        if not self._fingerprint and self._folder is not None:
            parts = {part: self._folder / part for part in self.caller.pipe.components}
            self._fingerprint = fingerprint.of_files(parts)
        elif not self._fingerprint:
            networks = modules(self.caller.pipe).values()
            self._fingerprint = fingerprint.of_parameters(networks, self.caller.pipe.scheduler)
        return self._fingerprint

    def precision(self) -> AbstractContextManager[None]:
        """Within it float32 is exact on this model's device; for what is differentiated outside of these methods."""
        return exact_float32(self.device, self.tf32)

    def follow(self, pipe: Any) -> None:
        """Go on with another object of the same pipeline, whose scheduler may be another one by now."""
        self.caller.pipe = pipe

    @torch.no_grad()
    def forget_text_encoders(self, guidance: float | None = 1.0, **call: Any) -> None:
        """Keep what the text encoders answer to the empty prompt under this guidance, and let go of them.

        From then on this model holds none of their weights; other prompts raise ``ModelError``.  A pipeline that
        someone else holds keeps its own.
        """
        caller = self.caller
        if caller.memo is None or caller.memo.closed:
            return
        found, _ = self.layout_of_call(call), self.fingerprint  # which is of all weights
        caller.memo.kept.clear()
        with watched(modules(caller.pipe), caller.memo, busy=True) as used:
            for rows in self._walker.groups():
                given = found.to_given(torch.zeros(rows, *found.shape, device=self.device)).to(self.dtype)
                texts: list[str] | str = caller.empty if rows == 1 else [caller.empty] * rows
                for scale in {1.0, guidance, None}:  # None for sizes to come, which are probed with it
                    watch = Watch(cut=1 + caller.spare)
                    caller.call(unclipped(caller.pipe.scheduler), watch, found, texts, None, scale, call, given)
        caller.memo.close()
        encoders = {name: getattr(caller.pipe, name) for name, _ in used}
        caller.pipe = twin(caller.pipe, **{name: husk(encoder) for name, encoder in encoders.items()})

    def noise_shape(self, size: tuple[int, int] | None = None, frames: int | None = None) -> Shape:
        """Shape of one noise, ``(C, h, w)`` or ``(C, F, h, w)``, for a picture of ``size`` (height, width) in pixels.

        ``frames``: of the clip.  Without them, the pipeline's own.  Raises ``InputError`` for a size that it takes for
        another one, ``ModelError`` for one that it does not take.
        """
        if frames is not None and not self.clips:
            raise InputError(f"The model {self.name} makes pictures, not clips.")
        found = self.layout(size, frames)
        if size is not None and found.size != tuple(size):
            asked, made = (f"{width}x{height}" for height, width in (size, found.size))
            raise InputError(f"The model {self.name} makes pictures of {made} where {asked} is asked for.")
        return found.shape

    def latents(self, noise: Tensor) -> Tensor:
        """What ``latents=`` of the pipeline wants: noise ``[B, C, h, w]`` or ``[B, C, F, h, w]`` in its own order."""
        found = self._layouts.of(noise, {})
        return found.to_given(noise.to(self.device)).to(self.dtype)

    def sample(
        self,
        noise: Tensor,
        prompts: Prompts = "",
        steps: int | None = None,
        guidance: float | None = 1.0,
        **call: Any,
    ) -> Tensor:
        """Noise to latents, both ``[B, C, h, w]`` or ``[B, C, F, h, w]``, by the pipeline's own call.

        ``steps``: the pipeline's own unless given.  ``guidance``: 1 is none, None the pipeline's own; where it is
        embedded in the network (distilled), 1 means the pipeline's own too.  ``call``: whatever else the pipeline's
        call takes.  Raises ``SamplerError`` for a sampler that adds noise.
        """
        found = self._layouts.of(noise, call)
        plan = self.plan(found, steps, call)
        plan.response.check_deterministic()

        def group(rows: Tensor, texts: list[str] | str, which: Tensor) -> tuple[Tensor, None]:
            watch = Exact(start=plan.init * found.to_looped(rows)) if self.caller.half else Watch()
            return self._walker.forwards(found, rows, texts, watch, steps, guidance, call), None

        return self._walker.together(found, noise, prompts, guidance, group)[0]

    def recover(
        self,
        latent: Tensor,
        prompts: Prompts = "",
        steps: int | None = None,
        guidance: float | None = 1.0,
        evaluations: int = 1,
        **call: Any,
    ) -> Tensor:
        """Latents back to noise, both ``[B, C, h, w]`` or ``[B, C, F, h, w]``: the value of :meth:`recovered`."""
        return self.recovered(latent, prompts, steps, guidance, evaluations, **call).value

    def recovered(
        self,
        latent: Tensor,
        prompts: Prompts = "",
        steps: int | None = None,
        guidance: float | None = 1.0,
        evaluations: int = 1,
        method: Method = SOLVER,
        **call: Any,
    ) -> Solution:
        """Latents back to noise, by the pipeline's own call with its scheduler reversed.

        ``evaluations``: model outputs a step; one takes it backwards as it stands, more solve it.  Other arguments as
        in :meth:`sample`.  Raises ``SamplerError`` where the sampler cannot be inverted.
        """
        found = self._layouts.of(latent, call)
        plan = self._planner.for_reading(found, steps, call)

        def group(rows: Tensor, texts: list[str] | str, which: Tensor) -> tuple[Tensor, Found]:
            end = self._walker.backwards(found, plan, rows, texts, (steps, guidance, evaluations), method, call)
            return found.from_looped(end.value) / plan.init, end

        value, ends = self._walker.together(found, latent, prompts, guidance, group)
        residual = torch.cat([end.residual for end in ends]) if ends else value.new_zeros(0)
        count = torch.full((len(latent),), len(plan.response.a) * evaluations)
        statuses = tuple(status for end in ends for status in end.status)
        return Solution(value, residual, count, statuses, residual[None])

    def levels(self, latent: Tensor, *, steps: int) -> list[Tensor]:
        """A latent ``[B, C, h, w]`` at every noise level, noisiest first, under the empty prompt."""
        found = self._layouts.of(latent, {})
        plan = self._planner.for_reading(found, steps, {})

        def group(rows: Tensor, texts: list[str] | str, which: Tensor) -> tuple[Tensor, Found]:
            end = self._walker.backwards(found, plan, rows, texts, (steps, 1.0, 1), SOLVER, {})
            return end.value, end

        ends = self._walker.together(found, latent, "", 1.0, group)[1]
        each = zip(*(end.levels for end in ends), strict=True)
        return [torch.cat([found.from_looped(one) for one in level]) for level in each]

    def resample(
        self, known: Sequence[Tensor], free: Tensor, noise: Tensor, prompts: Prompts, *, guidance: float
    ) -> Tensor:
        """The free cells (bool ``[h, w]``) sampled from noise ``[B, C, h, w]``, the others as known at every level."""
        found, steps = self._layouts.of(noise, {}), len(known) - 1
        plan = self.plan(found, steps, {})
        plan.response.check_keeps()
        start = torch.where(free, noise.to(known[0].device), known[0] / plan.init)
        open_ = found.to_looped(free.expand(1, *found.shape).float()) > 0.5

        def group(rows: Tensor, texts: list[str] | str, which: Tensor) -> tuple[Tensor, None]:
            watch = Blend(free=open_, known=[found.to_looped(level[which]) for level in known])
            return self._walker.forwards(found, rows, texts, watch, steps, guidance, {}), None

        return self._walker.together(found, start, prompts, guidance, group)[0]

    # ---------------------------------------------------------------------------------- pictures

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Tensor:
        """Posterior mode: pixels ``[B, 3, H, W]``, clips ``[B, 3, F, H, W]``, in [-1, 1], to latents, float32."""
        size, frames = (int(pixels.shape[-2]), int(pixels.shape[-1])), pixels.shape[2] if pixels.ndim == 5 else None
        found = self.layout(size, frames)
        network = self.caller.decoders()[found.decoder]

        def work(rows: Tensor) -> Tensor:
            return torch.cat([coding.encode(network, found, one) for one in _ones(rows.to(self.device), found)])

        with untouched(self.caller.pipe), self.precision():
            return self.batching.run("encoder", work, pixels)

    @torch.no_grad()
    def decode(self, latent: Tensor) -> Tensor:
        """Latents to pixels ``[B, 3, H, W]`` or clips ``[B, 3, F, H, W]``, float32, not clipped."""
        with untouched(self.caller.pipe), self.precision():
            return self.batching.run("decoder", self.decode_with_gradient, latent)

    def decode_with_gradient(self, latent: Tensor) -> Tensor:
        """As :meth:`decode`, all rows at once, for methods that differentiate."""
        found = self._layouts.of(latent, {})
        network = self.caller.decoders()[found.decoder]
        rows = _ones(latent.to(self.device), found)
        return torch.cat([coding.decode(network, found, one) for one in rows])

    def layout(self, size: tuple[int, int] | None = None, frames: int | None = None) -> Layout:
        """Where the pipeline keeps the numbers of a picture of this size; see :class:`layouts.Layouts`."""
        return self._layouts(size, frames)

    def layout_of_call(self, call: dict[str, Any]) -> Layout:
        """The layout of a call with these arguments of the pipeline's own."""
        return self._layouts.of_call(call)

    def plan(self, found: Layout, steps: int | None, call: dict[str, Any], exactly: bool = False) -> Plan:
        """The scheduler's steps in a call of this size; see :meth:`planning.Planner.plan`."""
        return self._planner.plan(found, steps, call, exactly)


def _ones(rows: Tensor, found: Layout) -> Sequence[Tensor]:
    """Rows as an autoencoder takes them: together, or clip by clip."""
    return [rows] if found.frames is None else torch.split(rows, 1)
