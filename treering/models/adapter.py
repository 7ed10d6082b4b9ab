"""Any diffusers pipeline that makes pictures or clips: from noise to latent and back by calling the pipeline itself.

Nothing here knows a family.  What is particular to one (prompts, guidance, time ids, packing, shifts) is done by the
pipeline's own call; how it lays out its latents is found by probing (``layout``), how its scheduler steps likewise
(``response``), and the way back is the same call with a scheduler that undoes those steps (``backwards``).

Units: noise and latents are as the denoiser's loop has them, in the axes of the picture: float32 ``[B, C, h, w]``, or
``[B, C, F, h, w]`` for clips; noise has unit variance.
"""

from __future__ import annotations

import contextlib
import inspect
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError, ModelError, SamplerError
from ..solvers import Method
from ..types import Solution
from . import fingerprint, layout
from .backwards import SOLVER, Backwards, Exact, Watch, in_role
from .layout import Layout
from .response import Response, respond, unclipped
from .twin import Draws, Memo, disguised, husk, modules, twin, untouched, watched

_FRAMES = ("num_frames", "video_length")
_PROBING = (2, 4, 1, 20)
"""Numbers of steps to try while probing a layout; only the first is done."""
_EMPTY = ("", "a picture")
"""Prompts that say nothing, to try: some pipelines do not take an empty one."""
_BINNING = "use_resolution_binning"
"""An argument of some calls with which a size is not taken as it is given."""
ROWS = 8
"""Samples that go through the networks together on an accelerator; one on a CPU."""


@dataclass(frozen=True)
class Plan:
    """A number of steps at one size: the scheduler set to them, its response, and the factor from unit noise."""

    grid: Any
    response: Response
    init: float


@dataclass
class _Seen:
    """What an autoencoder in disguise was asked for, and what it answered."""

    calls: list[tuple[Tensor, tuple[Any, ...], dict[str, Any]]]
    answers: list[Any]


