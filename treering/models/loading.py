"""From a name or a pipeline to a model: built in, a pipeline folder, a hub id, or an object that its user has.

A folder is checked before a library sees it: its files (:mod:`trust`), the numbers of its configurations
(:mod:`bounds`), and whether its weights fit the networks that they ask for (:mod:`headers`).  Stable Diffusion 1 and 2
have a way of their own, which takes a fifth less time on the demo model (``python -m treering.research paths``); every
other pipeline is called by itself (:mod:`adapter`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError, ModelError
from ..settings import AUTO, FLOAT32
from . import bounds, fastest, folders, trust
from .adapter import PipelineModel
from .builtin import BuiltIn
from .hub import fetch, quiet
from .pipeline import DTYPES, LatentModel
from .protocol import Model
from .rectified import PIPELINE, RectifiedFlowModel
from .sentences import first_line, printable
from .shipped import BUILT_IN, DEFAULT
from .twin import twin

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


def load(source: Any = DEFAULT, device: str | None = None, dtype: str | None = None, download: bool = False) -> Model:
    """Load a built-in model, a pipeline folder, or a hub id; or take a diffusers pipeline as it is.

    ``source``: a name, a path, or a pipeline object, which is not changed.  ``device``: ``cpu`` unless given; ``auto``
    is the best there is.  ``dtype``: of :data:`treering.settings.DTYPES`, ``float32`` unless given, or ``auto`` for
    what the machine does fastest, if the model reads a picture as well in it (:mod:`fastest`); its ``chosen`` says
    which that was.  A pipeline object stays where it is and as it is.  Only safetensors are read, and nothing is
    downloaded unless ``download`` is set.  Raises ``ModelError`` with one sentence.
    """
    if not isinstance(source, str | Path):
        return _as_it_is(source, device, dtype)
    dtype = dtype or "float32"
    if dtype not in (*DTYPES, AUTO):
        raise ModelError(f"There is no number type {printable(dtype)!r}: use one of {', '.join(DTYPES)}.")
    device = resolved(device or "cpu")
    name = str(source)
    built_in = BUILT_IN.get(name)
    folder = built_in.folder if built_in else Path(name)
    if not built_in and not (folder / "model_index.json").is_file():
        folder = fetch(name, download)
    with quiet():
        with _told(f"The model {printable(name)} cannot be loaded: "):
            model = _from_folder(name, folder, built_in, DTYPES[FLOAT32 if dtype == AUTO else dtype])
        with _told(f"The model cannot be put on {printable(device)!r}: "):
            if dtype != AUTO:
                return _moved(model, device, dtype)
            moved = _moved(model, device, FLOAT32)
            return _quickest(moved, device, lambda: _from_folder(name, folder, built_in, DTYPES[FLOAT32]))


def _quickest(model: Model, device: str, again: Callable[[], Any]) -> Model:
    """A float32 model in the number type that its device does fastest; as it was (``again``) where that is no good."""
    wanted = fastest.fastest(model.device)
    model.chosen = FLOAT32
    if wanted == FLOAT32 or not isinstance(model, LatentModel):
        return model
    picture = fastest.picture(model.image_size)
    exact = fastest.sample(model, picture)
    model = model.to(device, wanted)
    if not fastest.agrees(fastest.sample(model, picture), exact):
        wanted, model = FLOAT32, again().to(device)
    model.chosen = wanted
    return model


def load_latent_model(
    name: str = DEFAULT, device: str = "cpu", dtype: str = "float32", download: bool = False
) -> LatentModel:
    """As :func:`load`, for what takes a model apart: Stable Diffusion 1 and 2 alone."""
    return taken_apart(load(name, device, dtype, download))


def taken_apart(model: Model) -> LatentModel:
    """A model of Stable Diffusion 1 or 2; raises ``ModelError`` for others."""
    if not isinstance(model, LatentModel):
        raise ModelError(f"The model {printable(model.name)} is neither Stable Diffusion 1 nor 2, as this needs.")
    return model


def resolved(device: str) -> str:
    """A device by its name; ``auto`` is cuda, else mps, else cpu, whichever there is."""
    if device.startswith("meta"):
        raise ModelError("The model cannot be put on 'meta': that device holds no numbers.")
    if device != "auto":
        return device
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _as_it_is(pipe: Any, device: str | None, dtype: str | None) -> Model:
    if isinstance(pipe, LatentModel | PipelineModel):
        return pipe
    if device is not None or dtype is not None:
        raise InputError("A pipeline stays where it is and as it is; move it with its own .to(...) before.")
    if not hasattr(pipe, "components"):
        raise ModelError(f"{printable(type(pipe).__name__)} is not a diffusers pipeline, a folder's name or a hub id.")
    return PipelineModel(twin(pipe))


def _moved(model: Any, device: str, dtype: str) -> Model:
    """On its device; a pipeline was loaded in its number type."""
    if isinstance(model, LatentModel):
        return model.to(device, dtype)
    pipe, name, folder = model
    return PipelineModel(pipe.to(device), name, folder=folder)


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


def _from_folder(name: str, folder: Path, built_in: BuiltIn | None, dtype: torch.dtype) -> Any:
    """A model with a way of its own, or a pipeline with its name and folder."""
    index = trust.read_index(folder)
    if not known(index):
        return folders.load(folder, index, dtype), name, folder
    classes = {part: trust.component(index, part, kind) for part, (kind, _) in KNOWN.items()}
    scheduler = trust.component(index, "scheduler", "scheduler")
    shared = built_in.shared if built_in else {}
    places = {part: trust.check_files(shared.get(part, folder), part) for part in CONFIGS}
    trust.check_beside(folder)
    configs = {part: trust.read_config(places[part] / file) for part, file in CONFIGS.items()}
    bounds.check(configs)
    folders.check_weights({part: (KNOWN[part][0], kind) for part, kind in classes.items()}, places, configs)
    kind = RectifiedFlowModel if index["_class_name"] == PIPELINE else LatentModel
    return kind(
        name,
        folders.network(classes["vae"], places["vae"], low_cpu_mem_usage=False),
        folders.network(classes["unet"], places["unet"], low_cpu_mem_usage=False),
        folders.network(classes["text_encoder"], places["text_encoder"]),
        _tokenizer(classes["tokenizer"], places["tokenizer"], configs["text_encoder"]),
        scheduler.from_pretrained(places["scheduler"], local_files_only=True),
        places,
        built_in.captions if built_in else None,
        built_in.offset if built_in else (0.0, 0.0),
    )


def known(index: dict[str, Any]) -> bool:
    """Whether an index has the parts of Stable Diffusion 1 and 2, and no others that make the picture."""
    named = {part: entry[1] for part, entry in index.items() if isinstance(entry, list) and len(entry) == 2}
    others = {part for part, name in named.items() if name} - {*KNOWN, "scheduler", *folders.LEFT_OUT}
    return not others and all(named.get(part) == name for part, (_, name) in KNOWN.items())


def _tokenizer(kind: Any, place: Path, text: dict[str, Any]) -> Any:
    tokenizer = kind.from_pretrained(place, local_files_only=True)
    if len(tokenizer) > text.get("vocab_size", 49408):
        raise ModelError(f"The tokenizer has {len(tokenizer)} words, more than its text encoder knows.")
    return tokenizer
