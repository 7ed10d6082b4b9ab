"""A latent diffusion model as treering sees it: encode, decode, predict, and a scheduler.

Units live here and nowhere else: a latent is *already scaled and shifted*, as the denoiser sees it.
On a CPU the networks take one picture at a time: two cores gain nothing from a batch, memory stays
flat, and a picture's result cannot depend on its neighbours.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from ..errors import InputError, ModelError, SamplerError
from .demo import WEIGHTS

Denoiser = Callable[[Tensor, float, Tensor], Tensor]
"""``f(x, time, rows)``: model output ``[A, C, h, w]`` for the samples ``rows`` of the batch."""

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_INVERTIBLE = ("DDIMScheduler", "EulerDiscreteScheduler", "FlowMatchEulerDiscreteScheduler")


class LatentModel:
    """A Stable Diffusion pipeline's networks, in evaluation mode, without gradients.

    ``shape``: latent ``(C, h, w)``.  ``image_size``: ``(height, width)`` in pixels.
    """

    def __init__(
        self,
        name: str,
        vae: Any,
        unet: Any,
        text_encoder: Any,
        tokenizer: Any,
        scheduler: Any,
        folder: Path | None = None,
    ) -> None:
        self.name, self._folder = name, folder
        self.vae, self.unet, self.text_encoder = vae, unet, text_encoder
        self.tokenizer, self._scheduler = tokenizer, scheduler
        for network in (vae, unet, text_encoder):
            network.eval().requires_grad_(False)
        self.factor = 2 ** (len(vae.config.block_out_channels) - 1)
        size = unet.config.sample_size
        height, width = (size, size) if isinstance(size, int) else size
        self.shape = (int(unet.config.in_channels), int(height), int(width))
        self.image_size = (int(height) * self.factor, int(width) * self.factor)
        if unet.config.in_channels != vae.config.latent_channels:
            raise ModelError(f"The model {name} edits or upscales pictures; a model that makes them is needed.")

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        device: torch.device = self.vae.device
        return device

    @property
    def weight_bytes(self) -> int:
        """Bytes that the networks take."""
        networks = (self.vae, self.unet, self.text_encoder)
        return sum(t.numel() * t.element_size() for net in networks for t in (*net.parameters(), *net.buffers()))

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with the weights, their configuration or the scheduler.

        Read from the pipeline's folder, if it came from one, when it is first asked for.
        """
        if self._folder is not None:
            return _of_files(self._folder)
        return _of_parameters((self.vae, self.unet, self.text_encoder), self._scheduler)

    def to(self, device: str = "cpu", dtype: str = "float32") -> LatentModel:
        """Move the networks; iterates stay float32."""
        for network in (self.vae, self.unet, self.text_encoder):
            network.to(device=device, dtype=DTYPES[dtype])
            if device == "cpu":
                network.to(memory_format=torch.channels_last)
        return self

    # ------------------------------------------------------------------------------- pictures

    def _one_by_one(self, x: Tensor) -> Iterator[Tensor]:
        """Rows as the networks take them: one at a time on a CPU, all at once elsewhere."""
        rows = 1 if self.device.type == "cpu" else max(len(x), 1)
        return (x[i : i + rows] for i in range(0, len(x), rows))

    def _cast(self, x: Tensor) -> Tensor:
        x = x.to(self.device, self.vae.dtype)
        return x.contiguous(memory_format=torch.channels_last) if x.device.type == "cpu" else x

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Tensor:
        """Posterior mode: pixels ``[B, 3, H, W]`` in [-1, 1] to a latent ``[B, C, h, w]``, float32."""
        modes = [self.vae.encode(self._cast(rows)).latent_dist.mode() for rows in self._one_by_one(pixels)]
        latent = torch.cat(modes).float().contiguous()
        return (latent - self._shift) * float(self.vae.config.scaling_factor)

    @torch.no_grad()
    def decode(self, latent: Tensor) -> Tensor:
        """Latent ``[B, C, h, w]`` to pixels ``[B, 3, H, W]``, float32, not clipped."""
        return torch.cat([self.decode_with_gradient(rows) for rows in self._one_by_one(latent)])

    def decode_with_gradient(self, latent: Tensor) -> Tensor:
        """As :meth:`decode`, all rows at once, for methods that differentiate."""
        scaled = latent / float(self.vae.config.scaling_factor) + self._shift
        pixels: Tensor = self.vae.decode(self._cast(scaled)).sample
        return pixels.float().contiguous()

    @property
    def _shift(self) -> float:
        return float(getattr(self.vae.config, "shift_factor", None) or 0.0)

    # ------------------------------------------------------------------------------- denoiser

    @torch.no_grad()
    def context(self, prompt: str) -> Tensor:
        """Text embedding ``[1, tokens, width]`` of one prompt; raises ``InputError`` if it is not valid Unicode."""
        try:
            prompt.encode()
        except UnicodeEncodeError:
            raise InputError("The prompt is not valid Unicode text.") from None
        ids = self.tokenizer(
            [prompt],
            padding="max_length",
            max_length=self.tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        ).input_ids
        embedding: Tensor = self.text_encoder(ids.to(self.device))[0]
        return embedding

    def denoiser(self, prompts: Sequence[str], guidance: float = 1.0, negative: str = "") -> Denoiser:
        """The model's output under these prompts, one a sample, with classifier-free guidance.

        f = f(negative) + guidance (f(prompt) - f(negative)): Ho and Salimans 2022, eq. (6).
        """
        cache = {text: self.context(text) for text in dict.fromkeys((*prompts, negative))}

        def group(x: Tensor, time: float, texts: Sequence[str]) -> Tensor:
            context = torch.cat([cache[text] for text in texts])
            if guidance == 1.0:
                return self._unet(x, time, context)
            without = cache[negative].expand(len(x), -1, -1)
            plain, prompted = self._unet(torch.cat([x, x]), time, torch.cat([without, context])).chunk(2)
            return plain + guidance * (prompted - plain)

        def f(x: Tensor, time: float, rows: Tensor) -> Tensor:
            parts = zip(self._one_by_one(x), self._one_by_one(rows), strict=True)
            return torch.cat([group(part, time, [prompts[row] for row in chosen.tolist()]) for part, chosen in parts])

        return f

    @torch.no_grad()
    def _unet(self, x: Tensor, time: float, context: Tensor) -> Tensor:
        t = torch.tensor(time, device=self.device)
        output: Tensor = self.unet(self._cast(x), t, encoder_hidden_states=context).sample
        return output.float().contiguous()

    def scheduler(self) -> Any:
        """The model's own scheduler if it can be inverted, else DDIM with the same noise schedule."""
        name, config = type(self._scheduler).__name__, self._scheduler.config
        if name in _INVERTIBLE:
            return self._scheduler
        if config.get("prediction_type", "epsilon") not in ("epsilon", "v_prediction", "sample"):
            raise SamplerError(f"{name} cannot be inverted, and DDIM cannot take its place.")
        from diffusers import DDIMScheduler

        return DDIMScheduler.from_config(self._scheduler.config, clip_sample=False, set_alpha_to_one=False)

    def sampled_words(self, seed: int) -> str | None:
        """A random prompt of the model's own world, if treering knows it (the demo model)."""
        if self.name != "demo":
            return None
        from .demo.scenes import random_caption

        return random_caption(seed)


