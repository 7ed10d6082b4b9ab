"""How a worker makes the detector of a run: from names of files and settings, never from a secret or a network."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..settings import Networks, Reading
from .engines import Recipe
from .engines.worker import Work

if TYPE_CHECKING:
    from ..marks.keyring import Keyring
    from ..models import LatentModel


def recipe(keyring: Path, networks: Networks, reading: Reading, batch: int | None = None) -> Recipe:
    """For a keyring file, a model (``networks.name``; None: the keyring's) and a way of reading."""
    arguments = {
        "keyring": str(keyring.absolute()),
        "networks": dataclasses.asdict(networks),
        "reading": dataclasses.asdict(reading) | {"keys": _plain(reading.keys)},
        "batch": batch,
    }
    return Recipe(f"{__name__}:{make.__name__}", arguments)


def make(keyring: str, networks: dict[str, Any], reading: dict[str, Any], batch: int | None) -> Work:
    """The detector of a worker; raises the errors of the library."""
    from .. import models
    from ..marks.keyring import Keyring
    from ..reading import Detector

    chosen, how = Networks(**networks), Reading(**reading | {"keys": _keys(reading["keys"])})
    ring = Keyring.load(Path(keyring))
    model = models.load(chosen.name or ring.model or models.DEFAULT, chosen.device, chosen.dtype, chosen.download)
    model.tf32 = chosen.tf32
    return Work(
        Detector(model, ring, how),
        settings(ring, model, chosen, how),
        batch or model.batching.rows("detect"),
        ring.image_size,
        how.strict,
    )


def settings(keyring: Keyring, model: LatentModel, networks: Networks, reading: Reading) -> dict[str, Any]:
    """All that a result depends on besides the picture."""
    keys = keyring.as_dict()
    how = dataclasses.asdict(reading) | {"keys": _spans(reading.keys)}
    return {
        "treering": __version__,
        "keyring": {name: keys[name] for name in ("id", "classes", "nonces", "variants", "steps")},
        "model": f"{model.name}:{model.fingerprint}",
        "device": networks.device,
        "dtype": networks.dtype,
        "tf32": networks.tf32,
        **how,
    }


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
