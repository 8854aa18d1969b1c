"""Dialogs of an agent as pictures: one row of images a dialog, and all of them as a film."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image

from dialog_env.agents import Agent
from dialog_env.catalog import Catalog
from dialog_env.evaluate.protocol import introduce
from dialog_env.io.atomic import replacing
from dialog_env.world.dialog import Dialog, first_candidates
from dialog_env.world.rendering import Shown, dialog_row
from dialog_env.world.user import UserSimulator

FRAME_MILLISECONDS = 1400
LAST_MILLISECONDS = 3500
FILM_WIDTH = 1000


def hold_dialogs(
    agent: Agent,
    gallery: Catalog,
    simulator: UserSimulator,
    *,
    dialogs: int,
    seed: int,
    turns: int,
    device: str = "cpu",
) -> tuple[list[int], list[list[Shown]]]:
    """Targets, and what was shown, said and ranked until they were found, in dialogs with targets drawn by `seed`.

    Raises:
        ValueError: more dialogs than images.
    """
    if not 1 <= dialogs <= len(gallery):
        raise ValueError(f"{dialogs} dialogs were asked for; give 1 to {len(gallery)}, one for each image at most")
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randperm(len(gallery), generator=generator)[:dialogs]
    drawn = first_candidates(targets, len(gallery), generator)
    world = Dialog(gallery, simulator, turns=turns, device=device)
    introduce(agent, gallery, simulator)
    observation = world.reset(targets.to(device), world.first_candidates(targets, drawn).to(device))
    memory = agent.begin(dialogs)
    rows: list[list[Shown]] = [[] for _ in range(dialogs)]
    ranks: list[float | None] = [None] * dialogs
    for turn in range(turns + 1):
        sentences = simulator.vocabulary.decode(observation.feedback.cpu().numpy())
        shown = zip(rows, targets.tolist(), observation.candidate.tolist(), sentences, ranks, strict=True)
        for row, target, candidate, sentence, rank in shown:
            if not row or row[-1].candidate != target:
                row.append(Shown(candidate, "" if candidate == target else sentence, rank))
        if turn < turns:
            decision = agent.act(observation, memory)
            memory = decision.memory
            observation, outcome = world.step(decision.ranking, decision.candidates)
            ranks = list(outcome.target_rank.rank().tolist())
    return targets.tolist(), rows


def write_film(gallery: Catalog, targets: Sequence[int], rows: Sequence[Sequence[Shown]], output: Path) -> list[Path]:
    """One PNG a dialog, `dialog-1.png` and so on, and `film.gif`, in which they unfold turn by turn."""
    written, columns = [], _columns(rows)
    for number, (target, row) in enumerate(zip(targets, rows, strict=True), 1):
        written.append(output / f"dialog-{number}.png")
        with replacing(written[-1]) as temporary:
            dialog_row(gallery, row, target, len(row), columns).save(temporary, "PNG", optimize=True)
    written.append(output / "film.gif")
    write_moving(gallery, targets, rows, written[-1])
    return written


def _columns(rows: Sequence[Sequence[Shown]]) -> int:
    return max(len(row) for row in rows) + 1


def write_moving(
    gallery: Catalog, targets: Sequence[int], rows: Sequence[Sequence[Shown]], path: Path, width: int = FILM_WIDTH
) -> None:
    """A GIF in which the dialogs unfold turn by turn, so many pixels wide."""
    frames, lasting, columns = [], [], _columns(rows)
    columns = max(len(row) for row in rows) + 1
    for target, row in zip(targets, rows, strict=True):
        for shown in range(1, len(row) + 1):
            frame = dialog_row(gallery, row[:shown], target, len(row), columns)
            height = round(frame.height * width / frame.width)
            frames.append(frame.resize((width, height), Image.Resampling.LANCZOS))
            lasting.append(LAST_MILLISECONDS if shown == len(row) else FRAME_MILLISECONDS)
    with replacing(path) as temporary:
        frames[0].save(temporary, "GIF", save_all=True, append_images=frames[1:], duration=lasting, loop=0)
