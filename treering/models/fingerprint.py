"""What tells one model from another: a hash of weights, their configuration and the scheduler."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def of_files(places: Mapping[str, Path], sampler: str = "") -> str:
    """Fingerprint of the folders of a pipeline's parts: all weights, and every setting but the libraries' versions.

    ``sampler``: what else tells it from another model of the same parts.
    """
    digest = hashlib.sha256(sampler.encode())
    for path in (path for part in sorted(places) for path in sorted(places[part].glob("*")) if path.is_file()):
        if path.suffix == ".safetensors":
            with path.open("rb") as file:
                digest.update(_digest(file))
        elif path.suffix == ".json":
            digest.update(_settings(json.loads(path.read_text(encoding="utf-8"))))
    return digest.hexdigest()[:16]


def _digest(file: Any) -> bytes:
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.digest()


def of_parameters(networks: Iterable[Any], scheduler: Any) -> str:
    """Fingerprint of networks that did not come from a folder."""
    digest = hashlib.sha256(_settings(dict(scheduler.config)))
    for network in networks:
        for parameter in network.parameters():
            if parameter.is_meta:  # offloaded: elsewhere, under a name that cannot be asked for
                digest.update(str(tuple(parameter.shape)).encode())
                continue
            digest.update(parameter.detach().float().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def _settings(config: Any) -> bytes:
    if isinstance(config, dict):
        left_out = ("transformers_version", "dtype", "torch_dtype")
        config = {k: v for k, v in config.items() if not k.startswith("_") and k not in left_out}
    return json.dumps(config, sort_keys=True, default=str).encode()
