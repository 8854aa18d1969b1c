"""`python -m dialog_env.benchmarks`: run agents against each other, and make tables and plots of what was run."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated

from dialog_env.io.commands import one_line, run_command

with one_line():  # loading PyTorch takes seconds, in which Ctrl-C may come
    import torch
    import tyro

    from dialog_env import agents
    from dialog_env.benchmarks import film, leaderboard, page, report, results
    from dialog_env.benchmarks.carry import CarryCommand
    from dialog_env.benchmarks.composed import ComposedCommand
    from dialog_env.benchmarks.experiment import AgentSpec, Experiment
    from dialog_env.benchmarks.gap import GapCommand
    from dialog_env.benchmarks.jobs import Plan, refuse_failed, run_all
    from dialog_env.benchmarks.jobs.command import WayOptions
    from dialog_env.benchmarks.noise import NoiseCommand
    from dialog_env.benchmarks.paper import report as paper_report
    from dialog_env.benchmarks.paper import scores
    from dialog_env.benchmarks.paper.run import run as run_paper
    from dialog_env.benchmarks.recorded import ReplayCommand
    from dialog_env.benchmarks.suites import Suite, find_suite
    from dialog_env.benchmarks.wordings import WordingsCommand
    from dialog_env.catalog import load_catalog
    from dialog_env.envs.dialog_batch import DEFAULT_SIMULATOR
    from dialog_env.evaluate.metrics import metric_of
    from dialog_env.io.atomic import locked
    from dialog_env.io.device import find_device
    from dialog_env.io.keywords import checked_count
    from dialog_env.simulators import make_simulator
    from dialog_env.world.ranking import UnrankableError

FILM_WIDTH = 800


@dataclass
class RunCommand(WayOptions):
    """Train and evaluate agents on a suite, or on a catalogue of your own; write results, tables and plots."""

    suite: str | None = None
    """Name of a suite, or a JSON file with one; without it the default catalogue."""
    catalog: str | None = None
    """Name or file of the catalogue, in place of the suite's."""
    training_catalog: str | None = None
    """Name or file of the catalogue to learn on, where that is another."""
    simulator: str | None = None
    """The user, in place of the suite's."""
    training_simulator: str | None = None
    """The user to learn from, where that is another."""
    hearing: str | None = None
    """How words are heard that this one never says: unk, exact (not at all), mended, or the folder of an encoder."""
    agents: tuple[str, ...] = ("random", "supervised")
    """Agents: name, name@configuration or name:setting=value,…; the first is what the others are compared with."""
    seeds: tuple[int, ...] | None = None
    """Training seeds; those of the suite, or 0, where left out."""
    output: Path | None = None
    """Folder of the results, where what is there is not run again; left out, runs/SUITE, or runs/benchmark."""
    train_split: str | None = None
    """Gallery to learn on."""
    validation_split: str | None = None
    """Gallery to choose the best epoch by."""
    test_split: str | None = None
    """Gallery to evaluate on."""
    evaluation_seed: int | None = None
    """Draws the first candidates of the evaluation."""
    turns: int | None = None
    """Turns of a dialog."""
    ties: str | None = None
    """half, or strict ranks as in the released code."""
    targets: int | None = None
    """So many images are targets, drawn by the evaluation seed: at least 2,000 of a large gallery; all where None."""
    trained: Path | None = None
    """Folder of trained agents that several suites share; runs/trained with a suite, else with the results."""
    films: int = 0
    """So many dialogs of each agent are filmed for the page."""

    metrics: tuple[str, ...] = report.COLUMNS
    """Columns of the second table: names of metrics, or module:NAME of your own."""

    def __call__(self) -> None:
        """Runs every agent with every seed; what fails is reported at the end, with status 1."""
        for metric in self.metrics:
            metric_of(metric)
        way, (device, here) = self.way(), self.devices()
        suite = find_suite(self.suite) if self.suite is not None else Suite(seeds=(0,))
        given = {each.name: getattr(self, each.name) for each in fields(Suite) if hasattr(self, each.name)}
        changes = {name: value for name, value in given.items() if value is not None}
        if changes.keys() - {"seeds"}:
            changes |= {"name": "", "gallery": "", "user": ""}  # it is another suite then
        suite = replace(suite, **changes)
        named = self.suite is not None and suite.name
        output = self.output or Path("runs") / (suite.name if named else "benchmark")
        trained = self.trained or (Path("runs/trained") if named else None)
        if named and here == "cpu":
            torch.set_num_threads(1)  # another number rounds differently, and trains to other digits
        checked_count("films", self.films, least=0)
        plan = Plan(suite, output, device, trained)
        experiment = plan.open(here)
        if self.films and experiment.test.image_size is None:
            raise ValueError(f"catalogue {experiment.test.name!r} has no pictures to film; leave out --films")
        output.mkdir(parents=True, exist_ok=True)
        done, failed = run_all(plan, experiment, self.agents, suite.seeds, way)
        if self.films:
            for agent in dict.fromkeys(result.run.agent for result in done):
                _film(experiment, agent, suite.seeds[0], self.films, output / page.FILMS)
        if done:
            baseline = self.agents[0] if any(result.run.agent == self.agents[0] for result in done) else None
            title = f"{suite.name}: {suite.about}" if named else ""
            with locked(output):
                print("\n" + report.write(done, output, baseline, self.metrics, title))
            print(f"Written: {output / 'table.md'}, {output / 'index.html'} and more")
        refuse_failed(failed)


