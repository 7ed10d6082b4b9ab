"""A pipeline that its user already has, marked: from one line on, every call of it carries the mark.

The pipeline object stays the same; its class becomes one made at run time from its own, of the same name, in which
only the call differs.  Pickling it, copying it deeply, or saving it with ``save_pretrained`` gives the plain pipeline.
"""

from __future__ import annotations

import copyreg
import functools
import inspect
import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from .errors import InputError, ModelError
from .marks import clips
from .marks.keyring import Keyring
from .models.adapter import PipelineModel
from .models.twin import twin

Pipeline = TypeVar("Pipeline")
_MARK = "_treering_mark"
_PER_PROMPT = ("num_images_per_prompt", "num_videos_per_prompt")
_NOT_PROBED = ("prompt", "callback", "generator", "image", "latents", "output_type", "return_dict", "guidance")


def watermarked(pipe: Pipeline, keyring: Keyring, key: int = 0) -> Pipeline:
    """Mark whatever this diffusers pipeline makes from now on with class ``key``; gives the same object.

    Every picture has noise of its own, from the call's ``generator`` if there is one, else from the operating system.
    A call that brings its own ``latents``, whose sampler adds noise, or whose size the keyring is not for, raises
    ``InputError``, ``SamplerError`` or ``ModelError`` and makes nothing.  :func:`plain` undoes it.
    """
    if not 0 <= key < keyring.classes:
        raise InputError(f"The keyring has the classes 0 to {keyring.classes - 1}; there is no class {key}.")
    plain(pipe)
    mark = _Mark(keyring, key, PipelineModel(twin(pipe)))
    vars(pipe)[_MARK] = mark
    kind: Any = type(pipe)
    pipe.__class__ = _marked(kind)
    return pipe


def plain(pipe: Pipeline) -> Pipeline:
    """Undo :func:`watermarked`; a pipeline that is not marked stays as it is."""
    if vars(pipe).pop(_MARK, None) is not None:
        pipe.__class__ = type(pipe).__mro__[1]
    return pipe


@dataclass(frozen=True)
class _Mark:
    """What a marked pipeline carries."""

    keyring: Keyring
    key: int
    model: PipelineModel

    def latents(self, pipe: Any, own: type, call: dict[str, Any]) -> Tensor:
        """Marked noise for one call, in the pipeline's own order; raises where it would be lost."""
        if call.get("latents") is not None:
            raise InputError("This pipeline is watermarked: a call with latents of its own would not carry the mark.")
        self.model.follow(_as(pipe, own))
        probed = _probed(call)
        found = self.model.layout_of_call(probed)
        self.model.plan(found, call.get("num_inference_steps"), probed, True).response.check_keeps()
        noise = torch.cat([self._noise(found.shape, found.size, seed) for seed in _seeds(call)])
        return self.model.latents(noise)

    def _noise(self, shape: tuple[int, ...], size: tuple[int, int], seed: int) -> Tensor:
        """One noise ``[1, *shape]`` of a picture of this size.

        A keyring for one frame marks all frames of a clip, else they count as channels.
        """
        if len(shape) == 4 and (shape[0], *shape[2:]) == tuple(self.keyring.shape):
            return clips.noise(self.keyring, self.key, seed, shape[1])
        flat = (math.prod(shape[:-2]), *shape[-2:])
        if size in self.keyring.sizes and flat == self.keyring.shape_of(size):
            return self.keyring.noise(self.key, seed, size=size).view(1, *shape)
        if flat != tuple(self.keyring.shape):
            ours, theirs = ("x".join(map(str, one)) for one in (self.keyring.shape, flat))
            raise ModelError(f"The keyring is for latents of {ours}, this call of {self.model.name} has {theirs}.")
        return self.keyring.noise(self.key, seed).view(1, *shape)


@functools.lru_cache(maxsize=64)
def _marked(own: type) -> type:
    """A class like ``own``, whose calls carry the object's mark."""
    signature = inspect.signature(own.__call__)

    @functools.wraps(own.__call__)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(self, *args, **kwargs)
        bound.arguments["latents"] = vars(self)[_MARK].latents(self, own, dict(bound.arguments))
        return own.__call__(*bound.args, **bound.kwargs)

    def reduce(self: Any, protocol: Any) -> Any:
        return copyreg._reconstructor, (own, object, None), {k: v for k, v in vars(self).items() if k != _MARK}  # type: ignore[attr-defined]

    methods = {"__call__": call, "__reduce_ex__": reduce, "__copy__": twin}
    return type(own.__name__, (own,), {**methods, "__module__": own.__module__, "__qualname__": own.__qualname__})


def _as(pipe: Any, own: type) -> Any:
    """The pipeline as it is now, of its own class."""
    made: Any = object.__new__(own)
    vars(made).update({k: v for k, v in vars(pipe).items() if k != _MARK})
    return made


def _probed(call: dict[str, Any]) -> dict[str, Any]:
    """What of a call has to do with sizes and steps; embeddings too, where there is no prompt."""
    kept = {k: v for k, v in call.items() if k != "self" and not any(word in k for word in _NOT_PROBED)}
    kept.pop("num_inference_steps", None)
    if call.get("prompt") is None:
        kept |= {k: v[:1] if isinstance(v, Tensor) else v for k, v in call.items() if "prompt" in k and v is not None}
        for name in _PER_PROMPT:
            kept.pop(name, None)
    return {k: v for k, v in kept.items() if v is not None}


def _seeds(call: dict[str, Any]) -> list[int]:
    """A seed for every picture of a call."""
    prompts = call.get("prompt")
    if prompts is None:
        prompts = call.get("prompt_embeds")
    count = 1 if prompts is None or isinstance(prompts, (str, dict)) else len(prompts)
    count *= next((int(call[name]) for name in _PER_PROMPT if call.get(name)), 1)
    sources: Any = call.get("generator")
    if sources is None:
        return [secrets.randbits(62) for _ in range(count)]
    if not isinstance(sources, Sequence):
        sources = [sources] * count
    if len(sources) != count:
        raise InputError(f"There are {len(sources)} generators for {count} pictures.")
    return [int(torch.randint(2**62, (), generator=one, device=one.device)) for one in sources]
