"""From a name to a model: built in, a pipeline folder, or a hub id; only safetensors are read."""

from __future__ import annotations

import contextlib
import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError

from ..errors import ModelError
from . import demo
from .pipeline import DTYPES, LatentModel


def load(name: str = demo.NAME, device: str = "cpu", dtype: str = "float32", download: bool = False) -> LatentModel:
    """Load ``demo``, a pipeline folder, or a hub id; only safetensors are read.

    Nothing is downloaded unless ``download`` is set.  Raises ``ModelError`` with one sentence.
    """
    if dtype not in DTYPES:
        raise ModelError(f"There is no number type {dtype!r}: use one of {', '.join(DTYPES)}.")
    if device.startswith("meta"):
        raise ModelError("The model cannot be put on 'meta': that device holds no numbers.")
    folder = demo.WEIGHTS if name == demo.NAME else Path(name)
    if not (folder / "model_index.json").is_file():
        folder = _from_hub(name, download)
    with quiet():
        model = _from_folder(name, folder)
        try:
            return model.to(device, dtype)
        except (RuntimeError, AssertionError) as error:
            raise ModelError(f"The model cannot be put on {device!r}: {str(error).splitlines()[0]}") from error


def _from_hub(name: str, download: bool) -> Path:
    if name == demo.NAME or Path(name).exists() or name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise ModelError(f"{name} is not a Stable Diffusion pipeline folder: it has no model_index.json.")
    from huggingface_hub import snapshot_download

    files = ["model_index.json", "scheduler/*.json", "tokenizer/*", "*/config.json"]
    files += ["vae/diffusion_pytorch_model*.safetensors*", "unet/diffusion_pytorch_model*.safetensors*"]
    files += ["text_encoder/model*.safetensors*"]
    variants = ["*.fp16.*", "*.non_ema.*"]
    try:
        return Path(
            snapshot_download(name, allow_patterns=files, ignore_patterns=variants, local_files_only=not download)
        )
    except Exception as error:  # the hub's client raises many kinds, for a missing file, network or id
        hint = "cannot be downloaded" if download else "is not in the local cache; --download fetches it"
        raise ModelError(f"The model {name} {hint}.") from error


def _from_folder(name: str, folder: Path) -> LatentModel:
    import diffusers
    import transformers

    try:
        index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
        scheduler = getattr(diffusers, index["scheduler"][1])
        if (
            index["unet"][1] != "UNet2DConditionModel"
            or index["vae"][1] != "AutoencoderKL"
            or "text_encoder_2" in index
        ):
            raise ModelError(
                f"The model {name} is a {index.get('_class_name')}; only Stable Diffusion 1 and 2 are known."
            )
        options = {"use_safetensors": True, "low_cpu_mem_usage": False, "local_files_only": True}
        return LatentModel(
            name,
            diffusers.AutoencoderKL.from_pretrained(folder / "vae", **options),
            diffusers.UNet2DConditionModel.from_pretrained(folder / "unet", **options),
            transformers.CLIPTextModel.from_pretrained(
                folder / "text_encoder", use_safetensors=True, local_files_only=True
            ),
            transformers.CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True),
            scheduler.from_pretrained(folder / "scheduler", local_files_only=True),
            folder,
            demo.random_caption if name == demo.NAME else None,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"The model {name} cannot be loaded: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        ) from error


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
