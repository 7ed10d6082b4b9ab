"""How a pipeline is called and how it lays out its latents, found out by calling it."""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..errors import ModelError, SamplerError
from .backwards import Watch
from .batching import out_of_memory
from .calling import EMPTY, GUIDANCE, Caller
from .coding import tensor_of, through
from .layout import Layout, Map, NotTheNoise, Shape, candidates, find
from .response import respond, unclipped
from .sentences import first_line
from .twin import Draws, disguised, modules, watched

_PICTURES = frozenset(
    ("image", "images", "mask_image", "control_image", "conditioning_image", "init_image", "video", "control_video")
)
"""Arguments of calls by which pictures come in, to be edited, enlarged or followed."""
_PROBING = (2, 4, 1, 20, None)
"""Numbers of steps to try while probing a layout (None: the pipeline's own); only the first is done."""


class Unfollowed(ModelError):
    """A loop that does not ask the scheduler that the pipeline has."""

    def __init__(self) -> None:
        super().__init__("its loop takes no step with its own scheduler, perhaps with copies of it")


@dataclass
class Seen:
    """What an autoencoder in disguise was asked for, and what it answered."""

    calls: list[tuple[Tensor, tuple[Any, ...], dict[str, Any]]]
    answers: list[Any]


@dataclass
class Plain:
    """A call without ``latents=`` that a pipeline took, and what was seen in it."""

    call: dict[str, Any]
    steps: int | None
    cut: int
    text: str
    idle: bool
    watch: Watch
    decoder: str = ""
    seen: Seen = field(default_factory=lambda: Seen([], []))
    drawn: list[Shape] = field(default_factory=list)


def _lacks_package(problem: BaseException) -> bool:
    """Whether a pipeline failed for a package that its library imports where it is there; then names are missing."""
    cause = problem.__cause__ or problem
    return isinstance(cause, NameError | ImportError) and not isinstance(cause, UnboundLocalError)


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


