"""Answers and turns a second: the captioner alone, and single, synchronous and native environments."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium
import torch
from gymnasium.vector import AutoresetMode
from torch import Tensor

from dialog_env.catalog import Catalog
from dialog_env.world import ranking
from dialog_env.world.dialog import TURNS
from dialog_env.world.user import UserSimulator
from tools.throughput.clock import REST, PeakMemory, Shares, fastest, fastest_in_turn
from tools.throughput.rows import Figure, Findings, Row
from tools.throughput.workload import Material, Workload, literal

ENVIRONMENT = "DialogRetrieval-v0"
USERS = ("describer", "captioner")
RANKING = [(ranking.Ranking, "target_rank", "ranking"), (ranking.Ranking, "top", "ranking")]


def measure_feedback(material: Material) -> Findings:
    """Answers a second in batches of several sizes, and by a literal forward pass."""
    load, device = material.workload, material.device
    generator = torch.Generator().manual_seed(load.seed)
    _ = material.user
    with PeakMemory(device) as used:
        seconds = fastest(material.user.precompute, 1, device)  # type: ignore[attr-defined]
    rows = [Row("reading the features of all images once", load.images, seconds, load.images / seconds, "images/s")]
    for pairs in load.feedback:
        targets, candidates = torch.randint(load.images, (2, pairs), generator=generator).to(device)
        seconds = fastest(
            partial(material.user.feedback, targets, candidates, targets), load.repeats, device, load.patience
        )
        rows.append(Row("feedback of the captioner", pairs, seconds, pairs / seconds, "pairs/s"))
    slow = literal_call(material)
    alike = [row for row in rows[1:] if row.size == load.batch]
    note = f"{slow / alike[0].seconds:.1f} times the time of the row above for as many" if alike else ""
    rows.append(Row("the same by a literal forward pass", load.batch, slow, load.batch / slow, "pairs/s", note))
    return Findings(rows, [], {}, {"captioner with all images kept, in all": used.peak})


def literal_call(material: Material) -> float:
    """Seconds for `batch` pairs by the literal captioner, from the features."""
    load, device = material.workload, material.device
    captioner = literal("captioner").LiteralCaptioner(
        {name: weight.to(device) for name, weight in material.weights.items()}, "show_attend_tell"
    )
    generator = torch.Generator().manual_seed(load.seed)
    targets, candidates = torch.randint(load.images, (2, load.batch), generator=generator).numpy()
    pooled = [torch.from_numpy(material.gallery.features[each]).to(device) for each in (targets, candidates)]
    regions = [torch.from_numpy(material.gallery.read_regions(each)).to(device) for each in (targets, candidates)]

    def call() -> Tensor:
        pairs = [torch.cat([target, target - candidate], dim=-1) for target, candidate in (pooled, regions)]
        said: Tensor = captioner.greedy(*pairs)
        return said

    return fastest(call, load.literal_calls, device)


def measure_turns(load: Workload, device: str) -> Findings:
    """Turns a second over the default catalogue: single, synchronous and native, with users dear and cheap."""
    found = [_turns_with(user, load, device) for user in USERS]
    return Findings(
        [row for each in found for row in each.rows],
        [each.figures[0] for each in found] + [each.figures[1] for each in found],
        {work: share for each in found for work, share in each.shares.items()},
        {},
    )


def _turns_with(user: str, load: Workload, device: str) -> Findings:
    keywords: dict[str, Any] = {"simulator": user, "device": device}
    single = _Player(gymnasium.make(ENVIRONMENT, **keywords), None)
    _read_all(single.env)
    seconds = fastest(single.play, load.repeats, device, load.patience)
    rows = [Row(f"single environment, {user}", 1, seconds, TURNS / seconds, "turns/s")]
    same_step: dict[str, Any] = {"autoreset_mode": AutoresetMode.SAME_STEP}
    sync = _Player(
        gymnasium.make_vec(ENVIRONMENT, load.dialogs, vectorization_mode="sync", vector_kwargs=same_step, **keywords),
        load.dialogs,
    )
    native = {
        dialogs: _Player(gymnasium.make_vec(ENVIRONMENT, dialogs, **same_step, **keywords), dialogs)
        for dialogs in sorted({1, 16, load.dialogs, load.many_dialogs})
    }
    slow, fast = fastest_in_turn([sync.play, native[load.dialogs].play], load.repeats, device, load.patience)
    rows.append(Row(f"SyncVectorEnv, {user}", load.dialogs, slow, TURNS * load.dialogs / slow, "turns/s"))
    for dialogs, player in native.items():
        seconds = fast if dialogs == load.dialogs else fastest(player.play, load.repeats, device, load.patience)
        rows.append(Row(f"native vector environment, {user}", dialogs, seconds, TURNS * dialogs / seconds, "turns/s"))
    work = f"turns/s, native vector environment of {load.dialogs} against SyncVectorEnv of the same, {user}"
    why = "" if slow >= 20 * fast else _why_missed(native[load.dialogs], single, load, device)
    figure = Figure(work, "20x", f"{slow / fast:.1f}x", slow >= 20 * fast, why)
    player, dialogs = native[load.many_dialogs], load.many_dialogs
    whole, free = fastest_in_turn(
        [player.play, partial(_play_for_nothing, player)], load.repeats, device, 2 * load.patience
    )
    rows.append(Row(f"bookkeeping alone, {user}", dialogs, free, TURNS * dialogs / free, "turns/s"))
    work = f"world and adapter bookkeeping at {dialogs:,} dialogs, {user}"
    shares = turn_shares(player, load.repeats, device)
    share = _bookkeeping(work, free / whole, shares[REST], _share_without_release(player, load.repeats, device))
    return Findings(rows, [figure, share], {f"native vector environment, {user}, {dialogs:,} dialogs": shares}, {})


def _bookkeeping(work: str, alone: float, within: float, keeping: float) -> Figure:
    """The share of a turn that is neither user nor ranking, by both ways to measure it; the larger one counts."""
    measured = f"{100 * within:.1f}% within a turn, {100 * alone:.1f}% where user and ranking cost nothing"
    why = f"within a turn it is {100 * keeping:.1f}% when no ranking gives its memory back"
    return Figure(work, "under 10% of a turn", measured, max(alone, within) < 0.1, why)


def _share_without_release(player: _Player, repeats: int, device: str) -> float:
    """Share of all else in turns whose rankings are kept until the measuring is over."""
    batch = player.env.unwrapped.dialogs
    decide, kept = batch.action.decide, []

    def decide_and_keep(actions: Any) -> tuple[ranking.Ranking, Tensor | None]:
        kept.append(decide(actions))
        return kept[-1]

    batch.action.decide = decide_and_keep
    try:
        return turn_shares(player, repeats, device)[REST]
    finally:
        batch.action.decide = decide


def _why_missed(native: _Player, single: _Player, load: Workload, device: str) -> str:
    """What bounds the ratio: the user's part of a native turn, and what a pair costs alone and among others."""
    told = []
    for player, dialogs in ((native, load.dialogs), (single, 1)):
        turns = TURNS * dialogs
        share = turn_shares(player, load.repeats, device)["simulator"]
        told.append((share, share * fastest(player.play, load.repeats, device, load.patience) / turns))
    (share, among), (_, alone) = told
    return (
        f"the user takes {100 * share:.0f}% of a native turn, {1e6 * among:.0f} µs for a pair among {load.dialogs} and "
        f"{1e6 * alone:.0f} µs for a pair alone, so its answers get only {alone / among:.1f} times cheaper in a batch"
    )


