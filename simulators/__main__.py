"""`python -m dialog_env.simulators`: train captioners, evaluate them, look at what they say, and keep it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from dialog_env.io.commands import one_line, run_command, typed

with one_line():  # loading PyTorch takes seconds, in which Ctrl-C may come
    import numpy as np
    import torch
    import tyro
    from tqdm import tqdm

    from dialog_env.catalog import load_catalog
    from dialog_env.io.atomic import replacing, write_atomically
    from dialog_env.io.device import find_device
    from dialog_env.simulators import make_simulator
    from dialog_env.simulators.captioner.caption_data import WrittenPairs, open_captions
    from dialog_env.simulators.captioner.report import evaluate, table
    from dialog_env.simulators.captioner.sheet import pair_sheet
    from dialog_env.simulators.captioner.training import CaptionerSettings, CaptionTraining
    from dialog_env.simulators.captioner.user import CAPTIONER_FILE, CaptioningUser
    from dialog_env.simulators.describer.user import Describer
    from dialog_env.world.answers import KeptAnswers


@dataclass
class Train:
    """Train a captioner; a training that lies in the output folder goes on."""

    output: Path
    """Folder of the captioner, checkpoints and logs."""
    catalog: str = "synthetic"
    """Name or file of the catalogue."""
    captions: str = "describer"
    """describer, or people's sentences: a CSV with the columns target, candidate and sentence (without a candidate it
    is about the target alone), JSON of Shoes or Fashion-IQ, or the folder of one of these."""
    split: str = "train"
    """Split to learn from, or several as train+validation."""
    validation_split: str = "validation"
    """Split to choose the best epoch by. Where it is the same, written pairs are parted: a twentieth chooses."""
    pairs: int = 10000
    """Pairs that the describer speaks of in an epoch."""
    validation_pairs: int = 1000
    """Pairs that it speaks of for validation."""
    skip_unusable: bool = False
    """Leave out captions of unknown images, of an image with itself or without words, instead of refusing them."""
    device: str = "auto"
    """cpu, cuda, or auto: cuda where there is one."""
    settings: Annotated[CaptionerSettings, tyro.conf.arg(name="")] = field(default_factory=CaptionerSettings)

    def __call__(self) -> None:
        """Trains and says how it went."""
        catalog = load_catalog(self.catalog)
        source, validation = (
            open_captions(
                self.captions,
                catalog.split(split),
                pairs=pairs,
                seed=self.settings.seed,
                part=part if self.split == self.validation_split else "all",
                skip_unusable=self.skip_unusable,
            )
            for split, pairs, part in (
                (self.split, self.pairs, "learn"),
                (self.validation_split, self.validation_pairs, "judge"),
            )
        )
        if isinstance(source, WrittenPairs) and source.left_out:
            print(f"{len(source.left_out)} captions are left out:", *source.left_out, sep="\n  ")
        learner = CaptionTraining(self.settings, source, validation, self.output, device=find_device(self.device))
        saved = learner.run(facts={"command": typed()})
        print(
            f"{self.output / CAPTIONER_FILE}: {len(saved.vocabulary)} words, best of {learner.done.epoch} epochs "
            f"was {saved.provenance['epoch']}, validation loss {saved.provenance['validation loss']:.3f} nats per word"
        )


@dataclass
class Evaluate:
    """Score a captioner on held-out pairs, and measure by how much its sentences move the target's rank."""

    captioner: Path | None = None
    """Folder of a trained captioner; the one shipped for drawn shoes if left out."""
    catalog: str = "synthetic"
    """Name or file of the catalogue."""
    captions: str = "describer"
    """describer, or people's sentences as for training: the references."""
    split: str = "test"
    """Split of the held-out pairs; the captioner must not have seen an image of it."""
    listener_split: str = "train"
    """Split that the listener, which measures utility, learns from."""
    pairs: int = 2500
    """Held-out pairs that the describer speaks of."""
    references: int = 5
    """Describers that give references, each with a seed of its own."""
    listener_pairs: int = 20000
    """Pairs that the listener learns from."""
    seed: int = 0
    """Of pairs and resamples."""
    skip_unusable: bool = False
    """Leave out captions of unknown images, of an image with itself or without words, instead of refusing them."""
    device: str = "auto"
    """cpu, cuda, or auto: cuda where there is one."""
    output: Path | None = None
    """JSON file for the numbers, or Markdown file for the table, by its suffix."""

    def __call__(self) -> None:
        """Prints a table, and writes it or the numbers where asked to."""
        catalog = load_catalog(self.catalog)
        gallery, school = catalog.split(self.split), catalog.split(self.listener_split)
        user = CaptioningUser(gallery, argument=self.captioner, device=find_device(self.device))
        held_out = open_captions(
            self.captions,
            gallery,
            pairs=self.pairs,
            seed=self.seed,
            describers=self.references,
            skip_unusable=self.skip_unusable,
            relative_only=True,
        )
        lessons = open_captions(
            self.captions, school, pairs=self.listener_pairs, seed=self.seed, skip_unusable=self.skip_unusable
        )
        report = evaluate(user, held_out, lessons, np.random.default_rng(self.seed))
        print(table(report))
        if self.output is not None:
            report["command"] = typed()
            told = table(report, typed()) if self.output.suffix == ".md" else json.dumps(report, indent=1)
            write_atomically(self.output, f"{told}\n".encode())
            print(f"written to {self.output}")


