"""`benchmark wordings`: agents hear the same in other words, and those that they do not know in several ways."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dialog_env.benchmarks.report import at_the_end, difference, row_name
from dialog_env.benchmarks.results import Result, readable
from dialog_env.benchmarks.suites import UNHEARD, Suite
from dialog_env.benchmarks.tables import Cell, Table, write_tables
from dialog_env.benchmarks.variations import VariationCommand, footnote
from dialog_env.io.atomic import locked
from dialog_env.io.keywords import checked_choice
from dialog_env.simulators.phrased import PHRASINGS
from dialog_env.world.hearing import hearing as hearing_of
from dialog_env.world.vocabulary import Vocabulary

METRICS = ("R@10", "found")
"""What is looked at, at the last turn."""
AS_LEARNED = "as learned"
CALLED = {UNHEARD: "are UNK", "exact": "are passed over", "mended": "are mended"}
"""What becomes of words that the agent does not know."""

Heard = Mapping[tuple[str, str], Sequence[Result]]
"""The results of one agent: wording and hearing, to a result for each seed; without either, as it learned."""


@dataclass
class WordingsCommand(VariationCommand):
    """Evaluate agents with a user who says the same in other words, heard in several ways; write tables."""

    phrasings: tuple[str, ...] = tuple(PHRASINGS)
    """Phrasings of the user `phrased`."""
    hearings: tuple[str, ...] = (UNHEARD, "exact", "mended")
    """How words are heard that an agent does not know: unk, exact (not at all), mended, or the folder of an encoder."""

    def __call__(self) -> None:
        """Runs every agent with every phrasing and hearing."""
        for phrasing in self.phrasings:
            checked_choice("phrasings", phrasing, PHRASINGS)
        if not self.phrasings or not self.hearings:
            raise ValueError("nothing is said in other words; give --phrasings and --hearings")
        for how in self.hearings:
            if how != UNHEARD:
                hearing_of(how, Vocabulary.from_sentences(PHRASINGS))
        suite = self.opened()
        output = self.output or Path("runs") / f"{suite.name}-wordings"
        output.mkdir(parents=True, exist_ok=True)
        found = self.run(variations(suite, self.phrasings, self.hearings, output), self.agents)
        with locked(output):
            print("\n" + write(found, self.phrasings, self.hearings, output))
        print(f"Written: {', '.join(map(str, sorted(output.glob('wordings.*'))))}")


def variations(
    suite: Suite, phrasings: Sequence[str], hearings: Sequence[str], output: Path
) -> dict[tuple[str, str], tuple[Suite, Path]]:
    """The suite itself, and suites with the user `phrased` around its own, from whom agents still learn."""
    inner = json.dumps(suite.simulator) if "," in suite.simulator else suite.simulator
    other = {
        (phrasing, hearing): (
            replace(
                suite,
                simulator=f"phrased:inner={inner},phrasing={phrasing}",
                training_simulator=suite.training_simulator or suite.simulator,
                hearing=hearing,
                user="",
            ),
            output / readable(Path(hearing).name),
        )
        for phrasing in phrasings
        for hearing in hearings
    }
    return {(AS_LEARNED, ""): (suite, output), **other}


def table(found: Mapping[str, Heard], phrasings: Sequence[str], hearings: Sequence[str], metric: str) -> Table:
    """A metric at the last turn, by agent and hearing, with each phrasing and what it loses by it."""
    rows: list[list[str | Cell]] = []
    for agent, heard in found.items():
        usual = heard[AS_LEARNED, ""]
        for hearing in hearings:
            row: list[str | Cell] = [row_name(agent, usual), called(hearing), at_the_end(usual, metric)]
            for phrasing in phrasings:
                group = heard[phrasing, hearing]
                row += [at_the_end(group, metric), Cell(difference(group, usual, metric), signed=True)]
            rows.append(row)
    heads = [text for phrasing in phrasings for text in (phrasing, f"{phrasing} less {AS_LEARNED}")]
    return Table([f"{metric}: agent", "words that it does not know", AS_LEARNED, *heads], rows)


def called(hearing: str) -> str:
    """A way of hearing, in a table."""
    return CALLED.get(hearing, f"are mended, or the nearest by {Path(hearing).name}")


def write(found: Mapping[str, Heard], phrasings: Sequence[str], hearings: Sequence[str], output: Path) -> str:
    """Writes the tables, `wordings.md` and so on, into the folder; returns the Markdown."""
    results = [result for heard in found.values() for group in heard.values() for result in group]
    phrases = "; ".join(f"{name[:1].upper()}{name[1:]}: {_told(name)}" for name in phrasings)
    note = f"{footnote(results, 10)} {phrases}. Differences are paired."
    *others, last = (table(found, phrasings, hearings, metric) for metric in METRICS)
    return write_tables([*others, replace(last, note=note)], output, "wordings")


def _told(name: str) -> str:
    phrasing = PHRASINGS[name]
    rarer = [word for words in phrasing.instead.values() for word in words.split()]
    around = f'"{phrasing.before} … {phrasing.after}"'
    return f"each colour by one of {len(rarer)} rarer names ({', '.join(rarer)})" if rarer else around
