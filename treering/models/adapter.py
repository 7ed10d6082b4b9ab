"""Any diffusers pipeline that makes pictures or clips: from noise to latent and back by calling the pipeline itself.

Nothing here knows a family.  What is particular to one (prompts, guidance, time ids, packing, shifts) is done by the
pipeline's own call; how it lays out its latents is found by probing (``layout``), how its scheduler steps likewise
(``response``), and the way back is the same call with a scheduler that undoes those steps (``backwards``).

Units: noise and latents are as the denoiser's loop has them, in the axes of the picture: float32 ``[B, C, h, w]``, or
``[B, C, F, h, w]`` for clips; noise has unit variance.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError, ModelError, SamplerError
from ..solvers import Method
from ..types import Solution
from . import fingerprint
from .backwards import SOLVER, Backwards, Exact, Watch
from .calling import BINNING, Caller, frames_of, size_of
from .layout import Layout, Shape
from .precision import exact_float32
from .probing import Prober, tensor_of
from .response import Response, respond, unclipped
from .twin import husk, modules, twin, untouched, watched

ROWS = 8
"""Samples that go through the networks together on an accelerator; one on a CPU."""


@dataclass(frozen=True)
class Plan:
    """A number of steps at one size: the scheduler set to them, its response, and the factor from unit noise."""

    grid: Any
    response: Response
    init: float


class PipelineModel:
    """A pipeline that makes pictures or clips from text, as treering sees it; the pipeline is not changed.

    ``pipe``: any text-to-image or text-to-video pipeline of diffusers, on any device, in any number type.  Raises
    ``ModelError``, when it is first used, for what has no autoencoder or takes no ``latents=``.
    """

    def __init__(self, pipe: Any, name: str | None = None) -> None:
        self.caller = Caller(pipe, name)
        self._prober = Prober(self.caller)
        self._layouts: dict[tuple[Any, ...], Layout] = {}
        self._plans: dict[tuple[Any, ...], Plan] = {}
        self._direct = False

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
    def clips(self) -> bool:
        """Whether the pipeline makes clips."""
        return self.caller.frames_name is not None

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with the weights or the scheduler."""
        return fingerprint.of_parameters(modules(self.caller.pipe).values(), self.caller.pipe.scheduler)

    def follow(self, pipe: Any) -> None:
        """Go on with another object of the same pipeline, whose scheduler may be another one by now."""
        self.caller.pipe = pipe

    def forget_text_encoders(self, guidance: float | None = 1.0, **call: Any) -> None:
        """Keep what the text encoders answer to the empty prompt under this guidance, and let go of them.

        From then on this model holds none of their weights; other prompts raise ``ModelError``.  A pipeline that
        someone else holds keeps its own.
        """
        if self.caller.memo is None or self.caller.memo.closed:
            return
        found = self.layout_of_call(call)
        self.caller.memo.kept.clear()
        looped = found.to_looped(torch.zeros(1, *found.shape, device=self.device))
        with watched(modules(self.caller.pipe), self.caller.memo, busy=True) as used:
            for scale in {1.0, guidance}:
                watch, given = Watch(cut=1 + self.caller.spare), found.reordered(looped).to(self.dtype)
                self.caller.call(
                    unclipped(self.caller.pipe.scheduler), watch, found, self.caller.empty, None, scale, call, given
                )
        self.caller.memo.close()
        encoders = {name: getattr(self.caller.pipe, name) for name, _ in used}
        self.caller.pipe = twin(self.caller.pipe, **{name: husk(encoder) for name, encoder in encoders.items()})

    # ---------------------------------------------------------------------------------- noise and latents

    def noise_shape(self, size: tuple[int, int] | None = None, frames: int | None = None) -> Shape:
        """Shape of one noise, ``(C, h, w)`` or ``(C, F, h, w)``, for a picture of ``size`` (height, width) in pixels.

        ``frames``: of the clip.  Without them, the pipeline's own.
        """
        return self.layout(size, frames).shape

    def latents(self, noise: Tensor) -> Tensor:
        """What ``latents=`` of the pipeline wants: noise ``[B, C, h, w]`` or ``[B, C, F, h, w]`` in its own order."""
        found = self._layout_of(noise, {})
        return found.to_given(noise.to(self.device)).to(self.dtype)

    @torch.no_grad()
    def sample(
        self,
        noise: Tensor,
        prompts: Sequence[str] | str = "",
        steps: int | None = None,
        guidance: float | None = None,
        **call: Any,
    ) -> Tensor:
        """Noise to latents, both ``[B, C, h, w]`` or ``[B, C, F, h, w]``, by the pipeline's own call.

        ``steps`` and ``guidance``: the pipeline's own unless given; guidance 1 is none.  ``call``: whatever else the
        pipeline's call takes.  Raises ``SamplerError`` for a sampler that adds noise.
        """
        found = self._layout_of(noise, call)
        plan = self.plan(found, steps, call)
        plan.response.check_deterministic()
        latents = list[Tensor]()
        for rows, texts in self._rows(found, noise, prompts):
            rows = rows.to(self.device)
            given = found.to_given(rows).to(self.dtype)
            watch = Exact(start=plan.init * found.to_looped(rows)) if self.caller.half else Watch()
            self.caller.call(unclipped(self.caller.pipe.scheduler), watch, found, texts, steps, guidance, call, given)
            assert watch.last is not None
            latents.append(found.from_looped(watch.last))
        return torch.cat(latents)

    @torch.no_grad()
    def recover(
        self,
        latent: Tensor,
        prompts: Sequence[str] | str = "",
        steps: int | None = None,
        guidance: float | None = None,
        evaluations: int = 1,
        **call: Any,
    ) -> Tensor:
        """Latents back to noise, both ``[B, C, h, w]`` or ``[B, C, F, h, w]``: the value of :meth:`invert`."""
        return self.invert(latent, prompts, steps, guidance, evaluations, **call).value

    @torch.no_grad()
    def invert(
        self,
        latent: Tensor,
        prompts: Sequence[str] | str = "",
        steps: int | None = None,
        guidance: float | None = None,
        evaluations: int = 1,
        method: Method = SOLVER,
        **call: Any,
    ) -> Solution:
        """Latents back to noise, by the pipeline's own call with its scheduler reversed.

        ``evaluations``: model outputs a step; one is DDIM inversion, more solve the step.  Other arguments as in
        :meth:`sample`.  Raises ``SamplerError`` where the sampler cannot be inverted.
        """
        if evaluations < 1:
            raise InputError("Every step needs at least one evaluation.")
        found = self._layout_of(latent, call)
        plan = self._reading_plan(found, steps, call)
        values, residuals, statuses = list[Tensor](), list[Tensor](), list[Any]()
        for rows, texts in self._rows(found, latent, prompts):
            looped = found.to_looped(rows.to(self.device))
            role = Backwards(plan.grid, plan.response, looped, evaluations, method, self.caller.spare, self._direct)
            given = found.reordered(role.point).to(self.dtype)
            self.caller.call(self.caller.pipe.scheduler, role, found, texts, steps, guidance, call, given)
            self._direct = role.direct
            if role.found is None:
                raise ModelError(f"{self.name} left its loop before all steps were undone.")
            values.append(found.from_looped(role.found.value) / plan.init)
            residuals.append(role.found.residual)
            statuses += role.found.status
        count = torch.full((len(latent),), len(plan.response.a) * evaluations)
        return Solution(torch.cat(values), torch.cat(residuals), count, tuple(statuses), torch.cat(residuals)[None])

    # ---------------------------------------------------------------------------------- pictures

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Tensor:
        """Posterior mode: pixels ``[B, 3, H, W]``, clips ``[B, 3, F, H, W]``, in [-1, 1], to latents, float32."""
        size, frames = (int(pixels.shape[-2]), int(pixels.shape[-1])), pixels.shape[2] if pixels.ndim == 5 else None
        found = self.layout(size, frames)
        return torch.cat([self._encode(found, one) for one in torch.split(pixels, 1)])

    def _encode(self, found: Layout, pixels: Tensor) -> Tensor:
        x = pixels.to(self.device)
        if found.framewise:
            x = x.transpose(1, 2).flatten(0, 1) if x.ndim == 5 else x
        elif len(found.decoded) == 5 and x.ndim == 4:
            x = x[:, :, None]
        with untouched(self.caller.pipe), exact_float32(self.device), self._autoencoder(found) as autoencoder:
            return found.from_autoencoder(_mode(autoencoder.encode(x.to(found.number))).float(), 1)

    @torch.no_grad()
    def decode(self, latent: Tensor) -> Tensor:
        """Latents to pixels ``[B, 3, H, W]`` or clips ``[B, 3, F, H, W]``, float32, not clipped."""
        with untouched(self.caller.pipe), exact_float32(self.device):
            return torch.cat([self.decode_with_gradient(one) for one in torch.split(latent, 1)])

    def decode_with_gradient(self, latent: Tensor) -> Tensor:
        """As :meth:`decode` for one latent, for methods that differentiate."""
        found = self._layout_of(latent, {})
        more, named = found.decode
        with self._autoencoder(found) as autoencoder:
            z = found.to_autoencoder(latent.to(self.device)).to(found.number)
            pixels = tensor_of(autoencoder.decode(z, *more, **named)).float()
        if found.frames is None:
            return pixels[:, :, 0] if pixels.ndim == 5 else pixels
        return pixels.transpose(0, 1)[None] if pixels.ndim == 4 else pixels

    @contextlib.contextmanager
    def _autoencoder(self, found: Layout) -> Iterator[Any]:
        """The autoencoder in the number type in which the pipeline runs it."""
        network = self.caller.decoders()[found.decoder]
        before = network.dtype
        if before != found.number:
            network.to(found.number)
        try:
            yield network
        finally:
            if before != found.number:
                network.to(before)

    # ---------------------------------------------------------------------------------- layouts and plans

    def layout(self, size: tuple[int, int] | None = None, frames: int | None = None, **call: Any) -> Layout:
        """Where a pipeline keeps the numbers of a picture of this size (height, width); probed once.

        ``call``: what else the call takes that has to do with it, if anything.
        """
        binning = call.get(BINNING)
        key = (None if size is None else (int(size[0]), int(size[1])), frames, binning)
        if key not in self._layouts:
            found = self._prober.layout(key[0], frames, call)
            self._layouts[key] = self._layouts[found.size, found.frames, binning] = found
        return self._layouts[key]

    def layout_of_call(self, call: dict[str, Any]) -> Layout:
        """The layout of a call with these arguments of the pipeline's own."""
        return self.layout(size_of(call), frames_of(call), **call)

    def _layout_of(self, latent: Tensor, call: dict[str, Any]) -> Layout:
        """The layout that a noise or latent ``[B, ...]`` has, told by the call's size or by its shape."""
        shape = tuple(latent.shape[1:])
        if size_of(call) or frames_of(call):
            found = self.layout_of_call(call)
        else:
            known = (one for one in self._layouts.values() if one.shape == shape)
            found = next(known, None) or self.layout(*self._guess(shape), **call)
        if found.shape != shape:
            raise ModelError(
                f"{self.name} has latents of {_times(found.shape)} at {_times(found.size)} pixels, not {_times(shape)}."
            )
        return found

    def _guess(self, shape: Shape) -> tuple[tuple[int, int] | None, int | None]:
        """Size and frames in pixels of a latent of this shape, in proportion to the pipeline's own size."""
        own = self.layout()
        if own.shape == shape or len(own.shape) != len(shape):
            return None, None
        size = tuple(n * whole // part for n, whole, part in zip(shape[-2:], own.size, own.shape[-2:], strict=True))
        if own.frames is None or shape[1] == own.shape[1]:
            return (size[0], size[1]), own.frames
        most = own.shape[1] - 1
        return (size[0], size[1]), 1 + (shape[1] - 1) * (own.frames - 1) // most if most else shape[1]

    def plan(self, found: Layout, steps: int | None, call: dict[str, Any], exactly: bool = False) -> Plan:
        """The scheduler's steps in a call of this size, and the factor that noise is scaled with; probed once.

        ``exactly``: with the scheduler's own settings, even where it clips samples.
        """
        scheduler = self.caller.pipe.scheduler
        simple = {k: v for k, v in call.items() if isinstance(v, (int, float, str, list, tuple))}
        what = (steps, exactly, sorted(simple.items()), type(scheduler), dict(scheduler.config))
        key = (found.size, found.frames, repr(what))
        if key not in self._plans:
            watch = Watch(cut=1 + self.caller.spare)
            noise = torch.randn(1, *found.shape, generator=torch.Generator().manual_seed(0))
            given = found.to_given(noise.to(self.device)).to(self.dtype)
            used = scheduler if exactly else unclipped(scheduler)
            try:
                self.caller.call(used, watch, found, self.caller.empty, steps, 1.0, call, given)
            except ModelError as error:
                raise self.caller.noisy or error from None
            assert watch.first is not None
            first, sent = found.from_looped(watch.first), noise.to(watch.first.device)
            init = float((first * sent).sum() / sent.square().sum())
            self._plans[key] = Plan(watch.grid, respond(watch.grid, self.caller.spare, **watch.extra), init)
        return self._plans[key]

    def _reading_plan(self, found: Layout, steps: int | None, call: dict[str, Any]) -> Plan:
        """The sampler's own plan if it can be inverted, else that of DDIM with the same noise levels."""
        plan = self.plan(found, steps, call)
        try:
            plan.response.check_keeps()
            return plan
        except SamplerError:
            grid = _ddim(plan.grid)
            if grid is None:
                raise
            return Plan(grid, respond(grid, self.caller.spare), 1.0)

    def _rows(
        self, found: Layout, batch: Tensor, prompts: Sequence[str] | str
    ) -> Iterator[tuple[Tensor, list[str] | str]]:
        """Samples and prompts as the networks take them: one at a time on a CPU."""
        texts = [prompts] * len(batch) if isinstance(prompts, str) else list(prompts)
        texts = [text or self.caller.empty for text in texts]
        if len(texts) != len(batch):
            raise InputError(f"There are {len(texts)} prompts for {len(batch)} samples.")
        alone = self.device.type == "cpu" or found.alone or (self.caller.memo is not None and self.caller.memo.closed)
        rows = 1 if alone else ROWS
        for i in range(0, len(batch), rows):
            part = texts[i : i + rows]
            yield batch[i : i + rows], part[0] if len(part) == 1 else part


def _mode(answer: Any) -> Tensor:
    """The mode of what an ``encode`` answers, whichever of diffusers' forms it has."""
    distribution = getattr(answer, "latent_dist", None)
    if distribution is not None:
        return distribution.mode()
    for name in ("latents", "latent"):
        if isinstance(found := getattr(answer, name, None), Tensor):
            return found
    return tensor_of(answer)


def _ddim(grid: Any) -> Any:
    """DDIM over the same steps as a scheduler of variance-preserving diffusion, or None for other schedulers."""
    if not hasattr(grid, "alphas_cumprod") or grid.config.get("prediction_type", "epsilon") not in (
        "epsilon",
        "v_prediction",
        "sample",
    ):
        return None
    from diffusers import DDIMScheduler

    made = DDIMScheduler.from_config(grid.config, clip_sample=False, thresholding=False, set_alpha_to_one=False)
    made.set_timesteps(len(grid.timesteps))
    return made


def _times(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
