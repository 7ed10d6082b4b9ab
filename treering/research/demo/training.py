"""Training of the demo model: deterministic, on CPU or GPU, resumable from checkpoints.

Every step draws its own random generator from ``(seed, step)``, so that a run that was killed and
resumed computes the same steps as one that was not.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from . import data, networks, words

_log = logging.getLogger(__name__)

Loss = Callable[[int], Tensor]


@dataclass(frozen=True)
class Plan:
    """Numbers of one training run."""

    steps: int
    batch: int
    rate: float
    warmup: int = 200
    ema: float = 0.998
    decay: float = 0.01
    save_every: int = 250
    seed: int = 0


AUTOENCODER = Plan(steps=3000, batch=4, rate=1.2e-3)
REFINEMENT = Plan(steps=2400, batch=4, rate=6e-4, warmup=50, seed=1)
PAIR = Plan(steps=1500, batch=1, rate=4e-4, warmup=50, seed=2)
DIFFUSION = Plan(steps=2200, batch=16, rate=8e-4, ema=0.995)
DIFFUSION_REFINEMENT = Plan(steps=2000, batch=16, rate=6e-4, seed=1)


def device() -> torch.device:
    """A GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def learning_rate(plan: Plan, step: int) -> float:
    """Linear warm-up, then a cosine to 2 % of the peak."""
    if step < plan.warmup:
        return plan.rate * (step + 1) / plan.warmup
    progress = (step - plan.warmup) / max(plan.steps - plan.warmup, 1)
    return plan.rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))