def _read_all(env: Any) -> None:
    """Lets a captioner read all images, which it does once for all environments of a process."""
    precompute = getattr(env.unwrapped.simulator, "precompute", None)
    if precompute is not None:
        precompute()


def turn_shares(player: _Player, repeats: int, device: str) -> dict[str, float]:
    """Share of simulator and ranking in the turns of an environment."""
    parts = [*RANKING, (player.env.unwrapped.simulator, "feedback", "simulator")]
    return Shares(parts, device).of(player.play, repeats)


class _Free(ranking.Ranking):
    """A ranking in which every target is first, at no cost."""

    def __init__(self, images: int, top: Tensor) -> None:
        super().__init__(len(top), images, top.device)
        self._shown = top
        self._target_rank = ranking.TargetRank(torch.zeros_like(top), torch.ones_like(top), images)

    def pieces(self) -> Any:
        raise NotImplementedError

    def exact(self, rows: Tensor, positions: Tensor) -> Tensor:
        raise NotImplementedError

    def target_rank(self, targets: Tensor) -> ranking.TargetRank:
        return self._target_rank

    def top(self, count: int, excluded: Tensor | None = None) -> Tensor:
        return self._shown[:, None]


class _Silent:
    """A user whose answers were prepared."""

    def __init__(self, user: UserSimulator, gallery: Catalog, answers: Tensor) -> None:
        self.id, self.vocabulary = user.id, user.vocabulary
        self.gallery_fingerprint, self.answers = gallery.fingerprint, answers

    def feedback(self, targets: Tensor, candidates: Tensor, previous: Tensor) -> Tensor:
        return self.answers[: len(targets)]


def _play_for_nothing(player: _Player) -> None:
    """The same turns when user and ranking cost nothing; the actions are checked as ever."""
    batch = player.env.unwrapped.dialogs
    decide, user = batch.action.decide, batch.world.simulator
    free = _Free(batch.images, player.env.unwrapped.state.candidate)

    def decide_for_nothing(actions: Any) -> tuple[ranking.Ranking, Tensor | None]:
        return free, decide(actions)[1]

    batch.action.decide = decide_for_nothing
    batch.world.simulator = _Silent(user, batch.gallery, player.env.unwrapped.state.feedback)
    try:
        player.play()
    finally:
        batch.action.decide, batch.world.simulator = decide, user


class _Player:
    """Shows random candidates in B dialogs, or in one of a single environment where `dialogs` is None."""

    def __init__(self, env: Any, dialogs: int | None) -> None:
        self.env, self.dialogs = env, dialogs
        space = env.action_space
        space.seed(0)
        self.actions = [space.sample() for _ in range(TURNS)]
        env.reset(seed=0)
        self.play()

    def play(self) -> None:
        """T turns of every dialog, and the beginning of the next, which a single environment has to be told."""
        for action in self.actions:
            self.env.step(action)
        if self.dialogs is None:
            self.env.reset()