def load(name: str = "demo", device: str = "cpu", dtype: str = "float32", download: bool = False) -> LatentModel:
    """Load ``demo``, a pipeline folder, or a hub id; only safetensors are read.

    Nothing is downloaded unless ``download`` is set.  Raises ``ModelError`` with one sentence.
    """
    if dtype not in DTYPES:
        raise ModelError(f"There is no number type {dtype!r}: use one of {', '.join(DTYPES)}.")
    if device.startswith("meta"):
        raise ModelError("The model cannot be put on 'meta': that device holds no numbers.")
    folder = WEIGHTS if name == "demo" else Path(name)
    if not (folder / "model_index.json").is_file():
        folder = _from_hub(name, download)
    with quiet():
        model = _from_folder(name, folder)
        try:
            return model.to(device, dtype)
        except (RuntimeError, AssertionError) as error:
            raise ModelError(f"The model cannot be put on {device!r}: {str(error).splitlines()[0]}") from error


def _from_hub(name: str, download: bool) -> Path:
    if name == "demo" or Path(name).exists() or name.startswith((".", "/", "~")) or name.count("/") != 1:
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
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"The model {name} cannot be loaded: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        ) from error


_PARTS = ("vae", "unet", "text_encoder", "tokenizer", "scheduler")


def _of_files(folder: Path) -> str:
    """Fingerprint of a pipeline folder: all weights, and every setting but the libraries' versions."""
    digest = hashlib.sha256()
    for path in sorted(path for part in _PARTS for path in (folder / part).glob("*") if path.is_file()):
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


def _of_parameters(networks: Iterable[Any], scheduler: Any) -> str:
    """Fingerprint of networks that did not come from a folder."""
    digest = hashlib.sha256(_settings(dict(scheduler.config)))
    for network in networks:
        for parameter in network.parameters():
            digest.update(parameter.detach().float().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def _settings(config: Any) -> bytes:
    if isinstance(config, dict):
        left_out = ("transformers_version", "dtype", "torch_dtype")
        config = {k: v for k, v in config.items() if not k.startswith("_") and k not in left_out}
    return json.dumps(config, sort_keys=True, default=str).encode()


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
