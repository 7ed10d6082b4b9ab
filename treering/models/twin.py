"""A pipeline's twin: the same networks behind an object of our own, so that the user's pipeline stays as it is.

A diffusers pipeline keeps what it is doing in attributes of itself, and its scheduler counts steps in its own.  So a
pipeline is never called directly here: a *twin* is an object of the same class with the same attributes, in which
single components are *disguised*: objects of a class made at run time from the component's own, so that signatures
and ``isinstance`` answer as before.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ..errors import InputError

_RANDOM = frozenset(("randn", "randn_like", "rand", "rand_like", "normal", "normal_", "uniform_", "bernoulli"))
"""Functions of torch that schedulers and pipelines draw random numbers with."""


def twin(thing: Any, **changes: Any) -> Any:
    """An object of the same class with the same attributes but for ``changes``; nothing is initialised."""
    made: Any = object.__new__(type(thing))
    vars(made).update({**vars(thing), **changes})
    return made


def disguised(thing: Any, methods: Mapping[str, Any], state: Mapping[str, Any]) -> Any:
    """An object of a new class below ``type(thing)`` with these methods and attributes.

    The new class equals the old one: some pipelines compare ``type(...)`` of what they hold.
    """
    own = type(thing)
    alike = {"__eq__": lambda kind, other: other is own or other is kind, "__hash__": lambda kind: hash(own)}
    meta = type("Alike", (type(own),), alike)
    kind = meta(own.__name__, (own,), {**methods, "__module__": own.__module__, "__qualname__": own.__qualname__})
    made: Any = object.__new__(kind)
    vars(made).update(state)
    return made


def plain_copy(thing: Any, own: type | None = None) -> Any:
    """A deep copy by attributes, of class ``own``: what a disguised object would be without its disguise."""
    made: Any = object.__new__(own or type(thing))
    vars(made).update(copy.deepcopy(vars(thing)))
    return made


class Draws(TorchFunctionMode):
    """While entered, notes the shape of everything drawn at random; with a ``value``, every draw is that number."""

    def __init__(self, value: float | None = None) -> None:
        super().__init__()
        self.value, self.shapes = value, list[tuple[int, ...]]()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = func(*args, **(kwargs or {}))
        if getattr(func, "__name__", "") in _RANDOM and isinstance(answer, Tensor):
            self.shapes.append(tuple(answer.shape))
            if self.value is not None:
                answer.fill_(self.value)
        return answer


def modules(pipe: Any) -> dict[str, Any]:
    """The networks among a pipeline's components, by name."""
    return {name: part for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}


@contextlib.contextmanager
def untouched(pipe: Any) -> Iterator[None]:
    """Whatever happens inside, random state, modes, number types and attention processors are as before after it.

    Inside, all networks are in evaluation mode, nothing is differentiated, and random numbers begin anew.
    """
    networks = list(modules(pipe).values())
    training = [part for network in networks for part in network.modules() if part.training]
    types = [(network, getattr(network, "dtype", None)) for network in networks]
    processors = [(network, network.attn_processors) for network in networks if hasattr(network, "attn_processors")]
    for network in networks:
        network.eval()
    with torch.no_grad(), _random_state(pipe.device):
        _seed(pipe.device)
        try:
            yield
        finally:
            for part in training:
                part.training = True
            for network, dtype in types:
                if dtype is not None and network.dtype != dtype:
                    network.to(dtype)
            for network, before in processors:
                if any(now is not before[name] for name, now in network.attn_processors.items()):
                    network.set_attn_processor(dict(before))


def _seed(device: torch.device) -> None:
    """Whatever a pipeline draws itself (noise of a sound, of a condition) is the same in every call."""
    torch.default_generator.manual_seed(0)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(0)


def _random_state(device: torch.device) -> Any:
    if device.type in ("cuda", "xpu"):
        index = torch.accelerator.current_device_index() if device.index is None else device.index
        return torch.random.fork_rng([index], device_type=device.type)
    return torch.random.fork_rng([])


