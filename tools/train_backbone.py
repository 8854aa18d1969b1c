"""Trains the feature network: `python -m tools.train_backbone`.

The network learns to name what is drawn (class, colours, material, ..., graded attributes) on shoes of seeds
that the default catalogue does not use. Afterwards batch normalisation is folded into the convolutions, and the pooled
features are centred, partly whitened and scaled to a mean norm of 1.

The shipped weights are the result of this recipe on an earlier state of the drawings: prints were coarser on low shoes,
and studs and rhinestones could lie over them. Training again on today's drawings gives other weights.
"""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from dialog_env.catalog.attributes import AttributeTable
from dialog_env.catalog.synthetic.backbone import (
    POOLED_DIMENSIONS,
    REGION_CHANNELS,
    WEIGHTS,
    DrawnBackbone,
    backbone_fingerprint,
)
from dialog_env.catalog.synthetic.drawing import draw
from dialog_env.catalog.synthetic.grades import attribute_table
from dialog_env.catalog.synthetic.palette import main_colour
from dialog_env.catalog.synthetic.sampling import sample

SPARSITY = 0.3
"""Weight of the mean region feature in the loss; sparse regions make a small catalogue file."""


@dataclass
class Args:
    """How the feature network is trained.

    Args:
        output: where the weights are written.
        images: drawn shoes to learn from.
        held_out: drawn shoes to measure on.
        epochs: passes over the shoes.
        batch: shoes in a batch.
        rate: peak learning rate.
        seed: seed of the training shoes; the held-out ones have the next seed, the initial weights this one.
        whitening: how far the pooled directions are made equally strong, from 0 (not) to 1 (fully).
    """

    output: Path = WEIGHTS
    images: int = 18_000
    held_out: int = 2_000
    epochs: int = 20
    batch: int = 128
    rate: float = 3e-3
    seed: int = 1_000_003
    whitening: float = 0.5


