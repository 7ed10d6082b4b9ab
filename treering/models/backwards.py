"""Schedulers that run a pipeline's own call for us: one that watches it, and one that runs it from latent to noise.

Backwards, the pipeline's loop is only asked for model outputs: :func:`.undo.walk` says where the next one is needed,
and the scheduler in disguise hands that point to the pipeline as if it were the next sample.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from ..solvers import Method
from .response import Response
from .twin import disguised, plain_copy
from .undo import Found, order, walk

OwnStep = Callable[[Tensor, Tensor], Any]
"""The scheduler's own step, of a model output and a sample."""


class Role(Protocol):
    """What a disguised scheduler does instead of its own work; ``own`` is the method it had."""

    def set_timesteps(self, scheduler: Any, own: Callable[..., None], args: Any, kwargs: Any) -> None:
        """Set ``timesteps`` and ``sigmas``."""
        ...

    def scale(self, sample: Tensor, own: Callable[[], Tensor]) -> Tensor:
        """What the denoiser sees of a sample."""
        ...

    def step(self, output: Tensor, sample: Tensor, own: OwnStep, extra: dict[str, Any]) -> Any:
        """The next sample, as the scheduler's own ``step`` returns it."""
        ...


def in_role(scheduler: Any, role: Role, **state: Any) -> Any:
    """A scheduler of a class made from the scheduler's own, with a copy of its state, that plays a role."""
    own = type(scheduler)

    @functools.wraps(own.set_timesteps)
    def set_timesteps(self: Any, *args: Any, **kwargs: Any) -> None:
        role.set_timesteps(self, functools.partial(own.set_timesteps, self), args, kwargs)

    signature = inspect.signature(own.step)

    @functools.wraps(own.step)
    def step(self: Any, *args: Any, **kwargs: Any) -> Any:
        given = signature.bind(self, *args, **kwargs)
        own_step = functools.partial(_stepped, own.step, given)
        extra = {k: v for k, v in (given.arguments | given.arguments.get("kwargs", {})).items() if k not in _STEP}
        return role.step(given.arguments[_OUTPUT], given.arguments[_SAMPLE], own_step, extra)

    def scale_model_input(self: Any, sample: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return role.scale(sample, functools.partial(own.scale_model_input, self, sample, *args, **kwargs))

    methods: dict[str, Any] = {"set_timesteps": set_timesteps, "step": step}
    methods["__deepcopy__"] = lambda self, memo: plain_copy(self, own)
    if hasattr(own, "scale_model_input"):
        methods["scale_model_input"] = functools.wraps(own.scale_model_input)(scale_model_input)
    if "init_noise_sigma" in state and isinstance(getattr(own, "init_noise_sigma", None), property):
        methods["init_noise_sigma"] = state.pop("init_noise_sigma")
    return disguised(scheduler, methods, {**vars(plain_copy(scheduler)), **state})


_OUTPUT, _SAMPLE = "model_output", "sample"
"""What every scheduler's ``step`` calls the prediction and the sample, wherever among its arguments they are."""
_STEP = frozenset(("self", _OUTPUT, "timestep", _SAMPLE, "kwargs"))
"""Arguments of ``step`` that change from step to step by themselves."""


def _stepped(step: Callable[..., Any], given: inspect.BoundArguments, output: Tensor, sample: Tensor) -> Any:
    """A scheduler's own step, called as the pipeline called it but with this output and sample."""
    arguments = copy.copy(given.arguments)
    given.arguments.update({_OUTPUT: output, _SAMPLE: sample})
    try:
        return step(*given.args, **given.kwargs)
    finally:
        given.arguments.update(arguments)


class Answer(tuple[Tensor, ...]):
    """A step's answer: a tuple, or an object with ``prev_sample``, whichever the pipeline takes it for."""

    @property
    def prev_sample(self) -> Tensor:
        """The next sample."""
        return self[0]

    pred_original_sample = denoised = prev_sample


@dataclass
class Watch:
    """Lets the scheduler work as ever, and keeps the first and the last sample.

    ``cut``: the loop ends after so many steps (0: none is left out); ``grid`` is the scheduler with all of them.
    ``answer``: what a step returns in place of its own, in float32.  ``turns``: steps that were done.
    """

    cut: int = 0
    answer: Tensor | None = None
    grid: Any = None
    extra: dict[str, Any] = field(default_factory=dict)
    first: Tensor | None = None
    last: Tensor | None = None
    turns: int = 0

    def set_timesteps(self, scheduler: Any, own: Callable[..., None], args: Any, kwargs: Any) -> None:
        """As ever, then cut."""
        own(*args, **kwargs)
        self.grid = plain_copy(scheduler, type(scheduler).__mro__[1])
        if self.cut:
            scheduler.timesteps = scheduler.timesteps[: self.cut]

    def scale(self, sample: Tensor, own: Callable[[], Tensor]) -> Tensor:
        """As ever."""
        return own()

    def step(self, output: Tensor, sample: Tensor, own: OwnStep, extra: dict[str, Any]) -> Any:
        """As ever, unless another answer is wanted."""
        self.turns += 1
        self.first = sample if self.first is None else self.first
        self.extra = {k: v for k, v in extra.items() if isinstance(v, (int, float)) and k != "return_dict"}
        answer = own(output, sample)
        self.last = answer[0]
        if self.answer is None:
            return answer
        return _like(answer, self.answer.to(self.last).view_as(self.last))


def _like(answer: Any, sample: Tensor) -> Answer:
    """An answer with as many parts as another."""
    return Answer(sample for _ in range(len(answer) if isinstance(answer, tuple) else 1))


@dataclass
class Exact(Watch):
    """Keeps the samples of a half-precision pipeline in float32 between its steps: only its networks see them rounded.

    ``start``: the first sample, float32.
    """

    start: Tensor | None = None

    def step(self, output: Tensor, sample: Tensor, own: OwnStep, extra: dict[str, Any]) -> Any:
        """As ever, from the sample before it was rounded."""
        self.turns += 1
        known = self.start if self.last is None else self.last
        known = known.view_as(sample) if known is not None and known.numel() == sample.numel() else None
        if known is not None and _rounded(known, sample, output.dtype):
            sample = known
        answer = own(output.float(), sample.float())
        self.last = answer[0]
        return _like(answer, answer[0].to(output.dtype))


@dataclass
class Blend(Watch):
    """Puts what is known of every sample back after each step, but for what is free.

    ``free``: bool, of one sample.  ``known``: samples of all steps, noisiest first.
    """

    free: Tensor | None = None
    known: list[Tensor] = field(default_factory=list)

    def step(self, output: Tensor, sample: Tensor, own: OwnStep, extra: dict[str, Any]) -> Any:
        """As ever, then blended."""
        self.turns += 1
        answer = own(output, sample)
        assert self.free is not None
        outside = self.known[self.turns].to(answer[0])
        self.last = torch.where(self.free, answer[0].view_as(outside), outside).view_as(answer[0])
        return _like(answer, self.last)


def _rounded(exact: Tensor, sample: Tensor, half: torch.dtype) -> bool:
    """Whether a sample is another one in 8 bits: nothing has been done to it in between."""
    room = 4 * torch.finfo(half).eps * exact.abs() + 1e-6
    return bool(((sample.float() - exact).abs() <= room).all())


class Backwards:
    """Asks the pipeline for the model outputs that a :func:`walk` needs.

    The first turn of the loop shows what the pipeline made of ``latents=``; it is not used, so that nothing depends
    on how a pipeline scales them.  ``direct`` leaves it out, where it is known that they come through as they are.
    ``spare``: times at the end of the list that the pipeline's loop leaves out.  ``most``: turns that a loop may have
    (None: any number); where that is not enough, the pipeline is called again until ``found`` is there.
    """

    def __init__(
        self,
        grid: Any,
        response: Response,
        latent: Tensor,
        evaluations: int,
        method: Method,
        spare: int,
        direct: bool,
        most: int | None = None,
    ) -> None:
        self.grid, self.response, self.direct, self.spare, self.most = grid, response, direct, spare, most
        self.left = order(response, evaluations)
        self.steps = list[int]()
        self.walk = walk(response, latent, evaluations, 1e-3, method)
        self.point, self.found = next(self.walk)[0], None
        self.turn, self.lists = 0, list[tuple[Tensor, Tensor]]()

    found: Found | None

    def _begin(self) -> None:
        """The steps of one call's loop."""
        first = 0 if self.direct else 1
        part = len(self.left) if self.most is None else max(1, self.most - first - self.spare)
        now, self.left = self.left[:part], self.left[part:]
        self.steps, self.turn = [*now[:first], *now, *now[-1:] * self.spare], 0
        self.shown = first == 0

    def set_timesteps(self, scheduler: Any, own: Callable[..., None], args: Any, kwargs: Any) -> None:
        """The times of all evaluations, and their noise levels where the scheduler has such."""
        self._begin()
        index, times = torch.tensor(self.steps), self.response.times
        scheduler.timesteps = times[index.to(times.device)]
        scheduler.num_inference_steps = len(self.steps)
        self.lists = [(scheduler.timesteps, torch.cat([times, torch.zeros_like(times[:1])]))]
        sigmas = getattr(self.grid, "sigmas", None)
        if isinstance(sigmas, Tensor) and len(sigmas) > max(self.steps):
            scheduler.sigmas = torch.cat([sigmas[index.to(sigmas.device)], sigmas[:1]])
            self.lists.append((scheduler.sigmas, sigmas))
        self._aim()

    def _aim(self) -> None:
        """Write the end of the step at hand after its beginning, as some pipelines read both."""
        turn, step = self.turn, self.steps[self.turn]
        for places, values in self.lists:
            places[turn : turn + 2] = values[step : step + 2][: len(places) - turn]

    def scale(self, sample: Tensor, own: Callable[[], Tensor]) -> Tensor:
        """By the factor of the step that this evaluation is of."""
        return sample * self.response.scales[self.steps[self.turn]]

    def step(self, output: Tensor, sample: Tensor, own: OwnStep, extra: dict[str, Any]) -> Any:
        """The next point at which a model output is needed."""
        self.turn += 1
        if not self.shown:
            self.direct = torch.equal(sample, self.point.view_as(sample).to(sample.dtype))  # for calls to come
            self.shown = True
        elif self.found is None and self.turn <= len(self.steps) - self.spare:
            try:
                self.point = self.walk.send(self._output(output, sample))[0]
            except StopIteration as end:
                self.found = end.value
        if self.turn < len(self.steps):
            self._aim()
        point = self.point.view_as(sample).to(output.dtype)
        return Answer((point, point)[: 2 if extra.get("return_dict", True) else 1])

    def _output(self, output: Tensor, sample: Tensor) -> Tensor:
        """The model output in float32; a second half of the channels that tells variances is left out."""
        if output.ndim > 1 and output.shape[1] == 2 * sample.shape[1]:
            output = output.chunk(2, 1)[0]
        return output.float().view_as(self.point)
