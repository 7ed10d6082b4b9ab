"""What is believed of a stranger's model folder, before any library sees it.

Classes come from a list of the libraries' own kinds, weights from safetensors alone, code from nowhere.  Text is
bounded before it is parsed, numbers before they size anything.  Nothing here loads or builds a network.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import ModelError
from .sentences import first_line, printable

CONFIG_BYTES = 1 << 20
"""Most bytes of a configuration; those of published models take less than 20 kB."""
TEXT_BYTES = 64 << 20
"""Most bytes of any other file that is not weights: vocabularies of published models take up to 35 MB."""
FILES = 10_000
"""Most files of a component."""
LARGEST = 10**7
"""Largest number in a configuration: far above any width, vocabulary or length of a published model."""

UNSAFE = frozenset(
    f".{kind}"
    for kind in ("bin pt pth ckpt pkl pickle joblib dill npy npz msgpack h5 hdf5 onnx pb tflite mar").split()  # noqa: SIM905
)
"""Kinds of weight files that are refused wherever they lie in a component: reading some of them runs code."""
CODE = frozenset((".py", ".pyc", ".so", ".dll", ".dylib", ".pyd"))
ADAPTERS = ("adapter_config.json", "adapter_model.safetensors")
"""Files that a library would add to the networks by itself."""
_REMOTE = ("auto_map", "trust_remote_code", "custom_pipelines", "custom_pipeline")
_ENDLESS = ("lambda_min_clipped",)
"""Settings that schedulers write as minus infinity for no limit."""
_ATTENTION = ("attn_implementation", "_attn_implementation", "_attn_implementation_internal")

KINDS = {
    "scheduler": ("diffusers", ("diffusers.SchedulerMixin",)),
    "network": ("diffusers", ("diffusers.ModelMixin",)),
    "text encoder": ("transformers", ("transformers.PreTrainedModel",)),
    "tokenizer": ("transformers", ("transformers.PreTrainedTokenizerBase",)),
}
"""What a component may be: the library that it must come from, and the classes one of which it must extend."""

OTHERS = {
    "pipeline": ("diffusers", ("diffusers.DiffusionPipeline",)),
    "processor": (
        "transformers",
        ("transformers.ProcessorMixin", "transformers.FeatureExtractionMixin", "transformers.BaseImageProcessor"),
    ),
}
"""The same for what only other families than Stable Diffusion 1 and 2 are asked for."""


# ------------------------------------------------------------------------------------ classes


def own_class(kind: str, name: object) -> type[Any]:
    """The class ``name`` of a kind of ``KINDS``; raises ``ModelError`` for all that is not the library's own.

    A function, a module, an abstract base, a class that the library only imports, or one that stands for a missing
    package is none of these.
    """
    library, bases = {**KINDS, **OTHERS}[kind]
    if not isinstance(name, str) or not name.isidentifier() or name.startswith("_"):
        raise ModelError(f"{printable(name)!r} is not the name of a {kind}.")
    try:
        found = getattr(importlib.import_module(library), name, None)
    except (ImportError, RuntimeError) as error:
        raise ModelError(f"The {kind} {printable(name)} cannot be used: {first_line(error)}") from error
    allowed = tuple(_named(base) for base in bases)
    if not isinstance(found, type) or not issubclass(found, allowed) or found in allowed or not _of(found, library):
        raise ModelError(f"{printable(name)} is not a {kind} of {library}.")
    return found


def _named(name: str) -> type[Any]:
    library, _, attribute = name.rpartition(".")
    found: type[Any] = getattr(importlib.import_module(library), attribute)
    return found


def _of(found: type[Any], library: str) -> bool:
    return found.__module__.split(".")[0] == library


def component(index: dict[str, Any], part: str, kind: str) -> type[Any]:
    """The class that a pipeline's index names for a part, checked by :func:`own_class`."""
    entry = index.get(part)
    if not isinstance(entry, list) or len(entry) != 2:
        raise ModelError(f"model_index.json names no {part}.")
    library, name = entry
    if library != KINDS[kind][0]:
        raise ModelError(f"The {part} is from {printable(library)!r}; only {KINDS[kind][0]}'s own are used.")
    return own_class(kind, name)


def any_component(index: dict[str, Any], part: str) -> tuple[str, type[Any]]:
    """Kind and class that a pipeline's index names for a part of any kind but a pipeline."""
    entry = index.get(part)
    if not isinstance(entry, list) or len(entry) != 2:
        raise ModelError(f"model_index.json names no {printable(part)}.")
    library, name = entry
    libraries = {**KINDS, **OTHERS}
    kinds = [kind for kind, (own, _) in libraries.items() if own == library and kind != "pipeline"]
    if not kinds:
        raise ModelError(f"The {printable(part)} is from {printable(library)!r}; only libraries' own parts are used.")
    for kind in kinds[:-1]:
        with contextlib.suppress(ModelError):
            return kind, own_class(kind, name)
    return kinds[-1], own_class(kinds[-1], name)


def check_part_name(name: str) -> None:
    """Refuse a part whose name leads elsewhere than to a folder of the model's."""
    if not name.isidentifier() or not name.isascii():
        raise ModelError(f"model_index.json names {printable(name)!r}, which is not the name of a part.")


