"""What reads the pictures of a run, here or in a worker: made of files' names and settings, in the same way."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import treering
from treering.settings import AUTO, Reading

from .options import ModelChoices, detector
from .searched import Searched

if TYPE_CHECKING:
    from treering.batch import Detect
    from treering.batch.engines import Recipe, Work
    from treering.marks.keyring import Keyring
    from treering.models import Model


def recipe(searched: Searched, reading: Reading, batch: int | None) -> Recipe:
    """How a worker makes the same: the keyrings travel as the names of their files."""
    from treering.batch.engines import Recipe

    arguments = {
        "paths": [str(path.absolute()) for path in searched.paths],
        "models": dataclasses.asdict(searched.models),
        "reading": dataclasses.asdict(reading) | {"keys": _plain(reading.keys)},
        "batch": batch,
    }
    return Recipe(f"{__name__}:{make.__name__}", arguments)


def make(paths: list[str], models: dict[str, Any], reading: dict[str, Any], batch: int | None) -> Work:
    """In a worker; raises the errors of the library."""
    how = Reading(**reading | {"keys": _keys(reading["keys"])})
    choices = ModelChoices(**models | {"names": tuple(models["names"])})
    return work(Searched.load([Path(path) for path in paths], choices, how), how, batch)


def work(searched: Searched, reading: Reading, batch: int | None) -> Work:
    """The detector, with its models loaded, and all that belongs to it."""
    from treering.batch.engines import Work
    from treering.reading.lengths import anything

    read: Detect
    if searched.several:
        read = searched.detectors(reading)
        pairs = [(one.model, one.keyring) for one in read.all]
    else:
        model = searched.model.load(searched.keyring.model)
        ring = searched.keyring
        read, pairs = anything(model, ring, lambda: detector(model, ring, reading), reading), [(model, ring)]
    rows = max(model.batching.rows("detect") for model, _ in pairs)
    return Work(read, _settings(pairs, searched, reading), batch or rows, searched.sizes, reading.strict)


def _settings(pairs: Sequence[tuple[Model, Keyring]], searched: Searched, reading: Reading) -> dict[str, Any]:
    """All that a result depends on besides the picture."""
    how = dataclasses.asdict(reading) | {"keys": _spans(reading.keys)}
    each = [_identity(ring, searched.several) for _, ring in pairs]
    names = [f"{model.name}:{model.fingerprint}" for model, _ in pairs]
    what = [{"keyring": ring, "model": name} for ring, name in zip(each, names, strict=True)]
    several = {"searched": what, "names": list(searched.names)}
    return {
        "treering": treering.__version__,
        **(several if searched.several else what[0]),
        "device": str(pairs[0][0].device) if searched.models.device == "auto" else searched.models.device,
        "dtype": next((model.chosen for model, _ in pairs if searched.models.dtype == AUTO), searched.models.dtype),
        "tf32": searched.models.tf32,
        **how,
    }


def _identity(keyring: Keyring, several: bool) -> dict[str, Any]:
    """What of a keyring decides on results; of one that is searched alone the sizes are told beside it."""
    keys = keyring.as_dict()
    sizes = {"sizes": keys["sizes"]} if several and len(keys.get("sizes", ())) > 1 else {}
    return {name: keys[name] for name in ("id", "classes", "nonces", "variants", "steps")} | sizes


def _spans(keys: Sequence[int] | None) -> str | None:
    if isinstance(keys, range):
        return f"{keys.start}-{keys.stop - 1}"
    return None if keys is None else ",".join(map(str, keys))


def _plain(keys: Sequence[int] | None) -> list[Any] | None:
    if isinstance(keys, range):
        return ["range", keys.start, keys.stop]
    return None if keys is None else ["list", *keys]


def _keys(plain: list[Any] | None) -> Sequence[int] | None:
    if plain is None:
        return None
    kind, *numbers = plain
    return range(*numbers) if kind == "range" else tuple(numbers)
