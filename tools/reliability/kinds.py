"""Every kind of file that the package reads: how, and all that a reader gets out of it."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dialog_env import agents
from dialog_env.agents.guo2018.network_agent import NetworkAgent
from dialog_env.agents.guo2018.released import agent_from_released
from dialog_env.agents.sb3.agent import SB3Agent
from dialog_env.benchmarks import results
from dialog_env.catalog import Catalog, load_catalog
from dialog_env.catalog.sources.captions import load_captions
from dialog_env.catalog.sources.features import VisionBackbone
from dialog_env.catalog.sources.photographs import Photographs, read_pictures
from dialog_env.catalog.sources.products import Products
from dialog_env.catalog.sources.shoes import Shoes
from dialog_env.evaluate.logs import read_log
from dialog_env.simulators.captioner import read_released_options
from dialog_env.simulators.captioner.user import open_captioner
from dialog_env.world.vocabulary import Vocabulary
from tools.reliability import materials
from tools.reliability.materials import (
    AGENT,
    BACKBONE,
    CAPTIONER,
    CAPTIONS,
    CATALOG,
    DRAWN,
    LOG,
    OLD_AGENT,
    OLD_CAPTIONER,
    OLD_CATALOG,
    OPTIONS,
    PHOTOGRAPHS,
    RELEASED,
    RESULT,
    SHOES,
    STABLE,
    STOPPED,
    VOCABULARY,
)

CATALOGS, ENVIRONMENT, AGENTS, SIMULATORS, BENCHMARKS = "catalog", "environment", "agent", "simulator", "benchmark"
"""Groups of the command line."""


@dataclass(frozen=True)
class Place:
    """Where a copy of a material lies, and the other materials."""

    path: Path
    materials: Path


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Args:
        material: a file or folder of `materials`.
        files: what is damaged in it, as patterns; the material itself where empty.
        read: all that can be got out of it, comparable.
        commands: command lines that read it: group and arguments.
        ours: whether the package wrote it, and must notice every change.
        entries: how many things such as images a reader found, where fewer must not be found without a word.
    """

    material: str
    read: Callable[[Place], Any]
    files: tuple[str, ...] = ()
    commands: Callable[[Place], list[tuple[str, list[object]]]] = lambda place: []
    ours: bool = True
    entries: Callable[[Any], int] | None = None


def comparable(value: Any) -> Any:
    """Data that are equal where everything in them is, to the bit; arrays as digests."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().contiguous()
        return str(value.dtype), tuple(value.shape), _digest(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    if isinstance(value, np.ndarray) and value.dtype != object:
        return str(value.dtype), value.shape, _digest(np.ascontiguousarray(value).tobytes())
    if isinstance(value, np.ndarray):
        return [comparable(part) for part in value.tolist()]
    if is_dataclass(value) and not isinstance(value, type):
        return comparable(asdict(value))
    if isinstance(value, dict):
        return {str(key): comparable(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [comparable(part) for part in value]
    return [repr(value), comparable(vars(value))] if hasattr(value, "__dict__") else repr(value)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def difference(first: Any, second: Any, where: str = "") -> str:
    """Where two comparable things differ first."""
    if isinstance(first, dict) and isinstance(second, dict):
        for key in first.keys() | second.keys():
            if first.get(key) != second.get(key):
                return difference(first.get(key), second.get(key), f"{where}.{key}")
    if isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        for place, (one, other) in enumerate(zip(first, second, strict=True)):
            if one != other:
                return difference(one, other, f"{where}[{place}]")
    return f"{where}: {str(first)[:80]} became {str(second)[:80]}"


def everything(catalog: Catalog) -> dict[str, Any]:
    """All that a catalogue holds."""
    whole = np.arange(len(catalog))
    return {
        "name": catalog.name,
        "fingerprint": catalog.fingerprint,
        "ids": catalog.ids,
        "features": np.asarray(catalog.features),
        "regions": None if catalog.region_shape is None else catalog.read_regions(),
        "attributes": catalog.attributes,
        "splits": {name: catalog.split(name).ids for name in catalog.splits},
        "pictures": None if catalog.image_size is None else catalog.images(whole),
        "provenance": catalog.provenance,
    }


def read_catalog(place: Place) -> Any:
    """Everything in it."""
    return everything(load_catalog(place.path))


def read_old_catalog(place: Place) -> Any:
    """What its fingerprint covers."""
    return {name: part for name, part in read_catalog(place).items() if name not in ("name", "provenance")}


def read_stopped(place: Place) -> Any:
    """The catalogue that the build ends in, which goes on from what lies there."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        built = everything(materials.source(place.materials, place.path / "built.h5").build())
    return built


