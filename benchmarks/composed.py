"""`benchmark composed`: retrieval from one real sentence about an image, the field's composed image retrieval."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from dialog_env import agents
from dialog_env.agents import Agent
from dialog_env.benchmarks.experiment import AgentSpec
from dialog_env.benchmarks.tables import Cell, Table, markdown
from dialog_env.catalog import Catalog, load_catalog
from dialog_env.evaluate import protocol
from dialog_env.evaluate.metrics import METRICS
from dialog_env.evaluate.statistics import confidence_interval
from dialog_env.io.atomic import write_atomically
from dialog_env.io.device import find_device
from dialog_env.simulators.recorded import RecordedUser

SHOWN = ("R@10", "R@50", "MRR", "percentile")


@dataclass
class ComposedCommand:
    """Show an agent the image and the sentence that a person said of it, and see where the image in mind is ranked."""

    agents: tuple[str, ...]
    """Folders of trained agents, or names of those that need no training."""
    catalog: str
    """Name or file of the catalogue."""
    captions: str
    """People's sentences: a CSV of target, candidate and sentence, JSON of Shoes or Fashion-IQ, or a folder of it."""
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
        gallery, device = load_catalog(self.catalog).split(self.split), str(find_device(self.device))
        user = RecordedUser(
            gallery,
            argument=self.captions,
            words=self.words,
            hearing=self.hearing,
            skip_unusable=self.skip_unusable,
            device=device,
        )
        ready = {text: self.opened(text, gallery, user, device) for text in self.agents}
        table = composed_table(ready, gallery, user, device)
        print(markdown(table))
        if self.output is not None:
            write_atomically(self.output, markdown(table).encode())
            print(f"Written: {self.output}")

    def opened(self, text: str, gallery: Catalog, user: RecordedUser, device: str) -> Agent:
        """The agent in a folder, or of a name; ValueError for one that has to be trained first."""
        if Path(text).is_dir():
            return agents.load(text, device)
        agent = AgentSpec.parse(text).create(gallery, user.vocabulary, device=device)
        if agent.trainable:
            raise ValueError(f"agent {text} has to be trained first; give the folder of a trained one")
        return agent


def composed_table(
    ready: dict[str, Agent], gallery: Catalog, user: RecordedUser, device: str | torch.device = "cpu"
) -> Table:
    """One turn on every recorded pair: what was said of the candidate, and the rank of the target."""
    rows: list[list[str | Cell]] = []
    for text, agent in ready.items():
        targets, candidates = user.pairs
        record = protocol.run(agent, gallery, user, seed=0, turns=1, pairs=(targets, candidates), device=device)
        generator = np.random.default_rng(0)
        cells = [Cell(confidence_interval(METRICS[name].of(record)[:, 0], generator, percent=True)) for name in SHOWN]
        declared = protocol.declared(agent)
        rows.append([f"{text} ({declared})" if declared else text, *cells])
    described = ", known from descriptions" if gallery.provenance.get("from") == "descriptions" else ""
    note = (
        f"One sentence on each of {user.pairs.shape[1]:,} pairs, as people said it; gallery: {len(gallery):,} images "
        f"of `{gallery.name}` ({gallery.split_name}){described}, the candidate included; user: `{user.id}`. "
        "Percentages, in brackets 95% intervals over pairs."
    )
    return Table(["agent", *SHOWN], rows, note)
