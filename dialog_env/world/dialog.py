"""The world: a batch of dialogs, the only place where a turn happens."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cached_property
from typing import Any, cast

import torch
from torch import Tensor

from dialog_env.catalog import Catalog
from dialog_env.io.device import find_device, require_memory, require_same
from dialog_env.io.freed import keep_freed_memory
from dialog_env.io.keywords import checked, checked_count, told
from dialog_env.world.directions import Directions
from dialog_env.world.ranking import EmbeddedGallery, Ranking
from dialog_env.world.state import DialogState, Observation, Outcome
from dialog_env.world.user import UserSimulator, ask, checked_user
from dialog_env.world.vocabulary import MAX_WORDS

TURNS = 5
MOST_TURNS = 1_000_000


class Dialog:
    """B dialogs over one gallery with one user simulator, advanced together.

    The present state is replaced as a whole when everything about a turn is known, the answer of the user included:
    whatever interrupts a turn leaves the one before. `begun`, `after` and `shown` tell the state that would follow one
    that is given, and replace nothing.

    Args:
        gallery: the images that can be shown.
        simulator: the user; built for the same gallery.
        turns: T, answers of the system in a dialog.
        stop_when_found: ends a dialog when its target is shown; otherwise it always takes T turns.
        device: where all tensors live.

    Raises:
        ValueError: an argument of another type, a simulator of another gallery or on another device, fewer than one
            turn, a device that is not there or has too little memory for the features.
    """

    def __init__(
        self,
        gallery: Catalog,
        simulator: UserSimulator,
        *,
        turns: int = TURNS,
        stop_when_found: bool = False,
        device: str | torch.device = "cpu",
    ) -> None:
        given = checked(
            Dialog,
            gallery=gallery,
            turns=turns,
            stop_when_found=stop_when_found,
            device=device,
        )
        checked_user(simulator)
        if simulator.gallery_fingerprint != gallery.fingerprint:
            raise ValueError(
                f"simulator {simulator.id} was built for gallery {simulator.gallery_fingerprint}, not for "
                f"{gallery.fingerprint} ({gallery!r}); build it with this gallery"
            )
        self.gallery = gallery
        self.simulator = simulator
        self.turns = checked_count("turns", given["turns"], most=MOST_TURNS)
        self.stop_when_found: bool = given["stop_when_found"]
        self.device = find_device(device)
        theirs = _device_of(simulator, self.device)
        if theirs.type != self.device.type or theirs.index not in (None, self.device.index):
            raise ValueError(
                f"simulator {simulator.id} is on {theirs} and the dialogs are to be held on {self.device}; "
                "build both with the same device="
            )
        keep_freed_memory()
        self.features = features_on(gallery, self.device)
        self._state: DialogState | None = None

    @cached_property
    def embedded(self) -> EmbeddedGallery:
        """The gallery's pooled features, ready to be searched."""
        return EmbeddedGallery(self.features)

    @cached_property
    def directions(self) -> Directions:
        """All main directions of the catalogue's split `train`, whatever the gallery; its own where there is none.

        So what was learned along them in one split means the same in another.
        """
        known = self.gallery.split("train") if "train" in self.gallery.splits else self.gallery
        return Directions.of(features_on(known, self.device), known.dimensions)

    @cached_property
    def feature_bound(self) -> float:
        """1 where all pooled features lie in [-1, 1], as in catalogues built here, else the largest absolute one."""
        return max(1.0, float(self.features.max()), -float(self.features.min()))

    @property
    def state(self) -> DialogState:
        """The present state; RuntimeError before the first reset."""
        if self._state is None:
            raise RuntimeError("the dialog has not begun; call reset first")
        return self._state

    def snapshot(self) -> DialogState:
        """The present state, to come back to with `restore`; nothing in it changes afterwards."""
        return self.state

    def restore(self, state: DialogState) -> Observation:
        """Goes back to a snapshot, or to a selection of its rows."""
        observation = self.observed(state)
        self._state = state
        return observation

    def observation(self) -> Observation:
        """What the agent may know now."""
        return self.observed(self.state)

    def observed(self, state: DialogState) -> Observation:
        """What the agent may know of a state, in tensors of its own: what is written into them reaches no dialog."""
        return Observation(
            state.candidate.clone(),
            self.features.index_select(0, state.candidate),
            state.feedback.clone(),
            state.turn.clone(),
        )

    def over(self) -> Tensor:
        """(B,) bool, dialogs that have ended."""
        return self._over(self.state)

    def _over(self, state: DialogState) -> Tensor:
        over = state.turn >= self.turns
        return over | state.found if self.stop_when_found else over

    def draw(self, generator: torch.Generator, batch: int) -> tuple[Tensor, Tensor]:
        """Targets (B,), uniform, and first candidates (B,), none its own target.

        Raises:
            ValueError: a gallery of one image, in which there is nothing to look for.
        """
        images = len(self.gallery)
        if images < 2:
            raise ValueError("the gallery has one image only; a dialog needs at least two")
        targets = torch.randint(images, (batch,), generator=generator)
        drawn = first_candidates(targets, images, generator)
        return targets.to(self.device), self.first_candidates(targets, drawn).to(self.device)

    def first_candidates(self, targets: Tensor, drawn: Tensor) -> Tensor:
        """(B,) int64, the images that dialogs begin with: what the user makes of those that were drawn.

        Args:
            targets: (B,) int64.
            drawn: (B,) int64, uniform and none its own target.

        Raises:
            ValueError: the user chose images that cannot be used.
        """
        chooses = getattr(self.simulator, "first_candidates", None)
        if chooses is None:
            return drawn
        targets = targets.to(self.device)
        chosen = chooses(targets, drawn.to(self.device))
        self._check_positions(chosen, f"first candidates of user {self.simulator.id}", len(targets))
        if bool((chosen == targets).any()):
            raise ValueError(f"user {self.simulator.id} begins with the target itself; it must choose another image")
        return cast(Tensor, chosen).to(drawn.device)

    def reset(self, targets: Tensor, candidates: Tensor, where: Tensor | None = None) -> Observation:
        """Begins dialogs: the candidates are shown and the user answers.

        Args:
            targets: (B,) int64.
            candidates: (B,) int64, the first images shown.
            where: (B,) bool, the dialogs to begin; the others go on. All where None.

        Raises:
            ValueError: positions outside the gallery.
        """
        return self.restore(self.begun(targets, candidates, where, self._state))

    def begun(
        self, targets: Tensor, candidates: Tensor, where: Tensor | None = None, before: DialogState | None = None
    ) -> DialogState:
        """The state after `reset`, where `before` is the state of the dialogs that go on."""
        before = None if where is None else before
        self._check_positions(targets, "targets", None if before is None else len(before.target))
        self._check_positions(candidates, "first candidates", len(targets))
        state = DialogState(
            target=targets.clone(),
            candidate=candidates.clone(),
            previous=torch.full_like(targets, -1),
            feedback=torch.zeros(len(targets), MAX_WORDS, dtype=torch.int64, device=self.device),
            turn=torch.zeros_like(targets),
            found=candidates == targets,
        )
        if before is not None and where is not None:
            merged = {}
            for field in fields(DialogState):
                new, kept = getattr(state, field.name), getattr(before, field.name)
                merged[field.name] = torch.where(where[:, None] if new.ndim == 2 else where, new, kept)
            state = DialogState(**merged)
        return self._answered(state, where)

    def step(self, ranking: Ranking, candidates: Tensor | None = None) -> tuple[Observation, Outcome]:
        """One turn of every dialog: the system's ranking is judged, its candidate shown, the user answers.

        A dialog that is over stays as it is. After the last turn nobody is asked: the feedback is all 0.

        Args:
            ranking: the agent's order of the gallery, of batch B.
            candidates: (B,) int64, the images to show; the first of the ranking where None.

        Raises:
            ValueError: a ranking of another batch, gallery or device, or candidates outside the gallery.
        """
        state, outcome = self.after(self.state, ranking, candidates)
        return self.restore(state), outcome

    def after(
        self, state: DialogState, ranking: Ranking, candidates: Tensor | None = None
    ) -> tuple[DialogState, Outcome]:
        """The state after `step`, and what the turn did."""
        self.check(state, ranking, candidates)
        target_rank = ranking.target_rank(state.target)
        following = self._following(state, ranking.top(1)[:, 0] if candidates is None else candidates)
        return following, Outcome(target_rank, ~self._over(state) & self._over(following), following.found)

    def check(self, state: DialogState, ranking: Ranking, candidates: Tensor | None) -> None:
        """ValueError for a ranking or candidates that do not fit the dialogs or the gallery."""
        if ranking.batch != len(state.target) or ranking.images != len(self.gallery):
            raise ValueError(
                f"a ranking of {ranking.images} images for {ranking.batch} dialogs was given; this world has "
                f"{len(self.gallery)} images and {len(state.target)} dialogs"
            )
        require_same(self.device, rankings=ranking.device)
        if candidates is not None:
            self._check_positions(candidates, "candidates", len(state.target))

    def show(self, candidates: Tensor) -> Observation:
        """The part of a turn that follows the ranking: the candidates are shown and the user answers.

        Args:
            candidates: (B,) int64.

        Raises:
            ValueError: candidates outside the gallery.
        """
        return self.restore(self.shown(self.state, candidates))

    def shown(self, state: DialogState, candidates: Tensor) -> DialogState:
        """The state after `show`."""
        self._check_positions(candidates, "candidates", len(state.target))
        return self._following(state, candidates)

    def _following(self, state: DialogState, candidates: Tensor) -> DialogState:
        running = ~self._over(state)
        following = replace(
            state,
            candidate=torch.where(running, candidates, state.candidate),
            previous=torch.where(running, state.candidate, state.previous),
            feedback=torch.where(running[:, None], 0, state.feedback),
            turn=state.turn + running,
            found=torch.where(running, candidates == state.target, state.found),
        )
        return self._answered(following, ~self._over(following))

    def _answered(self, state: DialogState, where: Tensor | None) -> DialogState:
        """The state with the user's feedback on the candidates, in the dialogs `where` (B,) or in all."""
        rows = None if where is None or bool(where.all()) else where.nonzero()[:, 0]
        if rows is not None and not len(rows):
            return state
        # The user is given tensors of its own too, and what it gives is not kept: it may use them again.
        asked = [
            part.clone() if rows is None else part[rows] for part in (state.target, state.candidate, state.previous)
        ]
        answers = ask(self.simulator, *asked)
        if answers.device != self.device:
            raise ValueError(
                f"user {self.simulator.id} answered on {answers.device}; it must give tokens on {self.device}"
            )
        feedback = answers.clone() if rows is None else state.feedback.index_put((rows,), answers)
        return replace(state, feedback=feedback)

    def _check_positions(self, positions: Any, what: str, batch: int | None) -> None:
        if not isinstance(positions, Tensor) or positions.ndim != 1 or positions.dtype != torch.int64:
            is_tensor = isinstance(positions, Tensor)
            given = f"{tuple(positions.shape)} {positions.dtype}" if is_tensor else type(positions).__name__
            raise ValueError(f"{what} are {given}; give one position for each dialog, (B,) torch.int64")
        require_same(self.device, **{what: positions.device})
        if batch not in (None, len(positions)):
            raise ValueError(
                f"{len(positions)} {what} were given for {batch} dialogs; give one for each of the targets"
            )
        if len(positions) and not bool(((positions >= 0) & (positions < len(self.gallery))).all()):
            raise ValueError(
                f"{what} reach from {int(positions.min())} to {int(positions.max())}; "
                f"the gallery has positions 0 to {len(self.gallery) - 1}"
            )


def _device_of(simulator: UserSimulator, default: torch.device) -> torch.device:
    named = getattr(simulator, "device", default)
    try:
        return torch.device(named)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"simulator {simulator.id} says that its device is {told(named)}; it must be one of PyTorch's"
        ) from error


def first_candidates(targets: Tensor, images: int, generator: torch.Generator) -> Tensor:
    """(B,) uniform images to begin with, each different from its target."""
    away = torch.randint(1, images, (len(targets),), generator=generator)
    return (targets + away) % images


@torch.inference_mode(False)
def features_on(gallery: Catalog, device: torch.device) -> Tensor:
    """The gallery's pooled features (N, D); on the CPU they stay memory-mapped. ValueError where they do not fit."""
    if device.type != "cpu":
        what = f"the features of {len(gallery)} images"
        require_memory(4 * gallery.features.size, device, what, "take a smaller split, or keep them on the CPU")
    return torch.from_numpy(gallery.features).to(device)


def embedded(gallery: Catalog, device: str | torch.device = "cpu") -> EmbeddedGallery:
    """The gallery's pooled features, ready to be searched."""
    return EmbeddedGallery(features_on(gallery, find_device(device)))
