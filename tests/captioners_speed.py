"""How much faster precomputed feedback is than a literal forward pass: `python -m tests.captioners_speed`.

Show, Attend and Tell at the paper's size (2048 channels, 7x7 regions, LSTM 512) with random weights that make every
sentence sixteen words long, the case that stopping early helps least.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from simulators.captioners import PrecomputedCaptioner, import_released, pair_features
from tests.literal_captioner import LiteralCaptioner, random_released

IMAGES, CHANNELS = 64, 2048


def seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def main() -> None:
    generator = torch.Generator().manual_seed(0)
    weights = random_released("show_attend_tell", generator, pooled=CHANNELS, regions=CHANNELS, hidden=512, words=1000)
    regions = torch.relu(torch.randn(IMAGES, 49, CHANNELS, generator=generator))
    pooled = 3 * regions.mean(1)
    literal = LiteralCaptioner(weights, "show_attend_tell")
    captioner = PrecomputedCaptioner(import_released(weights, "show_attend_tell"), pooled, regions)
    print(f"precomputing {IMAGES} images: {seconds(captioner.precompute):.2f} s")
    print(f"memory: {captioner.image_bytes / 1e6:.2f} MB an image, {captioner.table_bytes / 1e6:.2f} MB for the words")
    targets, candidates = torch.randint(IMAGES, (2, 128), generator=generator)
    for size in (128, 1):
        t, c = targets[:size], candidates[:size]

        def plainly(t: torch.Tensor = t, c: torch.Tensor = c) -> torch.Tensor:
            return literal.greedy(pair_features(pooled[t], pooled[c]), pair_features(regions[t], regions[c]))

        def quickly(t: torch.Tensor = t, c: torch.Tensor = c) -> torch.Tensor:
            return captioner.feedback(t, c)

        same = torch.equal(plainly(), quickly())
        slow, fast = [], []
        for _ in range(5):  # in turn, so that other load on the machine meets both
            slow.append(seconds(plainly))
            fast += [seconds(quickly) for _ in range(5)]
        print(
            f"{size} pairs: literal {min(slow) * 1e3:.1f} ms, precomputed {min(fast) * 1e3:.1f} ms, "
            f"{min(slow) / min(fast):.0f} times faster, {'same tokens' if same else 'OTHER TOKENS'} "
            f"({torch.get_num_threads()} threads, best of {len(slow)} and {len(fast)})"
        )


if __name__ == "__main__":
    main()
