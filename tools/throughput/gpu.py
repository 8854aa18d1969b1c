"""What one large graphics card does: thousands of dialogs with the captioner, against the CPU in the same code."""

from __future__ import annotations

import gymnasium
import torch

from dialog_env.world.dialog import TURNS
from tools.throughput.clock import PeakMemory, fastest
from tools.throughput.dialogs import ENVIRONMENT
from tools.throughput.rows import Figure, Findings, Row
from tools.throughput.workload import Material

WORK = "native vector environment in tensors, the captioner of the updates"
TURNS_A_SECOND, TIMES_THE_CPU = 100_000, 200


def measure(material: Material) -> Findings:
    """Turns a second with the captioner, on the device and, where that is a graphics card, on the CPU too."""
    load, device = material.workload, material.device
    names = (
        f"turns/s on one large GPU, captioner {load.hidden}, {load.gpu_dialogs:,} dialogs",
        f"the same against the CPU in the same code, {load.dialogs:,} dialogs there",
    )
    asked = (f"{TURNS_A_SECOND:,}", f"{TIMES_THE_CPU}x")
    slow = _turns_a_second(material if device == "cpu" else material.on("cpu"), load.dialogs)
    rows = [Row(WORK, load.dialogs, TURNS * load.dialogs / slow, slow, "turns/s", "on the CPU")]
    if torch.device(device).type != "cuda":
        why = "not measured: no graphics card was given (--device cuda)"
        return Findings(rows, [Figure(name, goal, why, None) for name, goal in zip(names, asked, strict=True)], {}, {})
    with PeakMemory(device) as used:
        fast = _turns_a_second(material, load.gpu_dialogs)
    rows.append(Row(WORK, load.gpu_dialogs, TURNS * load.gpu_dialogs / fast, fast, "turns/s", f"on {device}"))
    figures = [
        Figure(names[0], asked[0], f"{fast:,.0f}", fast >= TURNS_A_SECOND),
        Figure(names[1], asked[1], f"{fast / slow:.0f}x", fast >= TIMES_THE_CPU * slow),
    ]
    return Findings(rows, figures, {}, {f"{load.gpu_dialogs:,} dialogs with the captioner": used.peak})


def _turns_a_second(material: Material, dialogs: int) -> float:
    env = gymnasium.make_vec(
        ENVIRONMENT,
        dialogs,
        catalog=material.gallery,
        split="all",
        simulator=material.user,
        output="torch",
        autoreset_mode="SameStep",
        device=material.device,
    )
    generator = torch.Generator(device=material.device).manual_seed(material.workload.seed)
    shape = (TURNS, dialogs)
    actions = torch.randint(material.workload.images, shape, generator=generator, device=material.device)
    material.user.precompute()  # type: ignore[attr-defined]

    def play() -> None:
        for action in actions:
            env.step(action)

    env.reset(seed=0)
    play()
    return TURNS * dialogs / fastest(play, 2, material.device)
