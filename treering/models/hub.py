"""Models of the hub, from its local cache or over the network; and the quiet that all libraries are asked for."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..errors import ModelError
from . import trust
from .sentences import printable

INDEX = "model_index.json"
FILES = ("*.json", "*.txt", "*.model", "*.jinja")
"""Configurations and vocabularies of a part."""
WEIGHTS = ("diffusion_pytorch_model*.safetensors", "model*.safetensors")
VARIANTS = ("*.fp16.*", "*.bf16.*", "*.non_ema.*")


def fetch(name: str, download: bool) -> Path:
    """The folder of a hub id such as owner/name; only configurations and safetensors of its parts are ever fetched."""
    if Path(name).exists() or name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise ModelError(f"{printable(name)} is not a pipeline folder: it has no model_index.json.")
    try:
        folder = _snapshot(name, [INDEX], download)
        return _snapshot(name, wanted(_parts(folder)), download) if download else folder
    except Exception as error:  # the hub's client raises many kinds, for a missing file, network or id
        raise ModelError(f"The model {printable(name)} {_hint(error, download)}.") from error


def _snapshot(name: str, patterns: list[str], download: bool) -> Path:
    from huggingface_hub import snapshot_download

    left_out = list(VARIANTS)
    return Path(
        snapshot_download(name, allow_patterns=patterns, ignore_patterns=left_out, local_files_only=not download)
    )


def _parts(folder: Path) -> list[str]:
    """Names of a pipeline's parts, as its index has them."""
    index = trust.read_index(folder)
    return [name for name, entry in index.items() if isinstance(entry, list) and name.isidentifier()]


def wanted(parts: Iterable[str]) -> list[str]:
    """Patterns of the files that are fetched of these parts."""
    return [INDEX, *(f"{part}/{pattern}" for part in parts for pattern in (*FILES, *WEIGHTS))]


def _hint(error: Exception, download: bool) -> str:
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return "is gated: accept its terms on its page and log in to the hub"
    if isinstance(error, errors.RepositoryNotFoundError):
        return "is not on the hub, or is private"
    return "cannot be downloaded" if download else "is not in the local cache; --download fetches it"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """The libraries' own notices are not for our users."""
    import diffusers
    import transformers

    levels = diffusers.utils.logging.get_verbosity(), transformers.utils.logging.get_verbosity()
    diffusers.utils.logging.set_verbosity_error()
    transformers.utils.logging.set_verbosity_error()
    bars = transformers.utils.logging.is_progress_bar_enabled()
    transformers.utils.logging.disable_progress_bar()
    hub = logging.getLogger("huggingface_hub")
    before = hub.level
    hub.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        diffusers.utils.logging.set_verbosity(levels[0])
        transformers.utils.logging.set_verbosity(levels[1])
        hub.setLevel(before)
        if bars:
            transformers.utils.logging.enable_progress_bar()