class Run:
    """A module, its optimizer and the running average of its weights, on disk as one safetensors file."""

    def __init__(self, module: nn.Module, plan: Plan, path: Path) -> None:
        self.module, self.plan, self.path = module, plan, path
        self.parameters = dict(module.named_parameters())
        self.optimizer = torch.optim.AdamW(
            self.parameters.values(), lr=plan.rate, betas=(0.9, 0.99), weight_decay=plan.decay
        )
        self.average = {name: p.detach().clone() for name, p in self.parameters.items()}
        self.step = 0
        self.loss = math.nan
        if path.exists():
            self._load()

    def save(self) -> None:
        """Write a checkpoint under a temporary name, then rename it."""
        tensors: dict[str, Tensor] = {}
        for name, p in self.parameters.items():
            state = self.optimizer.state[p]
            tensors |= {
                f"weight.{name}": p.detach().contiguous(),
                f"average.{name}": self.average[name].contiguous(),
                f"first.{name}": state["exp_avg"].contiguous(),
                f"second.{name}": state["exp_avg_sq"].contiguous(),
            }
        temporary = self.path.with_suffix(".part")
        save_file(tensors, str(temporary), {"step": str(self.step), "loss": f"{self.loss:.6f}"})
        temporary.replace(self.path)

    @torch.no_grad()
    def _load(self) -> None:
        with safe_open(str(self.path), "pt") as file:
            self.step = int(file.metadata()["step"])
            for name, p in self.parameters.items():
                p.copy_(file.get_tensor(f"weight.{name}"))
                self.average[name].copy_(file.get_tensor(f"average.{name}"))
                self.optimizer.state[p] = {
                    "step": torch.tensor(float(self.step)),
                    "exp_avg": file.get_tensor(f"first.{name}").to(p.device),
                    "exp_avg_sq": file.get_tensor(f"second.{name}").to(p.device),
                }

    def advance(self, loss: Tensor) -> None:
        """One optimizer step."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.plan, self.step)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.parameters.values(), 1.0)
        self.optimizer.step()
        keep = min(self.plan.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.values()), list(self.parameters.values()), 1 - keep)
        self.step += 1

    def train(self, loss_at: Loss) -> None:
        """All steps that are left; a checkpoint every ``save_every`` of them and at the end."""
        started, first = time.monotonic(), self.step
        recent: list[float] = []
        while self.step < self.plan.steps:
            loss = loss_at(self.step)
            recent.append(float(loss.detach()))
            self.advance(loss)
            if self.step % 50 == 0:
                self.loss = float(np.mean(recent))
                pace = (time.monotonic() - started) / (self.step - first)
                _log.info("step %d of %d, loss %.4f, %.2f s a step", self.step, self.plan.steps, self.loss, pace)
                recent = []
            if self.step % self.plan.save_every == 0 or self.step == self.plan.steps:
                self.save()

    @torch.no_grad()
    def use_average(self) -> None:
        """Put the averaged weights into the module; raises ``RuntimeError`` before the last step."""
        if self.step < self.plan.steps:
            raise RuntimeError(f"{self.path} is at step {self.step} of {self.plan.steps}; train first.")
        for name, p in self.parameters.items():
            p.copy_(self.average[name])
        self.module.eval()


# ------------------------------------------------------------------------------- autoencoder


def to_pixels(pictures: np.ndarray) -> Tensor:
    """uint8 ``[B, H, W, 3]`` to float32 ``[B, 3, H, W]`` in [-1, 1], channels last in memory."""
    return torch.from_numpy(np.array(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def _crops(pictures: np.ndarray, rng: np.random.Generator, count: int, size: int) -> Tensor:
    """Random, randomly mirrored crops ``[count, 3, size, size]``."""
    crops = []
    for _ in range(count):
        row, column = rng.integers(0, pictures.shape[1] - size + 1, 2)
        crop = pictures[rng.integers(len(pictures)), row : row + size, column : column + size]
        crops.append(crop[:, ::-1] if rng.random() < 0.5 else crop)
    return to_pixels(np.stack(crops))


def train_autoencoder(work: Path) -> None:
    """Two runs on crops and then whole pictures, a third that makes encoder and decoder fit each other."""
    torch.manual_seed(AUTOENCODER.seed)
    vae, pictures = _network(networks.autoencoder()), data.pictures(work)
    _train_autoencoder(Run(vae, AUTOENCODER, work / "autoencoder.safetensors"), pictures)
    refinement = Run(vae, REFINEMENT, work / "refinement.safetensors")
    _train_autoencoder(refinement, pictures)
    refinement.use_average()
    _train_pair(Run(vae, PAIR, work / "pair.safetensors"), pictures)


def _network(module: Any) -> Any:
    return module.to(device(), memory_format=torch.channels_last)


def _train_autoencoder(run: Run, pictures: np.ndarray) -> None:
    """Absolute and squared error of crops of 128 pixels, in the last third of whole pictures."""
    vae, plan = run.module, run.plan

    def loss_at(step: int) -> Tensor:
        rng = np.random.default_rng([plan.seed, 1, step])
        whole = step >= plan.steps * 2 // 3
        shape = (max(plan.batch // 4, 1), 256) if whole else (plan.batch, 128)
        pixels = _crops(pictures, rng, *shape).to(device())
        mean = networks.latent_mean(vae, pixels)
        noise = torch.from_numpy(rng.standard_normal(mean.shape, np.float32)).to(mean.device)
        error = networks.reconstruct(vae, mean + math.exp(networks.LOG_VARIANCE / 2) * noise) - pixels
        return error.abs().mean() + 2 * (error**2).mean() + 1e-4 * (mean**2).mean()

    run.train(loss_at)


def _train_pair(run: Run, pictures: np.ndarray) -> None:
    """The same error on whole pictures, and beside it ||E(clip D(z)) - z||^2 on disturbed latents z.

    A denoiser's latents are not the encoder's: where the pair was never trained, it need not be near
    the identity.  Noise on the decoded picture keeps the two from agreeing on invisible detail.
    """
    vae, plan = run.module, run.plan

    def loss_at(step: int) -> Tensor:
        rng = np.random.default_rng([plan.seed, 1, step])
        pixels = _crops(pictures, rng, plan.batch, 256).to(device())
        mean = networks.latent_mean(vae, pixels)
        spread = mean.detach().std((0, 2, 3), keepdim=True)
        noise = torch.from_numpy(rng.standard_normal(mean.shape, np.float32)).to(mean.device)
        disturbed = _disturbed(mean.detach(), spread, rng)
        decoded = networks.reconstruct(vae, torch.cat([mean + math.exp(networks.LOG_VARIANCE / 2) * noise, disturbed]))
        error = decoded[: plan.batch] - pixels
        grain = 0.03 * rng.random() * rng.standard_normal(error.shape, np.float32)
        again = networks.latent_mean(vae, decoded[plan.batch :].clamp(-1, 1) + torch.from_numpy(grain).to(mean.device))
        cycle = (((again - disturbed) / spread) ** 2).mean()
        return error.abs().mean() + 2 * (error**2).mean() + 1e-4 * (mean**2).mean() + 0.03 * cycle

    run.train(loss_at)


def _disturbed(latent: Tensor, spread: Tensor, rng: np.random.Generator) -> Tensor:
    """Latents ``[B, 4, h, w]`` with more or less contrast, white noise and a few bright spots."""
    white, spots = (rng.standard_normal(latent.shape, np.float32) for _ in range(2))
    spots *= rng.random((len(latent), 1, *latent.shape[2:])) < 0.004
    amount, gain = math.exp(rng.uniform(math.log(0.03), math.log(0.5))), rng.uniform(0.7, 1.5)
    added = torch.from_numpy((amount * white + 4 * spots).astype(np.float32)).to(latent.device)
    centre = latent.mean((0, 2, 3), keepdim=True)
    return centre + gain * (latent - centre) + spread * added


@torch.no_grad()
def trained_autoencoder(work: Path) -> nn.Module:
    """The averaged autoencoder, its latent normalised on 256 training pictures."""
    vae = _network(networks.autoencoder())
    Run(vae, PAIR, work / "pair.safetensors").use_average()
    pictures = data.pictures(work)
    batches = [to_pixels(pictures[i : i + 8]).to(device()) for i in range(0, min(256, len(pictures)), 8)]
    latents = torch.cat([networks.latent_mean(vae, batch) for batch in batches])
    networks.normalise(vae, latents.mean((0, 2, 3)), latents.std((0, 2, 3)))
    return vae


# --------------------------------------------------------------------------------- diffusion


@torch.no_grad()
def encode_all(work: Path) -> None:
    """Latents of all pictures, of unit variance: float16 ``[N, 4, 32, 32]`` in ``work/latents.npy``."""
    store_path, weights = work / "latents.npy", work / "pair.safetensors"
    if store_path.exists() and store_path.stat().st_mtime >= weights.stat().st_mtime:
        return
    vae, pictures = trained_autoencoder(work), data.pictures(work)
    store = np.zeros((len(pictures), networks.LATENT_CHANNELS, networks.LATENT_SIZE, networks.LATENT_SIZE), np.float16)
    for i in range(0, len(pictures), 8):
        latent = networks.latent_mean(vae, to_pixels(pictures[i : i + 8]).to(device()))
        store[i : i + 8] = (networks.SCALING_FACTOR * latent).cpu().numpy()
        if i % 1000 == 0:
            _log.info("encoded %d of %d", i, len(pictures))
    np.save(work / "latents.part.npy", store)
    (work / "latents.part.npy").replace(store_path)


def denoiser(work: Path) -> tuple[nn.ModuleDict, words.Tokenizer]:
    """Untrained denoiser and text encoder as one module, and the tokenizer of their captions."""
    tokenizer = words.tokenizer(data.captions(work))
    torch.manual_seed(DIFFUSION.seed)
    text = networks.text_encoder(len(tokenizer), tokenizer.bos_token_id, tokenizer.eos_token_id)
    modules = nn.ModuleDict({"unet": networks.unet(), "text": text})
    return _network(modules), tokenizer


def train_diffusion(work: Path) -> None:
    """Two runs, the second from the averaged weights of the first."""
    modules, tokenizer = denoiser(work)
    first = Run(modules, DIFFUSION, work / "diffusion.safetensors")
    _train_diffusion(first, tokenizer, work)
    first.use_average()
    _train_diffusion(Run(modules, DIFFUSION_REFINEMENT, work / "diffusion-refinement.safetensors"), tokenizer, work)


def _train_diffusion(run: Run, tokenizer: words.Tokenizer, work: Path) -> None:
    """v-prediction on the latents of all scenes; one caption in ten is left out, for guidance."""
    modules: Any
    modules, plan = run.module, run.plan
    latents = np.load(work / "latents.npy", mmap_mode="r")
    tokens, empty = words.tokens(tokenizer, data.captions(work)), words.tokens(tokenizer, [""])
    alphas = networks.scheduler().alphas_cumprod

    def loss_at(step: int) -> Tensor:
        rng = np.random.default_rng([plan.seed, 2, step])
        chosen = rng.integers(len(latents), size=plan.batch)
        clean = torch.from_numpy(latents[chosen].astype(np.float32))
        noise = torch.from_numpy(rng.standard_normal(clean.shape, np.float32))
        quantiles = (np.arange(plan.batch) + rng.random(plan.batch)) / plan.batch  # stratified
        times = torch.from_numpy((quantiles * len(alphas)).astype(np.int64))
        signal = alphas[times].sqrt()[:, None, None, None]
        spread = (1 - alphas[times]).sqrt()[:, None, None, None]
        ids = torch.where(torch.from_numpy(rng.random((plan.batch, 1)) < 0.1), empty, tokens[chosen])
        context = modules["text"](ids.to(device()))[0]
        noisy = (signal * clean + spread * noise).to(device(), memory_format=torch.channels_last)
        velocity = (signal * noise - spread * clean).to(device())
        guess = modules["unet"](noisy, times.to(device()), context).sample
        return ((guess - velocity) ** 2).mean()

    run.train(loss_at)