# -------------------------------------------------------------------------------------- files


def check_files(folder: Path, part: str) -> Path:
    """The folder of a component, all of whose files may be opened; raises ``ModelError`` naming the one that may not.

    Refused are weights that are not safetensors, code, adapters, what is not a plain file, links that leave the
    pipeline's folder (but for those of the hub's cache into its own blobs), and texts of more than ``TEXT_BYTES``.
    """
    place = folder / part
    if not place.is_dir():
        raise ModelError(f"It has no folder {part}.")
    for path in _paths(place):
        _check_file(path, folder)
    return place


def check_beside(folder: Path) -> None:
    """Refuse weights that are not safetensors beside the components, and in parts of a pipeline that are not used."""
    for place in (folder, *sorted(path for path in folder.iterdir() if path.is_dir())):
        for path in sorted(place.iterdir()):
            if path.suffix.lower() in UNSAFE and not path.is_dir():
                _check_file(path, folder)


def _paths(place: Path) -> Iterator[Path]:
    """Everything in a folder and below, never through a link to a folder."""
    waiting, seen = [place], 0
    while waiting:
        for path in sorted(waiting.pop().iterdir()):
            seen += 1
            if seen > FILES:
                raise ModelError(f"The folder {printable(place.name)} holds more than {FILES} files.")
            if path.is_dir() and not path.is_symlink():
                waiting.append(path)
            else:
                yield path


def _check_file(path: Path, folder: Path) -> None:
    name = printable(path.relative_to(folder).as_posix())
    if not _inside(path, folder):
        raise ModelError(f"{name} is a link that leaves the model's folder.")
    if not path.is_file():
        raise ModelError(f"{name} is not a plain file.")
    suffix = path.suffix.lower()
    if suffix in UNSAFE:
        raise ModelError(f"{name} is refused, because only weights in .safetensors files are opened; remove it.")
    if suffix in CODE:
        raise ModelError(f"{name} is refused, because a model brings no code of its own; remove it.")
    if path.name in ADAPTERS:
        raise ModelError(f"{name} is refused, because adapters are not loaded; remove it.")
    if suffix != ".safetensors" and path.stat().st_size > TEXT_BYTES:
        raise ModelError(f"{name} has more than {TEXT_BYTES >> 20} MB.")


def _inside(path: Path, folder: Path) -> bool:
    """Whether a file is where it seems to be, or a blob of the hub's cache: .../snapshots/REVISION -> .../blobs."""
    target, home = path.resolve(), folder.resolve()
    if target.is_relative_to(home):
        return True
    return home.parent.name == "snapshots" and target.parent == home.parent.parent / "blobs"


# ---------------------------------------------------------------------------- configurations


def read_config(path: Path, numbers: bool = True) -> dict[str, Any]:
    """A JSON object from a file of at most ``CONFIG_BYTES``, without code of its own; raises ``ModelError``.

    ``numbers``: whether all of them must be finite and at most ``LARGEST``.
    """
    name = printable(f"{path.parent.name}/{path.name}")
    if not path.is_file():
        raise ModelError(f"It has no {name}.")
    if path.stat().st_size > CONFIG_BYTES:
        raise ModelError(f"{name} has more than {CONFIG_BYTES >> 20} MB, which no configuration needs.")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        if numbers:
            _check_numbers(name, config)
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, or nested without end
        raise ModelError(f"{name} is not a JSON file that can be read: {first_line(error)}") from error
    if not isinstance(config, dict):
        raise ModelError(f"{name} is not a JSON object.")
    _check_code(name, config)
    return config


def _check_numbers(name: str, value: Any, key: str = "") -> None:
    if isinstance(value, dict):
        for inner, content in value.items():
            _check_numbers(name, content, inner)
    elif isinstance(value, list):
        for content in value:
            _check_numbers(name, content, key)
    elif key in _ENDLESS and value == -math.inf:
        return
    elif (isinstance(value, float) and not math.isfinite(value)) or (isinstance(value, int) and abs(value) > LARGEST):
        raise ModelError(f"{name}: {printable(key)} is {printable(value)}, which no model needs.")


def _check_code(name: str, config: dict[str, Any]) -> None:
    for key in _REMOTE:
        if config.get(key):
            raise ModelError(f"{name} asks for code of its own ({key}), which is never run.")
    if config.get("quantization_config"):
        raise ModelError(f"{name} is of a quantised model, which cannot be loaded from a folder.")
    if any("/" in str(config.get(key) or "") for key in _ATTENTION):
        raise ModelError(f"{name} asks for code of its own (an attention from elsewhere), which is never run.")


def read_index(folder: Path) -> dict[str, Any]:
    """``model_index.json`` of a pipeline's folder."""
    path = folder / "model_index.json"
    if not _inside(path, folder):
        raise ModelError("model_index.json is a link that leaves the model's folder.")
    index = read_config(path)
    if not isinstance(index.get("_class_name"), str):
        raise ModelError("model_index.json does not say which pipeline of diffusers it is for.")
    return index
