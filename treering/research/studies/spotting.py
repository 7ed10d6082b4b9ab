"""Whether marked pictures can be told from unmarked ones without the secret: a small network, trained on pairs.

A pair is one prompt and one seed, marked and unmarked; pairs that are tested were not trained on.  One half means that
nothing is seen.  The network sees pixels at half size; where its answer is near one half for treering and near one for
Tree-Ring's rings, it is not the network that is too weak.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...marks.keyring import Keyring
from ...models import LatentModel
from ...statistics import wilson
from ..common import Note, write_table
from ..pool import Pool

EPOCHS, BATCH, RATE = 12, 16, 1e-3
WIDTHS = (24, 48, 96, 96)
"""Channels of the network's stages, each at half the size of the one before."""

TESTED = 0.25
"""Share of the pairs that is kept for the test."""

SETS = {
    "rings": "Tree-Ring's rings",
    "one": "treering, the same mark in all",
    "nonces": "treering, a nonce for each",
    "apart": "treering, a nonce for each and no synchronisation part",
}
HEADER = ("marks", "pairs trained on", "pairs tested", "right", "95 % interval", "right of the trained ones")


class Block(nn.Module):
    """Two convolutions and a way around them; halves the size."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after))
        self.around = nn.Conv2d(before, after, 1, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, h, w]`` to ``[B, C', h/2, w/2]``."""
        return torch.relu(self.second(self.first(x)) + self.around(x))


def network(size: tuple[int, int]) -> nn.Module:
    """A small residual network (He et al. 2016); the last stage keeps places apart, as a mark has its place."""
    stages, before = [], 3
    for width in WIDTHS:
        stages.append(Block(before, width))
        before = width
    cells = (size[0] >> len(WIDTHS)) * (size[1] >> len(WIDTHS))
    return nn.Sequential(*stages, nn.Flatten(), nn.Dropout(0.2), nn.Linear(before * cells, 1))


def spotting(model: LatentModel, keyring: Keyring, output: Path, count: int, note: Note) -> str:
    """``count`` pairs of each kind of mark, from the pool in ``output``, which grows with it."""
    pool, rows = Pool(model, output, note), []
    for name, told in SETS.items():
        pool.fill(name, count)
        pool.fill("plain", count)
        rows.append([told, *_row(_pairs(pool, name, count))])
        note(" | ".join(rows[-1]))
    return write_table(output / "spotting.md", HEADER, rows)


def _row(pairs: Tensor) -> list[str]:
    kept = max(1, round(TESTED * len(pairs)))
    trained, tested = pairs[:-kept], pairs[-kept:]
    net = train(trained)
    right, seen = rate(net, tested), rate(net, trained)
    low, high = wilson(round(right * 2 * kept), 2 * kept)
    return [str(len(trained)), str(kept), f"{right:.3f}", f"{low:.2f} - {high:.2f}", f"{seen:.3f}"]


def _pairs(pool: Pool, name: str, count: int) -> Tensor:
    """Marked and unmarked pictures at half size, float32 ``[N, 2, 3, H/2, W/2]``."""
    both = [pool.get(one, range(count)) for one in (name, "plain")]
    return torch.stack([torch.stack([_half(a.picture), _half(b.picture)]) for a, b in zip(*both, strict=True)])


def _half(picture: NDArray[np.uint8]) -> Tensor:
    pixels = torch.from_numpy(picture).permute(2, 0, 1).float()[None] / 127.5 - 1
    return nn.functional.avg_pool2d(pixels, 2)[0]


def train(pairs: Tensor, epochs: int = EPOCHS) -> nn.Module:
    """The network after so many rounds; the same for the same pairs."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = network((pairs.shape[-2], pairs.shape[-1]))
        adam = torch.optim.AdamW(net.parameters(), RATE, weight_decay=1e-2)
        steps = epochs * max(1, len(pairs) * 2 // BATCH)
        schedule = torch.optim.lr_scheduler.OneCycleLR(adam, RATE, total_steps=steps + epochs)
        for _ in range(epochs):
            for x, y in _batches(pairs):
                adam.zero_grad()
                nn.functional.binary_cross_entropy_with_logits(net(x)[:, 0], y).backward()  # type: ignore[no-untyped-call]
                adam.step()
                schedule.step()
    return net.eval()


def _batches(pairs: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Whole pairs, so that content says nothing."""
    order = torch.randperm(len(pairs))
    for start in range(0, len(order), BATCH // 2):
        chosen = pairs[order[start : start + BATCH // 2]]
        yield chosen.flatten(0, 1), torch.tensor([1.0, 0.0]).repeat(len(chosen))


@torch.no_grad()
def rate(net: nn.Module, pairs: Tensor) -> float:
    """Share of pictures that are told right."""
    found = torch.cat([net(pair)[:, 0] > 0 for pair in pairs]).view(-1, 2)
    return float((found == torch.tensor([True, False])).float().mean())
