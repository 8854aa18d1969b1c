"""The leaderboard: a folder of results that are kept, one JSON for each seed, and the pages made of them.

`FOLDER/SUITE/AGENT/seedN.json` holds a whole result, with every dialog. A new agent is its file, its JSONs, and the
pages made again; a test makes them again and compares.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from dialog_env import agents
from dialog_env.benchmarks import gap, report
from dialog_env.benchmarks.experiment import AgentSpec
from dialog_env.benchmarks.paper.claims import claimed
from dialog_env.benchmarks.results import Result, read_packed, readable, write_packed
from dialog_env.benchmarks.suites import SUITES, Suite, find_suite
from dialog_env.benchmarks.tables import Table, markdown
from dialog_env.io.atomic import write_atomically

COLUMNS = ("R@10", "MRR", "R@1", "percentile", "success@95", "repeat rate")
ALIKE = ("evaluation_seed", "turns", "ties")
PLOTS, FILM = "turns.png", "film.gif"
BESIDE = ("captioner.md", "composed.md")
"""Tables of other commands that may lie beside the results of a suite, and stand on the page with them."""
ABOUT = """# Results

Agents on suites, each number with its 95% interval. A page of [what the words mean](docs/glossary.md#metrics) and
one of [the protocol](docs/benchmark.md). This page, the READMEs below [benchmarks/results](benchmarks/results) and the
plots are made of the results there by `dialog-retrieval benchmark leaderboard`; [CONTRIBUTING](CONTRIBUTING.md)
tells how an agent gets a row.
"""


def publish(results: Iterable[Result], suite: Suite, folder: Path, films: Path | None = None) -> list[Path]:
    """Puts results of a suite into a leaderboard, and films of the agents where there are some; returns the files.

    Args:
        results: of the suite.
        suite: whose rows they become.
        folder: of the leaderboard.
        films: folder in which `benchmark run --films` left them.

    Raises:
        ValueError: a result of another gallery, or other turns, targets or seeds of evaluation than the suite asks for.
    """
    written = []
    for result in results:
        require_of(result, suite)
        path = folder / suite.name / readable(_label(result, suite)) / f"seed{result.run.seed}.json"
        write_packed(result, path)
        written.append(path)
        film = None if films is None else films / f"{readable(result.run.agent)}.gif"
        if film is not None and film.exists():
            write_atomically(path.parent / FILM, film.read_bytes())
            written.append(path.parent / FILM)
    return written


def require_of(result: Result, suite: Suite) -> None:
    """Refuses, with a ValueError, a result that is not of a suite; its user may be another, which its row says."""
    asked = {name: getattr(suite, name) for name in (*ALIKE, "targets")}
    found = {name: getattr(result.run, name) for name in asked}
    if suite.gallery:
        asked["gallery"], found["gallery"] = suite.gallery, result.run.gallery
    for name, value in asked.items():
        if found[name] != value:
            raise ValueError(
                f"{result.run.name} has {name} {found[name]!r}, and suite {suite.name} {value!r}; "
                f"run it with `--suite {suite.name}`"
            )


def read(folder: Path, suite: Suite) -> dict[str, list[Result]]:
    """What a row is called to its results, seeds ascending: chance first, the ceilings last, others by what they find.

    Raises:
        ValueError: a file that is damaged or of something else.
    """
    results = [read_packed(path) for path in sorted((folder / suite.name).glob("*/seed*.json"))]
    for result in results:
        require_of(result, suite)
    groups: dict[str, list[Result]] = {}
    for result in sorted(results, key=lambda result: result.run.seed):
        groups.setdefault(_label(result, suite), []).append(result)

    def place(label: str) -> tuple[int, float, str]:
        bound = {report.CHANCE: 0, report.CEILING: 2, report.ASKING: 3}.get(label, 1)
        return bound, float(report.values(groups[label], "found")[..., -1].mean()), label

    return {label: groups[label] for label in sorted(groups, key=place)}


def _label(result: Result, suite: Suite) -> str:
    other = "" if result.run.user == suite.simulator else f", hears {result.run.user}"
    return f"{result.run.agent}{other}"


def write(folder: Path, page: Path) -> str:
    """Makes the page, the README of every row and the plots again; returns the page.

    Raises:
        FileNotFoundError: there are no results of any suite.
    """
    parts = [ABOUT]
    for name in SUITES:
        suite = find_suite(name)
        groups = read(folder, suite)
        if not groups:
            continue
        plot = folder / name / PLOTS
        report.plot(dict(reversed(groups.items())), plot, f"{name}: {suite.about}")  # as high in the legend as in it
        parts += [section(groups, suite), f"![{name}, turn by turn]({_link(plot, page)})\n"]
        parts += [(folder / name / file).read_text() for file in BESIDE if (folder / name / file).exists()]
        for label, group in groups.items():
            place = folder / name / readable(label)
            text = card(label, group, suite)
            if (place / FILM).exists():
                text += f"\n![Dialogs, turn by turn]({FILM})\n"
            write_atomically(place / "README.md", text.encode())
    if len(parts) == 1:
        raise FileNotFoundError(f"{folder} holds no results of {', '.join(SUITES)}; publish some first")
    parts += [path.read_text() for path in sorted(folder.glob(f"*/{gap.NAME}.md"))]
    text = "\n".join(parts)
    write_atomically(page, text.encode())
    return text


def _link(path: Path, page: Path) -> str:
    return path.resolve().relative_to(page.resolve().parent).as_posix()


def section(groups: dict[str, list[Result]], suite: Suite) -> str:
    """Markdown about a suite."""
    tables: list[Table] = report.tables_of(groups, COLUMNS)[:2]
    worth = report.asking(groups)
    tables += [worth] if worth is not None else []
    verdicts = claimed(groups)
    tables += [verdicts] if verdicts is not None else []
    command = f"dialog-retrieval benchmark run --suite {suite.name} --agents AGENT"
    head = f"## {suite.name}\n\n{suite.about[:1].upper()}{suite.about[1:]}. `{command}` runs a row again.\n"
    return "\n".join([head, *map(markdown, tables)])


def card(label: str, group: Sequence[Result], suite: Suite) -> str:
    """README of a row: what it is, the command, its scores."""
    run, seeds = group[0].run, [str(result.run.seed) for result in group]
    kind = agents.agent_class(AgentSpec.parse(run.agent).name)
    user = [] if run.user == suite.simulator else ["--simulator", run.user]
    words = ["dialog-retrieval", "benchmark", "run", "--suite", suite.name, *user]
    words += ["--agents", run.agent, "--seeds", *seeds]
    tables = report.tables_of({label: list(group)}, COLUMNS)
    trained = [str(result.training.get("seconds", "")) for result in group if result.training]
    revisions = sorted({str(result.provenance.get("git", "unknown")) for result in group})
    machines = sorted({f"{each.provenance.get('machine')}, {each.provenance.get('device')}" for each in group})
    facts = [f"Revisions: {', '.join(revisions)}. Machines: {'; '.join(machines)}."]
    if trained:
        facts.append(f"Seconds of training, by seed, beside other work: {', '.join(trained)}.")
    about = (kind.__doc__ or "").strip().splitlines()[0]
    parts = [f"# {label} on {suite.name}\n", f"{about}\n", f"```console\n$ {shlex.join(words)}\n```\n"]
    return "\n".join([*parts, *map(markdown, tables), " ".join(facts) + "\n"])