@contextlib.contextmanager
def watched(
    networks: Mapping[str, torch.nn.Module], memo: Memo | None = None, busy: bool = False
) -> Iterator[list[tuple[str, int]]]:
    """Names of those networks that are called inside, with the rows of what they answer.

    Not those that ``memo`` calls; with ``busy``, those alone.

    One hook for all modules of the process, taken away afterwards: the networks' own hooks stay as they are.
    """
    names = {id(network): name for name, network in networks.items()}
    seen = list[tuple[str, int]]()

    def note(module: torch.nn.Module, args: Any, answer: Any) -> None:
        name = names.get(id(module))
        if name is not None and busy == (memo is not None and memo.busy):
            seen.append((name, rows_of(answer)))

    handle = torch.nn.modules.module.register_module_forward_hook(note)
    try:
        yield seen
    finally:
        handle.remove()


def rows_of(answer: Any) -> int:
    """Samples in what a network answers: a tensor, or a tuple, list, dictionary or output object around one."""
    if isinstance(answer, Tensor):
        return len(answer) if answer.ndim else 1
    if isinstance(answer, dict):
        return max((rows_of(part) for part in answer.values() if part is not None), default=1)
    if isinstance(answer, list) and answer and isinstance(answer[0], Tensor):
        return len(answer)
    return rows_of(answer[0]) if isinstance(answer, (tuple, list)) and answer else 1


class Memo:
    """``encode_prompt`` of a pipeline with a memory, so that the same prompts go through the text encoders once."""

    def __init__(self, encode: Callable[..., Any], size: int = 16) -> None:
        self.encode, self.size, self.kept = encode, size, dict[str, Any]()
        self.busy = self.closed = False

    def close(self) -> None:
        """From now on answer from memory alone, and hold no encoder."""
        self.closed = True
        self.encode = _nothing

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What ``encode_prompt`` answers."""
        key = _key((args, sorted(kwargs.items())))
        if key is None or (self.closed and key not in self.kept):
            return self._encode(*args, **kwargs)
        if key not in self.kept:
            answer = self._encode(*args, **kwargs)
            while len(self.kept) >= self.size:
                self.kept.pop(next(iter(self.kept)))
            self.kept[key] = answer
        return _fresh(self.kept[key])

    def _encode(self, *args: Any, **kwargs: Any) -> Any:
        self.busy = True
        try:
            return self.encode(*args, **kwargs)
        finally:
            self.busy = False


def _nothing(*_: Any, **__: Any) -> Any:
    raise InputError("its text encoders have been let go, so only the empty prompt is known")


def husk(network: torch.nn.Module) -> Any:
    """A network in disguise without weights, which still says its configuration, device and number type."""
    dtype, device = (getattr(network, name, None) for name in ("dtype", "device"))
    nothing = torch.nn.Parameter(torch.empty(0, dtype=dtype, device=device), requires_grad=False)
    return disguised(network, {}, {**vars(network), "_parameters": {"husk": nothing}, "_modules": {}, "_buffers": {}})


def _fresh(answer: Any) -> Any:
    """The same tensors in new lists and dictionaries, so that no caller appends to what is kept."""
    if isinstance(answer, list):
        return [_fresh(part) for part in answer]
    return tuple(_fresh(part) for part in answer) if type(answer) is tuple else answer


def _key(value: Any) -> str | None:
    """A text that tells arguments apart, or None where something in them cannot be told apart by text."""
    if value is None or isinstance(value, (str, int, float, torch.dtype, torch.device)):
        return f"{type(value).__name__}:{value!r}"
    if isinstance(value, (list, tuple)):
        parts = [_key(part) for part in value]
        return None if None in parts else f"[{','.join(map(str, parts))}]"
    if isinstance(value, dict):
        return _key(sorted(value.items()))
    return None
