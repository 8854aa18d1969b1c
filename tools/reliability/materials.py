"""Whole files of every kind that the package reads, as small as they can be."""

from __future__ import annotations

import argparse
import json
import pickle
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import h5py
import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from dialog_env import agents
from dialog_env.agents import TrainingData
from dialog_env.agents.base import AGENT_FILE
from dialog_env.agents.guo2018.network_agent import NetworkAgent
from dialog_env.agents.guo2018.released import to_released
from dialog_env.benchmarks import results
from dialog_env.benchmarks.results import Result, Run
from dialog_env.catalog import Catalog, load_catalog
from dialog_env.catalog.images import EncodedImages
from dialog_env.catalog.sources.drawn import drawn_contents
from dialog_env.catalog.sources.products import COLUMNS, Products
from dialog_env.evaluate import protocol
from dialog_env.evaluate.logs import log_of
from dialog_env.evaluate.protocol import Record
from dialog_env.io import checkpoint
from dialog_env.simulators import make_simulator
from dialog_env.simulators.captioner.caption_data import DescribedPairs
from dialog_env.simulators.captioner.training import CaptionerSettings, CaptionTraining
from dialog_env.simulators.captioner.user import CAPTIONER_FILE
from dialog_env.world.user import UserSimulator
from tools.reliability.galleries import contents

DRAWN, CATALOG, BACKBONE, PHOTOGRAPHS = "drawn.h5", "catalog.h5", "backbone", "photographs"
AGENT, CAPTIONER, STABLE, RESULT, LOG = "agent", "captioner", "stable", "result", "log.jsonl"
RELEASED, OPTIONS, VOCABULARY, CAPTIONS, SHOES = "released.pth", "options.pkl", "vocabulary.json", "captions", "shoes"
STOPPED, OLD_CATALOG, OLD_AGENT, OLD_CAPTIONER = "stopped", "old.h5", "old-agent", "old-captioner"

DRAWN_SIZE, CATALOG_SIZE, PHOTOGRAPHS_SIZE = 24, 24, 24
RECIPE = CaptionerSettings(
    architecture="show_attend_tell", epochs=2, batch=16, threshold=0, hidden=8, embedding=8, attention=4, patience=9
)
CAPTION_PAIRS = 48
SUPERVISED: dict[str, Any] = {"epochs": 2, "batch": 8, "turns": 2, "statistics": 1}
STABLE_NAME = "sb3-ppo"
STABLE_SETTINGS: dict[str, Any] = {
    "total_timesteps": 64, "n_envs": 4, "turns": 2, "hidden": 4, "directions": 2, "evaluations": 2, "n_steps": 4,
    "batch_size": 8, "n_epochs": 1,
}  # fmt: skip


def make(folder: Path, *names: str) -> None:
    """Makes what is not there yet."""
    torch.set_num_threads(1)
    for name in names:
        if not (folder / name).exists():
            beside = folder / f"making-{name}"
            MAKERS[name](beside, folder)
            beside.rename(folder / name)


def training_data(folder: Path) -> TrainingData:
    """The small catalogue with the describer as user."""
    make(folder, CATALOG)
    catalog = load_catalog(folder / CATALOG)
    galleries = [catalog.split("train"), catalog.split("validation")]
    users = [make_simulator("describer", gallery) for gallery in galleries]
    return TrainingData(galleries[0], users[0], galleries[1], users[1])


def new_agent(name: str, data: TrainingData, seed: int = 0, **settings: Any) -> agents.Agent:
    """An untrained agent for training data."""
    return agents.create(name, gallery=data.gallery, vocabulary=data.simulator.vocabulary, seed=seed, **settings)


def caption_training(folder: Path, output: Path, seed: int = 0) -> CaptionTraining:
    """The training of a small captioner on the small catalogue."""
    data = training_data(folder)
    source, validation = (
        DescribedPairs(gallery, CAPTION_PAIRS, seed=seed) for gallery in (data.gallery, data.validation_gallery)
    )
    return CaptionTraining(replace(RECIPE, seed=seed), source, validation, output)


def some_run(gallery: Catalog, user: UserSimulator, record: Record, seed: int) -> Run:
    """What a result says of its run."""
    return Run(
        agent="known",
        seed=seed,
        catalog="some.h5",
        split=gallery.split_name,
        gallery=gallery.fingerprint,
        training_gallery=gallery.fingerprint,
        user="describer",
        simulator=user.id,
        evaluation_seed=seed,
        turns=record.turns,
        ties=record.ties,
        validation_gallery=gallery.fingerprint,
        configuration={"epochs": 1, "nested": {"batch": 8}},
    )


