"""What a person can do on the page: find an image, play the agent, judge sentences. No web here."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from dialog_env.agents.candidate_selection import squared_distances
from dialog_env.evaluate.records import Begin, End, RecordFile, Role, Turn
from dialog_env.io.commands import sentence as told
from dialog_env.sessions.answer import Answer, Image
from dialog_env.sessions.partner import Partner
from dialog_env.sessions.recording import Recording, new_id
from dialog_env.sessions.session import Session
from dialog_env.sessions.words import Heard, hear
from dialog_env.world.user import UserSimulator, ask

OPTIONS, NEAR = 8, 3
"""Images to choose from, and how many of them are those that look most like the target."""

Verdict = Literal["person", "simulator", "same"]


@dataclass(frozen=True)
class Place:
    """Where dialogs are held.

    Args:
        partner: the agent with its gallery.
        user: the simulator of that gallery.
        file: where they are recorded, if they are.
    """

    partner: Partner
    user: UserSimulator
    file: RecordFile | None = None

    def says(self, target: int, candidate: int) -> str:
        """What the simulator says of two images."""
        device = getattr(self.user, "device", "cpu")
        with torch.no_grad():
            tokens = ask(self.user, *(torch.tensor([each], device=device) for each in (target, candidate, -1)))
        return self.user.vocabulary.decode(tokens.cpu().numpy())[0]


class Room:
    """What the rooms share.

    Attributes:
        step: goes up with everything that is done; a form that was made at another one is out of date.
        notice: what the person has to be told now; "" for nothing.
        over: whether this round has ended.
    """

    role: Role

    def __init__(self, place: Place, seed: int, recorded: bool) -> None:
        self.place, self.seed = place, seed
        self.file = place.file if recorded else None
        self.step, self.notice, self.over = 0, "", False
        self._seen = time.monotonic()

    def look(self) -> None:
        """The person sees what there is: from now on the time runs."""
        self._seen = time.monotonic()

    @property
    def milliseconds(self) -> int:
        """Since the person saw it."""
        return round(1000 * (time.monotonic() - self._seen))

    def image(self, position: int) -> Image:
        """An image of the gallery."""
        return Image(position, str(self.place.partner.gallery.ids[position]))

    def unrecorded(self, error: OSError) -> None:
        """Tells that the disk failed."""
        self.file = None
        self.notice = f"{told(error)}. The dialog goes on, but nothing more of it is recorded."


class Find(Room):
    """The person has an image in mind, and the agent looks for it.

    Args:
        place: where.
        seed: draws the image in mind and the first one shown.
        recorded: whether the person has agreed to that.
        own: the person has an image of their own in mind, that nobody knows.
    """

    role: Role = "find"

    def __init__(self, place: Place, seed: int, recorded: bool, own: bool = False) -> None:
        super().__init__(place, seed, recorded)
        generator = torch.Generator().manual_seed(seed)
        target = None if own else int(torch.randint(len(place.partner.gallery), (), generator=generator))
        self.session = Session(place.partner, target=target, seed=seed)
        self.found = False
        self.rating: int | None = None
        self.heard: Heard | None = None
        self.recording: Recording | None = None
        if self.file is not None:
            try:
                self.recording = Recording(self.file, self.session, seed=seed)
            except OSError as error:
                self.unrecorded(error)

    @property
    def trail(self) -> list[tuple[Image, str, float | None]]:
        """Each image that was shown, what was said of it, and the rank of the target after that."""
        shown, trail = self.session.shown, []
        for image, event in zip(shown, self.session.events, strict=False):
            said = "" if event.answer is None else event.answer.heard.sentence
            trail.append((image, said, None if event.answer is None else event.answer.rank))
        return [*trail, (shown[-1], "", None)]

    def done(self, answer: Answer | None = None) -> None:
        """Takes note of what the session has just gone through.

        Args:
            answer: to the sentence that was said; None where something was liked or taken back.
        """
        self.step += 1
        self.notice = ""
        self.heard = None if answer is None else answer.heard
        if answer is not None and not answer.understood:
            self.notice = "No word of that was understood. The image is the same; say it in other words."
        self._record(self.milliseconds)
        self.look()
        if self.session.found:
            self.end(found=True)

    def end(self, *, found: bool) -> None:
        """The image was found, or the person gives up."""
        self.step += 1
        self.over, self.found = True, found

    def rate(self, rating: int | None) -> None:
        """Closes the dialog with the person's judgement of the agent, if there is one."""
        self.step += 1
        self.rating = rating
        self.close()
        self.notice = "Thank you." if rating is not None else ""

    def close(self) -> None:
        """Writes the end of the dialog, once."""
        if self.recording is not None and not self.recording.failed:
            try:
                self.recording.end(found=self.found, rating=self.rating)
            except OSError as error:
                self.unrecorded(error)
        self.recording = None

    def _record(self, milliseconds: int) -> None:
        if self.recording is not None and not self.recording.failed:
            try:
                self.recording.follow(milliseconds)
            except OSError as error:
                self.unrecorded(error)