def catalog_commands(place: Place) -> list[tuple[str, list[object]]]:
    """Describing it, and evaluating in it."""
    setting = ["--catalog", place.path, "--simulator", "describer"]
    return [
        (CATALOGS, ["info", place.path]),
        (BENCHMARKS, ["run", *setting, "--agents", "random", "--turns", "1", "--output", place.path.parent / "out"]),
    ]


def weights_of(agent: agents.Agent) -> Any:
    """What an agent has learned, and what it says of itself."""
    if isinstance(agent, NetworkAgent):
        return agent.network.state_dict(), agent.facts()
    assert isinstance(agent, SB3Agent)
    return agent.weights(), agent.facts()


def read_agent(place: Place) -> Any:
    """The best weights."""
    return weights_of(agents.load(place.path))


def read_last(place: Place) -> Any:
    """The last weights."""
    return weights_of(agents.load(place.path, last=True))


def read_training(name: str, settings: dict[str, Any]) -> Callable[[Place], Any]:
    """What the same training ends in, which goes on from what lies there."""

    def read(place: Place) -> Any:
        data = materials.training_data(place.materials)
        agent = materials.new_agent(name, data, **settings)
        agent.train(data, place.path, progress=False)
        return weights_of(agent)[0]

    return read


def film(place: Place) -> list[tuple[str, list[object]]]:
    """Dialogs with the agent."""
    setting = ["--catalog", place.materials / CATALOG, "--split", "train", "--simulator", "describer", "--turns", "1"]
    out = place.path.parent / "out"
    return [(BENCHMARKS, ["film", "--agent", place.path, *setting, "--dialogs", "1", "--output", out])]


def options(settings: dict[str, Any]) -> list[object]:
    """Settings as they stand on a command line."""
    return [part for key, value in settings.items() for part in (f"--{key.replace('_', '-')}", value)]


def train_agent(name: str, settings: dict[str, Any]) -> Callable[[Place], list[tuple[str, list[object]]]]:
    """Going on with its training."""

    def commands(place: Place) -> list[tuple[str, list[object]]]:
        setting = ["--catalog", place.materials / CATALOG, "--simulator", "describer", "--output", place.path]
        return [(AGENTS, ["train", name, *setting, *options(settings)])]

    return commands


def read_captioner(place: Place) -> Any:
    """Weights, words and provenance."""
    saved = open_captioner(place.path)
    return saved.network.state_dict(), saved.vocabulary.words, saved.provenance, saved.fingerprint


def sheet(place: Place) -> list[tuple[str, list[object]]]:
    """A sheet of what it says."""
    setting = ["--catalog", place.materials / CATALOG, "--pairs", 1, "--output", place.path.parent / "sheet.png"]
    return [(SIMULATORS, ["sheet", "--captioner", place.path, *setting])]


def read_caption_training(place: Place) -> Any:
    """What the same training ends in."""
    saved = materials.caption_training(place.materials, place.path).run(progress=False)
    return saved.network.state_dict()


def train_captioner(place: Place) -> list[tuple[str, list[object]]]:
    """Going on with its training."""
    setting = ["--catalog", place.materials / CATALOG, "--output", place.path, "--device", "cpu"]
    pairs = ["--pairs", materials.CAPTION_PAIRS, "--validation-pairs", materials.CAPTION_PAIRS]
    return [(SIMULATORS, ["train", *setting, *pairs, *options(vars(materials.RECIPE))])]


def read_released_network(place: Place) -> Any:
    """The network."""
    return agent_from_released(place.path, Vocabulary.load(place.materials / VOCABULARY)).network.state_dict()


def read_options(place: Place) -> Any:
    """Architecture, words and plain options."""
    return read_released_options(place.path)._asdict()


def read_result(place: Place) -> Any:
    """Runs, records and all else."""
    return [(found.run, found.record, found.provenance, found.training) for found in results.read_all(place.path)]


def read_photographs(kind: type[Photographs]) -> Callable[[Place], Any]:
    """What is found before features are extracted."""

    def read(place: Place) -> Any:
        source = kind(place.path, place.path / "none", place.path / "none.h5")
        heard = io.StringIO()
        with redirect_stdout(heard), redirect_stderr(heard):
            manifest, pictures = read_pictures(source.manifest(), skip_broken=False)
        return {
            "ids": manifest.ids,
            "splits": manifest.splits,
            "columns": manifest.columns,
            "skipped": manifest.skipped,
            "notes": manifest.notes,
            "pictures": [bytes(pictures.content[row]) for row in range(len(pictures.content))],
            "measures": pictures.measures,
        }

    return read