def _film(experiment: Experiment, text: str, seed: int, dialogs: int, folder: Path) -> None:
    agent, gallery = experiment.trained_agent(text, seed), experiment.test
    user, suite = experiment.user(gallery), experiment.suite
    shown = film.hold_dialogs(
        agent,
        gallery,
        user,
        dialogs=dialogs,
        seed=suite.evaluation_seed,
        turns=suite.turns,
        device=experiment.device,
    )
    folder.mkdir(parents=True, exist_ok=True)
    film.write_moving(gallery, *shown, folder / f"{results.readable(text)}.gif", FILM_WIDTH)


@dataclass
class PaperCommand(WayOptions):
    """Test the paper's claims: its learners against each other, and language against other feedback."""

    catalog: str = "synthetic"
    """Name or file of the catalogue."""
    simulator: str = DEFAULT_SIMULATOR
    """The user who speaks."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Training seeds."""
    feedback_seeds: tuple[int, ...] | None = None
    """Training seeds with the kinds of feedback; the same where left out."""
    output: Path = Path("runs/paper")
    """Folder of the results; what is there already is not run again."""
    trained: Path | None = None
    """Folder of trained agents that others share, such as runs/trained of suites; with the results where left out."""

    def __call__(self) -> None:
        """Runs every arm with every seed, then writes tables and figures of the arms of which all went well."""
        way, (device, here) = self.way(), self.devices()
        if here == "cpu":
            torch.set_num_threads(1)  # another number rounds differently, and trains to other digits
        plan = Plan(Suite(catalog=self.catalog, simulator=self.simulator), self.output, device, self.trained)
        found, missing, failed = run_paper(plan, self.seeds, self.feedback_seeds, way=way, here=here)
        if found:
            with locked(self.output):
                print("\n" + paper_report.write(found, missing, self.output))
            print(f"Written: table.md, results.json and the figures in {self.output}")
        refuse_failed(failed)


@dataclass
class TableCommand:
    """Make tables and plots again from the results in a folder."""

    output: Path
    """Folder of the results."""
    baseline: str | None = None
    """Agent that the others are compared with."""
    metrics: tuple[str, ...] = report.COLUMNS
    """Columns of the second table: names of metrics, or module:Class of your own."""

    def __call__(self) -> None:
        """Reads every result below the folder, or the scores that a comparison with the paper left there."""
        found = results.read_all(self.output)
        if not found and (self.output / scores.FILE).exists():
            with locked(self.output):
                print(paper_report.rewrite(self.output))
            return
        if not found:
            raise ValueError(f"{self.output} holds no results; run `dialog-retrieval benchmark run` first")
        with locked(self.output):
            print(report.write(found, self.output, self.baseline, self.metrics))


@dataclass
class PublishCommand:
    """Put the results of a suite into the leaderboard, and make its pages again."""

    suite: str
    """Name of the suite, or a JSON file with one."""
    output: Path | None = None
    """Folder of the results; runs/SUITE where left out."""
    agents: tuple[str, ...] = ()
    """Agents to put there; all that were run where left out."""
    results: Path = Path("benchmarks/results")
    """Folder of the leaderboard."""
    page: Path = Path("RESULTS.md")
    """Its page."""

    def __call__(self) -> None:
        """Copies, then makes the pages."""
        suite = find_suite(self.suite)
        output = self.output or Path("runs") / suite.name
        found = results.read_all(output)
        unknown = set(self.agents) - {result.run.agent for result in found}
        if unknown or not found:
            raise ValueError(
                f"{output} holds no results"
                + (f" of {min(unknown)!r}" if unknown else "")
                + "; run the benchmark first"
            )
        chosen = [result for result in found if not self.agents or result.run.agent in self.agents]
        for path in leaderboard.publish(chosen, suite, self.results, output / page.FILMS):
            print(f"Written: {path}")
        leaderboard.write(self.results, self.page)
        print(f"Written: {self.page}")


