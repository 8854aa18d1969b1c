"""Results as files: for each run one JSON with provenance and scores, and one HDF5 file with every dialog."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from dialog_env.files import replacing, write_atomically
from dialog_env.metrics import METRICS
from dialog_env.protocol import Record

RESULT = "result.json"
DIALOGS = "dialogs.h5"


@dataclass(frozen=True)
class Run:
    """What was run: everything that decides the numbers.

    Args:
        agent: name with its settings, as it stands in tables.
        seed: of training.
        catalog, split, gallery: name, split and fingerprint of the evaluation gallery.
        training_gallery: fingerprint of the gallery it learned on.
        user: the user simulator as it was asked for.
        simulator: its id.
        evaluation_seed: draws the first candidates.
        turns: T.
        ties: how ranks count level images.
        validation_gallery: fingerprint of the gallery by which its best epoch was chosen.
        configuration: settings of the agent, with a hash of its source where it is not one of `agents`.
    """

    agent: str
    seed: int
    catalog: str
    split: str
    gallery: str
    training_gallery: str
    user: str
    simulator: str
    evaluation_seed: int
    turns: int
    ties: str
    validation_gallery: str
    configuration: dict[str, Any]

    @property
    def name(self) -> str:
        """Readable, and different for different agents, seeds and galleries."""
        user = "-".join(Path(part).name for part in self.user.split(":"))
        parts = (Path(self.catalog).stem, user, self.agent, f"seed{self.seed}")
        return "_".join("".join(letter if letter.isalnum() or letter in "-." else "-" for letter in p) for p in parts)


@dataclass(frozen=True)
class Result:
    """A run and its record, with where it came from."""

    run: Run
    record: Record
    provenance: dict[str, Any]
    training: dict[str, Any]

    def scores(self) -> dict[str, list[float] | float]:
        """Every metric: a list over turns, or a number for those that judge a whole dialog."""
        scores: dict[str, list[float] | float] = {}
        for name, metric in METRICS.items():
            summary = np.round(metric.summary(metric.of(self.record), axis=0), 4)
            scores[name] = summary.tolist()
        return scores


def write(result: Result, folder: Path) -> None:
    """Writes both files; the JSON last, so that where it lies the result is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    record = result.record
    with replacing(folder / DIALOGS) as temporary, h5py.File(temporary, "w", locking=False) as file:
        for name in ("target", "shown", "closer", "equal"):
            file.create_dataset(name, data=getattr(record, name).astype(np.int32), compression="gzip", shuffle=True)
        file.attrs.update(images=record.images, ties=record.ties)
    content = {
        "run": asdict(result.run),
        "scores": result.scores(),
        "training": result.training,
        "provenance": result.provenance,
    }
    write_atomically(folder / RESULT, json.dumps(content, indent=1).encode())


def read(folder: Path) -> Result:
    """A result written by `write`; ValueError where a file is missing or something else."""
    try:
        content = json.loads((folder / RESULT).read_text())
        with h5py.File(folder / DIALOGS) as file:
            arrays = {name: file[name][:].astype(np.int64) for name in ("target", "shown", "closer", "equal")}
            record = Record(**arrays, images=int(file.attrs["images"]), ties=str(file.attrs["ties"]))
        return Result(Run(**content["run"]), record, content["provenance"], content["training"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{folder} does not hold a result ({error}); run the benchmark again") from error


def read_all(output: Path) -> list[Result]:
    """All results below a folder, in order of their names."""
    return [read(path.parent) for path in sorted(output.glob(f"*/{RESULT}"))]
