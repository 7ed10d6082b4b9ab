"""From a name to a model: built in, a pipeline folder, or a hub id.

A folder is checked before a library sees it: its files (:mod:`trust`), the numbers of its configurations
(:mod:`bounds`), and whether its weights fit the networks that they ask for (:mod:`headers`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ..errors import ModelError
from . import batching, bounds, headers, trust
from .builtin import BuiltIn
from .hub import fetch, quiet
from .pipeline import DTYPES, LatentModel
from .rectified import PIPELINE, RectifiedFlowModel
from .sentences import first_line, printable
from .shipped import BUILT_IN, DEFAULT

KNOWN = {
    "vae": ("network", "AutoencoderKL"),
    "unet": ("network", "UNet2DConditionModel"),
    "text_encoder": ("text encoder", "CLIPTextModel"),
    "tokenizer": ("tokenizer", "CLIPTokenizer"),
}
"""Kind and class of every part of Stable Diffusion 1 and 2; any scheduler of diffusers will do."""
CONFIGS = {
    "vae": "config.json",
    "unet": "config.json",
    "text_encoder": "config.json",
    "tokenizer": "tokenizer_config.json",
    "scheduler": "scheduler_config.json",
}
BASES = {
    "vae": "diffusion_pytorch_model",
    "unet": "diffusion_pytorch_model",
    "text_encoder": "model",
}
"""Name of the weights in each part."""


def load(name: str = DEFAULT, device: str = "cpu", dtype: str = "float32", download: bool = False) -> LatentModel:
    """Load a built-in model, a pipeline folder, or a hub id; only safetensors are read.

    Nothing is downloaded unless ``download`` is set.  Raises ``ModelError`` with one sentence.
    """
    if dtype not in DTYPES:
        raise ModelError(f"There is no number type {printable(dtype)!r}: use one of {', '.join(DTYPES)}.")
    if device.startswith("meta"):
        raise ModelError("The model cannot be put on 'meta': that device holds no numbers.")
    built_in = BUILT_IN.get(name)
    folder = built_in.folder if built_in else Path(name)
    if not built_in and not (folder / "model_index.json").is_file():
        folder = fetch(name, download)
    with quiet():
        with _told(f"The model {printable(name)} cannot be loaded: "):
            model = _from_folder(name, folder, built_in)
        with _told(f"The model cannot be put on {printable(device)!r}: "):
            return model.to(device, dtype)


@contextlib.contextmanager
def _told(start: str) -> Iterator[None]:
    """Whatever goes wrong within, as one ``ModelError``; what Rust parts of a library raise is no Exception."""
    try:
        yield
    except ModelError as error:
        raise ModelError(str(error) if str(error).startswith("The model ") else f"{start}{error}") from error
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise  # Ctrl-C
        raise ModelError(f"{start}{first_line(error)}") from error


def _from_folder(name: str, folder: Path, built_in: BuiltIn | None) -> LatentModel:
    index = trust.read_index(folder)
    _check_family(name, index)
    classes = {part: trust.component(index, part, kind) for part, (kind, _) in KNOWN.items()}
    scheduler = trust.component(index, "scheduler", "scheduler")
    shared = built_in.shared if built_in else {}
    places = {part: trust.check_files(shared.get(part, folder), part) for part in CONFIGS}
    trust.check_beside(folder)
    configs = {part: trust.read_config(places[part] / file) for part, file in CONFIGS.items()}
    bounds.check(configs)
    _check_weights(classes, places, configs)
    kind = RectifiedFlowModel if index["_class_name"] == PIPELINE else LatentModel
    return kind(
        name,
        _network(classes["vae"], places["vae"], low_cpu_mem_usage=False),
        _network(classes["unet"], places["unet"], low_cpu_mem_usage=False),
        _network(classes["text_encoder"], places["text_encoder"]),
        _tokenizer(classes["tokenizer"], places["tokenizer"], configs["text_encoder"]),
        scheduler.from_pretrained(places["scheduler"], local_files_only=True),
        places,
        built_in.captions if built_in else None,
        built_in.offset if built_in else (0.0, 0.0),
    )


def _check_family(name: str, index: dict[str, Any]) -> None:
    for part, (_, wanted) in KNOWN.items():
        entry = index.get(part)
        if not isinstance(entry, list) or len(entry) != 2 or entry[1] != wanted or "text_encoder_2" in index:
            kind = printable(index["_class_name"])
            raise ModelError(f"The model {printable(name)} is a {kind}; only Stable Diffusion 1 and 2 are known.")


def _check_weights(classes: dict[str, Any], places: dict[str, Path], configs: dict[str, Any]) -> None:
    """The networks in outline against the headers of their files, and all of them against the memory there is."""
    numbers = 0
    for part, base in BASES.items():
        given = headers.weights(places[part], base)
        wanted = headers.outline(partial(_built, classes[part], configs[part]), len(given))
        headers.check_fit(part, wanted, given)
        numbers += headers.count(wanted)
    there = batching.host_memory()
    if there is not None and 4 * numbers > there:
        raise ModelError(f"it takes {4 * numbers / 1e9:.1f} GB of memory, and {there / 1e9:.1f} GB are free")


def _built(kind: Any, config: dict[str, Any]) -> Any:
    """A network by its configuration, as its library builds it."""
    if hasattr(kind, "from_config"):
        return kind.from_config(config)
    return kind(kind.config_class.from_dict(config))


def _network(kind: Any, place: Path, **options: Any) -> Any:
    """A network with its weights, in float32; all of them must be there."""
    network, info = kind.from_pretrained(
        place,
        use_safetensors=True,
        local_files_only=True,
        torch_dtype=torch.float32,
        output_loading_info=True,
        **options,
    )
    missing = info["missing_keys"] if isinstance(info, dict) else info.missing_keys
    if missing:
        raise ModelError(f"{place.name} lacks the weights of {printable(min(missing))} and {len(missing) - 1} more")
    return network


def _tokenizer(kind: Any, place: Path, text: dict[str, Any]) -> Any:
    tokenizer = kind.from_pretrained(place, local_files_only=True)
    if len(tokenizer) > text.get("vocab_size", 49408):
        raise ModelError(f"The tokenizer has {len(tokenizer)} words, more than its text encoder knows.")
    return tokenizer
