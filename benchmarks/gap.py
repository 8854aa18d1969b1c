"""How far a simulated user is from people: what both said about the same pairs of images, and what it does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dialog_env.benchmarks.tables import Cell, Table, write_tables
from dialog_env.catalog import Catalog, load_catalog
from dialog_env.evaluate.intervals import Interval
from dialog_env.evaluate.record_export import positions_of
from dialog_env.evaluate.records import read_records
from dialog_env.evaluate.statistics import confidence_interval, holm, paired_difference
from dialog_env.io.atomic import locked
from dialog_env.io.commands import typed
from dialog_env.io.device import find_device
from dialog_env.sessions.choice import Choice
from dialog_env.sessions.partner import Moment, Partner
from dialog_env.sessions.words import hear
from dialog_env.simulators import make_simulator
from dialog_env.simulators.captioner.caption_data import CaptionSource, image_digests, open_captions
from dialog_env.simulators.captioner.evaluation import mean_score
from dialog_env.simulators.captioner.listener import Listener
from dialog_env.world.user import UserSimulator, ask
from dialog_env.world.vocabulary import Vocabulary, split_words

NAME = "gap"
ASKED_AT_ONCE = 1_024
SHOWN = 10
"""K of R@K."""

Floats = NDArray[np.float64]
Hearing = Callable[[Sequence[str]], Floats]
"""From a sentence for each pair to the 0-based rank of each target."""


@dataclass(frozen=True)
class Pairs:
    """What people said about P pairs of images.

    Args:
        gallery: of the images.
        targets, candidates: (P,) int64 gallery positions.
        sentences: P, as they were typed.
    """

    gallery: Catalog
    targets: Tensor
    candidates: Tensor
    sentences: Sequence[str]

    def said_by(self, user: UserSimulator) -> list[str]:
        """What a simulator says about them."""
        device, said = getattr(user, "device", "cpu"), []
        for targets, candidates in zip(
            self.targets.split(ASKED_AT_ONCE), self.candidates.split(ASKED_AT_ONCE), strict=True
        ):
            asked = (each.to(device) for each in (targets, candidates, torch.full_like(targets, -1)))
            with torch.no_grad():
                said += user.vocabulary.decode(ask(user, *asked).cpu().numpy())
        return said


@dataclass
class GapCommand:
    """Compare what people and a simulated user say about the same pairs of images, and how far it takes an agent."""

    people: str
    """What people said: a file of records, or captions as for `simulator train`."""
    simulator: str
    """The user that is compared with them, which must not have learned from these images."""
    catalog: str = "synthetic"
    """Name or file of the catalogue."""
    split: str = "test"
    """Gallery, whose images the pairs are of."""
    listener_split: str = "train"
    """Where people's captions also cover this split: two linear listeners learn from it, one by each speaker."""
    agents: tuple[str, ...] = ()
    """Agents that hear both: folders of trained ones, or names of those that need no training."""
    skip_unusable: bool = False
    """Leave out captions of unknown images, of an image with itself or without words, instead of refusing them."""
    seed: int = 0
    """Of resamples."""
    device: str = "auto"
    """cpu, cuda, or auto: cuda where there is one."""
    output: Path = Path("runs/gap")
    """Folder of the tables."""

    def __call__(self) -> None:
        """Writes the tables, and prints them."""
        catalog, device = load_catalog(self.catalog), str(find_device(self.device))
        gallery = catalog.split(self.split)
        recorded = Path(self.people).is_file() and Path(self.people).suffix == ".jsonl"
        pairs = self._recorded(gallery) if recorded else pairs_of(self._captions(gallery))
        user = make_simulator(self.simulator, gallery, device=device)
        refuse_taught(user, gallery)
        hearings = {}
        for text in self.agents:
            choice = Choice(text, catalog=self.catalog, split=self.split, simulator=self.simulator, device=device)
            hearings[f"`{text}`"] = hearing_of(choice.open()[0], pairs)
        if not recorded:
            lessons = pairs_of(self._captions(catalog.split(self.listener_split)))
            teacher = make_simulator(self.simulator, lessons.gallery, device=device)
            for name, taught in (
                ("listener, taught by people", [plain(each) for each in lessons.sentences]),
                ("listener, taught by the simulator", lessons.said_by(teacher)),
            ):
                hearings[name] = hearing_by(
                    Listener(lessons.gallery, lessons.targets, lessons.candidates, taught), pairs
                )
        if not hearings:
            raise ValueError(f"nobody hears what {self.people} holds; give --agents")
        with locked(self.output):
            print(write_tables(gap(pairs, user, hearings, self.seed), self.output, NAME))
        print(f"Written: {self.output / NAME}.md, .csv and .tex")

    def _captions(self, gallery: Catalog) -> CaptionSource:
        return open_captions(
            self.people, gallery, pairs=0, seed=self.seed, skip_unusable=self.skip_unusable, relative_only=True
        )

    def _recorded(self, gallery: Catalog) -> Pairs:
        """The sentences of people on images that are not the target; ValueError where there are fewer than two."""
        records = [
            each for each in read_records(self.people) if each.begin.user == "person" and each.begin.target is not None
        ]
        where = positions_of(records, gallery)
        rows = [
            (where[record.begin.target], where[turn.candidate], turn.said)
            for record in records
            for turn in record.turns
            if turn.candidate != record.begin.target and split_words(turn.said)
        ]
        if len(rows) < 2:
            raise ValueError(f"{self.people} holds {len(rows)} sentences of people on pairs; record at least 2")
        targets, candidates, sentences = zip(*rows, strict=True)
        return Pairs(gallery, torch.tensor(targets), torch.tensor(candidates), sentences)