class PipelineModel:
    """A pipeline that makes pictures or clips from text, as treering sees it; the pipeline is not changed.

    ``pipe``: any text-to-image or text-to-video pipeline of diffusers, on any device, in any number type.  Raises
    ``ModelError``, when it is first used, for what has no autoencoder or takes no ``latents=``.
    """

    def __init__(self, pipe: Any, name: str | None = None) -> None:
        if not hasattr(pipe, "scheduler") or not hasattr(pipe, "components"):
            raise ModelError(f"{type(pipe).__name__} is not a diffusers pipeline with a scheduler.")
        self._pipe, self.name = pipe, name or _name(pipe)
        self._takes = set(inspect.signature(type(pipe).__call__).parameters)
        if "latents" not in self._takes:
            raise ModelError(
                f"{self.name} takes no initial noise (its call has no latents=), so it cannot carry a mark."
            )
        if not self._decoders():
            raise ModelError(f"{self.name} has no autoencoder; a pipeline that decodes a latent is needed.")
        self._memo = Memo(pipe.encode_prompt) if hasattr(pipe, "encode_prompt") else None
        self._layouts: dict[tuple[Any, ...], Layout] = {}
        self._plans: dict[Any, Plan] = {}
        self._doubles: bool | None = None
        self._empty, self._spare, self._direct = "", 0, False
        self._noisy: SamplerError | None = None

    # ---------------------------------------------------------------------------------- what it is

    @property
    def device(self) -> torch.device:
        """Where the pipeline computes."""
        device = getattr(self._pipe, "_execution_device", None) or self._pipe.device
        return torch.device(device)

    @property
    def dtype(self) -> torch.dtype:
        """Number type of the largest network, which predicts."""
        parts = modules(self._pipe).values()
        largest = max(parts, key=lambda part: sum(p.numel() for p in part.parameters()))
        return next((p.dtype for p in largest.parameters() if p.dtype.is_floating_point), torch.float32)

    @property
    def _half(self) -> bool:
        return self.dtype in (torch.bfloat16, torch.float16)

    @property
    def shape(self) -> layout.Shape:
        """Latent of the pipeline's own size: ``(C, h, w)`` or ``(C, F, h, w)``."""
        return self.layout().shape

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width in pixels of the pipeline's own size."""
        return self.layout().size

    @property
    def clips(self) -> bool:
        """Whether the pipeline makes clips."""
        return self._frames_name is not None

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with the weights or the scheduler."""
        return fingerprint.of_parameters(modules(self._pipe).values(), self._pipe.scheduler)

    @property
    def _frames_name(self) -> str | None:
        return next((name for name in _FRAMES if name in self._takes), None)

    def _decoders(self) -> dict[str, Any]:
        return {n: m for n, m in modules(self._pipe).items() if hasattr(m, "decode") and hasattr(m, "encode")}

    def follow(self, pipe: Any) -> None:
        """Go on with another object of the same pipeline, whose scheduler may be another one by now."""
        self._pipe = pipe

    def forget_text_encoders(self, guidance: float | None = 1.0, **call: Any) -> None:
        """Keep what the text encoders answer to the empty prompt under this guidance, and let go of them.

        From then on this model holds none of their weights; other prompts raise ``ModelError``.  A pipeline that
        someone else holds keeps its own.
        """
        if self._memo is None or self._memo.closed:
            return
        found = self.layout_of_call(call)
        self._memo.kept.clear()
        looped = found.to_looped(torch.zeros(1, *found.shape, device=self.device))
        with watched(modules(self._pipe), self._memo, busy=True) as used:
            for scale in {1.0, guidance}:
                watch, given = Watch(cut=1 + self._spare), found.reordered(looped).to(self.dtype)
                self._call(unclipped(self._pipe.scheduler), watch, found, self._empty, None, scale, call, given)
        self._memo.close()
        encoders = {name: getattr(self._pipe, name) for name, _ in used}
        self._pipe = twin(self._pipe, **{name: husk(encoder) for name, encoder in encoders.items()})

    # ---------------------------------------------------------------------------------- noise and latents

    def noise_shape(self, size: tuple[int, int] | None = None, frames: int | None = None) -> layout.Shape:
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
        for rows, texts in self._rows(noise, prompts):
            rows = rows.to(self.device)
            given = found.to_given(rows).to(self.dtype)
            watch = Exact(start=plan.init * found.to_looped(rows)) if self._half else Watch()
            self._call(unclipped(self._pipe.scheduler), watch, found, texts, steps, guidance, call, given)
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
        for rows, texts in self._rows(latent, prompts):
            looped = found.to_looped(rows.to(self.device))
            role = Backwards(plan.grid, plan.response, looped, evaluations, method, self._spare, self._direct)
            given = found.reordered(role.point).to(self.dtype)
            self._call(self._pipe.scheduler, role, found, texts, steps, guidance, call, given)
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
        return torch.cat([self._encode(found, one) for one in pixels.split(1)])

    def _encode(self, found: Layout, pixels: Tensor) -> Tensor:
        x = pixels.to(self.device)
        if found.framewise:
            x = x.transpose(1, 2).flatten(0, 1) if x.ndim == 5 else x
        elif len(found.decoded) == 5 and x.ndim == 4:
            x = x[:, :, None]
        with untouched(self._pipe), self._autoencoder(found) as autoencoder:
            return found.from_autoencoder(_mode(autoencoder.encode(x.to(found.number))).float(), 1)

    @torch.no_grad()
    def decode(self, latent: Tensor) -> Tensor:
        """Latents to pixels ``[B, 3, H, W]`` or clips ``[B, 3, F, H, W]``, float32, not clipped."""
        with untouched(self._pipe):
            return torch.cat([self.decode_with_gradient(one) for one in latent.split(1)])

    def decode_with_gradient(self, latent: Tensor) -> Tensor:
        """As :meth:`decode` for one latent, for methods that differentiate."""
        found = self._layout_of(latent, {})
        more, named = found.decode
        with self._autoencoder(found) as autoencoder:
            z = found.to_autoencoder(latent.to(self.device)).to(found.number)
            pixels = _tensor(autoencoder.decode(z, *more, **named)).float()
        if found.frames is None:
            return pixels[:, :, 0] if pixels.ndim == 5 else pixels
        return pixels.transpose(0, 1)[None] if pixels.ndim == 4 else pixels

    @contextlib.contextmanager
    def _autoencoder(self, found: Layout) -> Iterator[Any]:
        """The autoencoder in the number type in which the pipeline runs it."""
        network = self._decoders()[found.decoder]
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
        binning = call.get(_BINNING)
        key = (None if size is None else (int(size[0]), int(size[1])), frames, binning)
        if key not in self._layouts:
            found = self._probe(key[0], frames, call)
            self._layouts[key] = self._layouts[found.size, found.frames, binning] = found
        return self._layouts[key]

    def layout_of_call(self, call: dict[str, Any]) -> Layout:
        """The layout of a call with these arguments of the pipeline's own."""
        return self.layout(_size(call), _frames(call), **call)

    def _layout_of(self, latent: Tensor, call: dict[str, Any]) -> Layout:
        """The layout that a noise or latent ``[B, ...]`` has, told by the call's size or by its shape."""
        shape = tuple(latent.shape[1:])
        if _size(call) or _frames(call):
            found = self.layout_of_call(call)
        else:
            known = (one for one in self._layouts.values() if one.shape == shape)
            found = next(known, None) or self.layout(*self._guess(shape), **call)
        if found.shape != shape:
            raise ModelError(
                f"{self.name} has latents of {_times(found.shape)} at {_times(found.size)} pixels, not {_times(shape)}."
            )
        return found

    def _guess(self, shape: layout.Shape) -> tuple[tuple[int, int] | None, int | None]:
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
        simple = {k: v for k, v in call.items() if isinstance(v, (int, float, str, list, tuple))}
        scheduler = self._pipe.scheduler
        simple = {k: v for k, v in call.items() if isinstance(v, (int, float, str, list, tuple))}
        what = (steps, exactly, sorted(simple.items()), type(scheduler), dict(scheduler.config))
        key = (found.size, found.frames, repr(what))
        if key not in self._plans:
            watch = Watch(cut=1 + self._spare)
            noise = torch.randn(1, *found.shape, generator=torch.Generator().manual_seed(0))
            given = found.to_given(noise.to(self.device)).to(self.dtype)
            used = scheduler if exactly else unclipped(scheduler)
            try:
                self._call(used, watch, found, self._empty, steps, 1.0, call, given)
            except ModelError as error:
                raise self._noisy or error from None
            assert watch.first is not None
            first, sent = found.from_looped(watch.first), noise.to(watch.first.device)
            init = float((first * sent).sum() / sent.square().sum())
            self._plans[key] = Plan(watch.grid, respond(watch.grid, self._spare, **watch.extra), init)
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
            return Plan(grid, respond(grid, self._spare), 1.0)

    # ---------------------------------------------------------------------------------- calls

    def _rows(self, batch: Tensor, prompts: Sequence[str] | str) -> Iterator[tuple[Tensor, list[str] | str]]:
        """Samples and prompts as the networks take them: one at a time on a CPU."""
        texts = [prompts] * len(batch) if isinstance(prompts, str) else list(prompts)
        texts = [text or self._empty for text in texts]
        if len(texts) != len(batch):
            raise InputError(f"There are {len(texts)} prompts for {len(batch)} samples.")
        alone = self.device.type == "cpu" or (self._memo is not None and self._memo.closed)
        rows = 1 if alone else ROWS
        for i in range(0, len(batch), rows):
            part = texts[i : i + rows]
            yield batch[i : i + rows], part[0] if len(part) == 1 else part

    def _guided(self, guidance: float | None) -> dict[str, Any]:
        """The arguments that mean this guidance; where it is embedded (distilled), none keeps the pipeline's own."""
        if guidance is None:
            return {}
        if "true_cfg_scale" in self._takes:
            return {"true_cfg_scale": guidance} | ({"negative_prompt": ""} if guidance > 1 else {})
        if "guidance_scale" not in self._takes or (guidance == 1 and self._doubles is False):
            return {}
        return {"guidance_scale": guidance}

    def _call(
        self,
        scheduler: Any,
        role: Any,
        found: Layout | None,
        texts: list[str] | str,
        steps: int | None,
        guidance: float | None,
        call: dict[str, Any],
        given: Tensor | None,
        **parts: Any,
    ) -> Any:
        """One call of the pipeline's twin with its scheduler in a role; the loop's end is what is wanted of it."""
        state = {"init_noise_sigma": 1.0, "order": 1} if isinstance(role, Backwards) else {}
        extra = {} if self._memo is None else {"encode_prompt": self._memo}
        double = twin(self._pipe, **{"scheduler": in_role(scheduler, role, **state)}, **extra, **parts)
        double.set_progress_bar_config(disable=True)
        wanted: dict[str, Any] = {"output_type": "pt" if parts else "latent", _BINNING: False}
        if found is not None:
            wanted |= found.asked
        if given is not None:
            wanted["latents"] = given.view(len(given), *found.given) if found is not None else given
        if steps is not None:
            wanted["num_inference_steps"] = steps
        if texts == _EMPTY[-1] and "true_cfg_scale" not in self._takes:
            wanted["negative_prompt"] = texts
        wanted |= self._guided(guidance) | {k: v for k, v in call.items() if k not in ("latents", "output_type")}
        if not any(name in wanted for name in ("prompt", "prompt_embeds")):
            wanted["prompt"] = texts
        wanted = {name: value for name, value in wanted.items() if name in self._takes}
        if isinstance(texts, list) and isinstance(wanted.get("negative_prompt"), str):
            wanted["negative_prompt"] = [wanted["negative_prompt"]] * len(texts)
        with untouched(self._pipe):
            try:
                return double(**wanted)
            except Exception as error:  # a pipeline may fail in any way
                raise ModelError(f"{self.name} failed in its own call: {_first_line(error)}") from error
            finally:
                hooks = vars(double).get("_all_hooks")
                if hooks is not vars(self._pipe).get("_all_hooks"):
                    self._pipe._all_hooks = hooks

    # ---------------------------------------------------------------------------------- probing

    def _probe(self, size: tuple[int, int] | None, frames: int | None, call: dict[str, Any]) -> Layout:
        """Send a plain call, then indices, through the pipeline; see ``layout``."""
        asked = {} if size is None else {"height": size[0], "width": size[1]}
        if frames is not None and self._frames_name:
            asked[self._frames_name] = frames
        plain = self._plain(call | asked)
        asked = asked | {k: v for k, v in plain.call.items() if k in ("height", "width")}
        first, last, name = plain.watch.first, plain.watch.last, plain.decoder
        assert first is not None and last is not None
        decoded, answers = _joined(plain.seen), plain.seen.answers
        shape, framewise = _geometry(decoded, self.clips)
        pixels = torch.cat([_tensor(answer) for answer in answers]) if framewise else _tensor(answers[0])
        height, width = int(pixels.shape[-2]), int(pixels.shape[-1])
        count = None if not self.clips else int(pixels.shape[0] if framewise else pixels.shape[2])
        z, more, named = plain.seen.calls[0]
        problem: Exception | None = None
        for given in layout.candidates(tuple(first.shape), plain.drawn):
            try:
                head, tail = self._maps(plain, given, framewise)
            except (ModelError, RuntimeError, ValueError, IndexError, TypeError) as error:
                problem = problem or error
                continue
            looped, number = tuple(last.shape[1:]), z.dtype
            place = (tuple(decoded.shape), (more, named), number, name)
            return Layout(shape, given[1:], looped, head, tail, (height, width), count, asked, framewise, *place)
        raise ModelError(f"The layout of {self.name}'s latents could not be found: {_first_line(problem)}") from problem

    def _plain(self, call: dict[str, Any]) -> _Plain:
        """A call without ``latents=``: what the loop, the autoencoders and the random generator saw.

        A pipeline may refuse an empty prompt, its own size, or a number of steps, and its loop may leave out the last
        time; what it takes is found by trying.  Where nothing goes, its denoiser is left out.
        """
        problem: Exception | None = None
        sizes = [call] if "height" in call else [call, {**call, "height": None, "width": None}]
        tries = itertools.product((False, True), _PROBING, sizes, (1, 2), _EMPTY)
        for idle, steps, given, cut, text in tries:
            plain = _Plain(given, steps, cut, text, idle, Watch(cut=cut))
            try:
                self._try(plain)
            except Exception as error:  # a pipeline may refuse in any way
                problem = problem or error
                continue
            self._empty, self._spare = text, cut - plain.watch.turns
            self._see_noise(plain.watch)
            return plain
        raise ModelError(f"{self.name} cannot be called with a prompt alone: {_first_line(problem)}") from problem

    def _see_noise(self, watch: Watch) -> None:
        """Keep the reason if the sampler adds noise: some such samplers take few numbers of steps."""
        try:
            respond(watch.grid, self._spare, **watch.extra).check_deterministic()
        except SamplerError as reason:
            self._noisy = reason

    def _try(self, plain: _Plain) -> None:
        seen = {name: _Seen([], []) for name in self._decoders()}
        parts = {name: _recording(network, seen[name]) for name, network in self._decoders().items()}
        with Draws() as draws, watched(modules(self._pipe), self._memo) as called:
            self._send(plain, plain.watch, None, parts, None)
        if not plain.watch.turns:
            raise ModelError("its loop did no step")
        plain.decoder, plain.drawn = _picture_decoder(seen), draws.shapes
        plain.seen = seen[plain.decoder]
        if self._doubles is None and not plain.idle:
            with watched(modules(self._pipe), self._memo) as single:
                self._send(plain, Watch(cut=plain.cut), None, {}, 1.0)
            loads = [sum(n for name, n in c if name not in parts) for c in (called, single)]
            self._doubles = loads[0] > loads[1]

    def _send(
        self, plain: _Plain, watch: Watch, latents: Tensor | None, parts: dict[str, Any], guidance: float | None
    ) -> None:
        """One call as the plain one was, cut short."""
        if plain.idle:
            parts = parts | {n: _idle(m) for n, m in modules(self._pipe).items() if n not in parts and _predicts(m)}
        scheduler = unclipped(self._pipe.scheduler)
        self._call(scheduler, watch, None, plain.text, plain.steps, guidance, plain.call, latents, **parts)

    def _maps(self, plain: _Plain, given: layout.Shape, framewise: bool) -> tuple[layout.Map, layout.Map]:
        first, last = plain.watch.first, plain.watch.last
        assert first is not None and last is not None

        def send(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            watch, seen = Watch(cut=plain.cut, answer=y.to(self.device)), _Seen([], [])
            fake = _recording(self._decoders()[plain.decoder], seen, plain.seen.answers)
            self._send(plain, watch, x.view(given).to(self.device, self.dtype), {plain.decoder: fake}, 1.0)
            if watch.first is None or watch.first.shape != first.shape:
                raise ModelError("the loop does not see what is given as latents=")
            decoded = _joined(seen)
            ordered = decoded.transpose(0, 1) if framewise else decoded
            return watch.first.flatten().float().cpu(), ordered.flatten().float().cpu()

        return layout.find(send, math.prod(given), last.numel(), self._half)


@dataclass
class _Plain:
    """A call without ``latents=`` that a pipeline took, and what was seen in it."""

    call: dict[str, Any]
    steps: int
    cut: int
    text: str
    idle: bool
    watch: Watch
    decoder: str = ""
    seen: _Seen = field(default_factory=lambda: _Seen([], []))
    drawn: list[layout.Shape] = field(default_factory=list)


def _predicts(network: Any) -> bool:
    """Whether a network may be a denoiser: one with a configuration of diffusers' kind, told by its class method."""
    return hasattr(network, "config") and hasattr(type(network), "load_config")


def _idle(network: Any) -> Any:
    """A network in disguise that answers zeros of the shape it was asked about."""
    config = network.config
    channels = (config.get("in_channels"), config.get("out_channels"))

    def zeros(x: Any) -> Any:
        if isinstance(x, list):
            return [zeros(part) for part in x]
        if all(channels) and x.ndim > 2 and x.shape[1] == channels[0]:
            return x.new_zeros(x.shape[0], channels[1], *x.shape[2:])
        return torch.zeros_like(x)

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        found = [x for x in (*args, *kwargs.values()) if isinstance(x, list) or (isinstance(x, Tensor) and x.ndim > 2)]
        answer = zeros(kwargs.get("hidden_states", found[0]))
        return (answer,) if kwargs.get("return_dict") is False else _Output(sample=answer)

    return disguised(network, {"__call__": call}, vars(network))


class _Output(dict[str, Any]):
    """An output object with ``sample``."""

    @property
    def sample(self) -> Any:
        """The prediction."""
        return self["sample"]

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__("sample" if key == 0 else key)


def _first_line(error: Exception | None) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def _recording(network: Any, seen: _Seen, answers: Sequence[Any] | None = None) -> Any:
    """An autoencoder that notes what it decodes; with ``answers`` it gives those instead of working."""

    def decode(self: Any, z: Tensor, *args: Any, **kwargs: Any) -> Any:
        seen.calls.append((z, args, kwargs))
        if answers is not None:
            return answers[len(seen.calls) - 1]
        seen.answers.append(network.decode(z, *args, **kwargs))
        return seen.answers[-1]

    return disguised(network, {"decode": decode}, vars(network))


def _picture_decoder(seen: dict[str, _Seen]) -> str:
    """The autoencoder that decoded the picture."""
    used = {name: one for name, one in seen.items() if one.calls and one.calls[0][0].ndim in (4, 5)}
    if not used:
        raise ModelError("its autoencoder was not asked to decode anything of a picture's shape")
    return max(used, key=lambda name: (_tensor(used[name].answers[0]).ndim, _tensor(used[name].answers[0]).numel()))


def _joined(seen: _Seen) -> Tensor:
    return torch.cat([z for z, _, _ in seen.calls])


def _geometry(decoded: Tensor, clips: bool) -> tuple[layout.Shape, bool]:
    """Shape of one latent, and whether a clip's frames are decoded as pictures of their own."""
    if decoded.ndim == 5:
        _, channels, frames, height, width = decoded.shape
        return ((channels, frames, height, width) if clips else (channels * frames, height, width)), False
    frames, channels, height, width = decoded.shape
    return ((channels, frames, height, width), True) if clips else ((channels, height, width), False)


def _tensor(answer: Any) -> Tensor:
    """The picture in what a ``decode`` answers: a tensor, a tuple, or an object with ``sample``."""
    if isinstance(answer, Tensor):
        return answer
    found: Tensor = answer[0] if isinstance(answer, (tuple, list)) else answer["sample"]
    return found


def _mode(answer: Any) -> Tensor:
    """The mode of what an ``encode`` answers, whichever of diffusers' forms it has."""
    distribution = getattr(answer, "latent_dist", None)
    if distribution is not None:
        return distribution.mode()
    for name in ("latents", "latent"):
        if isinstance(found := getattr(answer, name, None), Tensor):
            return found
    return _tensor(answer)


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


def _size(call: dict[str, Any]) -> tuple[int, int] | None:
    return (call["height"], call["width"]) if call.get("height") and call.get("width") else None


def _frames(call: dict[str, Any]) -> int | None:
    return next((call[name] for name in _FRAMES if call.get(name)), None)


def _name(pipe: Any) -> str:
    source = getattr(pipe.config, "_name_or_path", None) if hasattr(pipe, "config") else None
    return str(source or type(pipe).__name__)


def _times(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