@dataclass
class LeaderboardCommand:
    """Make the pages of the leaderboard again from its results."""

    results: Path = Path("benchmarks/results")
    """Folder of the leaderboard."""
    page: Path = Path("RESULTS.md")
    """Its page."""

    def __call__(self) -> None:
        """Writes the page, and a README and plots below the folder."""
        leaderboard.write(self.results, self.page)
        print(f"Written: {self.page}")


@dataclass
class FilmCommand:
    """Hold dialogs with an agent and write them as pictures and as a film."""

    agent: str
    """Folder of a trained agent, or the name of one that needs no training."""
    kind: str | None = None
    """Class of the agent in the folder, as module:Class, where it is not one of this project's: files start no code."""
    network: str | None = None
    """Class of its network, as module:Class, where neither this project nor the class of the agent has it."""
    catalog: str = "synthetic"
    """Name or file of the catalogue."""
    split: str = "test"
    """Gallery."""
    simulator: str = DEFAULT_SIMULATOR
    """The user."""
    dialogs: int = 6
    """How many."""
    seed: int = 0
    """Draws targets and first candidates."""
    turns: int = 5
    """Turns of a dialog."""
    output: Path = Path("runs/film")
    """Folder of the pictures."""
    device: str = "auto"
    """cpu, cuda, or auto: cuda where there is one."""

    def __call__(self) -> None:
        """Writes one PNG a dialog and a GIF of all."""
        gallery = load_catalog(self.catalog).split(self.split)
        device = str(find_device(self.device))
        user = make_simulator(self.simulator, gallery, device=device)
        if Path(self.agent).is_dir():
            agent = agents.load(
                self.agent,
                device,
                kind=agents.agent_class(self.kind) if self.kind else None,
                network=agents.NETWORKS.find(self.network) if self.network else None,
            )
        else:
            try:
                agent = AgentSpec.parse(self.agent).create(gallery, user.vocabulary, device=device)
            except ValueError as error:
                raise ValueError(f"{self.agent} is no folder of a trained agent, and as a name: {error}") from error
            if agent.trainable:
                raise ValueError(f"agent {self.agent} has to be trained first; give the folder of a trained one")
        try:
            targets, rows = film.hold_dialogs(
                agent, gallery, user, dialogs=self.dialogs, seed=self.seed, turns=self.turns, device=device
            )
        except UnrankableError as error:
            raise ValueError(f"the agent {self.agent} gives no order ({error}); train it again") from error
        with locked(self.output):
            for path in film.write_film(gallery, targets, rows, self.output):
                print(f"Written: {path}")


Command = (
    Annotated[RunCommand, tyro.conf.subcommand("run")]
    | Annotated[PaperCommand, tyro.conf.subcommand("paper")]
    | Annotated[CarryCommand, tyro.conf.subcommand("carry")]
    | Annotated[NoiseCommand, tyro.conf.subcommand("noise")]
    | Annotated[WordingsCommand, tyro.conf.subcommand("wordings")]
    | Annotated[ComposedCommand, tyro.conf.subcommand("composed")]
    | Annotated[GapCommand, tyro.conf.subcommand("gap")]
    | Annotated[ReplayCommand, tyro.conf.subcommand("replay")]
    | Annotated[TableCommand, tyro.conf.subcommand("table")]
    | Annotated[PublishCommand, tyro.conf.subcommand("publish")]
    | Annotated[LeaderboardCommand, tyro.conf.subcommand("leaderboard")]
    | Annotated[FilmCommand, tyro.conf.subcommand("film")]
)


def main(arguments: list[str] | None = None, program: str = "python -m dialog_env.benchmarks") -> None:
    """Runs the command line; bad input ends in one sentence."""
    run_command(
        lambda: tyro.cli(Command, prog=program, args=arguments)(),
        "stopped; what has been run is kept, and the same command goes on from there",
    )


if __name__ == "__main__":
    main()