def found_or_told(found: dict[str, Any]) -> int:
    """How many images were found or counted as skipped; where there is a note, all that it may be about."""
    return len(found["ids"]) + sum(found["skipped"].values()) + 1_000_000 * len(found["notes"])


def build(source: str) -> Callable[[Place], list[tuple[str, list[object]]]]:
    """Building a catalogue of it."""

    def commands(place: Place) -> list[tuple[str, list[object]]]:
        paths = ["--root", place.path, "--backbone", place.materials / BACKBONE]
        return [(CATALOGS, ["build", source, *paths, "--output", place.path.parent / "built.h5", "--grid", 2])]

    return commands


def read_captions(place: Place) -> Any:
    """All captions."""
    return load_captions(place.path)


def read_backbone(place: Place) -> Any:
    """Features of a picture."""
    backbone = VisionBackbone(place.path)
    content = (place.materials / PHOTOGRAPHS / "images" / "1000.jpg").read_bytes()
    return [part for part in backbone(backbone.preprocessing.pixels(content)[None], 2) if part is not None]


def build_with(place: Place) -> list[tuple[str, list[object]]]:
    """Building a catalogue with it."""
    paths = ["--root", place.materials / PHOTOGRAPHS, "--backbone", place.path]
    return [(CATALOGS, ["build", "products", *paths, "--output", place.path.parent / "built.h5", "--grid", 2])]


KINDS: dict[str, Kind] = {
    "catalogue": Kind(CATALOG, read_catalog, commands=catalog_commands),
    "drawn catalogue": Kind(DRAWN, read_catalog, commands=catalog_commands),
    "old catalogue": Kind(OLD_CATALOG, read_old_catalog, commands=catalog_commands),
    "old agent": Kind(OLD_AGENT, read_agent, ("*.safetensors",), film, ours=False),
    "old captioner": Kind(OLD_CAPTIONER, read_captioner, ("*.safetensors",), sheet, ours=False),
    "stopped build": Kind(STOPPED, read_stopped, ("built.h5.partial/*.safetensors",)),
    "agent": Kind(AGENT, read_agent, ("agent.safetensors",), film),
    "checkpoint": Kind(AGENT, read_last, ("checkpoint.safetensors",)),
    "training": Kind(
        AGENT,
        read_training("supervised", materials.SUPERVISED),
        ("*.safetensors",),
        train_agent("supervised", materials.SUPERVISED),
    ),
    "captioner": Kind(CAPTIONER, read_captioner, ("captioner.safetensors",), sheet),
    "captioner's training": Kind(CAPTIONER, read_caption_training, ("*.safetensors",), train_captioner),
    "stable agent": Kind(STABLE, read_agent, ("agent.safetensors", "model.zip"), film),
    "stable training": Kind(
        STABLE,
        read_training(materials.STABLE_NAME, materials.STABLE_SETTINGS),
        ("*.safetensors", "*.zip", "training.json"),
        train_agent(materials.STABLE_NAME, materials.STABLE_SETTINGS),
    ),
    "released network": Kind(RELEASED, read_released_network),
    "released options": Kind(OPTIONS, read_options, ours=False),
    "vocabulary": Kind(VOCABULARY, lambda place: Vocabulary.load(place.path).words),
    "result": Kind(
        RESULT,
        read_result,
        ("run/result.json", "run/dialogs.h5"),
        lambda place: [(BENCHMARKS, ["table", "--output", place.path])],
    ),
    "log": Kind(LOG, lambda place: read_log(place.path)),
    "products": Kind(
        PHOTOGRAPHS,
        read_photographs(Products),
        ("styles.csv", "styles.csv", "images/*.jpg"),
        build("products"),
        ours=False,
        entries=found_or_told,
    ),
    "shoes": Kind(
        SHOES,
        read_photographs(Shoes),
        ("*.txt", "*.json", "womens/*/*.jpg"),
        build("shoes"),
        ours=False,
        entries=found_or_told,
    ),
    "captions": Kind(
        CAPTIONS,
        read_captions,
        ("*.txt", "*.json"),
        ours=False,
        entries=lambda found: (
            sum(len(part) for by_split in (found.relative, found.single) for part in by_split.values()) + found.unlisted
        ),
    ),
    "backbone": Kind(
        BACKBONE, read_backbone, ("config.json", "preprocessor_config.json", "*.safetensors"), build_with, ours=False
    ),
}
"""Name to kind."""
