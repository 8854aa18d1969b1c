"""Agents against recorded sentences, in a table as any other."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from dialog_env.benchmarks import report
from dialog_env.benchmarks.results import Result, Run
from dialog_env.evaluate.records import read_records
from dialog_env.io.atomic import file_digest, locked
from dialog_env.io.device import find_device
from dialog_env.sessions.choice import Choice
from dialog_env.sessions.replay import replay


@dataclass
class ReplayCommand:
    """Let agents hear recorded dialogs, of people or of simulators; write a table and a plot."""

    records: Path
    """File of records, or a dialog log."""
    agents: tuple[str, ...]
    """Folders of trained agents, or names of those that need no training; others are compared with the first."""
    catalog: str = "synthetic"
    """Name or file of the catalogue."""
    split: str = "test"
    """Gallery in which the dialogs were held."""
    simulator: str = Choice.simulator
    """The user whose words the agents know."""
    turns: int | None = None
    """The first so many of each dialog, others being left out; those of the shortest where left out."""
    output: Path = Path("runs/replay")
    """Folder of the table."""
    device: str = "auto"
    """cpu, cuda, or auto: cuda where there is one."""

    def __call__(self) -> None:
        """Writes the table, and prints it."""
        if not self.agents:
            raise ValueError("nobody hears the dialogs; give --agents")
        records, done = read_records(self.records), []
        digest = file_digest(self.records)[:12]
        for text in self.agents:
            choice = Choice(
                text,
                catalog=self.catalog,
                split=self.split,
                simulator=self.simulator,
                device=str(find_device(self.device)),
            )
            partner, _ = choice.open()
            record = replay(partner, records, turns=self.turns)
            run = Run(
                agent=text,
                seed=0,
                catalog=self.catalog,
                split=self.split,
                gallery=partner.gallery.fingerprint,
                training_gallery="",
                user=f"recorded {self.records.name}",
                simulator=f"recorded:{digest}",
                evaluation_seed=0,
                turns=record.turns,
                ties=record.ties,
                validation_gallery="",
                configuration=asdict(partner.agent.settings),
            )
            done.append(Result(run, record, {}, {}))
        with locked(self.output):
            print(report.write(done, self.output, self.agents[0]))
        left = len(records) - done[0].dialogs
        print(f"Recorded sentences: {done[0].dialogs} dialogs of {self.records}, {left} left out.")
        print(f"Written: {self.output / report.TABLE}.md, {self.output / report.PLOT}")
