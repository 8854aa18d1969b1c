"""Whether `torch.compile` pays for the captioner, which does not use it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor

from tools.throughput.clock import fastest_in_turn
from tools.throughput.rows import Figure, Findings
from tools.throughput.workload import Material

PAYS = 1.1
"""Times as fast that would be worth compiling, and a compiler on the user's machine."""


def measure(material: Material) -> Findings:
    """Feedback on one pair and on many, with and without a compiled step."""
    load = material.workload
    work, asked = "feedback of the captioner with `torch.compile` against without", f"below {PAYS}x, as it is not used"
    if not load.compiled:
        return Findings([], [Figure(work, asked, "not measured: left out", None)], {}, {})
    captioner = material.user._captioner  # type: ignore[attr-defined]
    plain = captioner.network
    captioner.network = copy.deepcopy(plain)  # what is done to it must not last
    try:
        ratios = {pairs: _ratio(material, captioner.network, pairs) for pairs in (1, load.batch)}
    except RuntimeError as error:  # such as a machine without a C++ compiler
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        return Findings([], [Figure(work, asked, f"not measured: {reason}", None)], {}, {})
    finally:
        captioner.network, captioner._exact = plain, None
    measured = ", ".join(f"{ratio:.2f}x at {pairs} pair{'s' * (pairs > 1)}" for pairs, ratio in ratios.items())
    return Findings([], [Figure(work, asked, measured, max(ratios.values()) < PAYS)], {}, {})


def _ratio(material: Material, network: Any, pairs: int) -> float:
    """Times as fast as without."""
    load, device, user = material.workload, material.device, material.user
    generator = torch.Generator().manual_seed(load.seed)
    targets, candidates = torch.randint(load.images, (2, pairs), generator=generator).to(device)
    plain, step = network.step, torch.compile(network.step, dynamic=True)

    def speak(how: Callable[..., Any]) -> Tensor:
        with _stepping(network, how):
            return user.feedback(targets, candidates, targets)

    if not torch.equal(speak(plain), speak(step)):
        raise RuntimeError(f"the compiled step says something else about {pairs} pairs")
    slow, fast = fastest_in_turn([partial(speak, plain), partial(speak, step)], load.repeats, device, 2 * load.patience)
    return slow / fast


@contextmanager
def _stepping(network: Any, step: Callable[..., Any]) -> Iterator[None]:
    """A network that makes its steps in another way for a while."""
    network.step = step
    try:
        yield
    finally:
        del network.step