@dataclass
class Sheet:
    """Draw a sheet of random pairs with what the captioner and the describer say of them."""

    output: Path
    """PNG file."""
    captioner: Path | None = None
    """Folder of a trained captioner; the one shipped for drawn shoes if left out."""
    catalog: str = "synthetic"
    """Name or file of the catalogue."""
    split: str = "test"
    """Split of the pairs."""
    pairs: int = 6
    """How many."""
    seed: int = 0
    """Of the pairs."""

    def __call__(self) -> None:
        """Writes the sheet."""
        gallery = load_catalog(self.catalog).split(self.split)
        user = CaptioningUser(gallery, argument=self.captioner)
        generator = np.random.default_rng(self.seed)
        drawn = [generator.choice(len(gallery), 2, replace=False) for _ in range(self.pairs)]
        targets, candidates = torch.from_numpy(np.array(drawn).T)
        said = [("captioner", user.sentences(targets, candidates))]
        if gallery.attributes is not None:
            said.append(("describer, from the attributes", Describer(gallery).sentences(targets, candidates)))
        with replacing(self.output) as temporary:
            pair_sheet(gallery, targets.tolist(), candidates.tolist(), said).save(temporary, "PNG")
        print(f"written to {self.output}")


@dataclass
class Fill:
    """Ask a user about all pairs of a gallery and keep the answers; what was kept before is not asked again."""

    catalog: str = "synthetic"
    """Name or file of the catalogue."""
    split: str = "train"
    """Split of the gallery."""
    simulator: str = "captioner"
    """The user, by name or name:argument; one that keeps its answers."""
    device: str = "auto"
    """cpu, cuda, or auto: cuda where there is one."""

    def __call__(self) -> None:
        """Fills the table and says where it lies."""
        device = find_device(self.device)
        gallery = load_catalog(self.catalog).split(self.split)
        user = make_simulator(self.simulator, gallery, device=device)
        kept = getattr(user, "kept_answers", None)
        if not isinstance(kept, KeptAnswers):
            raise ValueError(f"simulator {self.simulator!r} keeps no answers; give one that does, as 'captioner'")
        with tqdm(total=len(gallery) ** 2, unit="pair", unit_scale=True) as bar:
            for pairs in kept.fill(user.feedback, device):
                bar.update(pairs)
        print(f"{kept.path}: {len(gallery) ** 2} answers of {user.id}")


Command = (
    Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Sheet, tyro.conf.subcommand("sheet")]
    | Annotated[Fill, tyro.conf.subcommand("fill")]
)


def main(arguments: list[str] | None = None, program: str = "python -m dialog_env.simulators") -> None:
    """Runs the command line; bad input ends in one sentence."""
    run_command(
        lambda: tyro.cli(Command, prog=program, args=arguments, config=(tyro.conf.OmitArgPrefixes,))(),
        "stopped; a training goes on from its last whole epoch with the same command",
    )


if __name__ == "__main__":
    main()
