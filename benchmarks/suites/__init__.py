"""Suites: what agents are compared on, as small files of data beside this one.

A suite names the gallery, the user, the targets, the turns and the seeds, so that results of two laboratories can
stand in one table. One of your own is a JSON file anywhere.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from dialog_env.envs.dialog_batch import DEFAULT_SIMULATOR
from dialog_env.io.reading import EXACT, read_json
from dialog_env.world.dialog import TURNS

FOLDER = Path(__file__).parent
SUITES = tuple(sorted(path.stem for path in FOLDER.glob("*.json")))
"""Names of those of the project."""
UNHEARD = "unk"
"""How words are heard where nothing is said of it: unknown ones as UNK."""


@dataclass(frozen=True)
class Suite:
    """What all agents of a comparison share.

    Args:
        name: as in tables and folders; empty for what has none.
        about: a line about it.
        catalog: name or file of the catalogue that is searched.
        simulator: the user.
        training_catalog: name or file of the catalogue that agents learn on; the same where None.
        training_simulator: the user that agents learn from; the same where None.
        hearing: how words are heard that who agents learn from never says: `unk`, each as UNK, `exact`, not at all,
            `mended`, or the folder of a sentence encoder (`dialog_env.world.hearing`).
        train_split, validation_split, test_split: galleries to learn on, to choose the best epoch by, to evaluate on.
        evaluation_seed: draws the order of the dialogs, the targets where they are a sample, the first candidates.
        turns: T.
        ties: "half" or "strict".
        targets: how many images are targets, a sample; None for all.
        seeds: of training.
        gallery: fingerprint of the evaluation gallery; any where empty.
        user: id of the user simulator; any where empty.
        build: command that makes the files, for the message where they are not there.
    """

    __pydantic_config__ = EXACT

    name: str = ""
    about: str = ""
    catalog: str = "synthetic"
    simulator: str = DEFAULT_SIMULATOR
    training_catalog: str | None = None
    training_simulator: str | None = None
    hearing: str = UNHEARD
    train_split: str = "train"
    validation_split: str = "validation"
    test_split: str = "test"
    evaluation_seed: int = 0
    turns: int = TURNS
    ties: str = "half"
    targets: int | None = None
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    gallery: str = ""
    user: str = ""
    build: str = ""

    def __post_init__(self) -> None:
        if self.ties not in ("half", "strict"):
            raise ValueError(f"ties={self.ties!r} is not known; choose half or strict")
        if not all(letter.isalnum() or letter in "-_." for letter in self.name):
            raise ValueError(f"a suite cannot be called {self.name!r}; use letters, digits and hyphens")


def find_suite(name: str) -> Suite:
    """The suite of a name, or in a JSON file.

    Raises:
        FileNotFoundError: neither a known name nor a file.
        ValueError: a file that holds something else.
    """
    path = FOLDER / f"{name}.json" if name in SUITES else Path(name)
    if name not in SUITES and not os.path.isfile(name):
        raise FileNotFoundError(f"no suite {name!r}; choose from {', '.join(SUITES)}, or give a JSON file of your own")
    return read_json(path, Suite, "suite", f"see {FOLDER / 'drawn-1k.json'} for how one looks")