class Heads(nn.Module):
    """Linear read-outs of every attribute, from the pooled features and from the regions."""

    def __init__(self, table: AttributeTable, extras: int) -> None:
        super().__init__()
        self.sizes = [len(values) for values in table.values]
        self.numbers = len(table.graded_names) + extras
        width = sum(self.sizes) + self.numbers
        self.pooled = nn.Linear(POOLED_DIMENSIONS, width)
        self.regions = nn.Linear(2 * REGION_CHANNELS, width)

    def split(self, answers: Tensor) -> tuple[list[Tensor], Tensor]:
        """(B, W) -> logits of each category, and the graded values."""
        *logits, numbers = answers.split([*self.sizes, self.numbers], dim=1)
        return logits, numbers

    def forward(self, pooled: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
        """(B, D), (B, R, C) -> two answers (B, W)."""
        flat = torch.cat([regions.mean(1), regions.amax(1)], dim=1)
        return self.pooled(pooled), self.regions(flat)


def drawn(seed: int, size: int) -> NDArray[np.uint8]:
    """(size, 96, 96, 3) the first shoes of a seed, drawn on every core."""
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        return np.stack(list(tqdm(pool.map(partial(draw, seed), range(size), chunksize=64), "drawing", size)))


def numbers(seed: int, table: AttributeTable) -> Tensor:
    """(N, G + 4) targets to regress: the grades, the exact colour and the volume of each shoe."""
    shoes = [sample(seed, index) for index in range(len(table))]
    extras = np.array([[*(value / 255 for value in main_colour(shoe)), shoe.bulk] for shoe in shoes], np.float32)
    return torch.from_numpy(np.concatenate([table.graded, extras], axis=1))


def loss_of(heads: Heads, answers: Tensor, codes: Tensor, values: Tensor) -> Tensor:
    """Cross-entropy of the categories plus squared error of the numbers."""
    logits, graded = heads.split(answers)
    loss = 25 * (graded - values).square().mean()
    for column, logit in enumerate(logits):
        loss = loss + nn.functional.cross_entropy(logit, codes[:, column])
    return loss


def shifted(images: Tensor, generator: torch.Generator) -> Tensor:
    """The pictures moved by up to three pixels."""
    down, right = torch.randint(-3, 4, (2,), generator=generator).tolist()
    return images.roll((down, right), dims=(1, 2))


def train(args: Args) -> tuple[DrawnBackbone, Heads]:
    """The trained network with batch normalisation, and its read-outs."""
    generator = torch.Generator().manual_seed(args.seed)
    table = attribute_table(args.seed, args.images)
    images = torch.from_numpy(drawn(args.seed, args.images))
    codes, values = torch.from_numpy(table.categorical.astype(np.int64)), numbers(args.seed, table)
    network, heads = DrawnBackbone(normalised=True), Heads(table, 4)
    initialise(network, generator)
    initialise(heads, generator)
    parameters = [*network.parameters(), *heads.parameters()]
    optimiser = torch.optim.AdamW(parameters, args.rate, weight_decay=1e-3)
    steps = args.epochs * (args.images // args.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, args.rate, total_steps=steps, pct_start=0.15)
    progress = tqdm(total=steps, desc="training")
    for _ in range(args.epochs):
        order = torch.randperm(args.images, generator=generator)
        for rows in order[: args.images // args.batch * args.batch].split(args.batch):
            with torch.autocast("cpu", torch.bfloat16):
                pooled, regions = network(shifted(images[rows], generator))
            answers = heads(pooled.float(), regions.float())
            from_pooled, from_regions = (loss_of(heads, answer, codes[rows], values[rows]) for answer in answers)
            loss = from_pooled + 0.4 * from_regions
            loss = loss + SPARSITY * regions.float().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            progress.update()
        progress.set_postfix(loss=f"{loss.item():.3f}")
    return network.eval(), heads.eval()


def initialise(module: nn.Module, generator: torch.Generator) -> None:
    """Fresh weights from a generator: He's for convolutions, small ones for the linear layers."""
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def folded(network: DrawnBackbone) -> DrawnBackbone:
    """The same network without batch normalisation."""
    plain = DrawnBackbone()
    convolutions = [layer for layer in network.convolutions if isinstance(layer, nn.Conv2d)]
    norms = [layer for layer in network.convolutions if isinstance(layer, nn.BatchNorm2d)]
    targets = [layer for layer in plain.convolutions if isinstance(layer, nn.Conv2d)]
    with torch.no_grad():
        for target, convolution, norm in zip(targets, convolutions, norms, strict=True):
            scale = norm.weight / (torch.as_tensor(norm.running_var) + norm.eps).sqrt()
            target.weight.copy_(convolution.weight * scale[:, None, None, None])
            torch.as_tensor(target.bias).copy_(norm.bias - torch.as_tensor(norm.running_mean) * scale)
    plain.squeeze.load_state_dict(network.squeeze.state_dict())
    plain.summary.load_state_dict(network.summary.state_dict())
    return plain.eval()


@torch.no_grad()
def run(network: DrawnBackbone, images: Tensor) -> tuple[Tensor, Tensor]:
    """Pooled (N, D) and region features (N, R, C) of all pictures."""
    parts = [network(part) for part in images.split(256)]
    return torch.cat([pooled for pooled, _ in parts]), torch.cat([regions for _, regions in parts])


@torch.no_grad()
def whiten(network: DrawnBackbone, images: Tensor, strength: float) -> None:
    """Centres the pooled features, evens out their directions and scales their mean norm to 1, in place.

    Scales each principal direction of variance v by v ** (-strength / 2). Directions whose variance is less than a
    thousandth of the largest are noise and are not enlarged beyond that.
    """
    pooled, _ = run(network, images)
    mean = pooled.mean(0)
    variance, directions = torch.linalg.eigh((pooled - mean).T.cov().double())
    scale = variance.clamp_min(variance.max().item() * 1e-3).pow(-strength / 2)
    rotation = ((directions * scale) @ directions.T).float()
    norm = ((pooled - mean) @ rotation).norm(dim=1).mean()
    weight, bias = network.summary.weight, network.summary.bias
    weight.copy_(rotation @ weight / norm)
    bias.copy_(rotation @ (bias - mean) / norm)


@torch.no_grad()
def report(network: DrawnBackbone, heads: Heads, seed: int, images: Tensor) -> None:
    """Prints how well each attribute is read from pictures that were not trained on."""
    table = attribute_table(seed, len(images))
    for source, answers in zip(("pooled", "regions"), heads(*run(network, images)), strict=True):
        logits, graded = heads.split(answers)
        for column, name in enumerate(table.categorical_names):
            right = (logits[column].argmax(1).numpy() == table.categorical[:, column]).mean()
            print(f"{source:8s} {name:24s} accuracy {right:.3f}")
        for column, name in enumerate(table.graded_names):
            truth, guess = table.graded[:, column], graded[:, column].numpy()
            explained = 1 - ((guess - truth) ** 2).mean() / truth.var()
            print(f"{source:8s} {name:24s} R2 {explained:.3f}")


@torch.no_grad()
def report_neighbours(network: DrawnBackbone, seed: int, images: Tensor) -> None:
    """Prints how often the nearest other shoe agrees, and how many directions the pooled features use."""
    table = attribute_table(seed, len(images))
    pooled, regions = run(network, images)
    distance = torch.cdist(pooled, pooled).fill_diagonal_(torch.inf)
    nearest = distance.argmin(1).numpy()
    for column, name in enumerate(table.categorical_names):
        codes = table.categorical[:, column]
        print(f"nearest  {name:24s} agrees {(codes == codes[nearest]).mean():.3f}")
    variance = torch.linalg.eigvalsh(pooled.T.cov())
    print(f"effective dimensions {(variance.sum() ** 2 / variance.square().sum()).item():.1f} of {len(variance)}")
    print(f"mean norm {pooled.norm(dim=1).mean():.3f}, region zeros {(regions == 0).float().mean():.2f}")


def main(args: Args) -> None:
    """Trains, measures on held-out shoes and writes the weights."""
    network, heads = train(args)
    held_out = torch.from_numpy(drawn(args.seed + 1, args.held_out))
    report(network, heads, args.seed + 1, held_out)
    plain = folded(network)
    whiten(plain, held_out, args.whitening)
    plain.half().float()
    report_neighbours(plain, args.seed + 1, held_out)
    beside = args.output.with_name(args.output.name + ".part")
    save_file({name: value.half().contiguous() for name, value in plain.state_dict().items()}, beside)
    os.replace(beside, args.output)
    print(f"wrote {args.output} ({args.output.stat().st_size / 1e6:.2f} MB); to use it,")
    print(f'set FINGERPRINT = "{backbone_fingerprint(args.output)}" in backbone.py')


if __name__ == "__main__":
    main(tyro.cli(Args))