class Prober:
    """Finds layouts, and what there is to know of a pipeline's calls on the way."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller

    def layout(self, size: tuple[int, int] | None, frames: int | None, call: dict[str, Any]) -> Layout:
        """Send a plain call, then indices, through the pipeline; see ``layout``."""
        said = {name for name in call if name in GUIDANCE or self.caller.schedules(name)}  # probed without and with it
        call = {name: value for name, value in call.items() if name not in said}
        asked = {} if size is None else {"height": size[0], "width": size[1]}
        if frames is not None and self.caller.frames_name:
            asked[self.caller.frames_name] = frames
        plain = self._plain(call | asked)
        asked = asked | {k: v for k, v in plain.call.items() if k in ("height", "width")}
        first, last, name = plain.watch.first, plain.watch.last, plain.decoder
        assert first is not None
        assert last is not None
        decoded, answers = _joined(plain.seen), plain.seen.answers
        clips = self.caller.frames_name is not None
        shape, framewise = _geometry(decoded, clips)
        pixels = torch.cat([tensor_of(answer) for answer in answers]) if framewise else tensor_of(answers[0])
        height, width = int(pixels.shape[-2]), int(pixels.shape[-1])
        count = (
            None
            if not (self.caller.frames_name is not None)
            else int(pixels.shape[0] if framewise else pixels.shape[2])
        )
        z, more, named = plain.seen.calls[0]
        problem: Exception | None = None
        for given in candidates(tuple(first.shape), plain.drawn):
            try:
                head, tail = self._maps(plain, given, framewise)
            except NotTheNoise as error:
                raise ModelError(f"{self.caller.name} cannot be used: {error}.") from error
            except (ModelError, RuntimeError, ValueError, IndexError, TypeError) as error:
                problem = problem or error
                continue
            # frames may be rows of the loop, as those of a batch are: then one sample is all of them
            looped, number = tuple(last.shape[1:] if len(last) == 1 else last.shape), z.dtype
            place = (tuple(decoded.shape), (more, named), number, name, len(last))
            return Layout(shape, given[1:], looped, head, tail, (height, width), count, asked, framewise, *place)
        assert problem is not None
        raise ModelError(
            f"The layout of {self.caller.name}'s latents could not be found: {first_line(problem)}"
        ) from problem

    def _plain(self, call: dict[str, Any]) -> Plain:
        """A call without ``latents=``: what the loop, the autoencoders and the random generator saw.

        A pipeline may refuse an empty prompt, its own size, or a number of steps, and its loop may leave out the last
        time; what it takes is found by trying.  Where nothing goes, its denoiser is left out.
        """
        problem: Exception | None = None
        sizes = [call] if "height" in call else [call, {**call, "height": None, "width": None}]
        tries = itertools.product((False, True), _PROBING, sizes, (1, 2), EMPTY)
        for idle, steps, given, cut, (text, negative) in tries:
            plain = Plain(given, steps, cut, text, idle, Watch(cut=cut))
            self.caller.negative = negative
            try:
                self._try(plain)
            except Exception as error:  # a pipeline may refuse in any way
                if out_of_memory(error):
                    raise
                problem = problem or error
                if _lacks_package(error) or isinstance(error, Unfollowed):
                    problem = error
                    break
                continue
            self.caller.empty, self.caller.spare = text, cut - plain.watch.turns
            self.caller.spoken = True
            self._see_noise(plain.watch)
            return plain
        assert problem is not None
        raise ModelError(self._refusal(call, problem)) from problem

    def _refusal(self, call: dict[str, Any], problem: Exception) -> str:
        """Why no call of this size went through, as a sentence."""
        name, takes = self.caller.name, self.caller.takes
        if _lacks_package(problem):
            return (
                f"{name} needs a Python package that is not installed here: {first_line(problem.__cause__ or problem)}"
            )
        if call.get("height") and self.caller.spoken:
            return f"{name} makes no pictures of {call['width']}x{call['height']}: {first_line(problem)}"
        message, wanted = first_line(problem), sorted(takes & _PICTURES)
        parameters = inspect.signature(type(self.caller.pipe).__call__).parameters
        if any(parameters[one].default is inspect.Parameter.empty or one in message for one in wanted):
            return f"{name} edits or upscales pictures (its call takes {wanted[0]}=); one that makes them is needed."
        beside = f" (its call takes {wanted[0]}= too)" if wanted else ""
        return f"{name} cannot be called with a prompt alone{beside}: {message}"

    def _see_noise(self, watch: Watch) -> None:
        """Keep the reason if the sampler adds noise: some such samplers take few numbers of steps."""
        try:
            respond(watch.grid, self.caller.spare, **watch.extra).check_deterministic()
        except SamplerError as reason:
            self.caller.noisy = reason

    def _try(self, plain: Plain) -> None:
        seen = {name: Seen([], []) for name in self.caller.decoders()}
        parts = {name: _recording(network, seen[name]) for name, network in self.caller.decoders().items()}
        with Draws() as draws, watched(modules(self.caller.pipe), self.caller.memo) as called:
            self._send(plain, plain.watch, None, parts, None)
        if not plain.watch.turns:
            raise Unfollowed
        plain.decoder, plain.drawn = _picture_decoder(seen), draws.shapes
        plain.seen = seen[plain.decoder]
        _joined(plain.seen)
        if self.caller.doubles is None and not plain.idle:
            with watched(modules(self.caller.pipe), self.caller.memo) as single:
                self._send(plain, Watch(cut=plain.cut), None, {}, 1.0)
            loads = [sum(n for name, n in c if name not in parts) for c in (called, single)]
            self.caller.doubles = loads[0] > loads[1]

    def _send(
        self, plain: Plain, watch: Watch, latents: Tensor | None, parts: dict[str, Any], guidance: float | None
    ) -> None:
        """One call as the plain one was, cut short."""
        if plain.idle:
            parts = parts | {
                n: _idle(m) for n, m in modules(self.caller.pipe).items() if n not in parts and _predicts(m)
            }
        scheduler = unclipped(self.caller.pipe.scheduler)
        self.caller.call(scheduler, watch, None, plain.text, plain.steps, guidance, plain.call, latents, **parts)

    def _maps(self, plain: Plain, given: Shape, framewise: bool) -> tuple[Map, Map]:
        first, last = plain.watch.first, plain.watch.last
        assert first is not None
        assert last is not None

        def send(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            watch, seen = Watch(cut=plain.cut, answer=y.to(self.caller.device)), Seen([], [])
            fake = _recording(self.caller.decoders()[plain.decoder], seen, plain.seen.answers)
            self._send(
                plain, watch, x.view(given).to(self.caller.device, self.caller.dtype), {plain.decoder: fake}, 1.0
            )
            if watch.first is None or watch.first.shape != first.shape:
                raise ModelError("the loop does not see what is given as latents=")
            decoded = _joined(seen)
            ordered = decoded.transpose(0, 1) if framewise else decoded
            return watch.first.flatten().float().cpu(), ordered.flatten().float().cpu()

        return find(send, math.prod(given), last.numel(), self.caller.half)


def _recording(network: Any, seen: Seen, answers: Sequence[Any] | None = None) -> Any:
    """An autoencoder that notes what it decodes; with ``answers`` it gives those instead of working."""

    def decode(self: Any, z: Tensor, *args: Any, **kwargs: Any) -> Any:
        seen.calls.append((z, args, kwargs))
        if answers is not None:
            return answers[len(seen.calls) - 1]
        seen.answers.append(through(network, "decode", z, *args, **kwargs))
        return seen.answers[-1]

    return disguised(network, {"decode": decode}, vars(network))


def _picture_decoder(seen: dict[str, Seen]) -> str:
    """The autoencoder that decoded the picture."""
    used = {name: one for name, one in seen.items() if one.calls and one.calls[0][0].ndim in (4, 5)}
    if not used:
        raise ModelError("its autoencoder was not asked to decode anything of a picture's shape")
    return max(used, key=lambda name: (tensor_of(used[name].answers[0]).ndim, tensor_of(used[name].answers[0]).numel()))


def _joined(seen: Seen) -> Tensor:
    if len({z.shape[1:] for z, _, _ in seen.calls}) > 1:
        raise ModelError("its autoencoder is asked for parts of different sizes, which may overlap")
    return torch.cat([z for z, _, _ in seen.calls])


def _geometry(decoded: Tensor, clips: bool) -> tuple[Shape, bool]:
    """Shape of one latent, and whether a clip's frames are decoded as pictures of their own."""
    if decoded.ndim == 5:
        _, channels, frames, height, width = decoded.shape
        return ((channels, frames, height, width) if clips else (channels * frames, height, width)), False
    frames, channels, height, width = decoded.shape
    return ((channels, frames, height, width), True) if clips else ((channels, height, width), False)
