"""Running the parts: every outcome is written down as it comes, and what is written down is not done again."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tqdm import tqdm

from dialog_env.benchmarks.provenance import git_revision
from dialog_env.io.atomic import write_atomically
from tools.reliability.cases import FAILURES, SKIPPED, Outcome, Part
from tools.reliability.processes import own_bars, own_cache
from tools.reliability.workers import FORK, outcomes

STATE_FILE = "campaign.json"


@dataclass
class Tally:
    """What came of the cases of a part.

    Args:
        part: whose.
        count: cases done.
        failed: number of cases by verdict of `FAILURES`.
        skipped: why cases could not be done, with how many.
        failures: case number to its outcome, for those that failed.
    """

    part: Part
    count: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    failures: dict[int, Outcome] = field(default_factory=dict)

    def add(self, number: int, outcome: Outcome) -> None:
        """Counts a case."""
        self.count += 0 if outcome.verdict == SKIPPED else outcome.count
        if outcome.verdict == SKIPPED:
            self.skipped[outcome.note] += 1
        elif outcome.verdict in FAILURES:
            self.failed[outcome.verdict] += 1
            self.failures[number] = outcome


def run_part(part: Part, cases: int, seed: int, scratch: Path, workers: int) -> Tally:
    """The first `cases` cases of a part; those that have been done already are read from the record."""
    own_bars()
    tally = Tally(part)
    record = scratch / "outcomes" / f"{part.name}.jsonl"
    record.parent.mkdir(exist_ok=True)
    known = _known(record)
    for number in sorted(known.keys() & set(range(cases))):
        tally.add(number, known[number])
    left = [number for number in range(cases) if number not in known]
    if left:
        prepare(part, scratch)
    with (
        record.open("a", encoding="utf-8") as file,
        tqdm(total=cases, initial=cases - len(left), desc=part.name, unit="case", mininterval=1) as bar,
    ):
        for number, outcome in outcomes(part, left, seed, scratch, workers):
            file.write("\n" + json.dumps({"case": number, **asdict(outcome)}))
            file.flush()
            tally.add(number, outcome)
            bar.update()
            bar.set_postfix(tally.failed)
    return tally


def prepare(part: Part, scratch: Path) -> None:
    """Makes the materials of a part, in a process of its own so that this one stays fit to be forked."""
    materials = scratch / "materials"
    materials.mkdir(parents=True, exist_ok=True)
    process = FORK.Process(target=part.prepare, args=(materials,))
    with own_cache(scratch):
        process.start()
        process.join()
    if process.exitcode:
        raise RuntimeError(f"the materials of part {part.name} could not be made; what went wrong stands above")


def open_scratch(scratch: Path, seed: int) -> str:
    """Makes the folder, and empties it of a campaign of another seed or revision; gives the revision."""
    revision = git_revision()
    state = {"seed": seed, "revision": revision}
    path = scratch / STATE_FILE
    if path.exists() and json.loads(path.read_text()) != state:
        shutil.rmtree(scratch)
    write_atomically(path, json.dumps(state).encode())
    return revision


def _known(record: Path) -> dict[int, Outcome]:
    """Outcomes by case; a last line that was cut off is left out."""
    known = {}
    for line in record.read_text(encoding="utf-8").split("\n")[1:] if record.exists() else ():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        number = row.pop("case")
        known[number] = Outcome(**row)
    return known
