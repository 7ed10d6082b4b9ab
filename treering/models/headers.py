"""What weights a component has, from the headers of its safetensors files: nothing is loaded.

Also the outline of a network: its tensors' shapes, built on the device ``meta``, where no numbers are; building ends
as soon as the network has more tensors than its files.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ..errors import ModelError
from . import trust
from .sentences import first_line, printable

Shapes = dict[str, tuple[int, ...]]
"""Shape of every tensor by its name."""

HEADER_BYTES = 25 << 20
TENSORS = 50_000
"""Most tensors of a component; published models have up to 5 000."""
_BYTES = {"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2}
_BYTES |= {"I8": 1, "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1}


def weights(place: Path, base: str) -> Shapes:
    """Shapes in ``base.safetensors``, or in the shards that ``base.safetensors.index.json`` lists."""
    whole, index = place / f"{base}.safetensors", place / f"{base}.safetensors.index.json"
    if whole.is_file():
        return read(whole)
    if not index.is_file():
        raise ModelError(f"{place.name} has no {whole.name}; only weights in .safetensors files are opened.")
    shapes: Shapes = {}
    for name in _shards(index):
        if not (place / name).is_file():
            raise ModelError(f"{place.name} lacks {printable(name)}.")
        shapes |= read(place / name)
    return shapes


def _shards(index: Path) -> list[str]:
    """Names of files beside the index, and of no others."""
    names = trust.read_config(index, numbers=False).get("weight_map")
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise ModelError(f"{index.parent.name}/{index.name} lists no files.")
    for name in names.values():
        if "/" in name or "\\" in name or not name.endswith(".safetensors"):
            raise ModelError(f"{index.parent.name}/{index.name} lists {printable(name)}, which is not opened.")
    return sorted(set(names.values()))


def read(path: Path) -> Shapes:
    """Shapes of a safetensors file (8 bytes of length, a JSON header, the numbers), each within the file's size."""
    name = printable(f"{path.parent.name}/{path.name}")
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, HEADER_BYTES):
            raise ModelError(f"{name} is not a whole safetensors file.")
        text = file.read(length)
    try:
        header = json.loads(text)
        shapes = {key: _shape(entry, size - 8 - length) for key, entry in header.items() if key != "__metadata__"}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ModelError(f"{name} is not a whole safetensors file: {first_line(error)}") from error
    if len(shapes) > TENSORS:
        raise ModelError(f"{name} has more than {TENSORS} tensors.")
    return shapes


def _shape(entry: Any, size: int) -> tuple[int, ...]:
    shape, (begin, end) = tuple(entry["shape"]), entry["data_offsets"]
    if not all(type(side) is int and side >= 0 for side in (*shape, begin, end)):
        raise ValueError("a shape is not of whole numbers")
    if not begin <= end <= size or end - begin != math.prod(shape) * _BYTES[entry["dtype"]]:
        raise ValueError("a tensor does not fit the file")
    return shape


def count(shapes: Shapes) -> int:
    """Numbers in all tensors."""
    return sum(math.prod(shape) for shape in shapes.values())


# -------------------------------------------------------------------------------------- outline


def outline(make: Callable[[], Any], tensors: int) -> Shapes:
    """Shapes of a network that ``make`` builds, without its numbers; ``ModelError`` beyond ``tensors`` of them."""
    with torch.device("meta"), _at_most(tensors):
        network = make()
    shapes: Shapes = {}
    seen = set[int]()
    for name, value in network.state_dict(keep_vars=True).items():
        if id(value) not in seen:  # tied weights have several names, and files hold them once
            shapes[name] = tuple(value.shape)
        seen.add(id(value))
    return shapes


@contextmanager
def _at_most(tensors: int) -> Iterator[None]:
    """End the building of a network with more parameters than ``tensors``, or absurdly many modules."""
    left = {"parameters": tensors + 16, "modules": 32 * tensors + 1000}

    def spend(what: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            left[what] -= 1
            if left[what] < 0:
                raise ModelError(f"its configuration asks for more layers than its {tensors} tensors make")

        return hook

    registered = (
        torch.nn.modules.module.register_module_parameter_registration_hook(spend("parameters")),
        torch.nn.modules.module.register_module_module_registration_hook(spend("modules")),
    )
    try:
        yield
    finally:
        for hook in registered:
            hook.remove()


def check_fit(part: str, wanted: Shapes, given: Shapes) -> None:
    """Raise ``ModelError`` unless the files hold what a network of these shapes needs.

    Names may differ, as libraries rename what older versions wrote; then the numbers must suffice all the same.
    """
    for name in sorted(wanted.keys() & given.keys()):
        if wanted[name] != given[name]:
            raise ModelError(
                f"{part}: {printable(name)} is {list(given[name])}, its configuration says {list(wanted[name])}."
            )
    if count(wanted) > count(given) + 100_000:
        raise ModelError(f"{part}: its configuration asks for {count(wanted)} numbers, its files have {count(given)}.")