def _drawn(path: Path, folder: Path) -> None:
    Catalog(drawn_contents(DRAWN_SIZE, 0)).write(path)


def _catalog(path: Path, folder: Path) -> None:
    Catalog(contents(CATALOG_SIZE, 5, 0)).write(path)


def _backbone(path: Path, folder: Path) -> None:
    from transformers import AutoModel, ResNetConfig

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = AutoModel.from_config(ResNetConfig(embedding_size=4, hidden_sizes=[4, 6], depths=[1, 1]))
        network.save_pretrained(path)
    preprocessor = {"size": {"height": 16, "width": 16}, "resample": 2, "rescale_factor": 1 / 255}
    preprocessor |= {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
    (path / "preprocessor_config.json").write_text(json.dumps(preprocessor))


def photograph(path: Path, number: int) -> None:
    """A picture of a coloured block on white, different for every number."""
    picture = Image.new("RGB", (30, 40), "white")
    picture.paste((200, number * 7 % 256, 40), (3, 10 + number % 10, 27, 30))
    picture.save(path)


def _photographs(path: Path, folder: Path) -> None:
    (path / "images").mkdir(parents=True)
    row = "Women,Footwear,Shoes,{},{},Summer,2012,Casual,Catwalk Women {} Shoes"
    lines = [",".join(COLUMNS)]
    for number in range(PHOTOGRAPHS_SIZE):
        colour, kind = ("Red", "Blue", "Black")[number % 3], ("Heels", "Flats")[number % 2]
        lines.append(f"{1000 + number},{row.format(kind, colour, colour)}")
        photograph(path / "images" / f"{1000 + number}.jpg", number)
    (path / "styles.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _captions(path: Path, folder: Path) -> None:
    path.mkdir(parents=True)
    train = [f"img_womens_boots_{number}.jpg" for number in range(16)]
    held_out = [f"img_womens_rain_boots_{number}.jpg" for number in range(8)]
    relative = [
        {"ImageName": a, "ReferenceImageName": b, "RelativeCaption": f"is redder and has heel {number}"}
        for names in (train, held_out)
        for number, (a, b) in enumerate(pairwise(names))
    ]
    single = [{"ImageName": name, "Caption": f"blue boots number {name[-5]}"} for name in (*train[:4], *held_out[:2])]
    (path / "relative_captions_shoes.json").write_text(json.dumps(relative))
    (path / "captions_shoes.json").write_text(json.dumps(single))
    (path / "train_im_names.txt").write_text("\n".join(train) + "\n")
    (path / "eval_im_names.txt").write_text("\n".join(held_out) + "\n")


def _shoes(path: Path, folder: Path) -> None:
    _captions(path, folder)
    for number, file in enumerate(("train_im_names.txt", "eval_im_names.txt")):
        for place, name in enumerate((path / file).read_text().split()):
            (path / "womens" / str(place % 3)).mkdir(parents=True, exist_ok=True)
            photograph(path / "womens" / str(place % 3) / name, 20 * number + place)


def _agent(path: Path, folder: Path) -> None:
    data = training_data(folder)
    new_agent("supervised", data, **SUPERVISED).train(data, path, progress=False)


def _captioner(path: Path, folder: Path) -> None:
    caption_training(folder, path).run(progress=False)


def _stable(path: Path, folder: Path) -> None:
    data = training_data(folder)
    new_agent(STABLE_NAME, data, **STABLE_SETTINGS).train(data, path, progress=False)


def _evaluated(folder: Path) -> tuple[Record, Catalog, UserSimulator]:
    data = training_data(folder)
    gallery = data.gallery
    return protocol.run(agents.create("random"), gallery, data.simulator, seed=0, turns=3), gallery, data.simulator


def _result(path: Path, folder: Path) -> None:
    record, gallery, user = _evaluated(folder)
    result = Result(some_run(gallery, user, record, 0), record, {"time": "now", "git": "none"}, {"epochs": 1})
    results.write(result, path / "run")


def _log(path: Path, folder: Path) -> None:
    record, gallery, user = _evaluated(folder)
    log_of(record, gallery, user, agent="random", seed=0).write(path)


def _released(path: Path, folder: Path) -> None:
    agent = new_agent("supervised", training_data(folder))
    assert isinstance(agent, NetworkAgent)
    torch.save(to_released(agent.network), path)


def _options(path: Path, folder: Path) -> None:
    options = argparse.Namespace(caption_model="show_attend_tell", rnn_size=8, learning_rate=4e-4, checkpoint="save")
    words = {str(token): word for token, word in enumerate(("red", "blue", "has", "heel", "UNK"), 1)}
    path.write_bytes(pickle.dumps({"opt": options, "vocab": words, "iter": 3, "loss": [1.5, 2.5]}, protocol=2))


def _vocabulary(path: Path, folder: Path) -> None:
    training_data(folder).simulator.vocabulary.save(path)


class Stopped(Exception):
    """Ends a build as a crash would."""


def source(folder: Path, output: Path) -> Products:
    """The source of the photographs, with a small backbone."""
    return Products(folder / PHOTOGRAPHS, folder / BACKBONE, output, grid=2, batch=4, dimensions=3)


def _stopped(path: Path, folder: Path) -> None:
    make(folder, PHOTOGRAPHS, BACKBONE)
    left = 4

    def stop(path: str | Path, *arguments: Any, **keywords: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Stopped
        write(path, *arguments, **keywords)

    write = checkpoint.write
    with mock.patch.object(checkpoint, "write", stop), suppress(Stopped):
        source(folder, path / "built.h5").build()


def _old_catalog(path: Path, folder: Path) -> None:
    """A catalogue as version 1 kept it: no seal, and pictures of varying length."""
    made = contents(CATALOG_SIZE, 5, 0)
    assert made.attributes is not None
    assert isinstance(made.images, EncodedImages)
    with h5py.File(path, "w") as file:
        file.attrs.update(format="dialog-retrieval catalog", version=1, name=made.name, fingerprint=made.fingerprint)
        file.attrs["provenance"] = json.dumps(made.provenance)
        file["ids"] = np.array([str(name).encode() for name in made.ids])
        file["features"] = made.features
        file["regions"] = made.regions
        file["regions"].attrs["scale"] = made.region_scale
        for name, positions in made.splits.items():
            file[f"splits/{name}"] = positions
        table = made.attributes
        file["attributes/graded"], file["attributes/categorical"] = table.graded, table.categorical
        file["attributes/graded"].attrs["names"] = json.dumps(table.graded_names)
        file["attributes/categorical"].attrs["names"] = json.dumps(table.categorical_names)
        file["attributes/categorical"].attrs["values"] = json.dumps(table.values)
        file.create_group("images").attrs["source"] = json.dumps(made.images.description)
        encoded = file.create_dataset("images/encoded", (CATALOG_SIZE,), dtype=h5py.vlen_dtype(np.uint8))
        for position, picture in enumerate(made.images.encoded):
            encoded[position] = picture


def _old_agent(path: Path, folder: Path) -> None:
    """An agent as version 1 kept it: without a digest."""
    make(folder, AGENT)
    saved = checkpoint.read(folder / AGENT / AGENT_FILE)
    path.mkdir()
    header = {"format": checkpoint.FORMAT, "version": "1", "facts": json.dumps(saved.facts)}
    save_file(saved.tensors, path / AGENT_FILE, metadata=header)


def _old_captioner(path: Path, folder: Path) -> None:
    """A captioner as it was kept before captioners were checkpoint."""
    make(folder, CAPTIONER)
    saved = checkpoint.read(folder / CAPTIONER / CAPTIONER_FILE)
    path.mkdir()
    save_file(saved.tensors, path / CAPTIONER_FILE, metadata={"captioner": json.dumps({**saved.facts, "format": 1})})


MAKERS: dict[str, Callable[[Path, Path], None]] = {
    DRAWN: _drawn,
    CATALOG: _catalog,
    BACKBONE: _backbone,
    PHOTOGRAPHS: _photographs,
    CAPTIONS: _captions,
    SHOES: _shoes,
    AGENT: _agent,
    CAPTIONER: _captioner,
    STABLE: _stable,
    RESULT: _result,
    LOG: _log,
    RELEASED: _released,
    OPTIONS: _options,
    VOCABULARY: _vocabulary,
    STOPPED: _stopped,
    OLD_CATALOG: _old_catalog,
    OLD_AGENT: _old_agent,
    OLD_CAPTIONER: _old_captioner,
}
"""Name to what makes it, at a path, from what lies in the folder of materials."""