def pairs_of(captions: CaptionSource) -> Pairs:
    """Relative captions that people wrote, one by one."""
    sentences = captions.sentences()
    examples = captions.draw(Vocabulary.from_sentences(sentences), torch.Generator())
    return Pairs(captions.gallery, examples.targets, examples.candidates, sentences)


def refuse_taught(user: UserSimulator, gallery: Catalog) -> None:
    """ValueError where a captioner has learned from images of the gallery."""
    learned: set[str] = set(getattr(user, "provenance", {}).get("image digests", []))
    shared = learned & set(image_digests(gallery))
    if shared:
        raise ValueError(
            f"user {user.id} learned from {len(shared)} images of {gallery!r}; compare on a split that shares none"
        )


def hearing_of(partner: Partner, pairs: Pairs) -> Hearing:
    """How an agent hears one sentence a pair, in dialogs that begin with it."""

    def ranks(sentences: Sequence[str]) -> Floats:
        moments: list[Moment] = [partner.begin(candidate) for candidate in pairs.candidates.tolist()]
        tokens = [hear(sentence, partner.hearing).tokens(partner.vocabulary) for sentence in sentences]
        return np.array([reply.rank for reply in partner.hear(moments, tokens, pairs.targets.tolist())])

    return ranks


def hearing_by(listener: Listener, pairs: Pairs) -> Hearing:
    """How a listener hears one sentence a pair."""

    def ranks(sentences: Sequence[str]) -> Floats:
        said = [plain(sentence) for sentence in sentences]
        percentile = listener.percentiles(pairs.gallery, pairs.targets, pairs.candidates, said)
        return (1 - percentile / 100) * len(pairs.gallery)

    return ranks


def plain(sentence: str) -> str:
    """The words of a sentence in small letters, with blanks between them."""
    return " ".join(split_words(sentence))


def gap(pairs: Pairs, user: UserSimulator, hearings: dict[str, Hearing], seed: int) -> list[Table]:
    """The tables: what is said, and how far it takes those who hear it.

    Args:
        pairs: with people's sentences.
        user: the simulator.
        hearings: by name.
        seed: of resamples.
    """
    said = {"people": [plain(each) for each in pairs.sentences], "simulator": pairs.said_by(user)}
    return [_said(said, pairs, user, np.random.default_rng(seed)), _moved(said, pairs, hearings)]


