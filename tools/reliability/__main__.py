"""`python -m tools.reliability`: the reliability campaign, a part of it, or one case again."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from dialog_env.io.atomic import write_atomically
from tools.reliability.campaign import open_scratch, prepare, run_part
from tools.reliability.cases import FAILURES
from tools.reliability.parts import PARTS
from tools.reliability.processes import warm_up
from tools.reliability.report import markdown, table
from tools.reliability.workers import do


@dataclass(frozen=True)
class Campaign:
    """Try to break everything, and write down what broke."""

    seed: int = 0
    """Of all that is drawn."""
    output: Path | None = None
    """Markdown file for the table and the cases that failed."""
    small: bool = False
    """A few cases of each part: a minute or two instead of hours."""
    only: tuple[str, ...] = ()
    """Parts to run; all where left out."""
    case: int | None = None
    """One case of one part, in this process, to look at."""
    scratch: Path = Path("runs/reliability")
    """Folder for materials and outcomes; a campaign of the same seed and revision that lies there goes on."""
    workers: int = os.cpu_count() or 1
    """Processes at once."""

    def __call__(self) -> int:
        """Runs, prints, writes; the exit status is 1 where a case failed."""
        unknown = [name for name in self.only if name not in PARTS]
        if unknown:
            raise ValueError(f"no part {unknown[0]!r}; choose from {', '.join(PARTS)}")
        chosen = [part for name, part in PARTS.items() if name in (self.only or PARTS)]
        if self.case is not None:
            return self.repeat((self.scratch / "alone").resolve())
        scratch = (self.scratch / ("small" if self.small else "long")).resolve()
        revision = open_scratch(scratch, self.seed)
        counts = [part.small if self.small else part.cases for part in chosen]
        tallies = [
            run_part(part, count, self.seed, scratch, self.workers) for part, count in zip(chosen, counts, strict=True)
        ]
        text = markdown(tallies, self.seed, revision, small=self.small, arguments=shlex.join(sys.argv[1:]))
        print(text if self.output is None else "\n".join(table(tallies)))
        if self.output is not None:
            write_atomically(self.output, text.encode())
        return int(any(tally.failures for tally in tallies))

    def repeat(self, scratch: Path) -> int:
        """One case in this process."""
        if len(self.only) != 1 or self.case is None:
            raise ValueError(f"--case {self.case} is of one part; name it with --only")
        part = PARTS[self.only[0]]
        open_scratch(scratch, self.seed)
        prepare(part, scratch)
        outcome = do(part, self.case, self.seed, scratch)
        print(f"{outcome.verdict}: {outcome.note}")
        return int(outcome.verdict in FAILURES)


def main() -> None:
    """Reads the command line and runs the campaign."""
    campaign = tyro.cli(Campaign, prog="python -m tools.reliability")
    if sys.platform != "linux":
        print(f"the reliability campaign needs Linux, and this is {sys.platform}: nothing is done")
        return
    warm_up()
    try:
        sys.exit(campaign())
    except (OSError, RuntimeError, ValueError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on with the cases that are left")


if __name__ == "__main__":
    main()