class Guess(Room):
    """The simulator has an image in mind; the person chooses the next one among eight, until it is the one.

    The eight are the target, the three that look most like it (by pooled features), and four at random, in a random
    order; what was chosen is no option any more. Who chooses blindly needs 4.5 choices on average.
    """

    role: Role = "guess"

    def __init__(self, place: Place, seed: int, recorded: bool) -> None:
        super().__init__(place, seed, recorded)
        generator = torch.Generator().manual_seed(seed)
        features = torch.from_numpy(place.partner.gallery.features)
        order = torch.randperm(len(features), generator=generator)
        self.target, candidate = order[:2].tolist()
        options = _options(features, self.target, candidate, order)
        self.options = [options[row] for row in torch.randperm(len(options), generator=generator).tolist()]
        self.all_options = tuple(self.options)
        self.picked: list[tuple[int, str, int]] = []
        self.candidate, self.said = candidate, place.says(self.target, candidate)
        self.id = new_id()
        self._write(
            Begin(
                dialog=self.id,
                role=self.role,
                agent="person",
                user=place.user.id,
                gallery=place.partner.gallery.fingerprint,
                images=len(features),
                first=self.image(candidate).id,
                target=self.image(self.target).id,
                seed=seed,
            )
        )

    def pick(self, position: int) -> None:
        """Shows one of the options; ValueError for another image."""
        if self.over or position not in self.options:
            raise ValueError("that image is no choice any more; choose one of those below")
        self.step += 1
        self.picked.append((self.candidate, self.said, position))
        self._write(
            Turn(
                dialog=self.id,
                turn=len(self.picked),
                candidate=self.image(self.candidate).id,
                said=self.said,
                shown=self.image(position).id,
                milliseconds=self.milliseconds,
                options=tuple(self.image(each).id for each in self.options),
            )
        )
        self.options.remove(position)
        self.candidate = position
        if position == self.target:
            self.close(found=True)
        else:
            self.said = self.place.says(self.target, position)
        self.look()

    def close(self, *, found: bool = False) -> None:
        """Ends it, once."""
        if not self.over:
            self.over = True
            self._write(End(self.id, found=found, gave_up=not found))

    def _write(self, line: Begin | Turn | End) -> None:
        if self.file is not None:
            try:
                self.file.append(line)
            except OSError as error:
                self.unrecorded(error)


class Judge(Room):
    """The person writes how two images differ, sees what the simulator says of them, and judges which says more."""

    role: Role = "judge"

    def __init__(self, place: Place, seed: int, recorded: bool) -> None:
        super().__init__(place, seed, recorded)
        order = torch.randperm(len(place.partner.gallery), generator=torch.Generator().manual_seed(seed))
        self.target, self.candidate = order[:2].tolist()
        self.said, self.other = "", ""
        self.verdict: Verdict | None = None
        self._took = 0

    def write(self, sentence: str) -> None:
        """Takes the person's sentence; ValueError for one without a word, or too long a one."""
        heard = hear(sentence, self.place.partner.hearing)
        if not (heard.understood or heard.unknown):
            raise ValueError("there is no word in it; write how the two images differ")
        self.step += 1
        self._took = self.milliseconds
        self.said, self.other = heard.sentence, self.place.says(self.target, self.candidate)

    def judge(self, verdict: Verdict) -> None:
        """Takes the person's judgement of the two sentences."""
        self.step += 1
        self.verdict, self.over = verdict, True
        if self.file is None:
            return
        dialog, target, candidate = new_id(), self.image(self.target).id, self.image(self.candidate).id
        gallery = self.place.partner.gallery
        try:
            self.file.append(
                Begin(
                    dialog=dialog,
                    role=self.role,
                    agent="none",
                    user="person",
                    gallery=gallery.fingerprint,
                    images=len(gallery),
                    first=candidate,
                    target=target,
                    seed=self.seed,
                ),
                Turn(
                    dialog=dialog,
                    turn=1,
                    candidate=candidate,
                    said=self.said,
                    milliseconds=self._took,
                    other=self.other,
                    verdict=verdict,
                ),
                End(dialog, found=False, gave_up=False),
            )
        except OSError as error:
            self.unrecorded(error)


def _options(features: Tensor, target: int, candidate: int, order: Tensor) -> list[int]:
    """The target, images that look most like it, and others in a random order; fewer where there are fewer images."""
    distances = squared_distances(features[target][None], features[None])[0]
    distances[[target, candidate]] = torch.inf
    near = distances.argsort(stable=True)[: min(NEAR, len(features) - 2)].tolist()
    others = [each for each in order.tolist() if each not in (target, candidate, *near)]
    return [target, *near, *others][:OPTIONS]
