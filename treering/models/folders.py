"""A pipeline folder of any family, believed no further than one of Stable Diffusion: :mod:`trust`, :mod:`headers`.

The pipeline and all its components are classes of diffusers and transformers, their weights safetensors; which they
are is read from the folder's index, and no family is known here.
"""

from __future__ import annotations

import inspect
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ..errors import ModelError
from . import batching, bounds, headers, trust
from .sentences import printable

CONFIGS = {"scheduler": "scheduler_config.json", "tokenizer": "tokenizer_config.json"}
"""Configuration of a part by its kind; ``config.json`` of the others."""
BASES = {"network": "diffusion_pytorch_model", "text encoder": "model"}
"""Name of the weights of the kinds that have some."""
LEFT_OUT = ("safety_checker", "feature_extractor", "image_encoder", "watermark")
"""Optional parts that pictures are made without."""

Parts = dict[str, tuple[str, Any]]
"""Kind and class by the name of the part."""


def parts_of(index: dict[str, Any], pipeline: type[Any]) -> Parts:
    """Kind and class of every part that an index names; raises ``ModelError`` for what is not the libraries' own."""
    optional = set(getattr(pipeline, "_optional_components", ()))
    named = {name: entry for name, entry in index.items() if isinstance(entry, list) and not name.startswith("_")}
    parts: Parts = {}
    for name, entry in named.items():
        nothing = len(entry) == 2 and entry[1] is None
        if (nothing or name in LEFT_OUT) and name in optional:
            continue
        trust.check_part_name(name)
        parts[name] = trust.any_component(index, name)
    return parts


def load(folder: Path, index: dict[str, Any], dtype: torch.dtype) -> Any:
    """The pipeline in a folder, on the CPU, its networks in this number type; raises ``ModelError``."""
    pipeline = trust.own_class("pipeline", index["_class_name"])
    parts = parts_of(index, pipeline)
    wanted = _arguments(pipeline, parts)
    places = {name: trust.check_files(folder, name) for name in parts}
    trust.check_beside(folder)
    configs = {name: _config(places[name], kind) for name, (kind, _) in parts.items()}
    bounds.check_any(configs)
    check_weights(parts, places, configs, dtype)
    loaded = {name: _part(*parts[name], places[name], dtype) for name in parts}
    settings = {key: value for key, value in index.items() if key in wanted and isinstance(value, bool | int | float)}
    nothing = {name: None for name, needed in wanted.items() if needed and name not in loaded}
    pipe = pipeline(**nothing, **settings, **loaded)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _arguments(pipeline: type[Any], parts: Parts) -> dict[str, bool]:
    """What the pipeline's class takes, and whether it must be given; ``ModelError`` for a part that is missing."""
    takes = dict(list(inspect.signature(pipeline.__init__).parameters.items())[1:])
    optional = {*getattr(pipeline, "_optional_components", ()), *LEFT_OUT}
    needed = {name: one.default is inspect.Parameter.empty for name, one in takes.items()}
    for name, must in needed.items():
        if must and name not in parts and name not in optional:
            raise ModelError(f"model_index.json names no {name}, which a {pipeline.__name__} needs.")
    if unknown := sorted(parts.keys() - takes.keys()):
        raise ModelError(f"model_index.json names {printable(unknown[0])}, which a {pipeline.__name__} does not have.")
    return needed


def _config(place: Path, kind: str) -> dict[str, Any]:
    """A part's configuration; tokenizers write a number without end for no limit, and processors need have none."""
    path = place / CONFIGS.get(kind, "config.json")
    if kind == "processor" and not path.is_file():
        return {}
    return trust.read_config(path, numbers=kind != "tokenizer")


def check_weights(
    parts: Parts, places: dict[str, Path], configs: dict[str, Any], dtype: torch.dtype = torch.float32
) -> None:
    """The networks in outline against the headers of their files, and all of them against the memory there is."""
    numbers = 0
    for name, (kind, own) in parts.items():
        if kind in BASES:
            given = headers.weights(places[name], BASES[kind])
            wanted = headers.outline(partial(built, own, configs[name]), len(given))
            headers.check_fit(name, wanted, given)
            numbers += headers.count(wanted)
    there, needed = batching.host_memory(), dtype.itemsize * numbers
    if there is not None and needed > there:
        raise ModelError(f"it takes {needed / 1e9:.1f} GB of memory, and {there / 1e9:.1f} GB are free")


def built(kind: Any, config: dict[str, Any]) -> Any:
    """A network by its configuration, as its library builds it."""
    if hasattr(kind, "from_config"):
        return kind.from_config(config)
    return kind(kind.config_class.from_dict(config))


def _part(kind: str, own: Any, place: Path, dtype: torch.dtype) -> Any:
    if kind in BASES:
        return network(own, place, dtype)
    return own.from_pretrained(place, local_files_only=True)


def network(kind: Any, place: Path, dtype: torch.dtype = torch.float32, **options: Any) -> Any:
    """A network with its weights; all of them must be there."""
    kept = getattr(kind, "_keep_in_fp32_modules", None) if kind.__module__.startswith("diffusers") else None
    if kept:  # for such networks diffusers needs a further package, which does no more than this
        plain = type(kind.__name__, (kind,), {"_keep_in_fp32_modules": None, "__module__": kind.__module__})
        loaded = _complete(plain, place, torch.float32, **options)
        loaded.__class__ = kind
        return _cast(loaded, dtype, kept)
    return _complete(kind, place, dtype, **options)


def _cast(loaded: Any, dtype: torch.dtype, kept: list[str]) -> Any:
    """All but the parts that are to stay in float32 in another number type."""
    for name, value in (*loaded.named_parameters(), *loaded.named_buffers()):
        if value.is_floating_point() and not set(kept) & set(name.split(".")):
            value.data = value.data.to(dtype)
    return loaded


def _complete(kind: Any, place: Path, dtype: torch.dtype, **options: Any) -> Any:
    loaded, info = kind.from_pretrained(
        place, use_safetensors=True, local_files_only=True, torch_dtype=dtype, output_loading_info=True, **options
    )
    missing = info["missing_keys"] if isinstance(info, dict) else info.missing_keys
    if missing:
        raise ModelError(f"{place.name} lacks the weights of {printable(min(missing))} and {len(missing) - 1} more")
    return loaded.eval().requires_grad_(False)
