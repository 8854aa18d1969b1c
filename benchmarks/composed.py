"""`benchmark composed`: retrieval from one real sentence about an image, the field's composed image retrieval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from dialog_env import agents
from dialog_env.agents import Agent
from dialog_env.benchmarks.experiment import AgentSpec, Experiment
from dialog_env.benchmarks.suites import find_suite
from dialog_env.benchmarks.tables import Cell, Table, markdown
from dialog_env.catalog import Catalog, load_catalog
from dialog_env.evaluate import protocol
from dialog_env.evaluate.metrics import METRICS
from dialog_env.evaluate.statistics import confidence_interval
from dialog_env.io.atomic import write_atomically
from dialog_env.io.commands import typed
from dialog_env.io.device import find_device
from dialog_env.simulators.recorded import RecordedUser

SHOWN = ("R@10", "R@50", "MRR", "percentile")


@dataclass
class ComposedCommand:
    """Show an agent the image and the sentence that a person said of it, and see where the image in mind is ranked."""

    agents: tuple[str, ...]
    """Folders of trained agents, or names of those that need no training; with a suite, agents that were run on it."""
    captions: str
    """People's sentences: a CSV of target, candidate and sentence, JSON of Shoes or Fashion-IQ, or a folder of it."""
    catalog: str = ""
    """Name or file of the catalogue, where no suite is given."""
    suite: str = ""
    """Name of a suite, or a JSON file with one: its catalogue, gallery and captioner, and the agents trained for it."""
    seeds: tuple[int, ...] | None = None
    """Training seeds of these agents; those of the suite where left out."""
    trained: Path = Path("runs/trained")
    """Folder of these agents."""
    words: str = ""
    """Folder of the captioner that the agents have learned from, to whose vocabulary sentences are kept."""
    hearing: str = "unk"
    """How words that it never says are heard: unk, exact (not at all), mended, or the folder of an encoder."""
    split: str = "test"
    """Gallery; pairs count where both images are in it."""
    skip_unusable: bool = False
    """Leave out sentences that cannot be used instead of refusing them."""
    device: str = "auto"
    """cpu, cuda, or auto: cuda where there is one."""
    output: Path | None = field(default=None)
    """Markdown file for the table."""

    def __call__(self) -> None:
        """Prints a table, and writes it where asked to."""
        if bool(self.catalog) == bool(self.suite):
            raise ValueError("give either --catalog or --suite: one of them says what is searched")
        device = str(find_device(self.device))
        experiment = (
            Experiment(find_suite(self.suite), Path(), device=device, trained=self.trained) if self.suite else None
        )
        gallery = experiment.test if experiment else load_catalog(self.catalog).split(self.split)
        user = RecordedUser(
            gallery,
            argument=self.captions,
            inner=experiment.learned_from if experiment and not self.words else "",
            words=self.words,
            hearing=self.hearing,
            skip_unusable=self.skip_unusable,
            device=device,
        )
        if experiment:
            seeds = self.seeds or experiment.suite.seeds
            ready = {text: trained_agents(experiment, text, seeds) for text in self.agents}
        else:
            ready = {text: [self.opened(text, gallery, user, device)] for text in self.agents}
        title = f"{experiment.suite.name}: one real sentence" if experiment else ""
        table = composed_table(ready, gallery, user, device, title)
        print(markdown(table))
        if self.output is not None:
            write_atomically(self.output, markdown(table).encode())
            print(f"Written: {self.output}")

    def opened(self, text: str, gallery: Catalog, user: RecordedUser, device: str) -> Agent:
        """The agent in a folder, or of a name; ValueError for one that has to be trained first."""
        if Path(text).is_dir():
            trained = agents.load(text, device)
            try:
                trained.check_user(user)
            except ValueError as error:
                raise ValueError(f"{error}; name the captioner it has learned from with --words") from error
            return trained
        agent = AgentSpec.parse(text).create(gallery, user.vocabulary, device=device)
        if agent.trainable:
            raise ValueError(f"agent {text} has to be trained first; give the folder of a trained one")
        return agent


def trained_agents(experiment: Experiment, text: str, seeds: Sequence[int]) -> list[Agent]:
    """The agent for each seed as it was trained for a suite; one where it needs no training."""
    first = experiment.trained_agent(text, seeds[0])
    return [first, *(experiment.trained_agent(text, seed) for seed in seeds[1:] if first.trainable)]


def composed_table(
    ready: Mapping[str, Sequence[Agent]],
    gallery: Catalog,
    user: RecordedUser,
    device: str | torch.device = "cpu",
    title: str = "",
) -> Table:
    """One turn on every recorded pair: what was said of the candidate, and the rank of the target.

    Args:
        ready: what a row is called to the agent, once for each training seed.
        gallery: the images.
        user: of that gallery, who says what was recorded.
        device: where they live.
        title: of the table.
    """
    rows: list[list[str | Cell]] = []
    pairs = (user.pairs[0], user.pairs[1])
    for text, group in ready.items():
        records = [protocol.run(each, gallery, user, seed=0, turns=1, pairs=pairs, device=device) for each in group]
        generator = np.random.default_rng(0)
        values = {name: np.stack([METRICS[name].of(record)[:, 0] for record in records]) for name in SHOWN}
        cells = [Cell(confidence_interval(values[name], generator, percent=True)) for name in SHOWN]
        declared = protocol.declared(group[0])
        rows.append([f"{text} ({declared})" if declared else text, str(len(group)), *cells])
    described = ", known from descriptions" if gallery.provenance.get("from") == "descriptions" else ""
    note = (
        f"One sentence on each of {user.pairs.shape[1]:,} pairs, as people said it; gallery: {len(gallery):,} images "
        f"of `{gallery.name}` ({gallery.split_name}){described}, the candidate included; user: `{user.id}`. "
        "Percentages, in brackets 95% intervals over pairs, and over trainings where there are several. "
        f"`{typed()}`"
    )
    return Table(["agent", "trainings", *SHOWN], rows, note, title)
