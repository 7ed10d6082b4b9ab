"""Models of the hub, from its local cache or over the network; and the quiet that all libraries are asked for."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

from ..errors import ModelError
from .sentences import printable

FILES = ("model_index.json", "scheduler/*.json", "tokenizer/*.json", "tokenizer/*.txt", "*/config.json")
WEIGHTS = tuple(
    f"{part}*.safetensors{index}"
    for part in ("vae/diffusion_pytorch_model", "unet/diffusion_pytorch_model", "text_encoder/model")
    for index in ("", ".index.json")
)
VARIANTS = ("*.fp16.*", "*.non_ema.*")


def fetch(name: str, download: bool) -> Path:
    """The folder of a hub id such as owner/name; only its configurations and safetensors are ever fetched."""
    if Path(name).exists() or name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise ModelError(f"{printable(name)} is not a Stable Diffusion pipeline folder: it has no model_index.json.")
    from huggingface_hub import snapshot_download

    wanted = [*FILES, *WEIGHTS]
    try:
        return Path(
            snapshot_download(
                name, allow_patterns=wanted, ignore_patterns=list(VARIANTS), local_files_only=not download
            )
        )
    except Exception as error:  # the hub's client raises many kinds, for a missing file, network or id
        hint = "cannot be downloaded" if download else "is not in the local cache; --download fetches it"
        raise ModelError(f"The model {printable(name)} {hint}.") from error


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