def _said(said: dict[str, list[str]], pairs: Pairs, user: UserSimulator, generator: np.random.Generator) -> Table:
    people, simulator = (list(map(str.split, sentences)) for sentences in said.values())
    vocabularies = [{word for sentence in sentences for word in sentence} for sentences in (people, simulator)]
    known = set(user.vocabulary.words[:-1])
    rows: list[list[str | Cell]] = []
    for name, first, second in (
        ("words a sentence", _counts(people), _counts(simulator)),
        ("words that the other never says, %", _missing(people, vocabularies[1]), _missing(simulator, vocabularies[0])),
        ("words that the simulator cannot say, %", _missing(people, known), _missing(simulator, known)),
    ):
        cells = [Cell(confidence_interval(each, generator), 2) for each in (first, second)]
        rows.append([name, *cells, Cell(paired_difference(first, second), 2, signed=True)])
    scores = [
        cider(said[one], said[other], generator) for one, other in (("people", "simulator"), ("simulator", "people"))
    ]
    rows.append(["CIDEr, the other being right", *map(Cell, scores), ""])
    rows.append(["different words", *(f"{len(each):,}" for each in vocabularies), ""])
    rows.append(["different sentences", *(f"{len(set(each)):,}" for each in said.values()), ""])
    note = (
        f"{len(pairs.sentences):,} sentences of people on pairs of {len(pairs.gallery):,} images, and those of "
        f"{user.id} on the same pairs; what the simulator itself cannot say is UNK. In brackets: 95% intervals over "
        f"pairs. `{typed()}`"
    )
    return Table(["", "people", "simulator", "people less simulator"], rows, note, f"{_title(pairs)}: what they say")


def _moved(said: dict[str, list[str]], pairs: Pairs, hearings: dict[str, Hearing]) -> Table:
    images, differences = len(pairs.gallery), []
    rows: list[list[str | Cell]] = []
    for name, hearing in hearings.items():
        ranks = [hearing(each) for each in ([""] * len(pairs.sentences), *said.values())]
        for metric, values in (
            ("percentile", [100 * (1 - each / images) for each in ranks]),
            (f"R@{SHOWN}", [100.0 * (each < SHOWN) for each in ranks]),
        ):
            differences.append(paired_difference(values[1], values[2]))
            cells = [Cell(_share(each)) for each in values]
            rows.append([name, metric, *cells, Cell(differences[-1], signed=True)])
    corrected = holm([each.p for each in differences])
    return Table(
        ["who hears", "of the target", "silence", "people", "simulator", "people less simulator", "p"],
        [[*row, f"{p:.3f}" if p >= 0.0005 else "< 0.001"] for row, p in zip(rows, corrected, strict=True)],
        "Where the target stands after one sentence on the candidate, for the same listener or agent. Differences are "
        "paired; p is corrected for the number of rows (Holm).",
        f"{_title(pairs)}: how far it takes who hears it",
    )


def cider(said: Sequence[str], right: Sequence[str], generator: np.random.Generator) -> Interval:
    """Mean CIDEr, times 100, of one sentence a pair against one that is right; ImportError without pycocoevalcap."""
    try:
        from pycocoevalcap.cider.cider import Cider
    except ImportError as error:
        raise ImportError("CIDEr needs the package pycocoevalcap; install it with pip, or the extra 'dev'") from error
    references, given = ({row: [each] for row, each in enumerate(sentences)} for sentences in (right, said))
    _, values = Cider().compute_score(references, given)
    return mean_score(100 * np.asarray(values, dtype=np.float64), generator)


def _title(pairs: Pairs) -> str:
    return f"People and the simulator on {pairs.gallery.name} ({pairs.gallery.split_name})"


def _share(values: NDArray[np.floating[Any]]) -> Interval:
    return confidence_interval(values, np.random.default_rng(0), percent=True)


def _counts(sentences: list[list[str]]) -> Floats:
    return np.array([len(sentence) for sentence in sentences], dtype=np.float64)


def _missing(sentences: list[list[str]], known: set[str]) -> Floats:
    """Percent of the words of each sentence that are not known."""
    return np.array(
        [100 * sum(word not in known for word in sentence) / max(1, len(sentence)) for sentence in sentences]
    )
